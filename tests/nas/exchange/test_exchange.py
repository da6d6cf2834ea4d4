"""What jobs found, read back by the tools that it was written for."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from nas.errors import InvalidSpec
from nas.exchange.exporters import EXPORTERS, facts, get_exporter
from nas.front import Front, extent_of
from nas.objectives import Direction
from nas.objectives.latency_ms import Latency
from nas.objectives.quality import quality_objective
from nas.objectives.value import Value
from nas.point import Point
from searchspaces.architecture import Architecture, Layer
from workers.target import Target

TARGET = Target("phone")
OBJECTIVES = (quality_objective("bits", Direction.MIN), *Latency.axes([TARGET]))


def point(width: int, layers: int) -> Point:
    architecture = Architecture(256, width, (Layer("softmax", 2), Layer("window:64", 4))[:layers])
    values = {
        ("parameters", None): Value(width * 1000.0),
        ("latency_ms", str(TARGET)): Value(width / 10, 0.1, width / 9, 0.2),
    }
    preset = "plain" if width == 32 else None
    return Point(architecture.digest, architecture, 2 + 1 / width, None, values, preset, on_front=width > 16)


@pytest.fixture
def front() -> Front:
    unknown = Point("0" * 16, Architecture(256, 8, (Layer("softmax", 1),)), None, None)
    points = (point(16, 1), point(32, 2), point(64, 2), unknown)
    extent = extent_of(points, OBJECTIVES)
    return Front("job-1", "space", "task", "bits", Direction.MIN, (TARGET,), OBJECTIVES, points, 4, extent)


def export(name: str, front: Front, out: Path) -> str:
    for package in ("mlflow",) if name == "mlflow" else ("pyarrow",) if name == "parquet" else ():
        pytest.importorskip(package, reason=f"needs {package}")
    return get_exporter(name)(front, str(out))


def test_a_study_says_what_the_points_do(front, tmp_path) -> None:
    import optuna

    said = export("optuna", front, tmp_path / "study.db")
    assert said.startswith("3 trials")
    study = optuna.load_study(study_name="job-1", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert study.metric_names == ["quality", "latency_ms"]
    for trial, known in zip(study.trials, front.points[:3], strict=True):
        assert trial.values == [known.value(objective) for objective in OBJECTIVES]
        assert trial.user_attrs["digest"] == known.digest
        assert trial.params["width"] == known.architecture.width
        assert trial.params["layer_1_mixer"] == "softmax"
        assert ("layer_2_mixer" in trial.params) == (len(known.architecture.layers) == 2)
    with pytest.raises(InvalidSpec, match="already"):
        export("optuna", front, tmp_path / "study.db")


@pytest.mark.parametrize("out", ["nowhere://study", "notes.txt"])
def test_a_study_where_none_can_be_is_refused(front, tmp_path, monkeypatch, out: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("no database" * 10)
    with pytest.raises(
        InvalidSpec, match=f"{out} cannot be opened .*; accepted: an SQLite file, or a database"
    ):
        get_exporter("optuna")(front, out)


@pytest.mark.slow
def test_the_real_dashboard_opens_it(front, tmp_path) -> None:
    pytest.importorskip("optuna_dashboard", reason="needs optuna-dashboard")
    export("optuna", front, tmp_path / "study.db")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    command = Path(sys.executable).with_name("optuna-dashboard")
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with subprocess.Popen([command, url, "--port", str(port)], stderr=subprocess.DEVNULL) as dashboard:
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=10) as answer:
                        studies = json.load(answer)["study_summaries"]
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.3)
            assert [study["study_name"] for study in studies] == ["job-1"]
            number = studies[0]["study_id"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies/{number}?after=0") as answer:
                assert len(json.load(answer)["trials"]) == 3
        finally:
            dashboard.terminate()


def test_a_parquet_file_has_a_row_a_point(front, tmp_path) -> None:
    export("parquet", front, tmp_path / "points.parquet")
    from pyarrow import parquet

    rows = parquet.read_table(tmp_path / "points.parquet").to_pylist()
    assert [row["digest"] for row in rows] == [known.digest for known in front.points]
    for row, known in zip(rows, front.points, strict=True):
        assert {name: row[name] for name, _ in facts(known)} == dict(facts(known))
    assert rows[0]["layer_2_mixer"] is None
    assert rows[3]["validation"] is None


@pytest.mark.slow
def test_runs_say_what_the_front_does(front, tmp_path) -> None:
    export("mlflow", front, tmp_path / "runs.db")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'runs.db'}")
    experiment = client.get_experiment_by_name("job-1")
    runs = {run.data.tags["digest"]: run for run in client.search_runs([experiment.experiment_id])}
    shown = [known for known in front.points if known.on_front or known.preset]
    assert set(runs) == {known.digest for known in shown}
    for known in shown:
        run = runs[known.digest]
        assert run.data.metrics["validation"] == known.validation
        assert run.data.params["layer_2_mixer"] == "window:64"


def test_what_there_is_is_named() -> None:
    with pytest.raises(InvalidSpec, match=", ".join(EXPORTERS)):
        get_exporter("excel")

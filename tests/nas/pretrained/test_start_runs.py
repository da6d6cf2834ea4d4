"""Which runs of the bench go on with what others left: those whose numbers follow from the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from random_models import TEXT, write_model
from typer.testing import CliRunner

from nas.bench.start import FOUND, StartBench, run_start_bench, settle
from nas.cli.main import app
from nas.client import Client
from nas.errors import InvalidSpec, NothingMeetsBounds
from nas.job import Job
from nas.pretrained import read_parent
from nas.pretrained.reading import read_model
from nas.spec import JobSpec
from searchspaces.architecture import Architecture
from searchspaces.blocks import Weights
from searchspaces.submodel import Submodel

SMALL: dict[str, Any] = {
    "tokens": 32,
    "evaluated": 64,
    "calibrate": 64,
    "scored": 32,
    "heal": 0,
    "levels": (70,),
    "mixers": ("keep", "none"),
}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def asked(model: Path, text: Path, **others: Any) -> StartBench:
    return StartBench(str(model), (str(text),), **{**SMALL, **others})


class _Device:
    """Layers and feed-forwards take as long as they are."""

    def __init__(self, *_: Any) -> None:
        pass

    def measure(self, architecture: Architecture, *_: Any) -> Any:
        return SimpleNamespace(latency_ms=sum(1 + layer.ratio for layer in architecture.layers))

    def close(self) -> None:
        pass


@dataclass
class _Service:
    """Its jobs find a model's first layers; a submission of a known key answers with the first one's job."""

    whole: Submodel
    jobs: dict[str, JobSpec] = field(default_factory=dict)
    layers: int = 2

    @property
    def found(self) -> Submodel:
        own, weights = self.whole.architecture, self.whole.weights
        fewer = replace(own, layers=own.layers[: self.layers])
        return Submodel(fewer, Weights(weights.outer, weights.layers[: self.layers]))

    def run_job(self, spec: JobSpec, key: str) -> Job:
        self.jobs.setdefault(key, spec)
        return cast(Job, SimpleNamespace(id=key, created_at=0.0, updated_at=1.0))

    def measurements(self, *_: Any) -> list[Any]:
        return []

    def front(self, _: str) -> Any:
        if not self.layers:
            raise NothingMeetsBounds("the nearest takes 3 ms")
        architecture = self.found.architecture
        point = SimpleNamespace(digest=architecture.digest, architecture=architecture, known=lambda *_: None)
        return SimpleNamespace(best=lambda: point)

    def extract(self, _: str, digest: str, out: Path) -> None:
        out.mkdir()
        (out / "layers").write_text(str(self.layers))

    def load(self, folder: Path) -> Submodel:
        return replace(self, layers=int((folder / "layers").read_text())).found


@pytest.fixture
def service(llama: Path, monkeypatch: pytest.MonkeyPatch) -> _Service:
    service = _Service(read_model(read_parent(llama)).requires_grad_(False))
    monkeypatch.setattr("nas.bench.start.bench.BenchDevice", _Device)
    monkeypatch.setattr("nas.export.load_model_folder", service.load)
    return service


def run(bench: StartBench, service: _Service, folder: Path) -> dict[str, Any]:
    settled = settle(bench, folder.parent / "models")
    return run_start_bench(settled, cast(Client, service), service.run_job, folder, lambda _: None)


def known(folder: Path) -> list[str]:
    return [json.loads(line)["name"] for line in (folder / "known.jsonl").read_text().splitlines()]


def test_a_run_is_known_by_what_its_files_hold(llama: Path, text: Path, tmp_path: Path) -> None:
    key = settle(asked(llama, text), tmp_path).key
    for further in ({"heal": 7}, {"levels": (50, 60)}, {"also": ("decode/b1/n64",)}, {"evaluations": 5}):
        assert settle(asked(llama, text, **further), tmp_path).key == key
    for other in ({"tokens": 16}, {"evaluated": 32}, {"mixers": ("keep",)}, {"calibrate": 96}, {"seed": 1}):
        assert settle(asked(llama, text, **other), tmp_path).key != key
    moved = Path(shutil.copytree(llama, tmp_path / "moved"))
    (tmp_path / "copy.txt").write_text(TEXT)
    assert settle(asked(moved, tmp_path / "copy.txt"), tmp_path).key == key
    write_model("llama", moved, rope_theta=4000.0)
    assert settle(asked(moved, text), tmp_path).key != key
    text.write_text(TEXT + " and more")
    assert settle(asked(llama, text), tmp_path).key != key


def test_a_relative_path_is_that_of_the_folder_where_it_was_said(
    llama: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(text.parent)
    settled = settle(asked(llama, Path("text.txt")), text.parent)
    (other := text.parent / "other").mkdir()
    (other / "text.txt").write_text(TEXT[::-1])
    monkeypatch.chdir(other)
    assert settled.spec(70).task == settle(asked(llama, text), text.parent).spec(70).task
    assert settle(asked(llama, Path("text.txt")), text.parent).key != settled.key


def test_a_job_is_another_where_its_spec_or_its_text_is(llama: Path, text: Path, tmp_path: Path) -> None:
    settled = settle(asked(llama, text), tmp_path)
    keys = {settled.job_key(70), settled.job_key(50)}
    assert settle(asked(llama, text, levels=(50,), heal=7), tmp_path).job_key(50) in keys
    keys |= {settle(asked(llama, text, evaluations=5), tmp_path).job_key(70)}
    text.write_text(TEXT + " and more")
    keys |= {settle(asked(llama, text), tmp_path).job_key(70)}
    assert len(keys) == 4


def test_a_folder_of_another_run_is_refused_and_left_alone(
    llama: Path, text: Path, tmp_path: Path, service: _Service
) -> None:
    folder = tmp_path / "kept"
    first = run(asked(llama, text), service, folder)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    said = (
        "--kept: .*kept has numbers of another run: task.evaluation_context 32, not 16; target '.*/n32', not"
    )
    with pytest.raises(
        InvalidSpec, match=f"{said} .*; accepted: a new folder, or one of a run with the same"
    ):
        run(asked(llama, text, tokens=16), service, folder)
    text.write_text(TEXT + " and more")
    with pytest.raises(InvalidSpec, match=r"another run: task.sha256 '\w+', not '\w+'; accepted"):
        run(asked(llama, text), service, folder)
    assert before == {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    text.write_text(TEXT)
    assert run(asked(llama, text), service, folder) == first


def test_a_folder_without_settings_is_taken_as_it_is_and_gets_them(
    llama: Path, text: Path, tmp_path: Path, service: _Service
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "known.jsonl").write_text('{"name": "test/parent", "value": 0.0, "seconds": 1.0}\n')
    assert run(asked(llama, text), service, folder)["rows"][0]["perplexity"] == 1.0
    with pytest.raises(InvalidSpec, match="another run: seed 0, not 1"):
        run(asked(llama, text, seed=1), service, folder)


def test_a_run_goes_on_with_other_levels_and_what_is_found_now(
    llama: Path, text: Path, tmp_path: Path, service: _Service
) -> None:
    folder = tmp_path / "kept"
    first = run(asked(llama, text), service, folder)
    names = known(folder)
    run(asked(llama, text, levels=(70, 50)), service, folder)
    assert known(folder)[: len(names)] == names
    assert len(service.jobs) == 2
    service.layers = 1
    again = run(asked(llama, text), service, folder)
    found, other = (next(row for row in result["rows"] if row["model"] == FOUND) for result in (first, again))
    assert found["digest"] != other["digest"]
    assert found["perplexity"] != other["perplexity"]
    fresh = run(asked(llama, text), service, tmp_path / "fresh")
    assert again["rows"] == fresh["rows"]


def test_what_a_level_has_not_is_noted(llama: Path, text: Path, tmp_path: Path, service: _Service) -> None:
    service.layers = 0
    result = run(asked(llama, text, levels=(70, 20)), service, tmp_path / "kept")
    assert FOUND not in {row["model"] for row in result["rows"]}
    assert [note for note in result["notes"] if "3 ms" in note] == [
        f"nothing found takes {level}%: the nearest takes 3 ms" for level in (70, 20)
    ]
    assert "no model with feed-forwards alike takes 20%" in result["notes"]
    assert json.loads((tmp_path / "kept" / "result.json").read_text())["notes"] == result["notes"]


def test_a_file_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("")
    command = ["bench", "start", str(tmp_path), "--kept", str(tmp_path / "kept")]
    answer = CliRunner().invoke(app, command, env={"COLUMNS": "300"})
    assert answer.exit_code == 2
    assert "is a file" in answer.output


def test_what_is_no_model_is_told_and_leaves_no_folder(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    command = ["--home", str(tmp_path / "home"), "bench", "start", str(tmp_path), "--kept", str(kept)]
    answer = CliRunner().invoke(app, command)
    assert isinstance(answer.exception, InvalidSpec)
    assert "start.model: " in str(answer.exception)
    assert not kept.exists()

"""The how-to as it stands: a whole job on a random model, and what it leaves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nas.evaluation import Split
from nas.export import load_model_folder
from nas.front import Scope
from nas.job import JobStatus
from nas.planning.plan import resolve
from nas.store import open_store

pytestmark = pytest.mark.job

PAGE = Path(__file__).parents[3] / "docs" / "howto-pretrained.md"


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the job's paths are relative
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "bits per byte; parent tiny" in ran.stdout
    store = open_store(tmp_path / "home")
    (job,) = store.jobs()
    assert job.status is JobStatus.SUCCEEDED
    plan = resolve(job.spec)
    points = store.points(job.id, Scope.SHOWN)
    parent = next(point for point in points if point.preset == "parent")
    measured = {m.digest: m for m in store.measurements(plan.targets[0])}
    bound = job.spec.bounds["latency_ms"]
    assert isinstance(bound, float)
    assert 0.8 < bound / measured[parent.digest].corrected.latency_ms < 1.1
    scored = store.evaluations(plan.supernet_digest, Split.CALIBRATION)
    assert len(scored) == 4 * (3 + 2)
    assert all(evaluation.value > -1e-6 for evaluation in scored)
    assert load_model_folder(tmp_path / "out").architecture in [point.architecture for point in points]

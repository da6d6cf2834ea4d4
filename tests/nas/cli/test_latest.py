"""`latest` is one job for the whole of a command, whatever is submitted meanwhile."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from known_job import store_known_job

from nas.cli.demo import DEMO_FAST
from nas.service.running.embedded import EmbeddedService
from nas.spec import load_job_spec
from nas.store import open_store


@pytest.fixture
def job(nas, tmp_path: Path) -> str:
    return store_known_job(tmp_path / "home")


@pytest.fixture
def submitted_during(monkeypatch, tmp_path: Path):
    """Let somebody submit a job whenever a call of the service has just been answered."""

    def submit_during(call: str) -> None:
        answer = getattr(EmbeddedService, call)

        def answer_then_submit(self: EmbeddedService, *arguments: Any, **options: Any) -> Any:
            answered = answer(self, *arguments, **options)
            with closing(open_store(tmp_path / "home")) as store:
                store.create_job(load_job_spec(DEMO_FAST))
            return answered

        monkeypatch.setattr(EmbeddedService, call, answer_then_submit)

    return submit_during


def test_the_best_point_is_of_the_job_whose_optimum_was_found(nas, job, submitted_during):
    expected = json.loads(nas("best", job, "--json").out)
    submitted_during("optimum")
    answer = nas("best", "latest", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["digest"] == expected["digest"]


def test_the_explanation_is_of_the_job_whose_front_is_shown(nas, job, submitted_during):
    submitted_during("front")
    answer = nas("front", "latest", "--format", "html")
    assert job in answer.out
    assert "What matters" in answer.out


def test_the_model_is_of_the_job_whose_best_point_was_found(nas, job, submitted_during, monkeypatch):
    asked = []

    def extract(self: EmbeddedService, job_id: str, digest: str, out: Path) -> dict[str, Any]:
        asked.append(job_id)
        return {}

    monkeypatch.setattr(EmbeddedService, "extract", extract)
    submitted_during("best")
    answer = nas("extract", "latest", "--max", "latency_ms=3", "--out", "model", "--json")
    assert answer.code == 0, answer.err
    assert asked == [job]


@pytest.mark.parametrize("format", ["onnx", "hf"])
def test_a_folder_with_something_in_it_is_refused_before_a_model_is_extracted(
    nas, job, tmp_path, monkeypatch, format
):
    monkeypatch.setattr(EmbeddedService, "extract", lambda *_: pytest.fail("extracted"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").touch()
    answer = nas("extract", job, "--max", "latency_ms=3", "--out", "model", "--format", format)
    assert answer.code == 2
    assert "model has something in it; accepted: a new or an empty folder" in answer.err

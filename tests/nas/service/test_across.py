"""What jobs of one space and one task found, as one front."""

from __future__ import annotations

from typing import Any

from memory_service import TARGET, MemoryService

START = {"model": "/here/llama", "digest": "one"}
SPEC: dict[str, Any] = {
    "start": START,
    "space": {"mixer": ["keep", "none"]},
    "task": {"name": "text"},
    "targets": [{"device": "local-cpu"}],
}


def test_jobs_that_start_from_different_models_of_one_name_do_not_compare() -> None:
    service = MemoryService()
    other = service.submit({**SPEC, "start": {"model": "/there/llama", "digest": "another"}})
    moved = service.submit({**SPEC, "start": {**START, "model": "/there/llama"}})
    newest = service.submit(SPEC)
    joint = service.across("llama", "text", TARGET)
    assert joint.left_out == (other.id,)
    assert joint.front.evaluated == sum(service.front(job.id).evaluated for job in (moved, newest))


def test_jobs_that_score_one_model_at_different_lengths_do_not_compare() -> None:
    service = MemoryService()
    same = service.submit({**SPEC, "start": {**START, "context": 1024}})
    longer = service.submit({**SPEC, "targets": [{"device": "local-cpu"}, {"tokens": 2048}]})
    service.submit(SPEC)
    joint = service.across("llama", "text", TARGET)
    assert same.id not in joint.left_out
    assert joint.left_out == (longer.id,)

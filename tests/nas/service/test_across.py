"""What jobs of one space and one task found, as one front."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from memory_service import TARGET, MemoryService

from nas.errors import NoSuchPoint
from nas.front import Front, Scope

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


class SomeEmpty(MemoryService):
    """In which some jobs have found nothing yet."""

    def __init__(self) -> None:
        super().__init__()
        self.empty: set[str] = set()

    def front(self, job_id: str, scope: Scope = Scope.SHOWN, **options: Any) -> Front:
        found = super().front(job_id, scope, **options)
        return replace(found, points=()) if job_id in self.empty else found


def test_a_job_that_has_found_nothing_hides_no_other() -> None:
    service = SomeEmpty()
    found = service.submit(SPEC)
    newest = service.submit({**SPEC, "start": {**START, "digest": "another"}})
    service.empty = {newest.id}
    joint = service.across("llama", "text", TARGET)
    assert set(joint.jobs.values()) == {found.id}
    assert joint.left_out == ()


def test_where_no_job_has_a_point_those_that_have_some_are_named() -> None:
    service = SomeEmpty()
    service.submit({**SPEC, "start": {**START, "model": "/here/qwen"}})
    service.empty = {service.submit(SPEC).id}
    with pytest.raises(NoSuchPoint) as raised:
        service.across("llama", "text", TARGET)
    assert str(raised.value).endswith(f"there are: qwen/text on {TARGET}")

"""Fields of a job file that may be written in several ways."""

from __future__ import annotations

from typing import Any

import pytest

from nas.errors import InvalidSpec
from nas.planning.plan import resolve
from nas.planning.sizes import sizes_of
from nas.spec import load_job_spec
from nas.spec.budgets import ProfileBudget

SMALLEST: dict[str, Any] = {"space": "mixed-lm-tiny", "task": "text", "targets": [{}]}


@pytest.mark.parametrize("most", [8, 8.0, "8"])
def test_the_least_that_is_measured_is_no_more_than_the_most_however_that_is_written(most: Any) -> None:
    assert ProfileBudget.model_validate({"measurements": most}).minimum == 8
    assert ProfileBudget.model_validate({"measurements": 40}).minimum == ProfileBudget().minimum == 16


@pytest.mark.parametrize("most", ["many", None, 0])
def test_a_wrong_most_is_told_once(most: Any) -> None:
    with pytest.raises(InvalidSpec) as refused:
        load_job_spec({**SMALLEST, "budget": {"profile": {"measurements": most}}})
    assert [problem.path for problem in refused.value.problems] == ["budget.profile.measurements"]


@pytest.mark.parametrize("space", [3, None, ["mixed-lm-tiny"], True])
def test_what_is_no_space_is_told_once_by_the_name_that_was_written(space: Any) -> None:
    with pytest.raises(InvalidSpec) as refused:
        load_job_spec({**SMALLEST, "space": space})
    (problem,) = refused.value.problems
    assert problem.path == "space"
    assert "accepted: a name, a path to a YAML file, or a mapping that declares a space" in problem.message


def test_every_seed_reads_what_one_reads() -> None:
    """Of a service that limits what a job may read."""

    def tokens(**finalists: Any) -> int:
        trained = {"count": 4, "start": "scratch", "steps": 1000, **finalists}
        return sizes_of(resolve(load_job_spec({**SMALLEST, "budget": {"finalists": trained}}))).tokens

    without = tokens(count=0)
    assert tokens(seeds=8) - without == 8 * (tokens(seeds=1) - without) > 0

"""Bounds that cannot be met are told before the search, with what comes nearest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nas.analysis.feasibility import nearest_to_bounds
from nas.objectives import Objective, Source
from nas.problem import SearchProblem
from searchspaces.encoding import Encoding, Population


def problem(latency_bound: float | None, memory_bound: float | None) -> SearchProblem:
    """Latency falls where memory rises: both low is contradictory."""

    def known(rows: Population) -> np.ndarray:
        return np.stack([2.0 + rows.sum(1), 50.0 - rows.sum(1)], 1)

    objectives = (
        Objective("quality", "nats", source=Source.EVALUATED),
        Objective("latency_ms", "ms", source=Source.PREDICTED, bound=latency_bound),
        Objective("state_bytes", "bytes", source=Source.COUNTED, bound=memory_bound),
    )
    return SearchProblem(Encoding([4] * 15, [f"gene_{i}" for i in range(15)]), objectives, known)


def test_finds_a_candidate_within_a_narrow_bound():
    found = nearest_to_bounds(problem(4.0, None))
    assert found.violation == 0
    assert found.free["latency_ms"] <= 4.0


def test_contradictory_bounds_have_a_nearest_candidate():
    found = nearest_to_bounds(problem(10.0, 20.0), candidates=3000)
    assert found.violation > 0
    assert found.free["latency_ms"] + found.free["state_bytes"] == 52.0


@pytest.mark.parametrize("bound", [math.nan, math.inf])
def test_a_bound_that_is_no_number_is_refused(bound):
    with pytest.raises(ValueError, match="bound of latency_ms"):
        problem(bound, None)


@pytest.mark.parametrize("fidelities", [(), (0.5,), (1.0, 0.5), (0.5, 0.5, 1.0), (0.0, 1.0), (math.nan, 1.0)])
def test_fidelities_that_do_not_rise_to_one_are_refused(fidelities):
    with pytest.raises(ValueError, match="rising shares"):
        SearchProblem(Encoding([2, 2], ["a", "b"]), (Objective("x", ""),), fidelities=fidelities)


def test_seeds_must_be_canonical_and_fit():
    encoding = Encoding([2, 2], ["a", "b"], canonical=lambda rows: rows * 0)
    with pytest.raises(ValueError, match="canonical"):
        SearchProblem(encoding, (Objective("x", ""),), seeds=np.ones((1, 2), np.int64))

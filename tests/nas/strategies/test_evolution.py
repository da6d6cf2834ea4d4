"""What evolution promises beyond the contract."""

from __future__ import annotations

import numpy as np

from nas.objectives import Objective, Source
from nas.problem import SearchProblem
from nas.strategies import get_strategy
from searchspaces.encoding import Encoding


def test_told_twice_in_one_call_a_candidate_is_one_parent_with_its_last_values():
    objectives = (Objective("quality", "nats", source=Source.EVALUATED), Objective("latency_ms", "ms"))
    strategy = get_strategy("evolution")(SearchProblem(Encoding([4] * 6, list("abcdef")), objectives), 0)
    rows = strategy.ask(4)
    first, last = np.array([[1.0, 4.0], [2.0, 3.0], [3.0, 2.0], [4.0, 1.0]]), np.full((2, 2), 0.5)
    strategy.tell(np.concatenate([rows, rows[:2]]), np.concatenate([first, last]))
    assert sorted(strategy.state()["parents"]) == [0, 1, 2, 3]
    assert sorted(strategy.parents_values().tolist()) == [[0.5, 0.5], [0.5, 0.5], [3.0, 2.0], [4.0, 1.0]]

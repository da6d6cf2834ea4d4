"""Explanations name the genes that were built in."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nas.analysis.importance import explain
from nas.objectives import Objective, Source
from nas.problem import SearchProblem
from searchspaces.encoding import Encoding, Population


def problem() -> SearchProblem:
    names = ["depth", *(f"{gene}_{i}" for i in range(3) for gene in ("mixer", "ratio"))]
    encoding = Encoding([3] + [4, 3] * 3, names, 1 + np.arange(6).reshape(3, 2))
    objectives = (
        Objective("quality", "nats", source=Source.EVALUATED),
        Objective("latency_ms", "ms", source=Source.PREDICTED),
    )
    return SearchProblem(encoding, objectives, lambda rows: evaluate(rows)[:, 1:])


def evaluate(rows: Population) -> np.ndarray:
    """Quality hangs on the mixers, latency on the ratios; the first mixer is best at option 2."""
    quality = 5.0 * (rows[:, 1] != 2) + rows[:, [3, 5]].sum(1)
    return np.stack([quality, 1.0 + rows[:, [2, 4, 6]].sum(1)], 1)


def test_names_what_matters_and_what_the_front_shares():
    of = problem()
    rows = of.encoding.sample(150, np.random.default_rng(0))
    told = explain(of, rows, evaluate(rows))
    assert json.loads(json.dumps(told)) == told
    importance = told["importance"]
    assert importance["quality"]["mixer"] > 0.9
    assert importance["latency_ms"]["ratio"] > 0.9
    assert next(iter(importance["latency_ms"])) == "ratio"
    assert {"mixer_0": 2}.items() <= {item["gene"]: item["option"] for item in told["shared"]}.items()
    assert told["members"] >= 1


def test_needs_something_to_explain():
    of = problem()
    rows = of.encoding.sample(3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 4"):
        explain(of, rows, evaluate(rows))

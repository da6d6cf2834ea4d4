"""What the additive surrogate says of its doubt, against what candidates score."""

from __future__ import annotations

import numpy as np
import pytest

from nas.exact.decomposition import Decomposition
from nas.objectives import Objective, Source
from nas.problem import SearchProblem
from nas.surrogates.additive import AdditiveSurrogate
from searchspaces.encoding import Encoding, Population

SPACE = Encoding([4] * 8, [f"mixer_{i}" for i in range(8)], np.arange(8)[:, None])
WORTH = np.random.default_rng(5).normal(size=(8, 4))


def scores(rows: Population, rng: np.random.Generator) -> np.ndarray:
    """A sum over layers, and what no feature explains of a candidate."""
    explained = WORTH[np.arange(8), rows].sum(1)
    return (explained + rng.normal(0.0, 0.5, len(rows)))[:, None]


@pytest.mark.parametrize("seed", range(4))
def test_about_nine_in_ten_score_within_the_interval_that_says_so(seed):
    rng = np.random.default_rng(seed)
    problem = SearchProblem(SPACE, (Objective("quality", "nats", source=Source.EVALUATED),))
    learned, others = SPACE.sample(120, rng), SPACE.sample(400, rng)
    surrogate = AdditiveSurrogate(problem, Decomposition(SPACE), learned, scores(learned, rng))
    missed = np.abs(scores(others, rng) - surrogate.means(others))
    assert 0.75 < (missed <= 1.645 * surrogate.deviations(others)).mean() < 0.97

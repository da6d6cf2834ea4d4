"""The exact optimiser against enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.strategies.additive import AdditiveModel
from searchspaces.encoding import Encoding, Population


def encoding() -> Encoding:
    """A depth of 1 to 3 and three layers of two genes: small enough to enumerate."""

    def canonical(rows: Population) -> Population:
        layers = rows[:, 1:].reshape(len(rows), 3, 2)
        layers[np.arange(3) > rows[:, :1]] = 0
        rows[:, 1:] = layers.reshape(len(rows), 6)
        return rows

    names = ["depth", *(f"{gene}_{i}" for i in range(3) for gene in "ab")]
    return Encoding([3] + [3, 2] * 3, names, 1 + np.arange(6).reshape(3, 2), canonical)


def additive_values(rows: Population, seed: int) -> np.ndarray:
    """Random sums over the genes of present layers: a loss that falls and a cost that rises with depth."""
    contributions = np.random.default_rng(seed).random((7, 3, 2)) * [-1.0, 1.0]
    present = np.concatenate([np.ones((len(rows), 1), bool), encoding().active_layers(rows).repeat(2, 1)], 1)
    return (contributions[np.arange(7), rows] * present[:, :, None]).sum(1) + np.array([5.0, 1.0])


@given(st.integers(0, 10**6), st.floats(0.1, 0.9))
@settings(max_examples=25, deadline=None)
def test_finds_the_optimum_that_enumeration_finds(seed, share):
    space = encoding()
    everything = space.enumerate(10_000)
    values = additive_values(everything, seed)
    model = AdditiveModel(space, everything, values)
    predicted = model.predict(everything)
    bound = float(np.quantile(predicted[:, 1], share))
    allowed = predicted[:, 1] <= bound
    found = model.optimum(0, np.array([np.inf, bound]))
    assert found.values[0] == pytest.approx(predicted[allowed, 0].min(), abs=1e-6)
    assert found.values[1] <= bound + 1e-6
    assert found.gap < 1e-6


def test_a_sum_is_learned_as_one():
    space = encoding()
    rows = space.sample(300, np.random.default_rng(0))
    model = AdditiveModel(space, rows, additive_values(rows, 1))
    assert (model.relative_error < 0.05).all()


def test_bounds_that_nothing_meets_have_no_optimum():
    space = encoding()
    everything = space.enumerate(10_000)
    model = AdditiveModel(space, everything, additive_values(everything, 0))
    assert model.optimum(0, np.array([np.inf, -10.0])) is None


def test_objectives_of_another_model_are_taken_over():
    space = encoding()
    rows = space.sample(300, np.random.default_rng(0))
    first, second = (
        AdditiveModel(space, rows[part], additive_values(rows[part], 1))
        for part in (slice(0, 40), slice(40, 300))
    )
    merged = first.replaced([1], second).predict(rows)
    assert np.allclose(merged[:, 0], first.predict(rows)[:, 0])
    assert np.allclose(merged[:, 1], second.predict(rows)[:, 1])

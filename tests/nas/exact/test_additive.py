"""Additive models against the functions that they stand for, and their optima against enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.exact.additive import AdditiveModel
from nas.exact.decomposition import Decomposition
from nas.objectives import Direction, Objective, Source
from nas.problem import SearchProblem
from nas.surrogates.additive import AdditiveSurrogate, least_squares
from searchspaces.costs import CostModel
from searchspaces.encoding import Encoding, Population
from searchspaces.space import load_space

DEPTHS = np.array([1, 3])


def encoding() -> Encoding:
    """A width, a depth of 1 or 3, and three layers of a mixer and heads, which its last option has not."""

    def canonical(rows: Population) -> Population:
        layers = rows[:, 2:].reshape(len(rows), 3, 2)
        layers[:, :, 1] *= layers[:, :, 0] != 2
        layers[np.arange(3) >= DEPTHS[rows[:, 1], None]] = 0
        rows[:, 2:] = layers.reshape(len(rows), 6)
        return rows

    names = ["width", "depth", *(f"{gene}_{i}" for i in range(3) for gene in ("mixer", "heads"))]
    return Encoding([2, 2] + [3, 2] * 3, names, 2 + np.arange(6).reshape(3, 2), canonical)


def values_of(rows: Population, seed: int, pairs: bool) -> np.ndarray:
    """Two sums over layers, each term scaled by the width, and over neighbours' mixers."""
    rng = np.random.default_rng(seed)
    alone, together = rng.normal(size=(3, 3, 2, 2)), rng.normal(size=(2, 3, 3, 2)) * pairs
    layers, active = rows[:, 2:].reshape(-1, 3, 2), encoding().active_layers(rows)
    terms = alone[np.arange(3), layers[:, :, 0], layers[:, :, 1]] * active[:, :, None]
    neighbours = together[np.arange(2), layers[:, :-1, 0], layers[:, 1:, 0]] * active[:, 1:, None]
    width = 1.0 + rows[:, :1]
    return 3.0 * width + width * terms.sum(1) + neighbours.sum(1)


@given(st.integers(0, 10**6), st.booleans(), st.floats(0.05, 0.9))
@settings(max_examples=25, deadline=None)
def test_a_sum_is_found_exactly_and_so_is_its_optimum(seed, pairs, share):
    space = encoding()
    everything = space.enumerate(10_000)
    model = AdditiveModel(Decomposition(space), lambda rows: values_of(rows, seed, pairs))
    values = values_of(everything, seed, pairs)
    assert model.exact.all()
    assert np.allclose(model.predict(everything), values)
    bound = float(np.quantile(values[:, 1], share))
    found = model.optimum(0, np.array([np.inf, bound]))
    assert found.values[0] == pytest.approx(values[values[:, 1] <= bound, 0].min(), abs=1e-6)
    assert found.gap == 0
    assert np.array_equal(space.canonical(found.row[None])[0], found.row)
    assert np.allclose(values_of(found.row[None], seed, pairs)[0], found.values)


def test_rows_and_choices_are_each_others_inverse():
    decomposition = Decomposition(encoding())
    rows = encoding().enumerate(10_000)
    assert np.array_equal([decomposition.row(*choice) for choice in decomposition.choices(rows)], rows)


WIDE = {
    "name": "wide",
    "width": [16, 32, 64],
    "depth": [1, 2, 4],
    "layer": {"mixer": ["softmax", "none", "linear"], "heads": [1, 2], "ratio": [1, 2]},
}


@pytest.mark.parametrize("source", ["hybrid-lm", WIDE], ids=["hybrid-lm", "wide"])
def test_counted_costs_of_a_space_are_sums(source):
    space = load_space(source)
    costs = CostModel(space)

    def counted(rows: Population) -> np.ndarray:
        return (
            np.stack([costs.parameters(rows), costs.macs(rows, 256), costs.state_bytes(rows, 256)], 1) * 1.0
        )

    model = AdditiveModel(Decomposition(space), counted)
    assert model.exact.all()
    rows = space.sample(2000, np.random.default_rng(0))
    smallest = model.optimum(0, np.full(3, np.inf))
    assert smallest.values[0] <= costs.parameters(rows).min()


def test_a_space_without_layers_has_its_genes_for_positions():
    space = Encoding([3, 2, 4], ["a", "b", "c"])
    model = AdditiveModel(Decomposition(space), lambda rows: rows @ np.array([[1.0], [-2.0], [0.5]]))
    assert model.exact.all()
    assert model.optimum(0, np.array([np.inf])).row.tolist() == [0, 1, 0]


def test_what_is_no_sum_is_said_and_approximated():
    space = encoding()

    def product(rows: Population) -> np.ndarray:
        return np.exp(values_of(rows, 0, False) / 4)

    decomposition = Decomposition(space)
    assert not AdditiveModel(decomposition, product).exact.any()
    everything = space.enumerate(10_000)
    nearest = least_squares(space, everything, product(everything))
    assert AdditiveModel(decomposition, nearest).exact.all()
    left = product(everything) - nearest(everything)
    assert (left.std(0) < 0.6 * product(everything).std(0)).all()


def test_too_many_options_to_enumerate_are_said():
    with pytest.raises(ValueError, match=r"40000 options of one layer; at most"):
        Decomposition(Encoding([200, 200], ["a_0", "b_0"], [[0, 1]]))
    with pytest.raises(ValueError, match="settings of the global genes"):
        Decomposition(Encoding([9] * 5, [*"abcd", "e_0"], [[4]]))


@pytest.mark.parametrize("direction", list(Direction))
def test_a_surrogate_takes_free_objectives_as_they_are_and_learns_the_expensive(direction):
    objectives = (
        Objective("quality", "nats", direction, Source.EVALUATED),
        Objective("latency_ms", "ms", source=Source.PREDICTED),
    )
    space = encoding()
    sign = np.array([direction.sign, 1.0])
    problem = SearchProblem(space, objectives, lambda rows: values_of(rows, 3, True)[:, 1:])
    rows = space.sample(120, np.random.default_rng(0))
    surrogate = AdditiveSurrogate(problem, Decomposition(space), rows, values_of(rows, 3, True) * sign)
    everything = space.enumerate(10_000)
    true, predicted = values_of(everything, 3, True), surrogate.model.predict(everything)
    assert np.allclose(predicted[:, 1], true[:, 1])
    assert np.corrcoef(predicted[:, 0], true[:, 0])[0, 1] > 0.8
    assert (surrogate.deviations(everything) > 0).all()


def test_a_surrogate_needs_two_evaluations():
    space = encoding()
    problem = SearchProblem(space, (Objective("quality", "nats", source=Source.EVALUATED),))
    with pytest.raises(ValueError, match="1 candidates with finite values"):
        AdditiveSurrogate(
            problem,
            Decomposition(space),
            space.sample(3, np.random.default_rng(0)),
            np.array([[np.nan], [1.0], [np.inf]]),
        )


@given(st.integers(0, 10**6), st.booleans(), st.floats(0.2, 0.9))
@settings(max_examples=15, deadline=None)
def test_what_is_excluded_is_passed_over_and_the_next_is_proved(seed, pairs, share):
    space = encoding()
    everything = space.enumerate(10_000)
    model = AdditiveModel(Decomposition(space), lambda rows: values_of(rows, seed, pairs))
    values = values_of(everything, seed, pairs)
    bound = float(np.quantile(values[:, 1], share))
    within = np.flatnonzero(values[:, 1] <= bound)
    order = within[np.argsort(values[within, 0], kind="stable")]
    for count in (1, 2, 5):
        excluded, left = everything[order[:count]], order[count:]
        found = model.optimum(0, np.array([np.inf, bound]), excluded=excluded)
        assert found.values[0] == pytest.approx(values[left, 0].min(), abs=1e-6)
        assert not np.isin(space.keys(found.row[None]), space.keys(excluded)).any()
    assert model.optimum(0, np.array([np.inf, bound]), excluded=everything) is None

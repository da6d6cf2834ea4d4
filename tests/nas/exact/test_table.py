"""`nas.exact.solve` against enumeration, and what it says of tables that it cannot take."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.exact import Infeasible, Undecided, solve


class Table:
    """A random table, and the totals of all its choices."""

    def __init__(self, seed: int, resources: int, pairs: bool, ties: bool) -> None:
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1, 5, int(rng.integers(1, 6))).tolist()

        def terms(*shape: int) -> np.ndarray:
            return rng.integers(0, 3, shape).astype(float) if ties else rng.normal(size=shape)

        self.values = [terms(size) for size in sizes]
        self.resources = [terms(size, resources) for size in sizes]
        kinds = rng.integers(0, 3, max(len(sizes) - 1, 0)) if pairs else np.zeros(len(sizes) - 1, int)
        self.pairs = [
            (None, terms(a, b), terms(a, b, 1 + resources))[kind]
            for kind, (a, b) in zip(kinds, itertools.pairwise(sizes), strict=True)
        ]
        self.choices = list(itertools.product(*map(range, sizes)))
        self.totals = np.array([self.total(choice) for choice in self.choices])
        share = rng.choice([0.1, 0.3, 0.6])
        self.bounds = np.quantile(self.totals[:, 1:], share, axis=0)
        self.bounds[rng.random(resources) < 0.2] = np.inf

    def total(self, choice: tuple[int, ...]) -> np.ndarray:
        total = np.zeros(1 + self.resources[0].shape[1])
        for layer, option in enumerate(choice):
            total[0] += self.values[layer][option]
            total[1:] += self.resources[layer][option]
        for pair, here, there in zip(self.pairs, choice, choice[1:], strict=False):
            if pair is not None and pair.ndim == 2:
                total[0] += pair[here, there]
            elif pair is not None:
                total += pair[here, there]
        return total

    def within(self, bounds: np.ndarray, margin: float = 1e-7) -> np.ndarray:
        return (self.totals[:, 1:] <= bounds + margin).all(1)


@given(st.integers(0, 10**6), st.integers(0, 3), st.booleans(), st.booleans())
@settings(max_examples=80, deadline=None)
def test_finds_and_proves_what_enumeration_finds(seed, resources, pairs, ties):
    table = Table(seed, resources, pairs, ties)
    allowed = table.within(table.bounds)
    arguments = (table.values, table.resources, table.bounds, table.pairs if pairs else None)
    if not allowed.any():
        with pytest.raises(Infeasible) as infeasible:
            solve(*arguments)
        conflict = list(infeasible.value.bounds)
        only = np.full(resources, np.inf)
        only[conflict] = table.bounds[conflict]
        assert not table.within(only).any()
        for one in conflict:
            fewer = only.copy()
            fewer[one] = np.inf
            assert table.within(fewer).any()
        return
    found = solve(*arguments)
    assert found.proved
    assert found.gap == 0
    assert found.value == pytest.approx(table.totals[allowed, 0].min(), abs=1e-6)
    assert np.allclose(table.total(found.choice), [found.value, *found.used])
    assert (found.used <= table.bounds + 1e-6).all()


def test_takes_one_array_where_all_layers_have_as_many_options():
    rng = np.random.default_rng(0)
    values, resources = rng.random((6, 3)), rng.random((6, 3, 2))
    bounds = resources.mean(1).sum(0)
    assert solve(values, resources, bounds).choice == solve(list(values), list(resources), bounds).choice
    assert solve(values.tolist()).choice == tuple(values.argmin(1).tolist())


def test_leaves_what_it_is_given_as_it_was():
    rng = np.random.default_rng(0)
    given = [rng.random((6, 3)), rng.random((6, 3, 2)), np.array([3.0, 3.0])]
    copies = [array.copy() for array in given]
    solve(*given)
    assert all(np.array_equal(a, b) for a, b in zip(given, copies, strict=True))


def test_proves_optima_that_no_enumeration_reaches():
    """32 layers of 24 blocks under latency and memory, the better ones costing more of both."""
    rng = np.random.default_rng(3)
    size = rng.random((32, 24))
    values = 1 - np.sqrt(size) + 0.1 * rng.random((32, 24))
    resources = np.stack([size + 0.2 * rng.random((32, 24)), size * rng.random((32, 1))], axis=2)
    found = solve(values, resources, resources.mean(1).sum(0) * 0.8, [0.1 * rng.random((24, 24))] * 31)
    assert found.proved


LAYERS = np.ones((2, 3))
USES = np.ones((2, 3, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5,), r"values are 5; accepted: an array, or a sequence"),
        (([],), r"values have no layers"),
        (([[1.0], []],), r"values of layer 1 have shape \(0,\); accepted: \(options,\)"),
        ((np.ones((2, 3, 1)),), r"values of layer 0 have shape \(3, 1\)"),
        (([[1.0], [np.nan, 2.0]],), r"values of layer 1 have nan at \(0,\).*ruled out"),
        (([[1.0], ["x"]],), r"values of layer 1: could not convert.*accepted: numbers"),
        ((LAYERS, None, [1.0]), r"1 bounds, but no resources"),
        ((LAYERS, USES, [[1.0]]), r"bounds of shape \(1, 1\); accepted: \(resources,\)"),
        ((LAYERS, USES, [np.nan]), r"bound 0 is nan"),
        ((LAYERS, USES, [-np.inf]), r"bound 0 is -inf"),
        ((LAYERS, USES[:1], [1.0]), r"resources of 1 layers, but values of 2"),
        ((LAYERS, USES, [1.0, 2.0]), r"resources of layer 0 have shape \(3, 1\); accepted: \(3, 2\)"),
        ((LAYERS, LAYERS, [1.0]), r"resources of layer 0 have shape \(3,\); accepted: \(3, 1\)"),
        ((LAYERS, USES * np.inf, [1.0]), r"resources of layer 0 have inf at \(0, 0\)"),
        ((LAYERS, USES, [9.0], []), r"0 pairs for 2 layers; accepted: 1"),
        ((LAYERS, USES, [9.0], [np.ones((3, 2))]), r"shape \(3, 2\); accepted: \(3, 3\) or \(3, 3, 2\)"),
    ],
)
def test_what_does_not_fit_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        solve(*arguments)


def test_a_bound_that_no_choice_meets_is_named():
    with pytest.raises(Infeasible, match="bound 1 is 3, but every choice uses at least 4 of that") as error:
        solve(LAYERS, np.full((2, 3, 2), 2.0), [9.0, 3.0])
    assert error.value.bounds == (1,)


def test_bounds_that_contradict_each_other_are_named():
    uses = np.array([[[0.0, 1.0, 5.0], [1.0, 0.0, 5.0]]] * 10)
    said = r"bounds 0 \(4\) and 1 \(5\) cannot be met together: .* at least 6 of resource 1"
    with pytest.raises(Infeasible, match=said) as error:
        solve(np.ones((10, 2)), uses, [4.0, 5.0, 60.0])
    assert error.value.bounds == (0, 1)


def test_giving_up_is_no_proof_of_anything():
    """Without work, whether whole numbers fit between the bounds stays open."""
    rng = np.random.default_rng(0)
    uses = rng.integers(10**5, 10**6, (30, 2, 1)).astype(float)
    target = uses[np.arange(30), rng.integers(0, 2, 30), 0].sum()
    uses = np.concatenate([uses, -uses], axis=2)
    with pytest.raises(Undecided, match="more work may help"):
        solve(np.zeros((30, 2)), uses, [target, -target], work=0)

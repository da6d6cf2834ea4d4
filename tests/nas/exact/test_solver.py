"""The exact solver against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.exact.chains import Chain
from nas.exact.counts import CountSearch, are_alike
from nas.exact.solver import ChainOptimum, minimise

SEEDS = st.integers(0, 10**6)


def solve(chains: list[Chain], objective: int, bounds: np.ndarray, **options: int) -> ChainOptimum | None:
    """What is found; and what is proved of everything else is true of it."""
    found, least = minimise(chains, objective, bounds, **options)
    if found is not None:
        value = found.values[objective]
        assert least <= value
        assert found.gap == pytest.approx((value - least) / abs(value) if value else 0, abs=1e-7)
    return found


def chain_of(rng: np.random.Generator, values: int, pairs: bool, positions: int, ties: bool = False) -> Chain:
    """Random terms of either sign; with ties, small whole numbers, of which many sums are equal."""
    sizes = rng.integers(1, 5, positions).tolist()

    def terms(*shape: int) -> np.ndarray:
        return rng.integers(0, 3, shape).astype(float) if ties else rng.normal(size=shape)

    between = [
        terms(a, b, values) if pairs and rng.random() < 0.8 else None for a, b in itertools.pairwise(sizes)
    ]
    return Chain(terms(values), tuple(terms(size, values) for size in sizes), tuple(between))


def everything(chain: Chain) -> np.ndarray:
    choices = itertools.product(*(range(len(table)) for table in chain.unary))
    return np.array([chain.values(choice) for choice in choices])


def least(chains: list[Chain], objective: int, bounds: np.ndarray) -> float:
    values = np.concatenate([everything(chain) for chain in chains])
    return float(values[(values <= bounds + 1e-7).all(1), objective].min(initial=np.inf))


@given(SEEDS, st.integers(1, 4), st.booleans(), st.integers(1, 6), st.booleans(), st.floats(0.01, 0.7))
@settings(max_examples=60, deadline=None)
def test_finds_and_proves_the_optimum_that_enumeration_finds(seed, values, pairs, positions, ties, share):
    rng = np.random.default_rng(seed)
    chains = [chain_of(rng, values, pairs, positions, ties) for _ in range(int(rng.integers(1, 4)))]
    objective = int(rng.integers(values))
    bounds = np.quantile(np.concatenate([everything(c) for c in chains]), share, axis=0)
    bounds[rng.random(values) < 0.2] = np.inf
    bounds[objective] = np.inf
    expected = least(chains, objective, bounds)
    found = solve(chains, objective, bounds)
    if expected == np.inf:
        assert minimise(chains, objective, bounds) == (None, np.inf)
        return
    assert found is not None
    assert found.gap == 0
    assert found.values[objective] == pytest.approx(expected, abs=1e-6)
    assert (found.values <= bounds + 1e-6).all()
    assert np.allclose(found.values, chains[found.chain].values(found.options))


def large(seed: int, pairs: bool = False) -> tuple[Chain, np.ndarray]:
    """80 positions of 16 options with three bounds: the size that is asked for in a second."""
    rng = np.random.default_rng(seed)
    unary = tuple(rng.random((16, 4)) for _ in range(80))
    between = tuple(0.1 * rng.random((16, 16, 4)) if pairs else None for _ in range(79))
    middle = sum(table.mean(0) for table in unary)
    return Chain(np.zeros(4), unary, between), np.append(np.inf, 0.6 * middle[1:] + pairs * 4.0)


@pytest.mark.parametrize("pairs", [False, True])
def test_proves_what_no_enumeration_reaches(pairs):
    chain, bounds = large(0, pairs)
    found = solve([chain], 0, bounds)
    assert found.gap == 0
    assert (found.values <= bounds + 1e-9).all()


def test_a_gap_holds_what_more_work_finds():
    chain, bounds = large(1)
    quick, proved = solve([chain], 0, bounds, work=10_000), solve([chain], 0, bounds)
    assert quick.gap > 0
    assert proved.gap == 0
    assert quick.values[0] >= proved.values[0] >= quick.values[0] * (1 - quick.gap) - 1e-9


def test_is_the_same_every_time():
    chain, bounds = large(2)
    assert solve([chain], 0, bounds).options == solve([chain], 0, bounds).options


def test_bounds_that_contradict_each_other_have_no_optimum():
    """Each is easy to meet; both are not."""
    unary = tuple(np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 1.0]]) for _ in range(40))
    chain = Chain(np.zeros(3), unary, (None,) * 39)
    assert solve([chain], 0, np.array([np.inf, 59.0, np.inf])).values[1] <= 59
    assert solve([chain], 0, np.array([np.inf, 60.0, 60.0])).values.tolist() == [20, 60, 60]
    assert minimise([chain], 0, np.array([np.inf, 59.0, 60.0])) == (None, np.inf)


def test_no_chain_and_no_position():
    assert minimise([], 0, np.array([np.inf])) == (None, np.inf)
    assert solve([Chain(np.array([3.0]), (), ())], 0, np.array([np.inf])).values.tolist() == [3.0]


def test_pair_terms_must_fit():
    with pytest.raises(ValueError, match="one fewer"):
        Chain(np.zeros(1), (np.zeros((2, 1)),) * 2, ())


@given(SEEDS, st.integers(2, 4), st.integers(1, 2), st.integers(2, 4), st.booleans(), st.floats(0.01, 0.9))
@settings(max_examples=60, deadline=None)
def test_counts_of_options_answer_where_positions_are_alike(seed, values, kinds, each, ties, share):
    """Whatever the first value is, of which positions may differ."""
    rng = np.random.default_rng(seed)
    chain = alike(rng, values, kinds, each, ties)
    assert are_alike(chain.narrowed(range(values)))
    all_values = everything(chain)
    bounds = np.quantile(all_values, share, axis=0)[1:]
    search = CountSearch(chain, bounds)
    while not search.exhausted and search.sweeps < len(search.widths):
        search.sweeps += 1  # to the last, whatever earlier ones would prove
    options, _ = search.sweep(np.inf)
    expected = least([chain], 0, np.append(np.inf, bounds))
    if expected == np.inf:
        assert options is None
        assert search.least == np.inf
        return
    assert (chain.values(options)[1:] <= bounds + 1e-6).all()
    assert chain.values(options)[0] == pytest.approx(expected, abs=1e-6)
    assert search.least == pytest.approx(expected, abs=1e-6)


def alike(rng: np.random.Generator, values: int, kinds: int, each: int, ties: bool) -> Chain:
    tables = []
    for _ in range(kinds):
        shape = (int(rng.integers(1, 4)), values)
        kind = rng.integers(0, 3, shape).astype(float) if ties else rng.normal(size=shape)
        for _ in range(each):
            table = kind.copy()
            if rng.random() < 0.7:
                table[:, 0] = rng.normal(size=len(table))
            tables.append(table)
    order = rng.permutation(len(tables))
    return Chain(rng.normal(size=values), tuple(tables[n] for n in order), (None,) * (len(tables) - 1))


def test_alike_positions_are_proved_at_full_size():
    rng = np.random.default_rng(7)
    table = rng.random((16, 4))
    unary = tuple(table * [1.0 + 0.4 * np.sin(layer), 1.0, 1.0, 1.0] for layer in range(80))
    bounds = 80 * (0.3 * table[:, 1:].min(0) + 0.7 * table[:, 1:].mean(0))
    found = solve([Chain(np.zeros(4), unary, (None,) * 79)], 0, np.append(np.inf, bounds))
    assert found.gap == 0
    assert (found.values[1:] <= bounds * (1 + 1e-8)).all()

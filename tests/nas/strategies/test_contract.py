"""One suite for every registered strategy: registering one enrols it here."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest

from nas.objectives import Direction, Objective, Source
from nas.problem import SearchProblem
from nas.strategies import Strategy, get_strategy, strategies
from searchspaces.encoding import Encoding, Population

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:optuna", "ignore:NSGAIIISampler is experimental")

SLOW = {"optuna-gp"}
"""Takes seconds a candidate: its form of the suite runs nightly."""


def marks(name: str) -> list[pytest.MarkDecorator]:
    package = strategies()[name].package
    missing = package is not None and find_spec(package) is None
    return [
        *([pytest.mark.slow] if name in SLOW else []),
        pytest.mark.skipif(missing, reason=f"{package} is not installed: pip install nas-service[peers]"),
    ]


NAMES = [pytest.param(name, marks=marks(name)) for name in sorted(strategies())]
QUALITY = Objective("quality", "nats", source=Source.EVALUATED)
LATENCY = Objective("latency_ms", "ms", source=Source.PREDICTED)


def bits(cardinalities: list[int]) -> Encoding:
    """No layers; the last gene is inactive where the first is 0."""

    def canonical(rows: Population) -> Population:
        rows[:, -1] *= rows[:, 0] > 0
        return rows

    names = [f"gene_{i}" for i in range(len(cardinalities))]
    return Encoding(cardinalities, names, canonical=canonical if len(cardinalities) > 1 else None)


DEPTHS = np.array([1, 2, 4])


def layered() -> Encoding:
    """Width, depth, and four layers of mixer (option 2 has no heads), heads and ratio."""

    def canonical(rows: Population) -> Population:
        layers = rows[:, 2:].reshape(len(rows), 4, 3)
        layers[:, :, 1] *= layers[:, :, 0] != 2
        layers[np.arange(4) >= DEPTHS[rows[:, 1], None]] = 0
        rows[:, 2:] = layers.reshape(len(rows), 12)
        return rows

    names = ["width", "depth", *(f"{gene}_{i}" for i in range(4) for gene in ("mixer", "heads", "ratio"))]
    return Encoding([2, 3] + [3, 2, 3] * 4, names, 2 + np.arange(12).reshape(4, 3), canonical)


def latency(population: Population) -> np.ndarray:
    weights = 1.0 + np.arange(population.shape[1]) % 3
    return (population @ weights + 1.0)[:, None]


def values_of(population: Population) -> np.ndarray:
    """Loss falls as latency rises, unevenly, so that a front of several points exists."""
    cost = latency(population)[:, 0]
    quality = 10.0 / cost + 0.3 * np.cos(population.sum(1))
    return np.stack([quality, cost], 1)


def problem(encoding: Encoding | None = None, **changes: object) -> SearchProblem:
    fields: dict = {"encoding": encoding or layered(), "objectives": (QUALITY, LATENCY), "known": latency}
    return SearchProblem(**(fields | changes))


def make(name: str, of: SearchProblem, seed: int = 0) -> Strategy:
    return get_strategy(name)(of, seed)


def drive(strategy: Strategy, batches: list[int], evaluate: Callable = values_of) -> list[Population]:
    asked = []
    for n in batches:
        rows = strategy.ask(n)
        strategy.tell(rows, evaluate(rows))
        asked.append(rows)
    return asked


def assert_distinct(rows: Population, encoding: Encoding) -> None:
    assert (rows >= 0).all()
    assert (rows < encoding.cardinalities).all()
    assert np.array_equal(encoding.canonical(rows), rows)
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize("name", NAMES)
class TestEveryStrategy:
    def test_proposes_valid_canonical_candidates_once(self, name):
        of = problem()
        rows = np.concatenate(drive(make(name, of), [7, 1, 16, 5, 5]))
        assert len(rows) == 34
        assert_distinct(rows, of.encoding)

    def test_is_deterministic_by_seed(self, name):
        first, again, other = (
            np.concatenate(drive(make(name, problem(), seed), [6, 6, 6])) for seed in (3, 3, 4)
        )
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    @pytest.mark.parametrize("fidelities", [(1.0,), (0.25, 1.0)])
    def test_goes_on_identically_after_a_restart_in_the_middle_of_a_batch(self, name, fidelities):
        def told(one: Strategy, rows: Population) -> None:
            one.tell(rows, values_of(rows), one.levels(rows))

        strategy, journal = make(name, problem(fidelities=fidelities)), []
        for n in (8, 8):
            told(strategy, strategy.ask(n))
        journal.append(strategy.journal_entry())
        waiting = strategy.ask(6)
        journal.append(strategy.journal_entry())
        told(strategy, waiting[:2])
        journal.append(strategy.journal_entry())
        state, journal = json.loads(json.dumps([strategy.state(), journal], allow_nan=False))
        restored = make(name, problem(fidelities=fidelities)).restore(state, journal)
        for one in (strategy, restored):
            told(one, waiting[2:4])
        for _ in range(2):
            rows, same = strategy.ask(5), restored.ask(5)
            assert np.array_equal(rows, same)
            assert np.array_equal(strategy.levels(rows), restored.levels(same))
            for one in (strategy, restored):
                told(one, rows)
        assert json.dumps(strategy.state()) == json.dumps(restored.state())
        assert json.dumps(strategy.journal_entry()) == json.dumps(restored.journal_entry())

    def test_answers_before_earlier_candidates_are_told(self, name):
        of = problem()
        strategy = make(name, of)
        rows = np.concatenate([strategy.ask(6) for _ in range(3)])
        strategy.tell(rows[::-1], values_of(rows[::-1]))
        assert_distinct(np.concatenate([rows, strategy.ask(6)]), of.encoding)

    def test_proposes_seeds_first(self, name):
        seeds = layered().sample(5, np.random.default_rng(1))
        strategy = make(name, problem(seeds=seeds))
        rows = np.concatenate(drive(strategy, [3, 6]))
        assert np.array_equal(rows[:5], seeds)

    def test_never_proposes_what_it_was_told_unasked(self, name):
        of = problem(bits([4, 3]))
        everything = of.encoding.enumerate(100)
        strategy = make(name, of)
        strategy.tell(everything[:6], values_of(everything[:6]))
        rows = np.concatenate(drive(strategy, [2, 2, 2]))
        assert_distinct(np.concatenate([everything[:6], rows]), of.encoding)
        assert len(rows) == len(everything) - 6

    @pytest.mark.parametrize("cardinalities", [[1], [1, 1, 1], [2, 1, 2], [5], [3, 2, 2]])
    def test_stops_having_enumerated_a_small_space(self, name, cardinalities):
        of = problem(bits(cardinalities))
        models = len(of.encoding.enumerate(100))
        strategy = make(name, of)
        rows = np.concatenate(drive(strategy, [4, 4, 4, 4]))
        assert_distinct(rows, of.encoding)
        assert len(rows) == models
        assert len(strategy.ask(3)) == 0

    def test_copes_with_failed_evaluations(self, name):
        def evaluate(rows: Population) -> np.ndarray:
            values = values_of(rows)
            values[rows.sum(1) % 3 == 0, 0] = np.nan
            values[rows.sum(1) % 7 == 0, 0] = np.inf
            return values

        of = problem()
        rows = np.concatenate(drive(make(name, of), [8] * 5, evaluate))
        assert_distinct(rows, of.encoding)

    def test_copes_when_every_evaluation_fails(self, name):
        of = problem()
        rows = np.concatenate(drive(make(name, of), [8] * 4, lambda rows: values_of(rows) * np.nan))
        assert_distinct(rows, of.encoding)

    def test_copes_with_all_values_equal(self, name):
        of = problem()
        rows = np.concatenate(drive(make(name, of), [8] * 4, lambda rows: np.ones((len(rows), 2))))
        assert_distinct(rows, of.encoding)

    def test_rejects_values_of_the_wrong_shape(self, name):
        strategy = make(name, problem())
        with pytest.raises(ValueError, match="accepted"):
            strategy.tell(strategy.ask(3), np.zeros((3, 1)))

    def test_a_bound_draws_the_search_inside(self, name):
        """Random rows mostly break this bound; a strategy that knows of it proposes ever fewer of those."""
        if name == "random":
            pytest.skip("random search does not look at values")
        bound = 12.0
        limited = Objective("latency_ms", "ms", source=Source.PREDICTED, bound=bound)
        of = problem(bits([3] * 8), objectives=(QUALITY, limited))
        batches = drive(make(name, of), [10] * 8)
        inside = [float((latency(rows) <= bound).mean()) for rows in batches]
        chance = float((latency(of.encoding.sample(4000, np.random.default_rng(0))) <= bound).mean())
        assert chance < 0.4
        assert np.mean(inside[-4:]) > chance + 0.2

    def test_spends_no_more_than_is_left(self, name):
        strategy = make(name, problem())
        assert len(strategy.ask(5, 2.5)) == 2
        assert len(strategy.ask(5, 0.5)) == 0
        assert len(strategy.ask(5)) == 5

    def test_buys_fidelities_that_it_says_it_knows(self, name):
        """Never a candidate again at a fidelity that it had, nor more than is left; seeds in full."""
        of = problem(seeds=layered().sample(3, np.random.default_rng(1)), fidelities=(0.125, 0.25, 1.0))
        strategy, left, bought = make(name, of), 20.0, {}
        while len(rows := strategy.ask(6, left)):
            levels = strategy.levels(rows)
            assert_distinct(rows, of.encoding)
            assert len(bought) > 0 or (levels[:3] == 2).all()
            for row, level in zip(map(bytes, rows), levels.tolist(), strict=True):
                assert bought.get(row, -1) < level
                bought[row] = level
            left -= float(np.array(of.fidelities)[levels].sum())
            strategy.tell(rows, values_of(rows), levels)
        assert -1e-9 < left < 1.0
        assert (set(bought.values()) != {2}) == strategies()[name].fidelities

    def test_maximises_where_asked(self, name):
        """The same problem with its quality turned round is searched in the same way."""
        turned = Objective("quality", "nats", Direction.MAX, Source.EVALUATED)
        rows = drive(make(name, problem()), [6] * 4)
        same = drive(
            make(name, problem(objectives=(turned, LATENCY))), [6] * 4, lambda rows: values_of(rows) * [-1, 1]
        )
        assert np.array_equal(np.concatenate(rows), np.concatenate(same))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("columns", [[0], [0, 1, 2]])
def test_any_number_of_objectives(name, columns):
    objectives = (
        QUALITY,
        LATENCY,
        Objective("parameters", "1", source=Source.COUNTED),
    )

    def three(rows: Population) -> np.ndarray:
        return np.concatenate([values_of(rows), (rows % 2).sum(1, keepdims=True)], axis=1)[:, columns]

    free = [c for c in columns if c > 0]
    of = SearchProblem(
        layered(),
        tuple(objectives[c] for c in columns),
        known=(lambda rows: three(rows)[:, [columns.index(c) for c in free]]) if free else None,
    )
    rows = np.concatenate(drive(make(name, of), [8] * 4, three))
    assert_distinct(rows, of.encoding)


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(strategies()["random"], "package", "no_such_package")
    with pytest.raises(ValueError, match=r"needs no_such_package; .*pip install"):
        get_strategy("random")


def test_an_unknown_name_says_which_are_accepted():
    with pytest.raises(ValueError, match=r"accepted: .*evolution"):
        get_strategy("hope")

"""The contract of search strategies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from nas.objectives import Direction, Objective, Source
from nas.problem import SearchProblem, Values
from nas.strategies import Strategy, get_strategy
from nas.testing.contract import Contract
from searchspaces.encoding import Encoding, Population

__all__ = ["StrategyContract"]

QUALITY = Objective("quality", "nats", source=Source.EVALUATED)
LATENCY = Objective("latency_ms", "ms", source=Source.PREDICTED)


def _bits(cardinalities: list[int]) -> Encoding:
    """No layers; the last gene is inactive where the first is 0."""

    def canonical(rows: Population) -> Population:
        rows[:, -1] *= rows[:, 0] > 0
        return rows

    names = [f"gene_{i}" for i in range(len(cardinalities))]
    return Encoding(cardinalities, names, canonical=canonical if len(cardinalities) > 1 else None)


DEPTHS = np.array([1, 2, 4])


def _layered() -> Encoding:
    """Width, depth, and four layers of mixer (option 2 has no heads), heads and ratio."""

    def canonical(rows: Population) -> Population:
        layers = rows[:, 2:].reshape(len(rows), 4, 3)
        layers[:, :, 1] *= layers[:, :, 0] != 2
        layers[np.arange(4) >= DEPTHS[rows[:, 1], None]] = 0
        rows[:, 2:] = layers.reshape(len(rows), 12)
        return rows

    names = ["width", "depth", *(f"{gene}_{i}" for i in range(4) for gene in ("mixer", "heads", "ratio"))]
    return Encoding([2, 3] + [3, 2, 3] * 4, names, 2 + np.arange(12).reshape(4, 3), canonical)


def _latency(population: Population) -> Values:
    weights = 1.0 + np.arange(population.shape[1]) % 3
    return (population @ weights + 1.0)[:, None]


def _values_of(population: Population) -> Values:
    """Loss falls as latency rises, unevenly, so that a front of several points exists."""
    cost = _latency(population)[:, 0]
    quality = 10.0 / cost + 0.3 * np.cos(population.sum(1))
    return np.stack([quality, cost], 1)


def _problem(encoding: Encoding | None = None, **changes: object) -> SearchProblem:
    fields: dict[str, Any] = {
        "encoding": encoding or _layered(),
        "objectives": (QUALITY, LATENCY),
        "known": _latency,
    }
    return SearchProblem(**(fields | changes))


def _make(name: str, of: SearchProblem, seed: int = 0) -> Strategy:
    return get_strategy(name)(of, seed)


def _drive(
    strategy: Strategy, batches: list[int], evaluate: Callable[[Population], Values] = _values_of
) -> list[Population]:
    asked = []
    for n in batches:
        rows = strategy.ask(n)
        strategy.tell(rows, evaluate(rows))
        asked.append(rows)
    return asked


def _assert_distinct(rows: Population, encoding: Encoding) -> None:
    assert (rows >= 0).all()
    assert (rows < encoding.cardinalities).all()
    assert np.array_equal(encoding.canonical(rows), rows)
    assert len(np.unique(rows, axis=0)) == len(rows)


class StrategyContract(Contract):
    """What every strategy does.

    Attributes:
        subjects: registered names.
        blind: names of those that do not look at values.
    """

    blind: ClassVar[frozenset[str]] = frozenset()

    def test_proposes_valid_canonical_candidates_once(self, subject: str) -> None:
        of = _problem()
        rows = np.concatenate(_drive(_make(subject, of), [7, 1, 16, 5, 5]))
        assert len(rows) == 34
        _assert_distinct(rows, of.encoding)

    def test_is_deterministic_by_seed(self, subject: str) -> None:
        first, again, other = (
            np.concatenate(_drive(_make(subject, _problem(), seed), [6, 6, 6])) for seed in (3, 3, 4)
        )
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    @pytest.mark.parametrize("fidelities", [(1.0,), (0.25, 1.0)])
    def test_goes_on_identically_after_a_restart_in_the_middle_of_a_batch(
        self, subject: str, fidelities: tuple[float, ...]
    ) -> None:
        def told(one: Strategy, rows: Population) -> None:
            one.tell(rows, _values_of(rows), one.levels(rows))

        strategy, journal = _make(subject, _problem(fidelities=fidelities)), []
        for n in (8, 8):
            told(strategy, strategy.ask(n))
        journal.append(strategy.journal_entry())
        waiting = strategy.ask(6)
        journal.append(strategy.journal_entry())
        told(strategy, waiting[:2])
        journal.append(strategy.journal_entry())
        state, journal = json.loads(json.dumps([strategy.state(), journal], allow_nan=False))
        restored = _make(subject, _problem(fidelities=fidelities)).restore(state, journal)
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

    def test_answers_before_earlier_candidates_are_told(self, subject: str) -> None:
        of = _problem()
        strategy = _make(subject, of)
        rows = np.concatenate([strategy.ask(6) for _ in range(3)])
        strategy.tell(rows[::-1], _values_of(rows[::-1]))
        _assert_distinct(np.concatenate([rows, strategy.ask(6)]), of.encoding)

    def test_proposes_seeds_first(self, subject: str) -> None:
        seeds = _layered().sample(5, np.random.default_rng(1))
        strategy = _make(subject, _problem(seeds=seeds))
        rows = np.concatenate(_drive(strategy, [3, 6]))
        assert np.array_equal(rows[:5], seeds)

    def test_never_proposes_what_it_was_told_unasked(self, subject: str) -> None:
        of = _problem(_bits([4, 3]))
        everything = of.encoding.enumerate(100)
        assert everything is not None
        strategy = _make(subject, of)
        strategy.tell(everything[:6], _values_of(everything[:6]))
        rows = np.concatenate(_drive(strategy, [2, 2, 2]))
        _assert_distinct(np.concatenate([everything[:6], rows]), of.encoding)
        assert len(rows) == len(everything) - 6

    @pytest.mark.parametrize("cardinalities", [[1], [1, 1, 1], [2, 1, 2], [5], [3, 2, 2]])
    def test_stops_having_enumerated_a_small_space(self, subject: str, cardinalities: list[int]) -> None:
        of = _problem(_bits(cardinalities))
        everything = of.encoding.enumerate(100)
        assert everything is not None
        strategy = _make(subject, of)
        rows = np.concatenate(_drive(strategy, [4, 4, 4, 4]))
        _assert_distinct(rows, of.encoding)
        assert len(rows) == len(everything)
        assert len(strategy.ask(3)) == 0

    def test_copes_with_failed_evaluations(self, subject: str) -> None:
        def evaluate(rows: Population) -> Values:
            values = _values_of(rows)
            values[rows.sum(1) % 3 == 0, 0] = np.nan
            values[rows.sum(1) % 7 == 0, 0] = np.inf
            return values

        of = _problem()
        rows = np.concatenate(_drive(_make(subject, of), [8] * 5, evaluate))
        _assert_distinct(rows, of.encoding)

    def test_copes_when_every_evaluation_fails(self, subject: str) -> None:
        of = _problem()
        rows = np.concatenate(_drive(_make(subject, of), [8] * 4, lambda rows: _values_of(rows) * np.nan))
        _assert_distinct(rows, of.encoding)

    def test_copes_with_all_values_equal(self, subject: str) -> None:
        of = _problem()
        rows = np.concatenate(_drive(_make(subject, of), [8] * 4, lambda rows: np.ones((len(rows), 2))))
        _assert_distinct(rows, of.encoding)

    def test_rejects_values_of_the_wrong_shape(self, subject: str) -> None:
        strategy = _make(subject, _problem())
        with pytest.raises(ValueError, match="accepted"):
            strategy.tell(strategy.ask(3), np.zeros((3, 1)))

    def test_a_bound_draws_the_search_inside(self, subject: str) -> None:
        """Random rows mostly break this bound; a strategy that knows of it proposes ever fewer of those."""
        if subject in self.blind:
            pytest.skip(f"{subject} does not look at values")
        bound = 12.0
        limited = Objective("latency_ms", "ms", source=Source.PREDICTED, bound=bound)
        of = _problem(_bits([3] * 8), objectives=(QUALITY, limited))
        batches = _drive(_make(subject, of), [10] * 8)
        inside = [float((_latency(rows) <= bound).mean()) for rows in batches]
        chance = float((_latency(of.encoding.sample(4000, np.random.default_rng(0))) <= bound).mean())
        assert chance < 0.4
        assert np.mean(inside[-4:]) > chance + 0.2

    def test_spends_no_more_than_is_left(self, subject: str) -> None:
        strategy = _make(subject, _problem())
        assert len(strategy.ask(5, 2.5)) == 2
        assert len(strategy.ask(5, 0.5)) == 0
        assert len(strategy.ask(5)) == 5

    def test_buys_fidelities_that_it_says_it_knows(self, subject: str) -> None:
        """Never a candidate again at a fidelity that it had, nor more than is left; seeds in full."""
        of = _problem(seeds=_layered().sample(3, np.random.default_rng(1)), fidelities=(0.125, 0.25, 1.0))
        strategy, left = _make(subject, of), 20.0
        bought: dict[bytes, int] = {}
        while len(rows := strategy.ask(6, left)):
            levels = strategy.levels(rows)
            _assert_distinct(rows, of.encoding)
            assert len(bought) > 0 or (levels[:3] == 2).all()
            for row, level in zip(map(bytes, rows), levels.tolist(), strict=True):
                assert bought.get(row, -1) < level
                bought[row] = level
            left -= float(np.array(of.fidelities)[levels].sum())
            strategy.tell(rows, _values_of(rows), levels)
        assert -1e-9 < left < 1.0
        assert (set(bought.values()) != {2}) == get_strategy(subject).fidelities

    def test_maximises_where_asked(self, subject: str) -> None:
        """The same problem with its quality turned round is searched in the same way."""
        turned = Objective("quality", "nats", Direction.MAX, Source.EVALUATED)
        rows = _drive(_make(subject, _problem()), [6] * 4)
        same = _drive(
            _make(subject, _problem(objectives=(turned, LATENCY))),
            [6] * 4,
            lambda rows: _values_of(rows) * [-1, 1],
        )
        assert np.array_equal(np.concatenate(rows), np.concatenate(same))

    @pytest.mark.parametrize("columns", [[0], [0, 1, 2]])
    def test_any_number_of_objectives(self, subject: str, columns: list[int]) -> None:
        objectives = (
            QUALITY,
            LATENCY,
            Objective("parameters", "1", source=Source.COUNTED),
        )

        def three(rows: Population) -> Values:
            return np.concatenate([_values_of(rows), (rows % 2).sum(1, keepdims=True)], axis=1)[:, columns]

        free = [c for c in columns if c > 0]
        of = SearchProblem(
            _layered(),
            tuple(objectives[c] for c in columns),
            known=(lambda rows: three(rows)[:, [columns.index(c) for c in free]]) if free else None,
        )
        rows = np.concatenate(_drive(_make(subject, of), [8] * 4, three))
        _assert_distinct(rows, of.encoding)

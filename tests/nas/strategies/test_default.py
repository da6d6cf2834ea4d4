"""What the default strategy promises beyond the contract."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nas.objectives import Objective, Source
from nas.problem import SearchProblem
from nas.strategies import get_strategy
from nas.strategies.archive import Archive
from searchspaces.encoding import Encoding, Population


def cost(rows: Population) -> np.ndarray:
    return 1.0 + rows.sum(1, dtype=float)


def evaluate(rows: Population) -> np.ndarray:
    """Quality depends on which genes the cost is spent on."""
    worth = np.linspace(0.2, 2.0, rows.shape[1])
    return np.stack([20.0 / (1.0 + rows @ worth), cost(rows)], 1)


def problem(bound: float | None = None) -> SearchProblem:
    objectives = (
        Objective("quality", "nats", source=Source.EVALUATED),
        Objective("latency_ms", "ms", source=Source.PREDICTED, bound=bound),
    )
    encoding = Encoding([4] * 12, [f"gene_{i}" for i in range(12)])
    return SearchProblem(encoding, objectives, lambda rows: cost(rows)[:, None])


def test_spends_no_evaluation_outside_a_free_bound():
    """One random candidate in a hundred is within it; latency is known before anything is evaluated."""
    strategy = get_strategy("default")(problem(bound=11.0), 0)
    for _ in range(5):
        rows = strategy.ask(8)
        strategy.tell(rows, evaluate(rows))
        assert (cost(rows) <= 11.0).mean() > 0.5
    assert (cost(rows) <= 11.0).all()


def test_what_is_outside_all_bounds_is_evaluated_in_full():
    """Its distance from them is free to know, and only whole evaluations are ever reported."""
    strategy = get_strategy("default")(replace(problem(bound=-1.0), fidelities=(0.25, 1.0)), 0)
    start = strategy.ask(16)
    strategy.tell(start, evaluate(start), strategy.levels(start))
    assert (strategy.levels(strategy.ask(8)) == 1).all()


def test_where_a_prior_tells_more_nothing_is_drawn_at_random():
    """Eight evaluations after its seeds, which are the best for their costs, it knows what the cost is best
    spent on."""
    worth = np.linspace(0.2, 2.0, 12)
    best = np.array([np.clip(cost - 3 * np.arange(11, -1, -1), 0, 3) for cost in range(37)])
    seeds = np.concatenate([[[level] * 12 for level in range(4)], best[[2, 7, 12, 18]]])

    def over_the_best(prior: bool) -> float:
        told = problem(bound=19.0)
        believed = (lambda rows: -(rows @ worth)) if prior else None
        strategy = get_strategy("default")(replace(told, seeds=seeds, prior=believed), 0)
        for n in (8, 4, 4):
            rows = strategy.ask(n)
            strategy.tell(rows, evaluate(rows))
        quality, costs = evaluate(rows).T
        return float(np.mean(quality / evaluate(best)[costs.astype(int) - 1, 0]))

    assert over_the_best(prior=True) < 1.2 < 1.4 < over_the_best(prior=False)


def test_a_refitted_predictor_is_heard():
    """Latencies turn out to be a third of what was predicted: candidates change at once."""
    factor = [1.0]
    bounded = problem(bound=8.0)
    told = SearchProblem(bounded.encoding, bounded.objectives, lambda rows: factor[0] * cost(rows)[:, None])
    strategy = get_strategy("default")(told, 0)
    for _ in range(4):
        rows = strategy.ask(8)
        strategy.tell(rows, evaluate(rows))
    assert (cost(rows) <= 8.0).all()
    factor[0] = 1 / 3
    rows = strategy.ask(8)
    assert cost(rows).max() > 12.0
    assert (cost(rows) / 3 <= 8.0).all()


def test_candidates_waited_for_are_not_asked_in_another_guise():
    """Two batches asked in a row cover as much of the front as one of twice the size."""
    whole, halves = (get_strategy("default")(problem(), 0) for _ in range(2))
    for strategy in (whole, halves):
        rows = strategy.ask(20)
        strategy.tell(rows, evaluate(rows))
    at_once, in_turn = whole.ask(12), np.concatenate([halves.ask(6), halves.ask(6)])

    def covered(rows: Population) -> float:
        archive = Archive(whole.problem)
        archive.add(rows, evaluate(rows))
        return archive.hypervolume([20.0, 40.0])

    assert covered(in_turn) > 0.9 * covered(at_once)


def test_ends_with_whole_evaluations_of_the_front_it_believes_in():
    """What was screened in eighths of an evaluation is evaluated in full before the budget is spent; for the
    same cost, more is found than by whole evaluations alone."""
    rng = np.random.default_rng(0)

    def found(fidelities: tuple[float, ...]) -> tuple[Archive, int]:
        of = replace(problem(), fidelities=fidelities)
        strategy, archive, left, asked = get_strategy("default")(of, 0), Archive(of), 24.0, 0
        while len(rows := strategy.ask(4, left)):
            levels = strategy.levels(rows)
            whole = levels == len(fidelities) - 1
            values = evaluate(rows)
            archive.add(rows[whole], values[whole])
            values[~whole, 0] += 0.3 + rng.normal(0.0, 0.1, (~whole).sum())
            strategy.tell(rows, values, levels)
            left -= float(np.array(fidelities)[levels].sum())
            asked += len(rows)
        return archive, asked

    (alone, few), (screened, many) = found((1.0,)), found((0.125, 1.0))
    assert few == 24
    assert many > 48
    assert screened.hypervolume([20.0, 40.0]) > alone.hypervolume([20.0, 40.0])


def test_a_share_of_which_every_evaluation_fails_is_given_up():
    of = replace(problem(), fidelities=(0.125, 0.5, 1.0))
    strategy, left = get_strategy("default")(of, 0), 24.0
    asked = np.zeros(3, int)
    while len(rows := strategy.ask(4, left)):
        levels, values = strategy.levels(rows), evaluate(rows)
        values[levels == 0, 0] = np.nan
        strategy.tell(rows, values, levels)
        left -= float(np.array(of.fidelities)[levels].sum())
        asked += np.bincount(levels, minlength=3)
    assert asked[0] <= 4 + 3  # those of the batch in which the fourth fails are out by then
    assert asked[1] > 0
    assert asked[2] > 0


@pytest.mark.parametrize("seed", range(8))
def test_a_batch_names_a_candidate_once_and_costs_no_more_than_is_left(seed):
    """Random draws from six codes repeat themselves; what tops a batch up is not what it screens."""
    objectives = (
        Objective("quality", "nats", source=Source.EVALUATED),
        Objective("latency_ms", "ms", source=Source.PREDICTED),
    )
    small = SearchProblem(Encoding([3, 2], ["a", "b"]), objectives, fidelities=(0.25, 1.0))
    strategy, left, bought = get_strategy("default")(small, seed), 12.0, set()
    while len(rows := strategy.ask(6, min(left, 4.0))):
        levels = strategy.levels(rows)
        spent = float(np.array(small.fidelities)[levels].sum())
        assert len(np.unique(rows, axis=0)) == len(rows)
        assert spent <= 4.0
        strategy.tell(rows, rows + 1.0, levels)
        bought |= {bytes(row) for row in rows[levels == 1]}
        left -= spent
    assert len(bought) == 6  # what was screened is evaluated in full by a later batch


def test_finds_the_whole_front_of_a_small_space():
    encoding = Encoding([3] * 5, list("abcde"))
    small = SearchProblem(encoding, problem().objectives, lambda rows: cost(rows)[:, None])
    strategy = get_strategy("default")(small, 0)
    found, best = Archive(small), Archive(small)
    everything = encoding.enumerate(1000)
    best.add(everything, evaluate(everything))
    for _ in range(8):
        rows = strategy.ask(6)
        strategy.tell(rows, evaluate(rows))
        found.add(rows, evaluate(rows))
    assert found.hypervolume([20.0, 12.0]) > 0.99 * best.hypervolume([20.0, 12.0])

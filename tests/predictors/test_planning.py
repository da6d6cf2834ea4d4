"""What to measure next."""

from __future__ import annotations

import numpy as np
import pytest

from predictors import choose_next, make_predictor
from predictors.planning import most_informative
from predictors.prior import counted_prior


def test_never_chooses_what_was_measured_nor_the_same_twice(space, workload) -> None:
    rng = np.random.default_rng(0)
    pool = space.sample(60, rng)
    measured = pool[:30]
    chosen = choose_next(space, workload, measured, 100, rng, candidates=pool)
    assert len(chosen) == len(np.unique(pool, axis=0)) - len(np.unique(measured, axis=0))
    assert not np.isin(space.keys(chosen), space.keys(measured)).any()
    assert len(np.unique(chosen, axis=0)) == len(chosen)
    assert len(choose_next(space, workload, pool, 5, rng, candidates=pool)) == 0


def test_begins_without_any_measurement(space, workload) -> None:
    rng = np.random.default_rng(0)
    none = space.sample(0, rng)
    assert choose_next(space, workload, none, 8, rng).shape == (8, space.genes)


def test_chosen_architectures_tell_more_than_random_ones(space, workload, design, make_device) -> None:
    device = make_device(2, noise=0.01)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        first = space.sample(8, rng)
        predictor = make_predictor("additive", space, workload).fit(first, device(first))
        planned = choose_next(space, workload, first, 16, rng, predictor=predictor)
        drawn = space.sample(16, rng)
        assert information(design, first, planned) > information(design, first, drawn) + 3


def information(design, first, added) -> float:
    """Log determinant of the posterior precision, by the textbook."""
    belief = counted_prior(design)
    counts = design.counts(np.concatenate([first, added]))
    rows = counts / (counts @ belief.mean)[:, None]
    kernel = rows @ belief.covariance @ rows.T / 0.02**2
    return float(np.linalg.slogdet(np.eye(len(rows)) + kernel)[1])


@pytest.mark.parametrize("measured", [0, 5])
def test_greedy_choice_is_the_largest_posterior_variance(measured: int) -> None:
    rng = np.random.default_rng(1)
    rows = rng.random((measured, 4))
    candidates = rng.random((50, 4))
    covariance = np.diag([1.0, 2.0, 3.0, 4.0])
    chosen = most_informative(candidates, rows, covariance, 3)
    for i, best in enumerate(chosen):
        seen = np.concatenate([rows, candidates[chosen[:i]]])
        precision = np.linalg.inv(covariance) + seen.T @ seen / 0.02**2
        variance = ((candidates @ np.linalg.inv(precision)) * candidates).sum(1)
        variance[chosen[:i]] = -np.inf
        assert int(np.argmax(variance)) == best

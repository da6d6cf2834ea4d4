"""What to measure next."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from predictors import choose_next, make_predictor
from predictors.design import SpaceDesign
from predictors.planning import most_informative
from predictors.prior import counted_prior
from searchspaces.costs import CostModel
from workers.timing import TimingProtocol


def test_never_chooses_what_was_measured_nor_the_same_twice(space, workload) -> None:
    rng = np.random.default_rng(0)
    pool = space.sample(60, rng)
    measured = pool[:30]
    chosen = choose_next(space, workload, measured, 100, rng, candidates=pool)
    assert len(chosen) == len(np.unique(pool, axis=0)) - len(np.unique(measured, axis=0))
    assert not np.isin(space.keys(chosen), space.keys(measured)).any()
    assert len(np.unique(chosen, axis=0)) == len(chosen)
    assert len(choose_next(space, workload, pool, 5, rng, candidates=pool)) == 0


def test_what_is_excluded_is_not_chosen_and_teaches_nothing(space, workload) -> None:
    pool = space.sample(60, np.random.default_rng(0))
    kept, held_out = pool[:40], pool[40:]
    kept = kept[~np.isin(space.keys(kept), space.keys(held_out))]
    chosen = [
        choose_next(space, workload, pool[:3], 8, np.random.default_rng(1), **options)
        for options in ({"candidates": pool, "excluded": held_out}, {"candidates": kept})
    ]
    assert len(chosen[0]) == 8
    np.testing.assert_array_equal(*chosen)


def test_begins_without_any_measurement(space, workload) -> None:
    rng = np.random.default_rng(0)
    none = space.sample(0, rng)
    assert choose_next(space, workload, none, 8, rng).shape == (8, space.genes)


def test_chosen_architectures_tell_more_than_random_ones(space, workload, design, make_device) -> None:
    """About the architectures that will be asked for: by the textbook's posterior variance of new ones."""
    device, new = make_device(2, noise=0.01), space.sample(500, np.random.default_rng(9))
    prior = counted_prior(design)

    def doubt(measured) -> float:
        rows, wanted = (c / (c @ prior.mean)[:, None] for c in map(design.counts, (measured, new)))
        precision = np.linalg.inv(prior.covariance) + rows.T @ rows / 0.02**2
        return float(((wanted @ np.linalg.inv(precision)) * wanted).sum(1).mean())

    for seed in range(3):
        rng = np.random.default_rng(seed)
        first = space.sample(8, rng)
        predictor = make_predictor("additive", space, workload).fit(first, device(first))
        planned = choose_next(space, workload, first, 16, rng, predictor=predictor)
        random = [doubt(np.concatenate([first, space.sample(16, rng)])) for _ in range(5)]
        assert doubt(np.concatenate([first, planned])) < 0.7 * min(random)


def test_a_device_unlike_the_belief_is_not_mistaken(space, workload, design) -> None:
    """Only arithmetic costs time here, launches and traffic nothing. A design that told most about
    coefficients alone would measure the shallowest models, and be 17% wrong about the others."""
    costs = CostModel(space)

    def device(population):
        return costs.macs(population, workload.tokens) / 2e8 + 0.5

    rng = np.random.default_rng(0)
    measured, new = space.sample(0, rng), space.sample(200, rng)
    predictor = None
    while len(measured) < 40:
        chosen = choose_next(space, workload, measured, 8, rng, predictor=predictor)
        measured = np.concatenate([measured, chosen])
        predictor = make_predictor("additive", space, workload).fit(measured, device(measured))
        error = predictor.predict(new).mean / device(new) - 1
        assert np.abs(error).mean() < 0.15
    assert np.abs(error).mean() < 0.01


@pytest.mark.parametrize("measured", [0, 5])
def test_greedy_choice_leaves_the_least_mean_variance(measured: int) -> None:
    rng = np.random.default_rng(1)
    rows = rng.random((measured, 4))
    candidates = rng.random((50, 4))
    covariance = np.diag([1.0, 2.0, 3.0, 4.0])
    chosen = most_informative(candidates, candidates, rows, covariance, 3)

    def left(seen) -> float:
        precision = np.linalg.inv(covariance) + seen.T @ seen / 0.02**2
        return float(((candidates @ np.linalg.inv(precision)) * candidates).sum(1).mean())

    for i, best in enumerate(chosen):
        before = np.concatenate([rows, candidates[chosen[:i]]])
        tried = [left(np.concatenate([before, candidate[None]])) for candidate in candidates]
        assert tried[best] == pytest.approx(min(tried), rel=1e-9)


def test_of_two_that_tell_the_same_the_quicker_is_measured() -> None:
    rows = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert most_informative(rows, rows, rows[:0], np.diag([1.0, 0.9]), 1, np.array([2.0, 1.0, 1.5])) == [1]
    assert most_informative(rows, rows, rows[:0], np.diag([1.0, 0.9]), 1, np.array([9.0, 8.0, 1.0])) == [2]


@dataclass
class Profiled:
    """What profiling in batches of 8 came to: seconds of measuring, the error on new members, and the share
    of single blocks among what was measured; means over three runs."""

    spent: float
    error: float
    blocks: float


def profile(of, workload, device, seconds: float = math.inf, n: int = 1000) -> Profiled:
    """Until so many seconds of measuring are spent, or n measurements taken."""
    pool = of.sample(600, np.random.default_rng(9))
    new = pool[of.is_member(pool)][:300]
    runs = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        measured, latency, spent, predictor = of.sample(0, rng), np.empty(0), 0.0, None
        while spent < seconds and len(measured) < n:
            chosen = choose_next(of, workload, measured, 8, rng, predictor=predictor)
            measured, latency = np.concatenate([measured, chosen]), np.append(latency, device(chosen))
            predictor = make_predictor("additive", of, workload).fit(measured, latency)
            spent = EXPECTED_SECONDS(TimingProtocol(), latency).sum()
        error = np.abs(predictor.predict(new).mean / device(new) - 1).mean()
        runs.append((spent, error, 1 - of.is_member(measured).mean()))
    return Profiled(*np.mean(runs, axis=0).tolist())


EXPECTED_SECONDS = TimingProtocol.expected_seconds


@pytest.fixture
def timed_device(make_device, workload):
    """A device on which the space's median member takes so many milliseconds."""

    def make(of, median_ms: float, **settings):
        device = make_device(3, noise=0.01, of=SpaceDesign(of, workload), **settings)
        pool = of.sample(300, np.random.default_rng(9))
        scale = median_ms / np.median(device(pool[of.is_member(pool)]))
        return lambda population: scale * device(population)

    return make


def test_information_a_second_saves_time_at_the_same_error(
    space, workload, timed_device, monkeypatch
) -> None:
    """Against the same choice without the clock, at equal numbers of measurements, where calls take as long
    as all else of a measurement."""
    device = timed_device(space, 25)
    by_second = profile(space, workload, device, n=40)
    monkeypatch.setattr(
        TimingProtocol, "expected_seconds", lambda self, latency, phase: np.ones(len(latency))
    )
    by_measurement = profile(space, workload, device, n=40)
    assert by_second.spent < 0.9 * by_measurement.spent
    assert by_second.error < 1.2 * by_measurement.error


@pytest.mark.parametrize("alone", [0.9, 1.0, 1.1])
def test_single_blocks_halve_the_time_of_deep_spaces(deep_space, workload, timed_device, alone) -> None:
    """Whatever factor separates blocks alone from those in whole models: some of these are measured too."""
    beside = deep_space.with_single_blocks
    whole = profile(deep_space, workload, timed_device(deep_space, 110), seconds=60)
    both = profile(beside, workload, timed_device(beside, 110, alone=alone), seconds=30)
    assert both.spent < 0.6 * whole.spent
    assert both.error < whole.error
    assert 0.4 < both.blocks < 0.9


def test_single_blocks_are_left_where_members_are_hardly_more_expensive(
    space, workload, timed_device
) -> None:
    """Of two to six layers at 2 ms most of a measurement is not the model's calls."""
    beside = space.with_single_blocks
    assert profile(beside, workload, timed_device(beside, 2), n=40).blocks < 0.1


def test_nothing_is_left_to_measure_once_every_member_is(deep_space, workload) -> None:
    beside = deep_space.with_single_blocks
    members, rng = deep_space.sample(5, np.random.default_rng(0)), np.random.default_rng(1)
    blocks = beside.sample(200, rng)
    pool = np.concatenate([members, blocks[~beside.is_member(blocks)]])
    assert len(choose_next(beside, workload, members[:4], 8, rng, candidates=pool)) == 8
    assert len(choose_next(beside, workload, members, 8, rng, candidates=pool)) == 0

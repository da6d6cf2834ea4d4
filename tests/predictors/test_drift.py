"""Devices that change their speed while they are measured."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.drift import drift_of, find_stretches
from predictors.posterior import fit_posterior
from predictors.prior import counted_prior


def test_a_slow_stretch_is_found_with_its_factor() -> None:
    rng = np.random.default_rng(0)
    ratio = np.exp(0.02 * rng.standard_normal(120))
    ratio[40:70] *= 1.22
    stretches = find_stretches(ratio)
    assert [(s.start, s.stop) for s in stretches] == [(0, 40), (40, 70), (70, 120)]
    assert [s.shifted for s in stretches] == [False, True, False]
    assert stretches[1].factor == pytest.approx(1.22, rel=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_noise_and_outliers_are_no_stretch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ratio = np.exp(0.02 * rng.standard_normal(100))
    ratio[[10, 50, 51]] *= 1.6
    assert not any(stretch.shifted for stretch in find_stretches(ratio))


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_measurements_are_one_stretch(n: int) -> None:
    assert len(find_stretches(np.linspace(1, 3, n))) == min(n, 1)


def test_drift_is_told_from_architectures(design, space, make_device) -> None:
    """Nobody says what an architecture should take: cost and speed are found together."""
    population = space.sample(90, np.random.default_rng(1))
    exact = make_device(1)(population)
    rng = np.random.default_rng(2)
    speed = np.where((np.arange(90) >= 30) & (np.arange(90) < 55), 1.22, 1.0)
    latency = exact * speed * np.exp(0.01 * rng.standard_normal(90))
    drift = drift_of(design.counts(population), latency, np.arange(90.0), [counted_prior(design)])
    assert np.mean(np.abs(drift.factors / speed - 1) < 0.03) > 0.95
    assert len(drift.shifts) == 1
    new = space.sample(200, np.random.default_rng(3))
    raw = fit_posterior(design.counts(population), latency, counted_prior(design))
    handled = fit_posterior(design.counts(population), latency / drift.factors, counted_prior(design))
    errors = [
        np.abs(design.counts(new) @ fit.mean / make_device(1)(new) - 1).mean() for fit in (handled, raw)
    ]
    assert errors[0] < 0.5 * errors[1]


def test_unmeasured_places_have_the_speed_of_the_nearest(design, space, make_device) -> None:
    population = space.sample(60, np.random.default_rng(1))
    latency = make_device(1)(population) * np.where(np.arange(60) < 40, 1.0, 1.5)
    drift = drift_of(design.counts(population), latency, 10.0 * np.arange(60), [counted_prior(design)])
    assert drift.factors_at(np.array([-5.0, 391.0, 399.0, 1e9])) == pytest.approx([1, 1, 1.5, 1.5], rel=0.02)
    assert drift.widening >= 1


def test_what_stretches_leave_unknown_is_in_the_intervals(design, space, make_device) -> None:
    """One row of three is learned from; the others are predicted at the speed of their place."""
    speed = np.where(np.arange(600) // 120 % 2, 1.3, 1.0)
    covered: dict[str, list[float]] = {"widened": [], "believed": []}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        population = space.sample(600, rng)
        counts = design.counts(population)
        latency = make_device(1)(population) * speed * np.exp(0.01 * rng.standard_normal(600))
        learn = np.sort(rng.permutation(600)[:200])
        rest = np.setdiff1d(np.arange(600), learn)
        drift = drift_of(counts[learn], latency[learn], learn.astype(float), [counted_prior(design)])
        fitted = fit_posterior(counts[learn], latency[learn] / drift.factors, counted_prior(design))
        mean, deviation = fitted.predict(counts[rest])
        factor = drift.factors_at(rest.astype(float))
        error = np.abs(latency[rest] - mean * factor) / (1.645 * deviation * factor)
        covered["believed"].append(float((error <= 1).mean()))
        covered["widened"].append(float((error <= drift.widening).mean()))
    assert 0.88 < np.mean(covered["widened"]) < 0.93
    assert np.mean(covered["believed"]) < np.mean(covered["widened"])

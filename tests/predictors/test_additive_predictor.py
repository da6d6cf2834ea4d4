"""The additive model: what it reaches from a handful, and that its closed form is the textbook's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from predictors import choose_next, held_out_report, make_predictor
from predictors.posterior import NORMAL_90, TAIL, averaged_posterior, fit_posterior, spread_of
from predictors.prior import Prior, counted_prior
from predictors.report import score
from predictors.transfer import learn_prior, transfer_prior


def test_forty_eight_planned_measurements_are_enough(space, workload, make_device) -> None:
    """Of devices whose every block is ±30% off its counted work, measured with 1% noise."""
    within, ranks, covered = [], [], []
    for seed in range(6):
        device, rng = make_device(seed, noise=0.01), np.random.default_rng(seed)
        measured, predictor = space.sample(8, rng), None
        latency = device(measured)
        while len(measured) < 48:
            predictor = make_predictor("additive", space, workload).fit(measured, latency)
            chosen = choose_next(space, workload, measured, 8, rng, predictor=predictor)
            measured, latency = np.concatenate([measured, chosen]), np.append(latency, device(chosen))
        new = space.sample(300, rng)
        report = held_out_report(
            make_predictor("additive", space, workload).fit(measured, latency), new, device(new)
        )
        within.append(report.within_10)
        ranks.append(report.spearman)
        covered.append(report.coverage_90)
    assert min(within) > 0.95
    assert min(ranks) > 0.99
    assert 0.82 < np.mean(covered) < 0.98


def test_families_far_from_their_counted_work_are_learned_from_few(space, workload, design) -> None:
    """As on boards whose engine takes many times as long for some layers as for others."""
    families = list(dict.fromkeys(design.families))
    counted = counted_prior(design)
    errors, without = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        factor = dict(zip(families, np.exp(rng.uniform(-1.5, 1.5, len(families))), strict=True))
        cost = counted.mean * np.array([factor[family] for family in design.families])
        population, new = space.sample(16, rng), space.sample(200, rng)
        latency, asked = design.counts(population) @ cost, design.counts(new) @ cost
        predictor = make_predictor("additive", space, workload).fit(population, latency)
        errors.append(score(predictor.predict(new), asked).mape)
        alone = fit_posterior(design.counts(population), latency, counted)
        without.append(np.abs(design.counts(new) @ alone.mean / asked - 1).mean())
    assert np.mean(errors) < 0.6 * np.mean(without)
    assert max(errors) < 0.1


def test_a_block_never_measured_costs_what_its_work_suggests(space, workload, design, make_device) -> None:
    population = space.sample(3000, np.random.default_rng(0))
    counts = design.counts(population)
    hidden = design.names.index("mixer/taylor/h8/d128")
    device = make_device(0, apart=0.0)
    without = population[counts[:, hidden] == 0][:60]
    posterior = fit_posterior(design.counts(without), device(without), counted_prior(design))
    alone = np.eye(len(design.names))[hidden]
    expected = 1e-6 * counted_prior(design).mean[hidden]
    mean, deviation = posterior.predict(alone[None])
    assert mean[0] == pytest.approx(expected, rel=0.25)
    seen = np.eye(len(design.names))[design.names.index("channel/mlp/r4/d128")][None]
    assert deviation[0] / mean[0] > np.divide(*posterior.predict(seen)[::-1])[0]


def test_coefficients_never_are_negative(design, space) -> None:
    rng = np.random.default_rng(0)
    counts = design.counts(space.sample(30, rng))
    posterior = fit_posterior(counts, np.exp(rng.standard_normal(30)), counted_prior(design))
    assert (posterior.mean >= 0).all()


def test_an_outlier_hardly_matters(space, workload, make_device) -> None:
    device, population = make_device(3, noise=0.005), space.sample(60, np.random.default_rng(3))
    latency = device(population)
    new = space.sample(200, np.random.default_rng(4))
    clean = make_predictor("additive", space, workload).fit(population, latency)
    latency[7] *= 3
    spoilt = make_predictor("additive", space, workload).fit(population, latency)
    assert np.abs(spoilt.predict(new).mean / clean.predict(new).mean - 1).mean() < 0.03


def test_measurements_known_to_be_bad_count_less(space, workload, make_device) -> None:
    device, population = make_device(5), space.sample(60, np.random.default_rng(5))
    latency = device(population)
    bad = np.arange(60) < 30
    spoilt = np.where(bad, 1.3 * latency, latency)
    error = np.where(bad, 0.3, 0.001) * latency
    told = make_predictor("additive", space, workload).fit(population, spoilt, error)
    report = score(told.predict(population[~bad]), latency[~bad])
    assert report.mape < 0.02


def test_the_closed_form_is_the_textbook_s() -> None:
    """Against (Σ⁻¹ + XᵀX/σ²)⁻¹, with the noise that was chosen read back, and the mean curvature of the
    Student t's likelihood there."""
    rng = np.random.default_rng(0)
    truth = np.array([1.0, 2.0, 3.0])
    counts = rng.integers(1, 5, (40, 3)).astype(float)
    latency = counts @ truth * (1 + 0.01 * rng.standard_normal(40))
    covariance = np.diag([0.5, 1.0, 1.5]) ** 2
    posterior = fit_posterior(counts, latency, Prior(("a", "b", "c"), truth, covariance))
    rows = counts / (counts @ posterior.mean)[:, None]
    residual = latency / (counts @ posterior.mean) - 1
    scale = posterior.noise / TAIL
    squared = (residual / scale) ** 2
    curvature = np.mean(5 * (4 - squared) / (4 + squared) ** 2)
    data = curvature * rows.T @ rows / scale**2
    assert np.linalg.inv(posterior.covariance) == pytest.approx(data, rel=0.05, abs=0.02 * data.max())
    np.testing.assert_allclose(posterior.mean, truth, rtol=0.02)


def test_errors_that_are_all_alike_tell_what_another_session_may_be_off_by_and_nothing_else(
    design, space, make_device
) -> None:
    population = space.sample(40, np.random.default_rng(6))
    counts, latency = design.counts(population), make_device(6, noise=0.02)(population)
    prior = counted_prior(design)
    untold = fit_posterior(counts, latency, prior).predict(counts)
    for error in (0.001, 0.05):
        told = fit_posterior(counts, latency, prior, np.full(40, error)).predict(counts)
        np.testing.assert_allclose(told[0], untold[0], rtol=1e-9)
        np.testing.assert_allclose(told[1], np.maximum(untold[1], told[1]), rtol=1e-9)
        assert (told[1] >= error * told[0]).all()


def test_what_another_session_may_be_off_by_is_covered(design, space, make_device) -> None:
    """Measurements of one session agree with each other within 0.2%, and the next session is off by what the
    store says that sessions are."""
    rng = np.random.default_rng(3)
    population, new = space.sample(60, rng), space.sample(200, rng)
    device, prior = make_device(3, noise=0.002), counted_prior(design)
    for error in (0.01, 0.03):
        fitted = fit_posterior(design.counts(population), device(population), prior, np.full(60, error))
        mean, deviation = fitted.predict(design.counts(new))
        covered = [
            np.abs(mean - device(new) * (1 + off)) <= NORMAL_90 * deviation
            for off in error * ndtri((np.arange(40) + 0.5) / 40)
        ]
        assert 0.85 < np.mean(covered) < 0.95


def test_measurements_that_are_known_to_be_bad_do_not_widen_all_others(design, space, make_device) -> None:
    rng = np.random.default_rng(4)
    population, new = space.sample(60, rng), space.sample(200, rng)
    latency, bad = make_device(4, noise=0.005)(population), np.arange(60) % 5 == 0
    counts, prior = design.counts(population), counted_prior(design)
    off = latency * np.where(bad, 1 + 0.3 * rng.choice([-1, 1], 60), 1)
    told = fit_posterior(counts, off, prior, np.where(bad, 0.3, 0.001))
    without = fit_posterior(counts[~bad], latency[~bad], prior)
    deviations = [fit.predict(design.counts(new))[1].mean() for fit in (told, without)]
    assert deviations[0] < 1.5 * deviations[1]


def test_priors_are_averaged_by_how_likely_they_make_the_measurements(design, space, make_device) -> None:
    """One alone is itself; mean and variance of two are those of drawing a prior first; measurements outvote
    a wrong one of a million to one."""
    population, new = space.sample(6, np.random.default_rng(7)), space.sample(50, np.random.default_rng(8))
    counts, latency = design.counts(population), make_device(7, noise=0.01)(population)
    right = counted_prior(design)
    astray = np.exp(np.random.default_rng(1).standard_normal(len(right.mean)))
    wrong = replace(right, mean=right.mean * astray)
    alone = fit_posterior(counts, latency, right)
    np.testing.assert_allclose(averaged_posterior(counts, latency, [right]).mean, alone.mean)
    fits = [alone, fit_posterior(counts, latency, wrong)]
    # Odds that make both as likely.
    even = replace(wrong, odds=float(np.exp(fits[0].evidence - fits[1].evidence)))
    both = averaged_posterior(counts, latency, [right, even])
    rows = design.counts(new)
    means = [rows @ fit.mean for fit in fits]
    np.testing.assert_allclose(rows @ both.mean, np.mean(means, 0))
    variances = [((rows @ fit.covariance) * rows).sum(1) for fit in (*fits, both)]
    np.testing.assert_allclose(variances[2], np.mean(variances[:2], 0) + np.var(means, 0))
    many = space.sample(60, np.random.default_rng(9))
    counts, latency = design.counts(many), make_device(7, noise=0.01)(many)
    outvoted = averaged_posterior(counts, latency, [right, replace(wrong, odds=1e6)])
    np.testing.assert_allclose(outvoted.mean, fit_posterior(counts, latency, right).mean, rtol=1e-3)


def test_a_share_of_what_is_learned_is_between(design) -> None:
    counted = counted_prior(design)
    learned = replace(counted, mean=4 * counted.mean, covariance=0.16 * counted.covariance, odds=9.0)
    between = counted.toward(learned, 0.5)
    np.testing.assert_allclose(between.mean, 2 * counted.mean)
    np.testing.assert_allclose(np.diag(between.covariance), 4 * np.diag(counted.covariance) * (1 + 0.01) / 2)
    assert between.odds == 3.0
    for share, end in ((0.0, counted), (1.0, learned)):
        found = counted.toward(learned, share)
        np.testing.assert_allclose(found.mean, end.mean)
        np.testing.assert_allclose(found.covariance, end.covariance)
        assert found.odds == end.odds


def test_left_out_errors_are_those_of_really_leaving_out(design, space, make_device) -> None:
    population = space.sample(40, np.random.default_rng(8))
    counts, latency = design.counts(population), make_device(8, noise=0.02)(population)
    whole = fit_posterior(counts, latency, counted_prior(design))
    kept = np.arange(40)
    really = [
        latency[i]
        / (counts[i] @ fit_posterior(counts[kept != i], latency[kept != i], counted_prior(design)).mean)
        - 1
        for i in kept
    ]
    assert np.corrcoef(whole.residuals, really)[0, 1] > 0.9
    assert np.abs(whole.residuals).mean() == pytest.approx(np.abs(really).mean(), rel=0.2)


def test_intervals_cover_what_they_say(design, space, make_device) -> None:
    """Where the model is right, from few measurements a term and on new architectures."""
    covered = []
    for seed in range(20):
        device, rng = make_device(seed, noise=0.01), np.random.default_rng(seed)
        known, new = space.sample(60, rng), space.sample(300, rng)
        fitted = fit_posterior(design.counts(known), device(known), counted_prior(design))
        mean, deviation = fitted.predict(design.counts(new))
        covered.append(float((np.abs(device(new) - mean) <= 1.645 * deviation).mean()))
    assert 0.88 < np.mean(covered) < 0.92


@pytest.mark.parametrize("size", [0.5, 1.0, 3.0])
def test_spread_is_what_covers_ninety_percent(size: float) -> None:
    errors = size * np.random.default_rng(0).standard_normal(5000)
    assert spread_of(errors) == pytest.approx(size, rel=0.05)
    assert spread_of(np.empty(0), guess=1.3) == pytest.approx(1.3, rel=0.1)


def test_other_devices_teach(space, workload, design, make_device) -> None:
    """Devices that share what counted work does not tell: five known ones halve the error from five."""
    common = np.exp(0.5 * np.random.default_rng(9).standard_normal(len(design.names)))

    def device(seed: int, population):
        own = np.exp(0.05 * np.random.default_rng(seed).standard_normal(len(design.names)))
        return design.counts(population) @ (1e-6 * counted_prior(design).mean * common * own) * (1 + seed)

    known = space.sample(80, np.random.default_rng(0))
    prior = transfer_prior(space, workload, [(workload, known, device(seed, known)) for seed in range(1, 6)])
    assert prior.odds == 5
    few, new = space.sample(5, np.random.default_rng(1)), space.sample(300, np.random.default_rng(2))
    errors = {
        name: held_out_report(
            make_predictor(name, space, workload, prior).fit(few, device(7, few)), new, device(7, new)
        ).mape
        for name in ("additive", "transfer")
    }
    assert errors["transfer"] < 0.5 * errors["additive"]
    assert errors["transfer"] < 0.06


def test_a_device_unlike_all_known_ones_is_not_bent_to_them(space, workload, design, make_device) -> None:
    """Two known devices, alike and wrong: from thirty samples on the prior no longer rules."""
    known, new = space.sample(80, np.random.default_rng(0)), space.sample(300, np.random.default_rng(2))
    prior = transfer_prior(space, workload, [(workload, known, make_device(1, apart=1.5)(known))] * 2)
    device, few = make_device(2, noise=0.01), space.sample(30, np.random.default_rng(1))
    errors = {
        name: held_out_report(
            make_predictor(name, space, workload, prior).fit(few, device(few)), new, device(new)
        ).mape
        for name in ("additive", "transfer")
    }
    assert errors["transfer"] <= 1.05 * errors["additive"] < 0.1


def test_a_prior_survives_json_and_refuses_another_space(design, space, workload) -> None:
    import json

    prior = counted_prior(design)
    again = Prior.from_dict(json.loads(json.dumps(prior.to_dict())))
    np.testing.assert_array_equal(again.covariance, prior.covariance)
    assert again.check(design) is again
    with pytest.raises(ValueError, match="accepted: the design's own"):
        make_predictor("transfer", space, workload, Prior(("x",), np.ones(1), np.eye(1)))


def test_no_device_teaches_nothing(design) -> None:
    with pytest.raises(ValueError, match="at least one"):
        learn_prior(design, [])


def test_one_device_teaches_its_shape(design, space, workload, make_device) -> None:
    population = space.sample(100, np.random.default_rng(0))
    counts, latency = design.counts(population), make_device(1)(population)
    prior = transfer_prior(space, workload, [(workload, population, latency)])
    ratio = latency / (counts @ prior.mean)
    assert np.ptp(ratio) / ratio.mean() < 0.1


def test_a_device_that_contradicts_itself_teaches_nothing(space, workload, make_device) -> None:
    """Numbers drawn at random over ten decades, beside three devices that are what they say."""
    known = space.sample(40, np.random.default_rng(5))
    absurd = 10.0 ** np.random.default_rng(6).uniform(-5, 5, len(known))
    others = [(workload, known, make_device(seed)(known)) for seed in (1, 2, 3)]
    clean, poisoned = (
        transfer_prior(space, workload, others),
        transfer_prior(space, workload, [*others, (workload, known, absurd)]),
    )
    assert clean is not None
    assert poisoned is not None
    np.testing.assert_array_equal(poisoned.mean, clean.mean)
    np.testing.assert_array_equal(poisoned.covariance, clean.covariance)
    assert transfer_prior(space, workload, [(workload, known, absurd)]) is None


def test_one_absurd_latency_moves_no_prior_beyond_reason(space, workload, make_device) -> None:
    known = space.sample(40, np.random.default_rng(5))
    latency = make_device(1)(known)
    latency[7] = 1e300
    prior = transfer_prior(space, workload, [(workload, known, latency)])
    assert prior is not None
    fitted = make_predictor("transfer", space, workload, prior).fit(known, make_device(2)(known))
    assert held_out_report(fitted, known, make_device(2)(known)).mape < 0.1

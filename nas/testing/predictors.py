"""The contract of latency predictors, and devices that behave as predictors assume."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from nas.testing.contract import Contract
from predictors import Predictor, PredictorError, get_predictor, held_out_report, make_predictor
from predictors import restore_predictor as restore
from predictors.design import SpaceDesign
from predictors.predictor import Vector
from predictors.prior import counted_prior
from searchspaces import Population, load_space
from workers.target import Workload

__all__ = ["DEEP", "SPACE", "WORKLOAD", "Device", "PredictorContract", "make_device"]

Device = Callable[[Population], Vector]
"""(n, genes) → (n,) milliseconds."""

SPACE = load_space("hybrid-lm")
WORKLOAD = Workload(tokens=1024)
# The same blocks, in models of which each takes as long as a dozen single blocks and more.
DEEP = load_space({**SPACE.spec.model_dump(), "name": "deep", "depth": list(range(12, 17))})


def make_device(
    design: SpaceDesign, seed: int, noise: float = 0.0, apart: float = 0.3, alone: float = 1.0
) -> Device:
    """A device on which every block costs its counted work times a factor of its own.

    Args:
        noise: standard deviation of a measurement's logarithm.
        apart: standard deviation of the logarithms of blocks' factors.
        alone: how many times that single blocks take, in a space that has some beside its members.
    """
    rng = np.random.default_rng(seed)
    mean = counted_prior(design).mean
    cost = 1e-6 * mean * np.exp(apart * rng.standard_normal(len(mean)))

    def measure(population: Population) -> Vector:
        exact = design.counts(population) @ cost * np.where(design.single_blocks(population), alone, 1.0)
        return np.asarray(exact * np.exp(noise * rng.standard_normal(len(population))), float)

    return measure


class PredictorContract(Contract):
    """What every predictor does, whatever it knows.

    Attributes:
        subjects: registered names.
    """

    @pytest.fixture
    def unfitted(self, subject: str) -> Predictor:
        return make_predictor(subject, SPACE, WORKLOAD)

    @pytest.fixture
    def data(self) -> tuple[Population, Vector]:
        population = SPACE.sample(40, np.random.default_rng(1))
        return population, make_device(SpaceDesign(SPACE, WORKLOAD), 1, noise=0.01)(population)

    def test_ranks_architectures_it_did_not_see(self, unfitted: Predictor, data: Any) -> None:
        new = SPACE.sample(200, np.random.default_rng(2))
        true = make_device(SpaceDesign(SPACE, WORKLOAD), 1)(new)
        report = held_out_report(unfitted.fit(*data), new, true)
        assert report.spearman > 0.6
        assert report.mape < 0.6

    def test_means_and_deviations_are_positive_numbers(self, unfitted: Predictor, data: Any) -> None:
        prediction = unfitted.fit(*data).predict(SPACE.sample(100, np.random.default_rng(3)))
        assert prediction.mean.shape == prediction.std.shape == (100,)
        for values in (prediction.mean, prediction.std):
            assert np.isfinite(values).all()
            assert (values > 0).all()

    def test_what_never_varied_among_few_measurements_does_not_blow_up(self, unfitted: Predictor) -> None:
        """Six models of one depth say little of others, but nothing absurd."""
        design = SpaceDesign(SPACE, WORKLOAD)
        population = SPACE.sample(2000, np.random.default_rng(5))
        depth = design.flat(population)[:, 1]
        alike = population[depth == 4][:6]
        new = population[depth != 4]
        device = make_device(design, 1)
        mean = unfitted.fit(alike, device(alike)).predict(new).mean
        assert (np.abs(np.log(mean / device(new))) < np.log(100)).all()

    @pytest.mark.parametrize("alone", [1.0, 0.9, 1.1])
    def test_learns_from_single_blocks_where_it_says_so(self, subject: str, alone: float) -> None:
        """Whatever factor separates them from blocks in whole models; the space itself is served."""
        if not get_predictor(subject).learns_from_blocks:
            pytest.skip(f"{subject} learns from whole models only")
        beside = DEEP.with_single_blocks
        design = SpaceDesign(beside, WORKLOAD)
        rng = np.random.default_rng(1)
        device = make_device(design, 1, noise=0.01, alone=alone)
        blocks = beside.sample(1000, rng)
        blocks = np.unique(blocks[~beside.is_member(blocks)], axis=0)
        members, new = DEEP.sample(6, rng), DEEP.sample(200, rng)
        both = np.concatenate([members, rng.permutation(blocks)[:60]])
        few = make_predictor(subject, beside, WORKLOAD).fit(members, device(members))
        state = make_predictor(subject, beside, WORKLOAD).fit(both, device(both)).to_state()
        true = make_device(design, 1)(new)
        error = held_out_report(restore(DEEP, WORKLOAD, state), new, true).mape
        assert error < 0.02
        assert error < 0.5 * held_out_report(few, new, true).mape

    def test_survives_json(self, unfitted: Predictor, data: Any) -> None:
        population = SPACE.sample(50, np.random.default_rng(4))
        expected = unfitted.fit(*data).predict(population)
        state = json.loads(json.dumps(unfitted.to_state(), allow_nan=False))
        restored = restore(SPACE, WORKLOAD, state)
        assert restored.name == unfitted.name
        found = restored.predict(population)
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9)
        np.testing.assert_allclose(found.std, expected.std, rtol=1e-9)

    def test_learns_the_same_from_the_same(self, subject: str, data: Any) -> None:
        first, second = (
            make_predictor(subject, SPACE, WORKLOAD).fit(*data).predict(data[0]) for _ in range(2)
        )
        assert (first.mean == second.mean).all()
        assert (first.std == second.std).all()

    def test_knows_no_unit(self, subject: str, data: Any) -> None:
        population, latency = data
        small, large = (
            make_predictor(subject, SPACE, WORKLOAD).fit(population, latency * unit).predict(population)
            for unit in (1, 4096)
        )
        np.testing.assert_allclose(large.mean, small.mean * 4096, rtol=0.02)

    def test_can_be_fitted_again(self, subject: str, data: Any) -> None:
        population, latency = data
        again = make_predictor(subject, SPACE, WORKLOAD).fit(population[:20], latency[:20]).fit(*data)
        np.testing.assert_allclose(
            again.predict(population).mean,
            make_predictor(subject, SPACE, WORKLOAD).fit(*data).predict(population).mean,
        )

    def test_takes_standard_errors(self, unfitted: Predictor, data: Any) -> None:
        population, latency = data
        fitted = unfitted.fit(population, latency, 0.01 * latency)
        assert fitted.predict(population).mean.shape == (40,)

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda y: np.where(np.arange(len(y)) == 3, np.nan, y), r"values\[3\] is nan"),
            (lambda y: np.where(np.arange(len(y)) == 3, 0.0, y), r"values\[3\] is 0"),
            (lambda y: -y, r"\(40 such\)"),
            (lambda y: np.where(np.arange(len(y)) == 3, np.inf, y), r"values\[3\] is inf"),
            (lambda y: y[:-1], "shape"),
            (lambda y: y[:, None], "shape"),
        ],
        ids=["nan", "zero", "negative", "infinite", "short", "two-dimensional"],
    )
    def test_refuses_what_is_no_latency(
        self, unfitted: Predictor, data: Any, spoil: Callable[[Vector], Vector], message: str
    ) -> None:
        population, latency = data
        with pytest.raises(PredictorError, match=message):
            unfitted.fit(population, spoil(latency))

    def test_refuses_nothing_and_answers_nothing_unfitted(self, unfitted: Predictor, data: Any) -> None:
        population, latency = data
        with pytest.raises(PredictorError, match="accepted: at least"):
            unfitted.fit(population[:0], latency[:0])
        with pytest.raises(PredictorError, match="not fitted"):
            unfitted.predict(population)
        with pytest.raises(PredictorError, match="not fitted"):
            unfitted.to_state()

    def test_refuses_states_that_are_not_its_own(self, unfitted: Predictor, data: Any) -> None:
        state = unfitted.fit(*data).to_state()
        with pytest.raises(PredictorError, match="schema"):
            restore(SPACE, WORKLOAD, {**state, "schema": 99})
        other = load_space({**SPACE.spec.model_dump(), "width": [64]})
        with pytest.raises(PredictorError, match="terms"):
            restore(other, WORKLOAD, state)
        known = {key: state[key] for key in ("predictor", "schema", "terms")}
        with pytest.raises(PredictorError, match="damaged"):
            restore(SPACE, WORKLOAD, known)

    def test_is_finite_whatever_was_measured(self, subject: str) -> None:
        """One absurd number, or a dozen: every fit is a number, and so is what is told of it."""
        population, new = (SPACE.sample(n, np.random.default_rng(n)) for n in (12, 30))
        a_dozen = st.lists(st.floats(min_value=1e-300, max_value=1e300), min_size=12, max_size=12)

        @settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.generate))
        @given(values=a_dozen, errors=a_dozen)
        @example(values=[1.0] * 11 + [1e300], errors=[0.01] * 12)
        @example(values=[1.0] * 11 + [1e-300], errors=[0.01] * 12)
        @example(values=[1e300] * 12, errors=[1e-300] * 12)
        @example(values=[1e-300] * 12, errors=[1e300] * 12)
        @example(
            values=[6e299, 0.7, 7e298, 1e-7, 6e299, 2e299, 4e298, 7e299, 8e299, 1e-249, 5e16, 3e299],
            errors=[0.01] * 12,
        )
        def is_finite(values: list[float], errors: list[float]) -> None:
            fitted = make_predictor(subject, SPACE, WORKLOAD).fit(
                population, np.array(values), np.array(errors)
            )
            prediction = fitted.predict(new)
            for found in (prediction.mean, prediction.std):
                assert np.isfinite(found).all()
                assert (found > 0).all()
            report = held_out_report(fitted, population, np.array(values))
            assert np.isfinite(list(report.to_dict().values())).all()
            json.dumps(fitted.to_state(), allow_nan=False)

        is_finite()

    def test_a_latency_that_never_varies_is_learned(self, unfitted: Predictor, data: Any) -> None:
        population, latency = data
        prediction = unfitted.fit(population, np.full(len(latency), 5.0)).predict(population)
        assert np.isfinite(prediction.mean).all()
        assert (prediction.std > 0).all()

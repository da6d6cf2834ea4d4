"""What every predictor promises, whatever it knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest

from predictors import (
    Predictor,
    PredictorError,
    get_predictor,
    held_out_report,
    make_predictor,
    predictors,
    restore_predictor,
)
from predictors.design import SpaceDesign
from searchspaces import SearchSpace, load_space
from workers.target import Workload

NAMES = [
    pytest.param(
        name, marks=pytest.mark.skipif(not find_spec("lightgbm"), reason="lightgbm is not installed")
    )
    if name == "lightgbm"
    else name
    for name in predictors()
]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def unfitted(name: str, space: SearchSpace, workload: Workload) -> Predictor:
    return make_predictor(name, space, workload)


@pytest.fixture
def data(space, make_device):
    population = space.sample(40, np.random.default_rng(1))
    return population, make_device(1, noise=0.01)(population)


def test_ranks_architectures_it_did_not_see(unfitted, data, space, make_device) -> None:
    new = space.sample(200, np.random.default_rng(2))
    report = held_out_report(unfitted.fit(*data), new, make_device(1)(new))
    assert report.spearman > 0.6
    assert report.mape < 0.6


def test_means_and_deviations_are_positive_numbers(unfitted, data, space) -> None:
    prediction = unfitted.fit(*data).predict(space.sample(100, np.random.default_rng(3)))
    assert prediction.mean.shape == prediction.std.shape == (100,)
    for values in (prediction.mean, prediction.std):
        assert np.isfinite(values).all()
        assert (values > 0).all()


def test_what_never_varied_among_few_measurements_does_not_blow_up(
    name, space, workload, make_device
) -> None:
    """Six models of one depth say little of others, but nothing absurd."""
    population = space.sample(2000, np.random.default_rng(5))
    depth = SpaceDesign(space, workload).flat(population)[:, 1]
    alike = population[depth == 4][:6]
    new = population[depth != 4]
    device = make_device(1)
    mean = make_predictor(name, space, workload).fit(alike, device(alike)).predict(new).mean
    assert (np.abs(np.log(mean / device(new))) < np.log(100)).all()


@pytest.mark.parametrize("alone", [1.0, 0.9, 1.1])
@pytest.mark.parametrize("name", [name for name, kind in predictors().items() if kind.learns_from_blocks])
def test_learns_from_single_blocks_where_it_says_so(name, deep_space, workload, make_device, alone) -> None:
    """Whatever factor separates them from blocks in whole models; the space itself is served."""
    beside = deep_space.with_single_blocks
    design = SpaceDesign(beside, workload)
    rng = np.random.default_rng(1)
    device = make_device(1, noise=0.01, of=design, alone=alone)
    blocks = beside.sample(1000, rng)
    blocks = np.unique(blocks[~beside.is_member(blocks)], axis=0)
    members, new = deep_space.sample(6, rng), deep_space.sample(200, rng)
    both = np.concatenate([members, rng.permutation(blocks)[:60]])
    few = make_predictor(name, beside, workload).fit(members, device(members))
    state = make_predictor(name, beside, workload).fit(both, device(both)).to_state()
    restored = restore_predictor(deep_space, workload, state)
    true = make_device(1, of=design)(new)
    error = held_out_report(restored, new, true).mape
    assert error < 0.02
    assert error < 0.5 * held_out_report(few, new, true).mape


def test_survives_json(unfitted, data, space, workload) -> None:
    population = space.sample(50, np.random.default_rng(4))
    expected = unfitted.fit(*data).predict(population)
    state = json.loads(json.dumps(unfitted.to_state(), allow_nan=False))
    restored = restore_predictor(space, workload, state)
    assert restored.name == unfitted.name
    found = restored.predict(population)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9)
    np.testing.assert_allclose(found.std, expected.std, rtol=1e-9)


def test_learns_the_same_from_the_same(name, space, workload, data) -> None:
    first, second = (make_predictor(name, space, workload).fit(*data).predict(data[0]) for _ in range(2))
    assert (first.mean == second.mean).all()
    assert (first.std == second.std).all()


def test_knows_no_unit(name, space, workload, data) -> None:
    population, latency = data
    small = make_predictor(name, space, workload).fit(population, latency).predict(population)
    large = make_predictor(name, space, workload).fit(population, latency * 4096).predict(population)
    np.testing.assert_allclose(large.mean, small.mean * 4096, rtol=0.02)


def test_can_be_fitted_again(name, space, workload, data) -> None:
    population, latency = data
    again = make_predictor(name, space, workload).fit(population[:20], latency[:20]).fit(*data)
    np.testing.assert_allclose(
        again.predict(population).mean,
        make_predictor(name, space, workload).fit(*data).predict(population).mean,
    )


def test_takes_standard_errors(unfitted, data) -> None:
    population, latency = data
    assert unfitted.fit(population, latency, 0.01 * latency).predict(population).mean.shape == (40,)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda y: np.where(np.arange(len(y)) == 3, np.nan, y), r"latency_ms\[3\] is nan"),
        (lambda y: np.where(np.arange(len(y)) == 3, 0.0, y), r"latency_ms\[3\] is 0"),
        (lambda y: -y, r"\(40 such\)"),
        (lambda y: np.where(np.arange(len(y)) == 3, np.inf, y), r"latency_ms\[3\] is inf"),
        (lambda y: y[:-1], "shape"),
        (lambda y: y[:, None], "shape"),
    ],
    ids=["nan", "zero", "negative", "infinite", "short", "two-dimensional"],
)
def test_refuses_what_is_no_latency(unfitted, data, spoil: Callable[[object], object], message: str) -> None:
    population, latency = data
    with pytest.raises(PredictorError, match=message):
        unfitted.fit(population, spoil(latency))


def test_refuses_nothing_and_answers_nothing_unfitted(unfitted, data) -> None:
    population, latency = data
    with pytest.raises(PredictorError, match="accepted are at least"):
        unfitted.fit(population[:0], latency[:0])
    with pytest.raises(PredictorError, match="not fitted"):
        unfitted.predict(population)
    with pytest.raises(PredictorError, match="not fitted"):
        unfitted.to_state()


def test_refuses_states_that_are_not_its_own(unfitted, data, space, workload) -> None:
    state = unfitted.fit(*data).to_state()
    with pytest.raises(PredictorError, match="schema"):
        restore_predictor(space, workload, {**state, "schema": 99})
    other = load_space({**space.spec.model_dump(), "width": [64]})
    with pytest.raises(PredictorError, match="terms"):
        restore_predictor(other, workload, state)
    known = {key: state[key] for key in ("predictor", "schema", "terms")}
    with pytest.raises(PredictorError, match="damaged"):
        restore_predictor(space, workload, known)


def test_a_latency_that_never_varies_is_learned(unfitted, data) -> None:
    population, latency = data
    prediction = unfitted.fit(population, np.full(len(latency), 5.0)).predict(population)
    assert np.isfinite(prediction.mean).all()
    assert (prediction.std > 0).all()


def test_unknown_names_are_told_apart(space, workload) -> None:
    with pytest.raises(ValueError, match="accepted: additive"):
        get_predictor("tarot")
    with pytest.raises(ValueError, match="None"):
        restore_predictor(space, workload, {})

"""Predictors that look at the data before they decide."""

from __future__ import annotations

import numpy as np

from predictors import held_out_report, make_predictor
from predictors.auto import Auto
from predictors.residual import Residual


def test_residual_is_found_only_where_there_is_one(space, workload, make_device) -> None:
    device = make_device(1, noise=0.01)
    population, new = space.sample(150, np.random.default_rng(1)), space.sample(300, np.random.default_rng(2))

    def bent(rows):
        """A device whose caches overflow: deep models take 30% more."""
        return device(rows) * (1 + 0.3 * (rows[:, 1] >= 3))

    plain = make_predictor("residual", space, workload).fit(population, device(population))
    assert isinstance(plain, Residual)
    assert plain.process is None
    base = make_predictor("transfer", space, workload).fit(population, bent(population))
    found = make_predictor("residual", space, workload).fit(population, bent(population))
    assert isinstance(found, Residual)
    assert found.process is not None
    error = held_out_report(found, new, bent(new)).mape
    assert error < 0.75 * held_out_report(base, new, bent(new)).mape


def test_auto_says_what_it_chose_and_why(space, workload, make_device) -> None:
    population = space.sample(40, np.random.default_rng(1))
    latency = make_device(1, noise=0.01)(population)
    few = make_predictor("auto", space, workload).fit(population[:5], latency[:5])
    assert isinstance(few, Auto)
    assert few.reason == "additive: 5 whole models are too few to compare"
    many = make_predictor("auto", space, workload).fit(population, latency)
    assert isinstance(many, Auto)
    assert many.chosen is not None
    assert many.reason.startswith(f"{many.chosen.name}: cross-validated error on 40 whole models: additive ")

"""A space and devices that behave as predictors assume, so that what they reach can be asserted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from predictors.design import SpaceDesign
from predictors.predictor import Vector
from predictors.prior import counted_prior
from searchspaces import Population, SearchSpace, load_space
from workers.target import Workload

Device = Callable[[Population], Vector]


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return load_space("hybrid-lm")


@pytest.fixture(scope="session")
def workload() -> Workload:
    return Workload(tokens=1024)


@pytest.fixture(scope="session")
def design(space: SearchSpace, workload: Workload) -> SpaceDesign:
    return SpaceDesign(space, workload)


@pytest.fixture(scope="session")
def make_device(design: SpaceDesign) -> Callable[..., Device]:
    """A device by seed: every block costs its counted work times a factor of its own."""

    def make(seed: int, noise: float = 0.0, apart: float = 0.3) -> Device:
        rng = np.random.default_rng(seed)
        mean = counted_prior(design).mean
        cost = 1e-6 * mean * np.exp(apart * rng.standard_normal(len(mean)))

        def measure(population: Population) -> Vector:
            exact = design.counts(population) @ cost
            return np.asarray(exact * np.exp(noise * rng.standard_normal(len(population))), float)

        return measure

    return make

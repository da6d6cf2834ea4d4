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
def deep_space(space: SearchSpace) -> SearchSpace:
    """The same blocks, in models of which each takes as long as a dozen single blocks and more."""
    return load_space({**space.spec.model_dump(), "name": "deep", "depth": list(range(12, 17))})


@pytest.fixture(scope="session")
def workload() -> Workload:
    return Workload(tokens=1024)


@pytest.fixture(scope="session")
def design(space: SearchSpace, workload: Workload) -> SpaceDesign:
    return SpaceDesign(space, workload)


@pytest.fixture(scope="session")
def make_device(design: SpaceDesign) -> Callable[..., Device]:
    """A device by seed: every block costs its counted work times a factor of its own; of a space that has
    single blocks beside its members, `alone` times that in those."""

    def make(
        seed: int, noise: float = 0.0, apart: float = 0.3, of: SpaceDesign = design, alone: float = 1.0
    ) -> Device:
        rng = np.random.default_rng(seed)
        mean = counted_prior(design).mean
        cost = 1e-6 * mean * np.exp(apart * rng.standard_normal(len(mean)))

        def measure(population: Population) -> Vector:
            exact = of.counts(population) @ cost * np.where(of.single_blocks(population), alone, 1.0)
            return np.asarray(exact * np.exp(noise * rng.standard_normal(len(population))), float)

        return measure

    return make

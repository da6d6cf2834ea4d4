"""A space and devices that behave as predictors assume, so that what they reach can be asserted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nas.testing import predictors
from nas.testing.predictors import DEEP, SPACE, WORKLOAD, Device
from predictors.design import SpaceDesign
from searchspaces import SearchSpace
from workers.target import Workload


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return SPACE


@pytest.fixture(scope="session")
def deep_space() -> SearchSpace:
    return DEEP


@pytest.fixture(scope="session")
def workload() -> Workload:
    return WORKLOAD


@pytest.fixture(scope="session")
def design(space: SearchSpace, workload: Workload) -> SpaceDesign:
    return SpaceDesign(space, workload)


@pytest.fixture(scope="session")
def make_device(design: SpaceDesign) -> Callable[..., Device]:
    """`nas.testing.predictors.make_device`, of the space of these tests unless told otherwise."""

    def make(seed: int, *, of: SpaceDesign = design, **settings: float) -> Device:
        return predictors.make_device(of, seed, **settings)

    return make

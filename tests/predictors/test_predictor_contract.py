"""Every registered predictor keeps the contract: registering one enrols it here."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from nas.testing.predictors import PredictorContract
from predictors import get_predictor, predictors, restore_predictor

NEEDS = {"lightgbm": "lightgbm"}
"""Packages that come with an extra."""


class TestEveryPredictor(PredictorContract):
    subjects = tuple(
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name in NEEDS and not find_spec(NEEDS[name]), reason=f"{NEEDS.get(name)} is not installed"
            ),
        )
        for name in predictors()
    )


def test_unknown_names_are_told_apart(space, workload) -> None:
    with pytest.raises(ValueError, match="accepted: additive"):
        get_predictor("tarot")
    with pytest.raises(ValueError, match="None"):
        restore_predictor(space, workload, {})

"""Predictors by name, and back from stored data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from predictors.design import SpaceDesign
from predictors.predictor import Predictor, get_predictor
from predictors.prior import Prior
from searchspaces.space import SearchSpace
from workers.target import Workload

__all__ = ["make_predictor", "restore_predictor"]


def make_predictor(
    name: str, space: SearchSpace, workload: Workload, prior: Prior | None = None
) -> Predictor:
    """An unfitted predictor of a space's architectures under one workload.

    Args:
        name: a registered name, see `predictors.predictors()`.
        space: whose populations it will see.
        workload: what its latencies are latencies of.
        prior: what other devices taught, from `predictors.transfer_prior`.

    Raises:
        ValueError: no predictor of that name, or the prior belongs to another space.
    """
    design = SpaceDesign(space, workload)
    return get_predictor(name)(design, None if prior is None else prior.check(design))


def restore_predictor(space: SearchSpace, workload: Workload, state: Mapping[str, Any]) -> Predictor:
    """A fitted predictor from what `Predictor.to_state` gave.

    Raises:
        PredictorError: the state is of another version, space or workload, or is damaged.
    """
    predictor = make_predictor(str(state.get("predictor")), space, workload)
    return predictor.load_state(state)

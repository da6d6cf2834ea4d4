"""Weights of models that are only timed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from searchspaces.architecture import Architecture

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["random_weights"]


def random_weights(architecture: Architecture, seed: int = 0) -> dict[str, Tensor]:
    """A fresh submodel's, by the names of `Submodel.state_dict`; torch's own random numbers go on as if
    nothing had been drawn."""
    import torch

    from searchspaces.submodel import Submodel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Submodel(architecture).state_dict()

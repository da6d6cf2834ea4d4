"""The optimiser of a supernet: Muon for its matrices, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from searchspaces.submodel import Submodel
    from searchspaces.supernet import Supernet

__all__ = ["SupernetOptimizer"]

BETAS = (0.9, 0.98)
"""Of AdamW."""

WEIGHT_DECAY = 0.1
"""Decoupled; of matrices only, not of norms and embeddings."""

ADAMW_RATE = 1 / 3
"""AdamW's learning rate over Muon's."""


class SupernetOptimizer:
    """Muon (Jordan et al., 2024) for what the layers declare to be matrices, AdamW (Loshchilov & Hutter,
    2019) for embeddings, norms, kernels and gates.

    A supernet is trained on another architecture in every step, so the scale of a matrix's gradient changes
    from step to step with the mixer that uses it; Muon's updates have one scale whatever the gradient's.
    """

    def __init__(self, model: Supernet | Submodel) -> None:
        from torch.optim import AdamW

        from nas.training.muon import Muon

        self._named = dict(model.named_parameters())
        self._matrices = {name: self._named[name] for name in self._named if name in model.matrices}
        others = [p for name, p in self._named.items() if name not in self._matrices]
        self._muon = Muon(self._matrices.values(), weight_decay=WEIGHT_DECAY)
        self._adamw = AdamW(others, betas=BETAS, weight_decay=0.0, fused=True)

    def step(self, rate: float) -> None:
        """Take a step with the gradients at hand, at Muon's learning rate `rate`."""
        for optimizer, factor in ((self._muon, 1.0), (self._adamw, ADAMW_RATE)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """The whole state, as ``KEY/NAME`` of a moment and a parameter."""
        return {
            f"{key}/{name}": value
            for name, parameter in self._named.items()
            for key, value in self._optimizer_of(name).state.get(parameter, {}).items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        for optimizer in (self._muon, self._adamw):
            optimizer.state.clear()
        for key, value in tensors.items():
            moment, _, name = key.partition("/")
            self._optimizer_of(name).state[self._named[name]][moment] = value

    def _optimizer_of(self, name: str) -> Optimizer:
        return self._muon if name in self._matrices else self._adamw

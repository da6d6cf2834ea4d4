"""The optimisers of models: Muon for matrices and AdamW for everything else, or AdamW alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from searchspaces.submodel import Submodel
    from searchspaces.supernet import Supernet

__all__ = ["HealingOptimizer", "ModelOptimizer", "SupernetOptimizer"]

BETAS = (0.9, 0.98)
"""Of AdamW."""

WEIGHT_DECAY = 0.1
"""Decoupled; of matrices only, not of norms and embeddings."""

ADAMW_RATE = 1 / 3
"""AdamW's learning rate over Muon's."""


EMBEDDING = "embedding"
"""Name of a model's parameter."""


class ModelOptimizer:
    """What steps a model's parameters, each by one of several optimisers.

    Args:
        model: whose parameters are stepped.
        parts: an optimiser, its learning rate over that of a step, and the names of its parameters.
    """

    def __init__(
        self, model: Supernet | Submodel, parts: Sequence[tuple[Optimizer, float, Sequence[str]]]
    ) -> None:
        self._named = dict(model.named_parameters())
        self._parts = [(optimizer, factor) for optimizer, factor, _ in parts]
        self._of = {name: optimizer for optimizer, _, names in parts for name in names}

    def step(self, rate: float) -> None:
        """Take a step with the gradients at hand, at the learning rate `rate`."""
        for optimizer, factor in self._parts:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """The whole state, as ``KEY/NAME`` of a moment and a parameter."""
        return {
            f"{key}/{name}": value
            for name, parameter in self._named.items()
            for key, value in self._of[name].state.get(parameter, {}).items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        for optimizer, _ in self._parts:
            optimizer.state.clear()
        for key, value in tensors.items():
            moment, _, name = key.partition("/")
            self._of[name].state[self._named[name]][moment] = value


class SupernetOptimizer(ModelOptimizer):
    """Muon (Jordan et al., 2024) for what the layers declare to be matrices, AdamW (Loshchilov & Hutter,
    2019) for embeddings, norms, kernels and gates.

    A supernet is trained on another architecture in every step, so the scale of a matrix's gradient changes
    from step to step with the mixer that uses it; Muon's updates have one scale whatever the gradient's.
    """

    def __init__(self, model: Supernet | Submodel) -> None:
        from torch.optim import AdamW

        from nas.training.muon import Muon

        named = dict(model.named_parameters())
        matrices = [name for name in named if name in model.matrices]
        others = [name for name in named if name not in model.matrices]
        muon = Muon([named[name] for name in matrices], weight_decay=WEIGHT_DECAY)
        adamw = AdamW([named[name] for name in others], betas=BETAS, weight_decay=0.0, fused=True)
        super().__init__(model, [(muon, 1.0, matrices), (adamw, ADAMW_RATE, others)])


class HealingOptimizer(ModelOptimizer):
    """AdamW for everything: a pretrained model is near an optimum, where few small steps are wanted, and for
    matrices of hundreds of rows Muon's products take as long as the gradient of a sequence.

    An embedding, which is multiplied by √D before it is used, learns as much more slowly.
    """

    def __init__(self, model: Submodel) -> None:
        from torch.optim import AdamW

        names = [name for name, _ in model.named_parameters() if name != EMBEDDING]
        others = [model.get_parameter(name) for name in names]
        quick, slow = (
            AdamW(weights, betas=BETAS, weight_decay=0.0, fused=True)
            for weights in (others, [model.get_parameter(EMBEDDING)])
        )
        factor = model.architecture.width**-0.5
        super().__init__(model, [(quick, 1.0, names), (slow, factor, [EMBEDDING])])

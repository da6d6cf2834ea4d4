"""PyTorch on the processor, eager and compiled."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workers.errors import ModelUnusable
from workers.runtimes.runtime import INPUT, Inputs, LoadedModel, ModelFormat, Runtime, register_runtime
from workers.runtimes.submodels import first_state, rebuilt
from workers.target import Phase, Workload

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.architecture import Layer
    from searchspaces.part import View
    from searchspaces.submodel import DecodeState, Submodel

__all__ = ["CompiledSubmodel", "EagerSubmodel", "TorchCompile", "TorchEager"]


MASK = (1 << 64) - 1


class EagerSubmodel(LoadedModel):
    """A submodel as supernets run it, on the device and in the number format of its weights.

    Args:
        submodel: to run.
        workload: that its file was made for; its context is what the states of decoding hold at first.
    """

    def __init__(self, submodel: Submodel, workload: Workload) -> None:
        self.submodel = submodel
        self._state = first_state(submodel, workload) if workload.phase is Phase.DECODE else None

    def inputs(self, workload: Workload, vocabulary: int) -> Inputs:
        """See `LoadedModel.inputs`."""
        given = self.submodel.architecture.form.input
        if given.name == INPUT:
            return super().inputs(workload, vocabulary)
        return np.random.default_rng(0).standard_normal(given.shape(workload.batch), np.float32)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, N) token ids → (B, N, V) logits, or what else the model takes and tells."""
        logits: Tensor = self.submodel(inputs)
        return logits

    def extend(self, tokens: Tensor, state: DecodeState) -> tuple[Tensor, DecodeState]:
        """(B, 1) token ids → (B, 1, V) logits and the next state."""
        return self.submodel.extend(tokens, state)

    def __call__(self, inputs: Inputs) -> Sequence[NDArray[Any]]:
        """See `LoadedModel`; float32 whatever the weights are."""
        return [self._run(self._there(inputs), 1).float().cpu().numpy()]

    def in_a_row(self, inputs: Inputs, calls: int) -> Callable[[], object]:
        """See `LoadedModel.in_a_row`."""
        there = self._there(inputs)
        return lambda: self._run(there, calls)

    def _there(self, inputs: Inputs) -> Tensor:
        """On the model's device; numbers are of its weights' type."""
        import torch

        like, given = self.submodel.like, torch.from_numpy(inputs)
        return given.to(like) if given.is_floating_point() else given.to(like.device)

    def _run(self, inputs: Tensor, calls: int) -> Tensor:
        """The logits of the last call."""
        import torch

        state = self._state
        try:
            with torch.inference_mode():
                for _ in range(calls):
                    if state is None:
                        logits = self.forward(inputs)
                    else:
                        logits, state = self.extend(inputs, state)
        except (IndexError, RuntimeError) as error:
            raise ModelUnusable(f"torch does not run the model: {error}") from error
        return logits


class CompiledSubmodel(EagerSubmodel):
    """The same with each layer compiled by `torch.compile`, as soon as it is first run.

    A layer's weights are arguments, so what was compiled for one model serves every other of this process
    that has the same layer: a device compiles as many layers as a space has options, not as many models.
    """

    def __init__(self, submodel: Submodel, workload: Workload) -> None:
        super().__init__(submodel, workload)
        self._weights = submodel.weights

    def forward(self, inputs: Tensor) -> Tensor:
        """See `EagerSubmodel.forward`."""
        from searchspaces.blocks import forward

        return forward(inputs, self.submodel.architecture, self._weights, _compiled_forward)

    def extend(self, tokens: Tensor, state: DecodeState) -> tuple[Tensor, DecodeState]:
        """See `EagerSubmodel.extend`."""
        from searchspaces.blocks import extend
        from searchspaces.submodel import DecodeState

        logits, states = extend(
            tokens, state.position, self.submodel.architecture, self._weights, state.layers, _compiled_extend
        )
        return logits, DecodeState(state.position + tokens.shape[1], tuple(states))


@register_runtime("torch")
class TorchEager(Runtime):
    """The very arithmetic that supernets train, without a compiler. A model is rebuilt here from its
    architecture and weights (`ModelFormat.SUBMODEL`)."""

    package = "torch"
    model_format = ModelFormat.SUBMODEL
    phases = tuple(Phase)
    dtypes = ("fp32",)

    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """See `Runtime.load`. The number of threads is the process's: the last loaded model decides it."""
        import torch

        torch.set_num_threads(threads)
        return EagerSubmodel(*rebuilt(prepared))


@register_runtime("torch-compile")
class TorchCompile(TorchEager):
    """The same through `torch.compile` (TorchInductor; Ansel et al., 2024), layer by layer. The first model
    that has a layer waits seconds for it; that is not part of what is timed."""

    forks = False

    def obstacle(self) -> str | None:
        """See `Runtime.obstacle`."""
        if shutil.which("c++") is None and shutil.which("g++") is None:
            return "there is no C++ compiler, which torch.compile needs; install g++"
        return super().obstacle()

    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """See `Runtime.load`."""
        import torch

        torch.set_num_threads(threads)
        return CompiledSubmodel(*rebuilt(prepared))


def _compiled_forward(
    x: Tensor, layer: Layer, weights: Any, turns: Any, view: View, present: Tensor | None
) -> Tensor:
    mixed: Tensor = _compiled_for(x, _forward_layer, layer, view)(x, dict(weights), turns, present)
    return mixed


def _forward_layer(
    x: Tensor, layer: Layer, weights: Any, turns: Any, present: Tensor | None, view: View
) -> Tensor:
    from searchspaces.blocks import forward_layer

    return forward_layer(x, layer, weights, turns, view, present)


def _compiled_extend(x: Tensor, layer: Layer, weights: Any, turns: Any, state: Any, position: Any) -> Any:
    import torch

    from searchspaces.blocks import extend_layer

    # As a tensor: a number would be compiled for. Made on the device, as a CUDA graph wants it.
    here = torch.full((), position, device=x.device)
    return _compiled_for(x, extend_layer, layer)(x, dict(weights), turns, state, here)


def _compiled_for(x: Tensor, function: Callable[..., Any], layer: Layer, *last: View) -> Callable[..., Any]:
    """`function` of everything but its layer and its last arguments, compiled for such inputs."""
    import torch

    return _compiled(function, layer, last, (x.shape, x.dtype, x.device, torch.get_num_threads()))


@cache
def _compiled(
    function: Callable[..., Any], layer: Layer, last: tuple[View, ...], inputs: tuple[Any, ...]
) -> Callable[..., Any]:
    """Whole: in pieces it would not be what people compile."""
    import torch

    from searchspaces.channels import parse_channel
    from searchspaces.mixers import parse_mixer

    parse_mixer(layer.mixer), parse_channel(layer.channel)  # what they import cannot be compiled

    def run(x: Tensor, *others: Any) -> Any:
        return function(x, layer, *others, *last)

    # Code of its own: torch gives up on one piece of code after a few versions of it.
    run.__code__ = run.__code__.replace(co_name=f"layer_{hash((layer, last, inputs)) & MASK:x}")
    return torch.compile(run, fullgraph=True)

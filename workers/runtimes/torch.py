"""PyTorch, eager, on the processor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from workers.errors import ModelUnusable
from workers.runtimes.runtime import LoadedModel, ModelFormat, Runtime, Tokens, register_runtime
from workers.target import Phase, Workload

if TYPE_CHECKING:
    from searchspaces.submodel import DecodeState, Submodel

__all__ = ["TorchEager"]

CONTENT = "submodel"
"""The one entry of the file's metadata, JSON: ``{"architecture": …, "workload": "prefill/b1/n1024"}``."""


@register_runtime("torch")
class TorchEager(Runtime):
    """The very arithmetic that supernets train, without a compiler. A model is rebuilt here from its
    architecture and weights (`ModelFormat.SUBMODEL`)."""

    package = "torch"
    model_format = ModelFormat.SUBMODEL
    dtypes = ("fp32",)

    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """See `Runtime.load`. The number of threads is the process's: the last loaded model decides it."""
        import torch

        submodel, workload = _rebuilt(prepared)
        torch.set_num_threads(threads)
        state = _state(submodel, workload) if workload.phase is Phase.DECODE else None

        def run(tokens: Tokens) -> Sequence[NDArray[Any]]:
            ids = torch.from_numpy(tokens)
            try:
                with torch.inference_mode():
                    if state is None:
                        return [submodel(ids).numpy()]
                    return [submodel.step(ids[:, 0], state)[0].unsqueeze(1).numpy()]
            except (IndexError, RuntimeError) as error:
                raise ModelUnusable(f"torch does not run the model: {error}") from error

        return run


def _rebuilt(file: bytes) -> tuple[Submodel, Workload]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    from searchspaces.architecture import Architecture
    from searchspaces.submodel import Submodel

    try:
        content = _metadata(file)
        architecture = Architecture.from_dict(content["architecture"])
        workload = Workload.parse(content["workload"])
        submodel = Submodel(architecture)
        submodel.load_state_dict(load(file))
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelUnusable(
            f"torch does not load the model: {error}; accepted: a safetensors file of a submodel's weights, "
            f"whose metadata {CONTENT} name its architecture and workload"
        ) from error
    return submodel.eval(), workload


def _metadata(file: bytes) -> Any:
    """Of a safetensors file: 8 bytes of length, then a JSON header. The library reads it from paths only."""
    header = json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])
    return json.loads(header["__metadata__"][CONTENT])


def _state(submodel: Submodel, workload: Workload) -> DecodeState:
    """Fixed pseudo-random numbers in [0, 1) in the shapes that the state has after the context."""
    import torch

    from searchspaces.submodel import DecodeState, state_shapes

    generator = torch.Generator().manual_seed(0)
    layers = tuple(
        {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
        for shapes in state_shapes(submodel.architecture, workload.batch, workload.tokens)
    )
    return DecodeState(workload.tokens, layers)

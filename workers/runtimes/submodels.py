"""Models that are rebuilt from a submodel's weights and architecture (`ModelFormat.SUBMODEL`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workers.errors import ModelUnusable
from workers.target import Workload

if TYPE_CHECKING:
    from searchspaces.submodel import DecodeState, Submodel

__all__ = ["first_state", "rebuilt"]

CONTENT = "submodel"
"""The one entry of the file's metadata, JSON: ``{"architecture": …, "workload": "prefill/b1/n1024"}``."""


def rebuilt(file: bytes) -> tuple[Submodel, Workload]:
    """The submodel, in float32 on the processor, and the workload that the file was made for.

    Raises:
        ModelUnusable: it is no such file.
    """
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
    return submodel.eval().requires_grad_(False), workload


def first_state(submodel: Submodel, workload: Workload) -> DecodeState:
    """Fixed pseudo-random numbers in [0, 1) in the shapes that the state has after the context, of the
    weights' type and on their device."""
    import torch

    from searchspaces.submodel import DecodeState, state_shapes

    generator, like = torch.Generator().manual_seed(0), submodel.like
    with torch.inference_mode():  # as those that follow it: another kind would be compiled for anew
        layers = tuple(
            {name: torch.rand(shape, generator=generator).to(like) for name, shape in shapes.items()}
            for shapes in state_shapes(submodel.architecture, workload.batch, workload.tokens)
        )
    return DecodeState(workload.tokens, layers)


def _metadata(file: bytes) -> Any:
    """Of a safetensors file: 8 bytes of length, then a JSON header. The library reads it from paths only."""
    header = json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])
    return json.loads(header["__metadata__"][CONTENT])

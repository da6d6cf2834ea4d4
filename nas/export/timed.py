"""The files that a target's runtime is timed with: the model, and the reference beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.export.attention import Form, form_of
from nas.export.cached import IN_PLACE
from nas.export.library import BlockLibrary
from nas.export.reference import reference_model, reference_submodel
from nas.export.weights import random_weights
from searchspaces.architecture import Architecture
from workers.runtimes import ModelFormat, parse_runtime
from workers.runtimes.onnx_states import WORKLOAD
from workers.target import Phase, Target, Workload

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto
    from torch import Tensor

__all__ = ["TimedModels", "attention_for", "attention_of", "composed_for", "submodel_file"]


class TimedModels:
    """Model files with random weights, in the format that a target's runtime takes.

    Args:
        folder: where exported blocks are kept; in memory only where None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._library = BlockLibrary(folder)

    def model(self, architecture: Architecture, target: Target) -> bytes:
        """The file that does the target's workload.

        Raises:
            ValueError: no runtime of that name.
        """
        if parse_runtime(target.runtime).model_format is ModelFormat.SUBMODEL:
            return submodel_file(architecture, random_weights(architecture), target.workload)
        model = composed_for(target, self._library, architecture)
        if target.workload.phase is Phase.DECODE:
            model.metadata_props.add(key=WORKLOAD, value=str(target.workload))
        return bytes(model.SerializeToString())

    def reference(self, target: Target) -> bytes:
        """The fixed file that is timed in between, the same for every architecture.

        Raises:
            ValueError: no runtime of that name.
        """
        runtime = parse_runtime(target.runtime)
        if runtime.model_format is ModelFormat.SUBMODEL:
            architecture, weights = reference_submodel()
            return submodel_file(architecture, weights, runtime.reference_workload(target.workload))
        return reference_model()


def composed_for(
    target: Target,
    library: BlockLibrary,
    architecture: Architecture,
    arrays: Mapping[str, NDArray[Any]] | None = None,
) -> ModelProto:
    """The graph that does a target's workload in its runtime: of prompts, or of one token after a context.

    Args:
        arrays: see `BlockLibrary.compose`.

    Raises:
        ValueError: no runtime of that name.
    """
    workload = target.workload
    if workload.phase is Phase.DECODE:
        in_place = parse_runtime(target.runtime).appends_in_place
        return library.compose_extend(architecture, arrays, batch=workload.batch, tokens=1, in_place=in_place)
    return library.compose(architecture, arrays, attention=attention_for([target]))


def attention_for(targets: Iterable[Target]) -> Form | None:
    """What the first of the targets that takes prompts as ONNX computes causal attention by; None of none.

    Raises:
        ValueError: no runtime of that name.
    """
    for target in targets:
        runtime = parse_runtime(target.runtime)
        if runtime.model_format is ModelFormat.ONNX and target.workload.phase is Phase.PREFILL:
            return form_of(runtime.attention(target.workload.tokens))
    return None


def attention_of(target: Target) -> str:
    """What a target's file computes causal softmax attention by: a form's name, or `IN_PLACE` where a token
    appends to what is kept; empty where the engine does so by itself, or copies.

    Raises:
        ValueError: no runtime of that name.
    """
    if target.workload.phase is Phase.DECODE:
        return IN_PLACE if parse_runtime(target.runtime).appends_in_place else ""
    form = attention_for([target])
    return "" if form is None else form.name


def submodel_file(architecture: Architecture, weights: Mapping[str, Tensor], workload: Workload) -> bytes:
    """A file of `ModelFormat.SUBMODEL`: safetensors, with what to build and to run in its metadata."""
    from safetensors.torch import save

    content = {"architecture": architecture.to_dict(), "workload": str(workload)}
    return save(dict(weights), {"submodel": json.dumps(content, sort_keys=True)})

"""Models as an engine runs them in a number format, as functions of what goes into them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from nas.evaluation import Conversion
from nas.export.attention import form_of
from nas.export.library import BlockLibrary
from nas.export.timed import submodel_file
from searchspaces.architecture import Architecture
from workers.runtimes import ModelFormat, parse_runtime
from workers.target import Phase, Workload

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ConvertedModel", "converted_obstacle", "prepared_model"]


def converted_obstacle(conversion: Conversion) -> str | None:
    """Why nothing can be scored of a conversion on this machine, for people; None where it can."""
    runtime = parse_runtime(conversion.runtime)
    capability = runtime.capability()
    if capability is None:
        return runtime.obstacle()
    if conversion.dtype not in capability.dtypes:
        return f"{runtime.name} has no {conversion.dtype} here; it has {', '.join(capability.dtypes)}"
    return None


class ConvertedModel:
    """What an engine computes with converted weights, in the calling thread: token ids (B, N) → logits
    (B, N, V), or whatever else the model takes and tells. Its file is the one that is timed with prompts, or
    inputs, of the first call's shape; where an engine's files have one shape, that of each call's.

    Args:
        weights: by the names of `Submodel.state_dict`.
        library: of exported blocks.

    Raises:
        TargetNotServed: the engine or the number format is not here; from a call.
        ModelUnusable: the file is not converted, or does not run; from a call.
    """

    def __init__(
        self,
        architecture: Architecture,
        weights: Mapping[str, Tensor],
        conversion: Conversion,
        library: BlockLibrary,
    ) -> None:
        self._architecture, self._weights = architecture, weights
        self._conversion, self._library = conversion, library
        self._runtime = parse_runtime(conversion.runtime)
        self._models: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {}

    def file(self, batch: int, tokens: int) -> bytes:
        """As the engine loads it."""
        runtime, phase = self._runtime, Phase.PREFILL if self._architecture.form.causal else Phase.ENCODE
        workload = Workload(phase, batch, tokens)
        if runtime.model_format is ModelFormat.SUBMODEL:
            plain = submodel_file(self._architecture, self._weights, workload)
        else:
            arrays = {name: value.numpy() for name, value in self._weights.items()}
            form = form_of(runtime.attention(tokens))
            composed = self._library.compose(self._architecture, arrays, attention=form)
            plain = bytes(composed.SerializeToString())
        return runtime.prepare(plain, self._conversion.dtype)

    def __call__(self, inputs: Tensor) -> Tensor:
        """See the class."""
        grid = self._architecture.view.grid
        sizes = len(inputs), math.prod(grid) if grid else inputs.shape[1]
        shape = () if self._runtime.any_shape else sizes
        if shape not in self._models:
            self._models[shape] = prepared_model(self.file(*sizes), self._conversion)
        return self._models[shape](inputs)


def prepared_model(file: bytes, conversion: Conversion) -> Callable[[Tensor], Tensor]:
    """The same of a file that an engine prepared (`Runtime.prepare`).

    Raises:
        ModelUnusable: it does not load; from the function, does not run.
    """
    import torch

    loaded = parse_runtime(conversion.runtime).load(file, conversion.dtype, 1)
    return lambda inputs: torch.from_numpy(loaded(inputs.numpy())[0])

"""PyTorch's ExecuTorch with XNNPACK, which runs on phones and on this processor."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.errors import ModelUnusable
from workers.runtimes.programs import LoadedProgram, packed, traceable, unpacked
from workers.runtimes.runtime import LoadedModel, ModelFormat, Runtime, register_runtime

__all__ = ["ExecuTorch", "compiled"]


@register_runtime("executorch")
class ExecuTorch(Runtime):
    """`executorch`: XNNPACK computes what it knows, ExecuTorch's portable operators all else. A model is
    rebuilt from its architecture and weights and compiled for its workload's shape alone, which takes
    seconds a model; that is not part of what is timed."""

    package = "executorch"
    model_format = ModelFormat.SUBMODEL
    dtypes = ("fp32",)
    any_shape = False
    forks = False

    def convert(self, model: bytes, dtype: str) -> bytes:
        """See `Runtime.convert`."""
        program, module, examples = traceable(model)
        return packed(program, compiled(module, examples))

    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """See `Runtime.load`. The number of threads is the process's: the last loaded model decides it."""
        program, content = unpacked(prepared)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its interface is experimental, it says
            from executorch.extension.pybindings import portable_lib

            portable_lib._unsafe_reset_threadpool(threads)
            try:
                module = portable_lib._load_for_executorch_from_buffer(content)
            except RuntimeError as error:
                raise ModelUnusable(f"executorch does not load the model: {error}") from error

        def call(inputs: Sequence[NDArray[Any]], held: bytes = content) -> Sequence[NDArray[Any]]:
            import torch

            del held  # the module reads its file for as long as it lives, and does not keep it
            try:
                outputs = module.forward([torch.from_numpy(np.asarray(value, order="C")) for value in inputs])
            except RuntimeError as error:
                raise ModelUnusable(f"executorch does not run the model: {error}") from error
            return [output.numpy() for output in outputs]

        return LoadedProgram(program, call)


def compiled(module: Any, examples: tuple[Any, ...]) -> bytes:
    """The file that ExecuTorch runs of a module, for inputs of these shapes.

    Raises:
        ModelUnusable: it cannot be compiled.
    """
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")
            exported = torch.export.export(module, examples)
            lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
            return bytes(lowered.to_executorch().buffer)
    except Exception as error:  # its errors share no base below Exception
        raise ModelUnusable(f"executorch does not compile the model: {error}") from error

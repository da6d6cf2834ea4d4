"""PyTorch on an NVIDIA GPU, eager and compiled, as CUDA graphs."""

from __future__ import annotations

import gc
from collections.abc import Callable

from workers.cuda import CudaStream
from workers.errors import ModelUnusable
from workers.memory import PeakMemory
from workers.runtimes.cuda import CudaRuntime
from workers.runtimes.runtime import Inputs, LoadedModel, ModelFormat, register_runtime
from workers.runtimes.submodels import rebuilt
from workers.runtimes.torch import CompiledSubmodel, EagerSubmodel

__all__ = ["TorchCompileCuda", "TorchCuda"]

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class _AsGraph(EagerSubmodel):
    """Calls in a row have fixed shapes, however states grow among them: all of them are captured as one CUDA
    graph, so that the GPU and not the launching of its kernels is timed."""

    def in_a_row(self, inputs: Inputs, calls: int) -> Callable[[], object]:
        """See `LoadedModel.in_a_row`."""
        import torch

        run = super().in_a_row(inputs, calls)
        try:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(2):  # compiles, and takes the memory, before anything is captured
                    run()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                run()
        except RuntimeError as error:
            raise ModelUnusable(f"torch does not run the model as a CUDA graph: {error}") from error

        def replay() -> object:
            graph.replay()
            return run  # it holds what the graph reads

        return replay


class _CompiledGraph(_AsGraph, CompiledSubmodel):
    """The same of compiled layers."""


class AllocatedMemory(PeakMemory):
    """Peak growth of what torch's allocator holds on the GPU."""

    def __init__(self) -> None:
        import torch

        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        self._before = torch.cuda.memory_allocated()

    def growth_bytes(self) -> int:
        """See `PeakMemory.growth_bytes`."""
        import torch

        return max(0, torch.cuda.max_memory_allocated() - self._before)


@register_runtime("torch-cuda")
class TorchCuda(CudaRuntime):
    """Eager arithmetic (`torch`) on the GPU. ``fp32`` means float32 in products too, not TF32; ``fp16`` and
    ``bf16`` hold weights, activations and states so, positions in float32."""

    package = "torch"
    model_format = ModelFormat.SUBMODEL
    dtypes = tuple(DTYPES)
    model: type[EagerSubmodel] = _AsGraph

    def obstacle(self) -> str | None:
        """See `Runtime.obstacle`."""
        found = super().obstacle()
        if found is not None:
            return found
        import torch

        return None if torch.cuda.is_available() else f"torch {torch.__version__} is not built for this GPU"

    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """See `Runtime.load`."""
        import torch

        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("highest")
        submodel, workload = rebuilt(prepared)
        return self.model(submodel.to("cuda", getattr(torch, DTYPES[dtype])), workload)

    def peak_memory(self) -> PeakMemory:
        """See `Runtime.peak_memory`."""
        return AllocatedMemory()

    def make_stream(self) -> CudaStream:
        """See `CudaRuntime.make_stream`."""
        import torch

        return CudaStream(torch.cuda.current_stream().cuda_stream)


@register_runtime("torch-compile-cuda")
class TorchCompileCuda(TorchCuda):
    """The same through `torch.compile`, layer by layer, as `torch-compile` does."""

    model = _CompiledGraph

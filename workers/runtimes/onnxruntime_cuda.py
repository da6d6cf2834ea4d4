"""ONNX Runtime on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workers import cuda
from workers.memory import PeakMemory
from workers.runtimes.cuda import CudaRuntime
from workers.runtimes.onnxruntime import OnnxSession, session, usable
from workers.runtimes.runtime import INPUT, LoadedModel, Tokens, register_runtime

__all__ = ["OnnxRuntimeCuda"]

PROVIDER = "CUDAExecutionProvider"


class _Bound(OnnxSession):
    """Inputs lie on the GPU before anything is timed, and outputs stay there."""

    def in_a_row(self, tokens: Tokens, calls: int) -> Callable[[], object]:
        """See `LoadedModel.in_a_row`."""
        from onnxruntime import OrtValue, RunOptions

        inputs = {INPUT: tokens, **self.states}
        first = {n: OrtValue.ortvalue_from_numpy(array, "cuda", cuda.DEVICE) for n, array in inputs.items()}
        options = RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")

        def one(feeds: dict[str, Any]) -> list[Any]:
            binding = self.session.io_binding()
            for name, value in feeds.items():
                binding.bind_ortvalue_input(name, value)
            for name in self.outputs:
                binding.bind_output(name, "cuda", cuda.DEVICE)
            self.session.run_with_iobinding(binding, options)
            outputs: list[Any] = binding.get_outputs()
            return outputs

        def run() -> None:
            feeds = dict(first)
            with usable():
                for _ in range(calls):
                    outputs = one(feeds)
                    feeds |= {name: outputs[place] for name, place in self.advancing.items()}

        return run


class FreeMemory(PeakMemory):
    """By how much the GPU's free memory fell: onnxruntime's arena gives nothing back, and tells nothing."""

    def __init__(self) -> None:
        self._before = cuda.free_memory_bytes()

    def growth_bytes(self) -> int:
        """See `PeakMemory.growth_bytes`."""
        return max(0, self._before - cuda.free_memory_bytes())


@register_runtime("onnxruntime-cuda")
class OnnxRuntimeCuda(CudaRuntime):
    """`onnxruntime-gpu` with its CUDA provider, where it works: else onnxruntime would run on the processor
    and say nothing. Arithmetic of shapes is left to the processor, and products are float32, not TF32."""

    package = "onnxruntime-gpu"
    dtypes = ("fp32",)

    def attention(self, tokens: int) -> tuple[str, ...]:
        """See `Runtime.attention`. A loop would wait for the processor with every block; never measured."""
        del tokens
        return ("whole",)

    def obstacle(self) -> str | None:
        """See `Runtime.obstacle`."""
        found = super().obstacle()
        if found is not None:
            return found
        import onnxruntime

        if PROVIDER not in onnxruntime.get_available_providers():
            return f"onnxruntime {onnxruntime.__version__} has no {PROVIDER}; install onnxruntime-gpu instead"
        return None

    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """See `Runtime.load`."""
        options = {
            "device_id": str(cuda.DEVICE),
            "user_compute_stream": str(self.stream.handle),
            "use_tf32": "0",
            "arena_extend_strategy": "kSameAsRequested",
        }
        return _Bound(session(prepared, threads, [(PROVIDER, options)]))

    def peak_memory(self) -> PeakMemory:
        """See `Runtime.peak_memory`."""
        return FreeMemory()

    def make_stream(self) -> cuda.CudaStream:
        """See `CudaRuntime.make_stream`."""
        return cuda.CudaStream()

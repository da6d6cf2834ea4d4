"""ONNX Runtime in a browser: on the processor by WebAssembly, on the GPU by WebGPU. Browsers have these
engines and no Python host does: here they are named, so that a service knows which files they take."""

from __future__ import annotations

from workers.errors import TargetNotServed
from workers.runtimes.runtime import LoadedModel, Runtime, register_runtime
from workers.target import Phase

__all__ = ["OnnxRuntimeWeb", "OnnxRuntimeWebGpu"]

WHOLE_TO = 2048
"""Tokens to which all scores of a head are held at once: 16 MiB."""


@register_runtime("onnxruntime-web")
class OnnxRuntimeWeb(Runtime):
    """`onnxruntime-web` by WebAssembly, with SIMD and as many threads as a target asks for.

    Its states pass through JavaScript between two tokens, as they do in any page that decodes with it.
    """

    package = "onnxruntime-web"
    dtypes = ("fp32",)

    def obstacle(self) -> str:
        """See `Runtime.obstacle`."""
        return "it runs in browsers, which join with a link that nas phone shows"

    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """See `Runtime.load`; never does.

        Raises:
            TargetNotServed: always.
        """
        raise TargetNotServed(f"{self.name} does not work here: {self.obstacle()}")


@register_runtime("onnxruntime-webgpu")
class OnnxRuntimeWebGpu(OnnxRuntimeWeb):
    """`onnxruntime-web` by WebGPU, on a browser's GPU. What of a model the engine computes on the processor
    nevertheless, as indices, is in its measurements' conditions."""

    phases = (Phase.PREFILL,)

    def attention(self, tokens: int) -> tuple[str, ...]:
        """See `Runtime.attention`. The processor runs loops, and the GPU waits for it: masking all scores has
        none, as long as there is room for them."""
        return ("whole",) if tokens <= WHOLE_TO else ("blocks",)

"""Intel's OpenVINO on the processor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from numpy.typing import NDArray

from workers.errors import ModelUnusable
from workers.runtimes.onnx_inputs import OnnxInput, fixed_states
from workers.runtimes.runtime import INPUT, LoadedModel, Runtime, Tokens, register_runtime

__all__ = ["OpenVino"]

PRECISIONS = {"fp32": "f32", "bf16": "bf16"}
NUMPY_NAMES = {"i64": "int64", "f32": "float32"}


@register_runtime("openvino")
class OpenVino(Runtime):
    """`openvino` with its CPU plugin: one stream, the latency hint, and the number format that was asked
    for, where left to itself it would choose bf16 on processors that have it.

    Token ids beyond the model's vocabulary are not noticed: they embed as zeros. OpenVINO's telemetry is its
    model converter's, which is not used here: it reads ONNX itself.
    """

    package = "openvino"
    dtypes = tuple(PRECISIONS)

    def dtypes_here(self) -> Iterable[str]:
        """bf16 where the processor has it."""
        return self.dtypes if "BF16" in _abilities() else ("fp32",)

    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """See `Runtime.load`."""
        import openvino

        wanted = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[dtype],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # to a core that may be somebody else's
        }
        core = openvino.Core()
        try:
            model = core.read_model(prepared)
            compiled = core.compile_model(model, "CPU", wanted)
        except RuntimeError as error:
            raise ModelUnusable(f"openvino does not load the model: {_said(error)}") from error
        states = fixed_states([_declared(value) for value in compiled.inputs])
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if precision != PRECISIONS[dtype]:
            raise ModelUnusable(f"openvino would compute in {precision}; accepted: {PRECISIONS[dtype]}")
        request = compiled.create_infer_request()

        def run(tokens: Tokens) -> Sequence[NDArray[Any]]:
            try:
                outputs = request.infer({INPUT: tokens, **states}, share_inputs=True, share_outputs=True)
            except RuntimeError as error:
                raise ModelUnusable(f"openvino does not run the model: {_said(error)}") from error
            return [outputs[port] for port in compiled.outputs]

        return run


@cache
def _abilities() -> tuple[str, ...]:
    import openvino

    return tuple(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _declared(value: Any) -> OnnxInput:
    kind = value.element_type.get_type_name()
    shape = tuple(size.get_length() if size.is_static else None for size in value.partial_shape)
    return OnnxInput(value.any_name, NUMPY_NAMES.get(kind, kind), shape)


def _said(error: RuntimeError) -> str:
    """Its messages begin with the places in its source where they passed."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("Exception from")]
    return " ".join(lines) or str(error)

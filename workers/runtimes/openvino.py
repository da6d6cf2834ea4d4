"""Intel's OpenVINO on the processor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from numpy.typing import NDArray

from workers.errors import ModelUnusable
from workers.runtimes.onnx_states import (
    WORKLOAD,
    OnnxValue,
    advancing_states,
    drawn,
    first_states,
    given_input,
)
from workers.runtimes.runtime import INPUT, Inputs, LoadedModel, Runtime, register_runtime
from workers.target import Phase, Workload

__all__ = ["OpenVino"]

BLOCKS_FROM = 1024
"""Tokens from which blocks of queries are faster than masking all scores."""

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
    phases = tuple(Phase)
    dtypes = tuple(PRECISIONS)

    def dtypes_here(self) -> Iterable[str]:
        """bf16 where the processor has it."""
        return self.dtypes if "BF16" in _abilities() else ("fp32",)

    def attention(self, tokens: int) -> tuple[str, ...]:
        """See `Runtime.attention`. The engine's own causal operator masks all scores too, more slowly."""
        return ("blocks",) if tokens >= BLOCKS_FROM else ("whole",)

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
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if precision != PRECISIONS[dtype]:
            raise ModelUnusable(f"openvino would compute in {precision}; accepted: {PRECISIONS[dtype]}")
        return _Compiled(compiled, _workload(model))


class _Compiled(LoadedModel):
    """A compiled model and its states.

    Raises:
        ModelUnusable: the inputs are not those of a model that is timed.
    """

    def __init__(self, compiled: Any, workload: str | None) -> None:
        inputs, outputs = (list(map(_declared, values)) for values in (compiled.inputs, compiled.outputs))
        self._given = given_input(inputs)
        self._states = first_states(inputs, workload)
        self._advancing = advancing_states(inputs, outputs)
        self._outputs = compiled.outputs
        # Two that take turns: outputs stay in their request's memory, where the next call finds its states.
        self._requests = [compiled.create_infer_request() for _ in range(2)]

    def inputs(self, workload: Workload, vocabulary: int) -> Inputs:
        """See `LoadedModel.inputs`."""
        return drawn(self._given, workload, vocabulary)

    def __call__(self, inputs: Inputs) -> Sequence[NDArray[Any]]:
        """See `LoadedModel`."""
        return self._infer(0, {self._given.name: inputs, **self._states})

    def in_a_row(self, inputs: Inputs, calls: int) -> Callable[[], object]:
        """See `LoadedModel.in_a_row`."""
        if not self._states:
            return super().in_a_row(inputs, calls)

        def run() -> None:
            feeds: dict[str, NDArray[Any]] = {INPUT: inputs, **self._states}
            for number in range(calls):
                outputs = self._infer(number % 2, feeds)
                feeds |= {name: outputs[place] for name, place in self._advancing.items()}

        return run

    def _infer(self, number: int, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            outputs = self._requests[number].infer(feeds, share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise ModelUnusable(f"openvino does not run the model: {_said(error)}") from error
        return [outputs[port] for port in self._outputs]


@cache
def _abilities() -> tuple[str, ...]:
    import openvino

    return tuple(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _workload(model: Any) -> str | None:
    """What the file's metadata say of it."""
    path = ["framework", WORKLOAD]
    return str(model.get_rt_info(path).astype(str)) if model.has_rt_info(path) else None


def _declared(value: Any) -> OnnxValue:
    kind = value.element_type.get_type_name()
    shape = tuple(size.get_length() if size.is_static else None for size in value.partial_shape)
    return OnnxValue(value.any_name, NUMPY_NAMES.get(kind, kind), shape)


def _said(error: RuntimeError) -> str:
    """Its messages begin with the places in its source where they passed."""
    lines = [line for line in str(error).splitlines() if line and not line.startswith("Exception from")]
    return " ".join(lines) or str(error)

"""ONNX Runtime on the processor."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from workers.errors import ModelUnusable
from workers.runtimes.onnx_inputs import OnnxInput, fixed_states
from workers.runtimes.runtime import INPUT, LoadedModel, Runtime, Tokens, register_runtime

__all__ = ["OnnxRuntime"]

PROVIDER = "CPUExecutionProvider"
NUMPY_NAMES = {"tensor(int64)": "int64", "tensor(float)": "float32"}


@register_runtime("onnxruntime")
class OnnxRuntime(Runtime):
    """`onnxruntime` with its CPU provider and no other: operators run within the calling thread and
    `threads - 1` helpers, one after another, and waiting threads sleep rather than spin.

    ``fp32`` runs the file as it is. ``int8`` quantises its weights on the device, activations at run time
    (dynamic quantisation), which needs the `onnx` package there.
    """

    package = "onnxruntime"
    dtypes = ("fp32", "int8")

    def dtypes_here(self) -> Iterable[str]:
        """See the class."""
        return self.dtypes if importlib.util.find_spec("onnx") else ("fp32",)

    def convert(self, model: bytes, dtype: str) -> bytes:
        """See `Runtime.convert`."""
        return _quantised(model) if dtype == "int8" else model

    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """See `Runtime.load`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.enable_cpu_mem_arena = True  # without it 2.6× slower at N 1024
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(prepared, options, providers=[PROVIDER])
        except Exception as error:  # its errors share no base below Exception
            raise ModelUnusable(f"onnxruntime does not load the model: {error}") from error
        if session.get_providers() != [PROVIDER]:
            raise ModelUnusable(f"onnxruntime would run on {session.get_providers()}; accepted: {PROVIDER}")
        states = fixed_states([_declared(value) for value in session.get_inputs()])

        def run(tokens: Tokens) -> Sequence[NDArray[Any]]:
            try:
                outputs: Sequence[NDArray[Any]] = session.run(None, {INPUT: tokens, **states})
            except Exception as error:  # as above
                raise ModelUnusable(f"onnxruntime does not run the model: {error}") from error
            return outputs

        return run


def _declared(value: Any) -> OnnxInput:
    """Symbolic sizes are text in onnxruntime."""
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return OnnxInput(value.name, NUMPY_NAMES.get(value.type, value.type), shape)


def _quantised(model: bytes) -> bytes:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="nas-int8-") as folder:
        inferred, quantised = Path(folder) / "inferred.onnx", Path(folder) / "quantised.onnx"
        try:
            quant_pre_process(
                onnx.load_model_from_string(model), inferred, skip_optimization=True, skip_symbolic_shape=True
            )
            quantize_dynamic(inferred, quantised, weight_type=QuantType.QInt8)
        except Exception as error:  # as above
            raise ModelUnusable(f"onnxruntime does not quantise the model: {error}") from error
        return quantised.read_bytes()

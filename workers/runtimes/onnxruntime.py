"""ONNX Runtime on the processor."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from workers.capabilities import RuntimeCapability
from workers.errors import ModelUnusable, TargetNotServed
from workers.runtimes.runtime import INPUT, LoadedModel, Runtime, Tokens, register_runtime
from workers.target import Phase

__all__ = ["OnnxRuntime"]

PROVIDER = "CPUExecutionProvider"


@register_runtime("onnxruntime")
class OnnxRuntime(Runtime):
    """`onnxruntime` with its CPU provider and no other: operators run within the calling thread and
    `threads - 1` helpers, one after another, and waiting threads sleep rather than spin.

    ``fp32`` runs the file as it is. ``int8`` quantises its weights on the device, activations at run time
    (dynamic quantisation), which needs the `onnx` package there.
    """

    def capability(self) -> RuntimeCapability | None:
        """See the class."""
        try:
            installed = version("onnxruntime")
        except PackageNotFoundError:
            return None
        dtypes = ("fp32", "int8") if importlib.util.find_spec("onnx") else ("fp32",)
        return RuntimeCapability(self.name, installed, dtypes, (Phase.PREFILL,))

    def prepare(self, model: bytes, dtype: str) -> bytes:
        """See `Runtime.prepare`."""
        capability = self.capability()
        if capability is None:
            raise TargetNotServed("onnxruntime is not installed here; pip install 'nas-service[worker]'")
        if dtype not in capability.dtypes:
            raise TargetNotServed(f"no dtype {dtype} here; accepted: {', '.join(capability.dtypes)}")
        return _quantised(model) if dtype == "int8" else model

    def load(self, prepared: bytes, threads: int) -> LoadedModel:
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
        inputs = [(i.name, i.type, len(i.shape)) for i in session.get_inputs()]
        if inputs != [(INPUT, "tensor(int64)", 2)]:
            raise ModelUnusable(f"the model's inputs are {inputs}; accepted: one, {INPUT} int64 (B, N)")

        def run(tokens: Tokens) -> Sequence[NDArray[Any]]:
            try:
                outputs: Sequence[NDArray[Any]] = session.run(None, {INPUT: tokens})
            except Exception as error:  # as above
                raise ModelUnusable(f"onnxruntime does not run the model: {error}") from error
            return outputs

        return run


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

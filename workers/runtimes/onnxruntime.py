"""ONNX Runtime on the processor."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from workers.errors import ModelUnusable
from workers.runtimes.onnx_states import (
    APPENDED,
    WORKLOAD,
    OnnxValue,
    advancing_states,
    drawn,
    first_states,
    given_input,
    with_room,
)
from workers.runtimes.runtime import INPUT, Inputs, LoadedModel, Runtime, register_runtime
from workers.target import Phase, Workload

__all__ = ["NUMPY_NAMES", "OnnxRuntime", "OnnxSession", "session", "usable"]

WHOLE_TO, FLASH_FROM, WIDE_FLASH_FROM = 128, 2048, 8192
"""Tokens to which masking all scores is fastest, from which the fused kernel is, and from which it is with
larger blocks."""

FOUR_BIT_BLOCK = 32
"""Weights that share a scale and a zero point in int4."""

PROVIDER = "CPUExecutionProvider"
NUMPY_NAMES = {"tensor(int64)": "int64", "tensor(float)": "float32"}


@register_runtime("onnxruntime")
class OnnxRuntime(Runtime):
    """`onnxruntime` with its CPU provider and no other: operators run within the calling thread and
    `threads - 1` helpers, one after another, and waiting threads sleep rather than spin.

    ``fp32`` runs the file as it is. ``int8`` quantises its weights on the device, activations at run time
    (dynamic quantisation). ``int4`` holds weights in four bits, 32 of them to a scale and a zero point, and
    computes in float32 (weight-only quantisation). Both need the `onnx` package there.
    """

    package = "onnxruntime"
    phases = tuple(Phase)
    dtypes = ("fp32", "int8", "int4")
    appends_in_place = True

    def dtypes_here(self) -> Iterable[str]:
        """See the class."""
        return self.dtypes if importlib.util.find_spec("onnx") else ("fp32",)

    def attention(self, tokens: int) -> tuple[str, ...]:
        """See `Runtime.attention`."""
        if tokens >= WIDE_FLASH_FROM:
            return ("flash512", "flash", "blocks")
        if tokens >= FLASH_FROM:
            return ("flash", "blocks")
        return ("whole",) if tokens <= WHOLE_TO else ("blocks",)

    def convert(self, model: bytes, dtype: str) -> bytes:
        """See `Runtime.convert`."""
        convert = {"int8": _quantised, "int4": _in_four_bits}.get(dtype)
        return model if convert is None else convert(model)

    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """See `Runtime.load`."""
        return OnnxSession(session(prepared, threads, [PROVIDER]))


class OnnxSession(LoadedModel):
    """A session and its states.

    Args:
        session: an `onnxruntime.InferenceSession`.

    Raises:
        ModelUnusable: the inputs are not those of a model that is timed.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        inputs, outputs = (
            list(map(_declared, declared())) for declared in (session.get_inputs, session.get_outputs)
        )
        told = session.get_modelmeta().custom_metadata_map
        self.given = given_input(inputs)
        self.states = first_states(inputs, told.get(WORKLOAD))
        self.advancing = advancing_states(inputs, outputs)
        self.outputs = [output.name for output in outputs]
        appended = self.advancing.keys() & told.get(APPENDED, "").split()
        self.appended = [declared for declared in inputs if declared.name in appended]

    def inputs(self, workload: Workload, vocabulary: int) -> Inputs:
        """See `LoadedModel.inputs`."""
        return drawn(self.given, workload, vocabulary)

    def __call__(self, inputs: Inputs) -> Sequence[NDArray[Any]]:
        """See `LoadedModel`."""
        with usable():
            feeds = {self.given.name: inputs, **self.states}
            outputs: Sequence[NDArray[Any]] = self.session.run(None, feeds)
        return outputs

    def in_a_row(self, inputs: Inputs, calls: int) -> Callable[[], object]:
        """See `LoadedModel.in_a_row`. States go from call to call without a copy."""
        if not self.states:
            return super().in_a_row(inputs, calls)
        if self.appended:
            return self._in_place(inputs, calls)
        from onnxruntime import OrtValue

        first = {n: OrtValue.ortvalue_from_numpy(v) for n, v in {INPUT: inputs, **self.states}.items()}

        def run() -> None:
            feeds = dict(first)
            with usable():
                for _ in range(calls):
                    outputs = self.session.run_with_ort_values(self.outputs, feeds)
                    feeds |= {name: outputs[place] for name, place in self.advancing.items()}

        return run

    def _in_place(self, inputs: Inputs, calls: int) -> Callable[[], object]:
        """The same where tokens are appended to states in place, in memory that has room for all of them."""
        from onnxruntime import OrtValue

        roomy = {state.name: with_room(self.states[state.name], state, calls) for state in self.appended}
        given = {INPUT: inputs, **self.states, **roomy}
        first = {name: OrtValue.ortvalue_from_numpy(value) for name, value in given.items()}
        places = {self.advancing[state.name]: first[state.name] for state in self.appended}
        moving = {name: place for name, place in self.advancing.items() if place not in places}
        binding = self.session.io_binding()
        for name, value in first.items():
            binding.bind_ortvalue_input(name, value)
        for place, name in enumerate(self.outputs):  # in their order, which is that of what is told
            if place in places:
                binding.bind_ortvalue_output(name, places[place])
            else:
                binding.bind_output(name)
        fresh = [name for place, name in enumerate(self.outputs) if place not in places]

        def run() -> None:
            feeds = {name: first[name] for name in moving}
            with usable():
                for _ in range(calls):
                    for name, value in feeds.items():
                        binding.bind_ortvalue_input(name, value)
                    for name in fresh:  # else what is bound as an input is written over while it is read
                        binding.bind_output(name)
                    self.session.run_with_iobinding(binding)
                    outputs = binding.get_outputs()
                    feeds = {name: outputs[place] for name, place in moving.items()}

        return run


def session(
    prepared: bytes, threads: int, providers: Sequence[Any], sizes: Mapping[str, int] = MappingProxyType({})
) -> Any:
    """An `onnxruntime.InferenceSession` that runs on the providers asked for, names or pairs with options,
    and on no other: where one does not work here, onnxruntime would leave it out and say nothing.

    Args:
        sizes: of axes that the file leaves open, by name, where it is to take these alone.

    Raises:
        ModelUnusable: it does not load, or would run elsewhere.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = True  # without it 2.6× slower at N 1024
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    try:
        made = onnxruntime.InferenceSession(prepared, options, providers=providers)
    except Exception as error:  # its errors share no base below Exception
        raise ModelUnusable(f"onnxruntime does not load the model: {error}") from error
    asked = [provider if isinstance(provider, str) else provider[0] for provider in providers]
    # What it adds by itself, behind those asked for, is the processor.
    if made.get_providers() not in (asked, [*asked, PROVIDER]):
        raise ModelUnusable(
            f"onnxruntime would run on {', '.join(made.get_providers())}; accepted: {', '.join(asked)}"
        )
    return made


@contextmanager
def usable() -> Iterator[None]:
    """Whatever onnxruntime raises is the model's fault.

    Raises:
        ModelUnusable: instead.
    """
    try:
        yield
    except Exception as error:  # its errors share no base below Exception
        raise ModelUnusable(f"onnxruntime does not run the model: {error}") from error


def _declared(value: Any) -> OnnxValue:
    """Symbolic sizes are text in onnxruntime."""
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return OnnxValue(value.name, NUMPY_NAMES.get(value.type, value.type), shape)


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


def _in_four_bits(model: bytes) -> bytes:
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    try:
        quantizer = MatMulNBitsQuantizer(
            onnx.load_model_from_string(model),
            bits=4,
            block_size=FOUR_BIT_BLOCK,
            op_types_to_quantize=("MatMul", "Gather"),
        )
        quantizer.process()
        return bytes(quantizer.model.model.SerializeToString())
    except Exception as error:  # as above
        raise ModelUnusable(f"onnxruntime does not quantise the model: {error}") from error

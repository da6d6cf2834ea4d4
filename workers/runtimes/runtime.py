"""The interface of an engine that runs models on a device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from searchspaces.registry import Registry
from workers.capabilities import RuntimeCapability
from workers.clocks import Clocks, ProcessorClocks
from workers.errors import TargetNotServed
from workers.memory import PeakMemory, ResidentMemory
from workers.target import Phase, Workload

__all__ = [
    "INPUT",
    "RUNTIMES",
    "Inputs",
    "LoadedModel",
    "ModelFormat",
    "Runtime",
    "Tokens",
    "parse_runtime",
    "register_runtime",
    "runtimes",
    "workload_tokens",
]

Tokens: TypeAlias = NDArray[np.int64]
"""(B, N) token ids; (B, 1) where one token is decoded."""

Inputs: TypeAlias = NDArray[Any]
"""What goes into a model: token ids, or (B, C, …) numbers."""

INPUT = "tokens"
"""The input of every model that takes token ids, int64 (B, N)."""

REFERENCE_TOKEN = Workload(Phase.PREFILL, batch=1, tokens=1)
"""What the reference does beside decoding, in a row: where a neighbour holds half of the core, a token takes
both about 1.7 times as long, and 128 at once 1.3 times (docs/results.md, "Decoding beside others")."""

REFERENCE_INPUT = Workload(Phase.PREFILL, batch=1, tokens=16)
"""What it does beside models that encode, in a row: there they take 1.3 to 1.5 times as long, and so many
tokens at once 1.4 times (docs/results.md, "Images")."""


class ModelFormat(StrEnum):
    """What kind of file a runtime takes: data in every case, never code."""

    ONNX = "onnx"
    """A graph with the input `tokens`, or with numbers; one that decodes has states as further inputs,
    float32: see `workers.runtimes.onnx_states`."""
    SUBMODEL = "submodel"
    """A safetensors file of the weights of a `searchspaces.submodel.Submodel`, whose metadata name the
    architecture and the workload."""


class LoadedModel(ABC):
    """A model ready to run in the thread that loaded it."""

    def inputs(self, workload: Workload, vocabulary: int) -> Inputs:
        """The fixed pseudo-random input of a workload, as the model declares it: token ids below
        `vocabulary`, or normal numbers."""
        return workload_tokens(workload, vocabulary)

    @abstractmethod
    def __call__(self, inputs: Inputs) -> Sequence[NDArray[Any]]:
        """One call: the outputs, the logits first. A model that decodes starts from the states that it was
        loaded with: fixed pseudo-random numbers in the shapes of its workload's context.

        Raises:
            ModelUnusable: it does not run.
        """

    def in_a_row(self, inputs: Inputs, calls: int) -> Callable[[], object]:
        """What is timed: so many calls, one after another, inputs made ready and outputs left where the
        engine has them. One that decodes starts from the same states each time, and goes on from what the
        call before left of them.

        Raises:
            ModelUnusable: it does not run; the callable raises it too.
        """
        one = partial(self, inputs)

        def run() -> None:
            for _ in range(calls):
                one()

        return run


class Runtime(ABC):
    """One engine. Modules import theirs inside methods, so that a service can name engines that only
    its devices have. Registering one enrols it in the contract suite `tests/workers/test_runtimes.py`.

    Attributes:
        name: set by `@register_runtime`.
        package: the Python distribution that brings the engine.
        model_format: of the files that it takes.
        dtypes: number formats that it can run where the device has them; ``fp32`` among them.
        phases: of a workload that it can time.
        any_shape: whether a file that it prepared takes any batch and length; else its workload's alone.
        appends_in_place: whether files for one token may append its key and value in place to those of all
            before; `in_a_row` then binds memory so that they do.
        forks: whether a process that has run it with one thread may be forked into ones that run it with any
            number. Not where it has threads of its own, a driver, or what it compiled in the process.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    model_format: ClassVar[ModelFormat] = ModelFormat.ONNX
    dtypes: ClassVar[tuple[str, ...]]
    phases: ClassVar[tuple[Phase, ...]] = (Phase.PREFILL, Phase.DECODE)
    any_shape: ClassVar[bool] = True
    appends_in_place: ClassVar[bool] = False
    forks: ClassVar[bool] = True

    def capability(self) -> RuntimeCapability | None:
        """What works here and now; None where the engine does not, see `obstacle`."""
        if self.obstacle() is not None:
            return None
        return RuntimeCapability(self.name, version(self.package), tuple(self.dtypes_here()), self.phases)

    def obstacle(self) -> str | None:
        """Why the engine does not work here, for people; None where it does."""
        try:
            version(self.package)
        except PackageNotFoundError:
            return f"{self.package} is not installed; pip install {self.package}"
        return None

    def dtypes_here(self) -> Iterable[str]:
        """Those of `dtypes` that this device has; asked only where the engine is installed."""
        return self.dtypes

    def prepare(self, model: bytes, dtype: str) -> bytes:
        """A model file as this engine loads it for a number format; not part of what is timed.

        Raises:
            TargetNotServed: `dtype` is not among the capability's, or the engine is not here.
            ModelUnusable: the file cannot be converted.
        """
        capability = self.capability()
        if capability is None:
            raise TargetNotServed(f"{self.name} does not work here: {self.obstacle()}")
        if dtype not in capability.dtypes:
            raise TargetNotServed(f"no dtype {dtype} here; accepted: {', '.join(capability.dtypes)}")
        return self.convert(model, dtype)

    def attention(self, tokens: int) -> tuple[str, ...]:
        """What a file for N tokens should compute causal softmax attention by: names of forms
        (`nas.export.attention`), the fastest here first. Whoever makes the file takes the first that it has.
        Benchmarked by `benchmarks/kernels.py`; of no meaning where the runtime takes submodels."""
        del tokens
        return ("blocks",)

    def convert(self, model: bytes, dtype: str) -> bytes:
        """`prepare` for a number format that works here: the file itself, unless an engine needs another.

        Raises:
            ModelUnusable: the file cannot be converted.
        """
        del dtype
        return model

    @abstractmethod
    def load(self, prepared: bytes, dtype: str, threads: int) -> LoadedModel:
        """Make a prepared file ready to run.

        Args:
            prepared: what `prepare` returned.
            dtype: that it was prepared for.
            threads: processor threads that one call may use; with 1 all work is done in the calling thread.

        Raises:
            ModelUnusable: the file does not load, has other inputs, or would run elsewhere or in another
                number format than asked. Whether a token id beyond the model's vocabulary is noticed, by
                the loaded model, depends on the engine.
        """

    def clocks(self, threads: int) -> Clocks:
        """What this engine's calls are timed by, with so many threads."""
        return ProcessorClocks.for_threads(threads)

    def peak_memory(self) -> PeakMemory:
        """An account of what is loaded and run from now on."""
        return ResidentMemory()

    def reference_workload(self, workload: Workload) -> Workload:
        """What the reference does beside a workload: such work that others slow both down alike."""
        match workload.phase:
            case Phase.PREFILL:
                return workload
            case Phase.DECODE:
                return REFERENCE_TOKEN
            case Phase.ENCODE:
                return REFERENCE_INPUT


RUNTIMES: Registry[Runtime] = Registry(Runtime, "workers.runtimes", "runtime", "nas.runtimes")
register_runtime = RUNTIMES.register
parse_runtime = RUNTIMES.parse
runtimes = RUNTIMES.classes


def workload_tokens(workload: Workload, vocabulary: int) -> Tokens:
    """The fixed pseudo-random input of a workload below `vocabulary`: (B, N), or (B, 1) to decode."""
    shape = (workload.batch, 1 if workload.phase is Phase.DECODE else workload.tokens)
    return np.random.default_rng(0).integers(vocabulary, size=shape, dtype=np.int64)

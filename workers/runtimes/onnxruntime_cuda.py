"""ONNX Runtime on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, cycle, islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers import cuda
from workers.clocks import Clocks, Conditions, EventClocks
from workers.errors import ModelUnusable
from workers.memory import PeakMemory
from workers.runtimes.cuda import CudaRuntime
from workers.runtimes.onnxruntime import NUMPY_NAMES, OnnxSession, session, usable
from workers.runtimes.runtime import INPUT, LoadedModel, Tokens, register_runtime

__all__ = ["OnnxRuntimeCuda"]

PROVIDER = "CUDAExecutionProvider"
RUNS_BEFORE_CAPTURE = 2
"""Of onnxruntime, before it captures a graph in the next."""


class _Bound(OnnxSession):
    """Inputs lie on the GPU before anything is timed, and outputs stay there. What is timed takes one shape
    and is replayed as a CUDA graph where it can be: else the launching of its kernels would be timed, which
    takes two to five times as long as they do.

    Args:
        open_session: makes a session for such sizes of open axes, and such further options of the provider.
        launched: told where calls in a row are no graph.
    """

    def __init__(self, open_session: Callable[..., Any], launched: Callable[[], None]) -> None:
        self._open, self._launched = open_session, launched
        opened = open_session({})
        super().__init__(opened)
        (self._asked,) = (value.shape for value in opened.get_inputs() if value.name == INPUT)
        self._told = {v.name: (v.shape, np.dtype(NUMPY_NAMES[v.type])) for v in opened.get_outputs()}

    def __call__(self, tokens: Tokens) -> Sequence[NDArray[Any]]:
        """See `LoadedModel`."""
        self.session = self.session or self._open({})
        return super().__call__(tokens)

    def in_a_row(self, tokens: Tokens, calls: int) -> Callable[[], object]:
        """See `LoadedModel.in_a_row`."""
        self.session = None  # its weights would lie on the GPU beside those of the next
        sizes = {
            name: size for name, size in zip(self._asked, tokens.shape, strict=True) if isinstance(name, str)
        }
        shapes = {name: tuple(sizes.get(n, n) for n in shape) for name, (shape, _) in self._told.items()}
        if all(isinstance(size, int) for shape in shapes.values() for size in shape):
            try:
                return self._replayed(self._open(sizes, enable_cuda_graph="1"), tokens, calls, shapes)
            except ModelUnusable:  # some operator runs on the processor, or waits for it
                pass
        self._launched()
        return self._run(self._open(sizes), tokens, calls)

    def _run(self, session: Any, tokens: Tokens, calls: int) -> Callable[[], object]:
        """Each kernel launched in each call; states may grow."""
        first, options = self._first(tokens), _unsynchronised()

        def one(feeds: Mapping[str, Any]) -> Sequence[Any]:
            binding = session.io_binding()
            for name, value in feeds.items():
                binding.bind_ortvalue_input(name, value)
            for name in self.outputs:
                binding.bind_output(name, "cuda", cuda.DEVICE)
            session.run_with_iobinding(binding, options)
            outputs: Sequence[Any] = binding.get_outputs()
            return outputs

        def run() -> None:
            feeds = dict(first)
            with usable():
                for _ in range(calls):
                    outputs = one(feeds)
                    feeds |= {name: outputs[place] for name, place in self.advancing.items()}

        return run

    def _replayed(
        self, session: Any, tokens: Tokens, calls: int, shapes: Mapping[str, tuple[int, ...]]
    ) -> Callable[[], object]:
        """A graph reads and writes where it did when it was captured: states go from the first ones to one
        set of buffers, from there to another, and back."""
        from onnxruntime import OrtValue

        first = self._first(tokens)
        written = [
            {
                name: OrtValue.ortvalue_from_shape_and_type(shape, self._told[name][1], "cuda", cuda.DEVICE)
                for name, shape in shapes.items()
            }
            for _ in range(2 if self.advancing else 1)
        ]
        steps = [(first, written[0])]
        for before, after in pairwise([*written, *written[:-1]]):
            advanced = {name: before[self.outputs[place]] for name, place in self.advancing.items()}
            steps.append((first | advanced, after))
        graphs = [self._captured(session, step, number) for number, step in enumerate(steps, start=1)]
        row = list(islice(chain(graphs[:1], cycle(graphs[1:] or graphs)), calls))

        def run() -> None:
            with usable():
                for replay in row:
                    replay()

        return run

    def _captured(
        self, session: Any, step: tuple[Mapping[str, Any], Mapping[str, Any]], number: int
    ) -> Callable[[], object]:
        """One call from these inputs to these outputs, captured as the graph of this number.

        Raises:
            ModelUnusable: it cannot be captured.
        """
        binding, options = session.io_binding(), _unsynchronised()
        options.add_run_config_entry("gpu_graph_id", str(number))
        for name, value in step[0].items():
            binding.bind_ortvalue_input(name, value)
        for name, value in step[1].items():
            binding.bind_ortvalue_output(name, value)
        one = partial(session.run_with_iobinding, binding, options)
        with usable():
            for _ in range(RUNS_BEFORE_CAPTURE + 1):
                one()
        return one

    def _first(self, tokens: Tokens) -> dict[str, Any]:
        from onnxruntime import OrtValue

        inputs = {INPUT: tokens, **self.states}
        return {n: OrtValue.ortvalue_from_numpy(array, "cuda", cuda.DEVICE) for n, array in inputs.items()}


def _unsynchronised() -> Any:
    """Options of runs that return once their work is queued."""
    from onnxruntime import RunOptions

    options = RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    return options


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

    launched = False
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

        def open_session(sizes: Mapping[str, int], **further: str) -> Any:
            return session(prepared, threads, [(PROVIDER, options | further)], sizes)

        self.launched = False
        return _Bound(open_session, self._note_launched)

    def clocks(self, threads: int) -> Clocks:
        """See `Runtime.clocks`."""
        return EventClocks(self.stream, said=self._conditions)

    def _note_launched(self) -> None:
        self.launched = True

    def _conditions(self) -> Conditions:
        said = cuda.conditions()
        if not self.launched:
            return said
        return replace(said, text=", ".join(filter(None, [said.text, "no CUDA graph"])))

    def peak_memory(self) -> PeakMemory:
        """See `Runtime.peak_memory`."""
        return FreeMemory()

    def make_stream(self) -> cuda.CudaStream:
        """See `CudaRuntime.make_stream`."""
        return cuda.CudaStream()

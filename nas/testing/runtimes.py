"""The contract of runtimes, on the machine that runs it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import onnx
import pytest
import torch

from nas.export import TimedModels
from nas.export.weights import random_weights
from nas.testing.contract import Contract
from nas.testing.models import VOCABULARY, build_model, build_submodel, model_by_hand, submodel_by_hand
from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.form import Classes, Form, Grid
from searchspaces.mixers import mixers
from searchspaces.part import Sight
from searchspaces.submodel import Submodel
from workers.clocks import ProcessorClocks
from workers.errors import ModelUnusable, TargetNotServed
from workers.runtimes import ModelFormat, Runtime, parse_runtime, workload_tokens
from workers.target import Phase, Target, Workload

__all__ = ["WORKLOAD", "RuntimeContract", "small_model"]

WORKLOAD = Workload(batch=2, tokens=32)

FURTHER_APART = 2.5
"""Times as far as others may be: a single row of logits on a state without any order, and what a mixer tells
that is not continuous."""


def small_model(runtime: Runtime, width: int = 16, workload: Workload = WORKLOAD) -> bytes:
    """A model file in the format that a runtime takes."""
    if runtime.model_format is ModelFormat.SUBMODEL:
        return build_submodel(width=width, workload=workload)
    return build_model(width=width)


def quantised(file: bytes, dtype: str) -> int:
    """Products of a model file whose weights are whole numbers."""
    operator = {"int8": "MatMulInteger", "int4": "MatMulNBits"}[dtype]
    return sum(n.op_type == operator for n in onnx.load_model_from_string(file).graph.node)


def quantisable(file: bytes, dtype: str) -> int:
    """Products of a model file with a weight; in four bits, which a stack of matrices (a map for each head)
    does not come in, with a matrix."""
    graph = onnx.load_model_from_string(file).graph
    axes = {weight.name: len(weight.dims) for weight in graph.initializer}
    read = [axes[n.input[1]] for n in graph.node if n.op_type == "MatMul" and n.input[1] in axes]
    return len(read) if dtype == "int8" else read.count(2)


class RuntimeContract(Contract):
    """What every runtime does. Skipped, with the reason, where its engine does not work.

    Attributes:
        subjects: registered names.
        tolerance: by dtype, the largest difference to float32 outputs, of outputs of order 1.
        apart: by dtype, the root mean square of the differences between logits of models of two layers and
            those in float32, over the deviation of the latter, at most; `FURTHER_APART` times that of a token
            decoded on random states, and of half of the tokens where a mixer is not continuous.
    """

    tolerance: ClassVar[Mapping[str, float]] = MappingProxyType(
        {"fp32": 1e-5, "int8": 0.1, "int4": 0.2, "fp16": 0.01, "bf16": 0.05}
    )
    apart: ClassVar[Mapping[str, float]] = MappingProxyType(
        {"fp32": 2e-5, "int8": 0.1, "int4": 0.5, "fp16": 0.01, "bf16": 0.05}
    )

    @pytest.fixture
    def runtime(self, subject: str) -> Runtime:
        found = parse_runtime(subject)
        if found.capability() is None:
            pytest.skip(f"{subject} does not work here: {found.obstacle()}")
        return found

    @pytest.fixture(scope="class")
    @classmethod
    def models(cls) -> TimedModels:
        """Shared: blocks are exported once for all runtimes and number formats."""
        return TimedModels()

    @pytest.fixture
    def dtypes(self, runtime: Runtime) -> tuple[str, ...]:
        capability = runtime.capability()
        assert capability is not None
        return capability.dtypes

    def test_says_what_it_can(self, runtime: Runtime) -> None:
        capability = runtime.capability()
        assert capability is not None
        assert capability.name == runtime.name
        assert capability.version
        assert "fp32" in capability.dtypes
        assert set(capability.dtypes) <= set(runtime.dtypes)
        assert capability.phases == runtime.phases
        assert Phase.PREFILL in capability.phases

    @pytest.mark.parametrize("threads", [1, 2])
    def test_runs_what_it_says_it_can(self, runtime: Runtime, dtypes: tuple[str, ...], threads: int) -> None:
        tokens = workload_tokens(WORKLOAD, VOCABULARY)
        by_hand = submodel_by_hand if runtime.model_format is ModelFormat.SUBMODEL else model_by_hand
        for dtype in dtypes:
            run = runtime.load(runtime.prepare(small_model(runtime), dtype), dtype, threads)
            (outputs,) = run(tokens)
            expected = by_hand(tokens)
            assert outputs.shape == expected.shape
            np.testing.assert_allclose(outputs, expected, atol=self.tolerance[dtype])

    def test_takes_any_batch_and_length_or_says_that_it_does_not(self, runtime: Runtime) -> None:
        run = runtime.load(runtime.prepare(small_model(runtime), "fp32"), "fp32", 1)
        for batch, length in [(1, 1), (3, 7), (1, 130)]:
            tokens = np.zeros((batch, length), dtype=np.int64)
            if runtime.any_shape:
                assert run(tokens)[0].shape[:2] == (batch, length)
            else:
                with pytest.raises(ModelUnusable, match="was compiled for"):
                    run(tokens)

    def test_with_one_thread_the_calling_thread_does_all_work(self, runtime: Runtime) -> None:
        """Its processor time is what is measured: work elsewhere would not be seen."""
        if not isinstance(runtime.clocks(1), ProcessorClocks):
            pytest.skip(f"{runtime.name} does not work on the processor")
        workload = Workload(tokens=512)
        run = runtime.load(runtime.prepare(small_model(runtime, 256, workload), "fp32"), "fp32", 1)
        tokens = workload_tokens(workload, VOCABULARY)
        run(tokens)
        before, before_all = time.thread_time(), time.process_time()
        for _ in range(10):
            run(tokens)
        own, everyone = time.thread_time() - before, time.process_time() - before_all
        assert own > 0.8 * everyone

    def test_its_clocks_see_calls_in_a_row(self, runtime: Runtime, dtypes: tuple[str, ...]) -> None:
        clocks, workload = runtime.clocks(1), Workload(tokens=512)
        tokens = workload_tokens(workload, VOCABULARY)
        for dtype in dtypes:
            file = runtime.prepare(small_model(runtime, 256, workload), dtype)
            loaded = runtime.load(file, dtype, 1)
            busy = {}
            for calls in (1, 16):
                run = loaded.in_a_row(tokens, calls)
                run()
                busy[calls] = min(clocks.time(run).busy for _ in range(5))
            assert 4 < busy[16] / busy[1] < 64

    @pytest.mark.parametrize("phase", [Phase.PREFILL, Phase.DECODE])
    @pytest.mark.parametrize(
        ("mixer", "tokens"),
        [("softmax", 300), ("linear", 300)]
        + [pytest.param(name, 1024, marks=pytest.mark.slow) for name in sorted(mixers(Sight.CAUSAL))],
    )
    def test_runs_what_is_timed_in_every_dtype(
        self,
        runtime: Runtime,
        dtypes: tuple[str, ...],
        models: TimedModels,
        phase: Phase,
        mixer: str,
        tokens: int,
    ) -> None:
        """Beyond 256 positions, where rounded ones coincide, in the file that a target gets; int8 and
        int4 quantise every product with a weight."""
        heads = 0 if mixer == NO_MIXER else 4
        architecture = Architecture(64, 64, (Layer(mixers()[mixer].example, heads, ratio=2),) * 2)
        workload = Workload(phase, tokens=tokens)
        said = {}
        for dtype in dtypes:
            file = models.model(architecture, Target("here", runtime.name, dtype, workload=workload))
            prepared = runtime.prepare(file, dtype)
            if dtype in ("int8", "int4") and runtime.model_format is ModelFormat.ONNX:
                assert quantised(prepared, dtype) == quantisable(file, dtype) >= 2 * 2 + 1
            said[dtype] = runtime.load(prepared, dtype, 1)(workload_tokens(workload, 64))[0]
        expected = said["fp32"]
        if phase is Phase.PREFILL:
            submodel = Submodel(architecture)
            submodel.load_state_dict(random_weights(architecture))
            with torch.inference_mode():
                expected = submodel(torch.from_numpy(workload_tokens(workload, 64))).numpy()
        continuous = mixers()[mixer].continuous
        further = 1.0 if continuous and phase is Phase.PREFILL else FURTHER_APART
        for dtype, logits in said.items():
            squares = np.square(logits - expected).mean(-1)
            # A token that rounding lets see others moves, in the next layer, those that see it.
            error = np.sqrt(squares.mean() if continuous else np.median(squares)) / expected.std()
            assert error < further * self.apart[dtype], dtype

    def test_encodes_what_torch_computes(
        self, runtime: Runtime, dtypes: tuple[str, ...], models: TimedModels
    ) -> None:
        if Phase.ENCODE not in runtime.phases:
            pytest.skip(f"{runtime.name} has no phase {Phase.ENCODE}")
        form = Form(Grid((12, 8), 3), Classes(5))
        layers = (Layer("softmax", 4, ratio=2), Layer("linear", 2, ratio=1))
        architecture = Architecture(0, 64, layers, form=form, stem="conv:3,2", readout="pool")
        workload = Workload(Phase.ENCODE, batch=2, tokens=6)
        submodel = Submodel(architecture)
        submodel.load_state_dict(random_weights(architecture))
        for dtype in dtypes:
            file = models.model(architecture, Target("here", runtime.name, dtype, workload=workload))
            loaded = runtime.load(runtime.prepare(file, dtype), dtype, 1)
            images = loaded.inputs(workload, 1)
            assert (images.shape, images.dtype) == ((2, 3, 12, 8), np.float32)
            with torch.inference_mode():
                expected = submodel(torch.from_numpy(images)).numpy()
            error = np.sqrt(np.square(loaded(images)[0] - expected).mean()) / expected.std()
            assert error < self.apart[dtype], dtype
            loaded.in_a_row(images, 2)()

    @pytest.mark.parametrize("model", [b"", b"not a model", bytes(1000)])
    def test_a_file_that_is_no_model_does_not_load(
        self, runtime: Runtime, dtypes: tuple[str, ...], model: bytes
    ) -> None:
        for dtype in dtypes:
            with pytest.raises(ModelUnusable):
                runtime.load(runtime.prepare(model, dtype), dtype, 1)

    def test_a_model_of_other_inputs_does_not_load(self, runtime: Runtime) -> None:
        model = build_model(input_name="pixels")
        with pytest.raises(ModelUnusable, match="accepted"):
            runtime.load(runtime.prepare(model, "fp32"), "fp32", 1)

    def test_a_dtype_that_it_does_not_list_is_an_error(self, runtime: Runtime) -> None:
        with pytest.raises(TargetNotServed, match=r"fp7.*accepted.*fp32"):
            runtime.prepare(small_model(runtime), "fp7")

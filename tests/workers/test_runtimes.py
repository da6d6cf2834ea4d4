"""The contract of every registered runtime that works on this machine."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.errors import ModelUnusable, TargetNotServed
from workers.runtimes import ModelFormat, Runtime, Tokens, parse_runtime, runtimes, workload_tokens
from workers.target import Phase, Workload

WORKLOAD = Workload(batch=2, tokens=32)
VOCABULARY = 64
TOLERANCE = {"fp32": 1e-5, "int8": 0.1, "bf16": 0.05}
"""Largest difference to float32 outputs, of outputs of order 1."""

MakeModel = Callable[..., bytes]


@pytest.fixture(params=runtimes())
def runtime(request: pytest.FixtureRequest) -> Runtime:
    found = parse_runtime(request.param)
    if found.capability() is None:
        pytest.skip(f"{request.param} is not installed")
    return found


@dataclass(frozen=True)
class Small:
    """A model file in a runtime's format, and what it computes."""

    file: bytes
    by_hand: Callable[[Tokens], NDArray[np.float32]]


@pytest.fixture
def small(runtime: Runtime, make_model: MakeModel, make_submodel: MakeModel) -> Small:
    if runtime.model_format is ModelFormat.SUBMODEL:
        return Small(make_submodel(), submodel_by_hand)
    return Small(make_model(), onnx_by_hand)


def onnx_by_hand(tokens: Tokens) -> NDArray[np.float32]:
    """What `make_model()` computes."""
    rng = np.random.default_rng(16)
    embedded = rng.standard_normal((VOCABULARY, 16)).astype(np.float32)[tokens]
    return embedded + embedded @ (rng.standard_normal((16, 16)).astype(np.float32) / 16)


def submodel_by_hand(tokens: Tokens) -> NDArray[np.float32]:
    """What `make_submodel()` computes."""
    rng = np.random.default_rng(16)
    embedding, up, down = (rng.standard_normal(shape) / 16 for shape in [(64, 16), (32, 16), (16, 32)])

    def normed(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)

    x = embedding[tokens] * 4
    hidden = normed(x) @ up.T
    x = x + hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2 @ down.T
    return (normed(x) @ embedding.T).astype(np.float32)


def dtypes(runtime: Runtime) -> tuple[str, ...]:
    capability = runtime.capability()
    assert capability is not None
    return capability.dtypes


def test_says_what_it_can(runtime: Runtime) -> None:
    capability = runtime.capability()
    assert capability is not None
    assert capability.name == runtime.name
    assert capability.version
    assert "fp32" in capability.dtypes
    assert set(capability.dtypes) <= set(runtime.dtypes)
    assert capability.phases == runtime.phases
    assert Phase.PREFILL in capability.phases


@pytest.mark.parametrize("threads", [1, 2])
def test_runs_what_it_says_it_can(runtime: Runtime, threads: int, small: Small) -> None:
    tokens = workload_tokens(WORKLOAD, VOCABULARY)
    for dtype in dtypes(runtime):
        run = runtime.load(runtime.prepare(small.file, dtype), dtype, threads)
        (outputs,) = run(tokens)
        expected = small.by_hand(tokens)
        assert outputs.shape == expected.shape
        np.testing.assert_allclose(outputs, expected, atol=TOLERANCE[dtype])


def test_takes_any_batch_and_length(runtime: Runtime, small: Small) -> None:
    run = runtime.load(runtime.prepare(small.file, "fp32"), "fp32", 1)
    for batch, length in [(1, 1), (3, 7), (1, 130)]:
        (outputs,) = run(np.zeros((batch, length), dtype=np.int64))
        assert outputs.shape[:2] == (batch, length)


def test_with_one_thread_the_calling_thread_does_all_work(
    runtime: Runtime, make_model: MakeModel, make_submodel: MakeModel
) -> None:
    """Its processor time is what is measured: work elsewhere would not be seen."""
    make = make_submodel if runtime.model_format is ModelFormat.SUBMODEL else make_model
    run = runtime.load(runtime.prepare(make(width=256), "fp32"), "fp32", 1)
    tokens = workload_tokens(Workload(tokens=512), VOCABULARY)
    run(tokens)
    before, before_all = time.thread_time(), time.process_time()
    for _ in range(10):
        run(tokens)
    own, everyone = time.thread_time() - before, time.process_time() - before_all
    assert own > 0.8 * everyone


@pytest.mark.parametrize("model", [b"", b"not a model", bytes(1000)])
def test_a_file_that_is_no_model_does_not_load(runtime: Runtime, model: bytes) -> None:
    for dtype in dtypes(runtime):
        with pytest.raises(ModelUnusable):
            runtime.load(runtime.prepare(model, dtype), dtype, 1)


def test_a_model_of_other_inputs_does_not_load(runtime: Runtime, make_model: MakeModel) -> None:
    model = make_model(input_name="pixels")
    with pytest.raises(ModelUnusable, match="accepted"):
        runtime.load(runtime.prepare(model, "fp32"), "fp32", 1)


def test_a_dtype_that_it_does_not_list_is_an_error(runtime: Runtime, small: Small) -> None:
    with pytest.raises(TargetNotServed, match=r"fp7.*accepted.*fp32"):
        runtime.prepare(small.file, "fp7")


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_a_token_that_the_model_does_not_know_is_an_error(
    name: str, make_model: MakeModel, make_submodel: MakeModel
) -> None:
    """OpenVINO does not notice; its docstring says so."""
    runtime = parse_runtime(name)
    file = make_submodel() if runtime.model_format is ModelFormat.SUBMODEL else make_model()
    run = runtime.load(runtime.prepare(file, "fp32"), "fp32", 1)
    with pytest.raises(ModelUnusable):
        run(np.full((1, 4), VOCABULARY, dtype=np.int64))


def test_onnxruntime_refuses_to_run_anywhere_but_on_the_processor(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    providers = ["SomewhereElse", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: providers)
    with pytest.raises(ModelUnusable, match=r"SomewhereElse.*accepted: CPUExecutionProvider"):
        parse_runtime("onnxruntime").load(make_model(), "fp32", 1)


def test_openvino_refuses_to_compute_in_another_number_format(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = pytest.importorskip("openvino")
    compile_model = openvino.Core.compile_model

    def ignoring_the_hint(self, model, device, wanted):  # type: ignore[no-untyped-def]
        return compile_model(self, model, device, {**wanted, "INFERENCE_PRECISION_HINT": "f32"})

    monkeypatch.setattr(openvino.Core, "compile_model", ignoring_the_hint)
    with pytest.raises(ModelUnusable, match="would compute in f32; accepted: bf16"):
        parse_runtime("openvino").load(make_model(), "bf16", 1)


@pytest.mark.parametrize("key", ["architecture", "workload"])
def test_torch_names_what_a_file_lacks(key: str, make_submodel: MakeModel) -> None:
    from safetensors.numpy import load, save

    file = make_submodel()
    header = json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])
    content = json.loads(header["__metadata__"]["submodel"])
    del content[key]
    lacking = save(load(file), {"submodel": json.dumps(content)})
    with pytest.raises(ModelUnusable, match=f"{key}.*accepted: a safetensors file"):
        parse_runtime("torch").load(lacking, "fp32", 1)


def test_an_unknown_runtime_is_named_with_those_known() -> None:
    with pytest.raises(ValueError, match=r"abacus.*accepted: onnxruntime"):
        parse_runtime("abacus")


def test_the_input_is_the_same_every_time() -> None:
    tokens = workload_tokens(WORKLOAD, 50)
    assert (tokens.shape, tokens.dtype) == ((2, 32), np.int64)
    assert tokens.min() >= 0
    assert tokens.max() < 50
    assert len(np.unique(tokens)) > 20
    np.testing.assert_array_equal(tokens, workload_tokens(WORKLOAD, 50))


def test_decoding_takes_one_token_a_sequence() -> None:
    assert workload_tokens(Workload(Phase.DECODE, batch=3, tokens=500), 50).shape == (3, 1)

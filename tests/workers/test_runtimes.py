"""The contract of every registered runtime that works on this machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from workers.errors import ModelUnusable, TargetNotServed
from workers.runtimes import Runtime, parse_runtime, runtimes, workload_tokens
from workers.target import Phase, Workload

WORKLOAD = Workload(batch=2, tokens=32)
TOLERANCE = {"fp32": 1e-5, "int8": 0.1}
"""Largest difference to float32 outputs, of outputs of order 1."""


@pytest.fixture(params=runtimes())
def runtime(request: pytest.FixtureRequest) -> Runtime:
    found = parse_runtime(request.param)
    if found.capability() is None:
        pytest.skip(f"{request.param} is not installed")
    return found


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
    assert Phase.PREFILL in capability.phases


@pytest.mark.parametrize("threads", [1, 2])
def test_runs_what_it_says_it_can(runtime: Runtime, threads: int, make_model: Callable[..., bytes]) -> None:
    tokens = workload_tokens(WORKLOAD, 64)
    for dtype in dtypes(runtime):
        run = runtime.load(runtime.prepare(make_model(), dtype), threads)
        (outputs,) = run(tokens)
        assert outputs.shape == (2, 32, 16)
        np.testing.assert_allclose(outputs, by_hand(tokens), atol=TOLERANCE[dtype])


def by_hand(tokens: np.ndarray) -> np.ndarray:
    """What `make_model()` computes."""
    rng = np.random.default_rng(16)
    embedded = rng.standard_normal((64, 16)).astype(np.float32)[tokens]
    return embedded + embedded @ (rng.standard_normal((16, 16)).astype(np.float32) / 16)


def test_takes_any_batch_and_length(runtime: Runtime, make_model: Callable[..., bytes]) -> None:
    run = runtime.load(runtime.prepare(make_model(), "fp32"), 1)
    for batch, length in [(1, 1), (3, 7), (1, 130)]:
        (outputs,) = run(np.zeros((batch, length), dtype=np.int64))
        assert outputs.shape[:2] == (batch, length)


@pytest.mark.parametrize("model", [b"", b"not a model", bytes(1000)])
def test_a_file_that_is_no_model_does_not_load(runtime: Runtime, model: bytes) -> None:
    for dtype in dtypes(runtime):
        with pytest.raises(ModelUnusable):
            runtime.load(runtime.prepare(model, dtype), 1)


def test_a_model_of_other_inputs_does_not_load(runtime: Runtime, make_model: Callable[..., bytes]) -> None:
    model = make_model(input_name="pixels")
    with pytest.raises(ModelUnusable, match=r"pixels.*accepted.*tokens"):
        runtime.load(runtime.prepare(model, "fp32"), 1)


def test_a_token_that_the_model_does_not_know_is_an_error(
    runtime: Runtime, make_model: Callable[..., bytes]
) -> None:
    run = runtime.load(runtime.prepare(make_model(), "fp32"), 1)
    with pytest.raises(ModelUnusable):
        run(np.full((1, 4), 64, dtype=np.int64))


def test_a_dtype_that_it_does_not_list_is_an_error(
    runtime: Runtime, make_model: Callable[..., bytes]
) -> None:
    with pytest.raises(TargetNotServed, match=r"fp7.*accepted.*fp32"):
        runtime.prepare(make_model(), "fp7")


def test_onnxruntime_refuses_to_run_anywhere_but_on_the_processor(
    make_model: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    providers = ["SomewhereElse", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: providers)
    with pytest.raises(ModelUnusable, match=r"SomewhereElse.*accepted: CPUExecutionProvider"):
        parse_runtime("onnxruntime").load(make_model(), 1)


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


def test_a_decode_workload_has_no_prompt() -> None:
    with pytest.raises(ValueError, match="accepted: phase prefill"):
        workload_tokens(Workload(Phase.DECODE), 50)

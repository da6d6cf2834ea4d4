"""Every registered runtime that works on this machine keeps the contract: registering one enrols it here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.testing.models import VOCABULARY
from nas.testing.runtimes import WORKLOAD, RuntimeContract, small_model
from workers.errors import ModelUnusable
from workers.runtimes import parse_runtime, runtimes, workload_tokens
from workers.runtimes.litert import CONVERTER
from workers.target import Phase, Workload

MakeModel = Callable[..., bytes]

COMPILING = {"torch-compile", "torch-compile-cuda", "executorch", "litert"}


class TestEveryRuntime(RuntimeContract):
    # Compiling takes seconds a model and dtype: below is what the short form does of it.
    subjects = tuple(
        pytest.param(name, marks=pytest.mark.slow if name in COMPILING else ()) for name in runtimes()
    )


@pytest.mark.parametrize("name", ["torch-compile", "executorch", "litert"])
def test_what_is_compiled_computes_what_is_not(name: str) -> None:
    runtime = parse_runtime(name)
    if runtime.capability() is None:
        pytest.skip(f"{runtime.name} does not work here: {runtime.obstacle()}")
    file = small_model(runtime)
    tokens = workload_tokens(WORKLOAD, VOCABULARY)
    (outputs,) = runtime.load(runtime.prepare(file, "fp32"), "fp32", 1)(tokens)
    (expected,) = parse_runtime("torch").load(file, "fp32", 1)(tokens)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_litert_says_where_its_converter_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setenv(CONVERTER, str(tmp_path / "python"))
    said = parse_runtime("litert").obstacle()
    assert said is not None
    assert CONVERTER in said
    (tmp_path / "python").write_text("#!/bin/sh\necho 'ValueError: no such operator' >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    runtime = parse_runtime("litert")
    assert runtime.obstacle() is None
    with pytest.raises(ModelUnusable, match="does not convert the model: ValueError: no such operator"):
        runtime.prepare(small_model(runtime), "fp32")


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_a_token_that_the_model_does_not_know_is_an_error(name: str) -> None:
    """OpenVINO does not notice; its docstring says so."""
    runtime = parse_runtime(name)
    run = runtime.load(runtime.prepare(small_model(runtime), "fp32"), "fp32", 1)
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
    with pytest.raises(ValueError, match=r"abacus.*accepted: .*onnxruntime, "):
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

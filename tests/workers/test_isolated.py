"""What a model may take: it is ended at its limits, and the worker lives on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.export import TimedModels
from searchspaces.architecture import Architecture, Layer
from workers.capabilities import Capabilities
from workers.errors import MeasurementCancelled, ModelUnusable, TargetNotServed
from workers.isolated import IsolatedMeasuring
from workers.limits import ModelLimits
from workers.request import MeasurementRequest
from workers.runtimes import parse_runtime
from workers.target import Target, Workload

MakeRequest = Callable[..., MeasurementRequest]


def endless() -> bytes:
    """An ONNX Loop whose condition stays true."""
    from onnx import TensorProto, helper

    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still_going"]),
            helper.make_node("Add", ["value", "value"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.INT64, None),
        ],
        [
            helper.make_tensor_value_info("still_going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.INT64, None),
        ],
    )
    nodes = [
        helper.make_node(
            "Constant", [], ["true"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True])
        ),
        helper.make_node("Loop", ["", "true", "tokens"], ["last"], body=body),
        helper.make_node("Cast", ["last"], ["logits"], to=TensorProto.FLOAT),
    ]
    return model(nodes)


def greedy(gigabytes: int) -> bytes:
    """Asks for so much memory at once."""
    from onnx import TensorProto, helper, numpy_helper

    shape = numpy_helper.from_array(np.array([gigabytes, 1 << 28], np.int64), "shape")
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("ReduceSum", ["tokens"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Expand", ["number", "shape"], ["much"]),
        helper.make_node("Exp", ["much"], ["logits"]),
    ]
    return model(nodes)


def model(nodes: list) -> bytes:
    from onnx import TensorProto, helper

    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "length"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "stranger", [tokens], [logits])
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    ).SerializeToString()


@pytest.fixture(scope="module")
def measuring() -> Iterator[IsolatedMeasuring]:
    measuring = IsolatedMeasuring(ModelLimits(memory_bytes=2 << 30, processor_seconds=8.0, seconds=60.0))
    yield measuring
    measuring.close()


@pytest.fixture(scope="module")
def here(measuring: IsolatedMeasuring) -> Capabilities:
    return measuring.describe("bench")


def test_a_device_is_described_as_it_describes_itself(here: Capabilities) -> None:
    from workers.measuring import describe_device

    assert here == describe_device("bench")


def test_a_good_model_is_measured(
    measuring: IsolatedMeasuring, here: Capabilities, make_request: MakeRequest
) -> None:
    request = make_request()
    measurement = measuring.measure(request, here)
    assert (measurement.digest, measurement.target) == (request.digest, request.target)
    assert measurement.latency_ms > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others keep no account of peak memory")
def test_a_model_takes_the_same_memory_whatever_was_measured_before(
    measuring: IsolatedMeasuring,
    here: Capabilities,
    make_request: MakeRequest,
    make_model: Callable[..., bytes],
) -> None:
    told = []
    for width in (1200, 900, 1200, 2100, 1200, 1200):
        request = make_request(model=make_model(width=width, layers=4))
        told.append(measuring.measure(request, here).peak_memory_bytes)
    first, small, *_ = told
    assert small < first
    assert first > 4 * 4 * 1200 * 1200
    # Prompts in onnxruntime were up to 2.8% apart.
    assert [told[i] for i in (2, 4, 5)] == pytest.approx([first] * 3, rel=0.05)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others keep no account of peak memory")
def test_without_the_process_that_tells_memory_it_is_told_of_the_one_that_times(
    here: Capabilities, make_request: MakeRequest, make_model: Callable[..., bytes]
) -> None:
    measuring = IsolatedMeasuring()
    try:
        request = make_request(model=make_model(width=1200, layers=4))
        beside = measuring.measure(request, here).peak_memory_bytes
        assert measuring._process is not None
        timing = measuring._process.pid
        children = Path(f"/proc/{timing}/task/{timing}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        assert len(children) == 1
        # Told of a process that ran other models before it moves with these: 1.5 times as much was seen.
        assert beside / 3 < measuring.measure(request, here).peak_memory_bytes < 3 * beside
        assert measuring._process is None, "the next one has such a process again"
        assert measuring.measure(request, here).peak_memory_bytes == pytest.approx(beside, rel=0.05)
    finally:
        measuring.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others keep no account of resident memory")
def test_what_a_model_took_is_given_back_once_nothing_is_measured(
    here: Capabilities, make_request: MakeRequest, make_model: Callable[..., bytes]
) -> None:
    measuring = IsolatedMeasuring()

    def resident() -> int:
        assert measuring._process is not None
        pages = Path(f"/proc/{measuring._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    try:
        measuring.measure(make_request(), here)
        before, model = resident(), make_model(width=3000, layers=4)
        measuring.measure(make_request(model=model), here)
        deadline = time.monotonic() + 20
        while resident() > before + len(model) // 2:
            assert time.monotonic() < deadline, f"{(resident() - before) / len(model):.1f} times the model"
            time.sleep(0.2)
    finally:
        measuring.close()


@pytest.mark.parametrize(
    "name",
    ["onnxruntime", "openvino", "torch"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("executorch", "litert")],
)
def test_engines_run_with_any_number_of_threads_in_forks(
    name: str,
    here: Capabilities,
    make_request: MakeRequest,
) -> None:
    """A fork has none of its parent's threads, which an engine may believe to be there."""
    runtime = parse_runtime(name)
    if runtime.capability() is None:
        pytest.skip(f"{name} does not work here: {runtime.obstacle()}")
    architecture, models = Architecture(64, 64, (Layer("window:64", 4, ratio=2),)), TimedModels()
    measuring = IsolatedMeasuring(ModelLimits(seconds=60.0))
    try:
        for threads in range(1, min(2, here.threads) + 1):
            target = Target("bench", name, threads=threads, workload=Workload(tokens=256))
            model, reference = models.model(architecture, target), models.reference(target)
            request = make_request(target=target, model=model, reference=reference)
            assert measuring.measure(request, here).repeats >= 3
    finally:
        measuring.close()


def test_what_goes_wrong_is_what_it_is_in_one_process(
    measuring: IsolatedMeasuring, here: Capabilities, make_request: MakeRequest
) -> None:
    with pytest.raises(ModelUnusable) as unusable:
        measuring.measure(make_request(model=b"no model"), here)
    assert not unusable.value.retryable
    with pytest.raises(TargetNotServed):
        measuring.measure(make_request(target=replace(make_request().target, device="phone")), here)


@pytest.mark.parametrize(
    ("stranger", "message"),
    [(endless, "used up its processor time"), (lambda: greedy(64), "memory|alloc|ended")],
    ids=["a call that never returns", "64 GB"],
)
def test_a_model_is_ended_at_its_limits_and_the_next_is_measured(
    measuring: IsolatedMeasuring,
    here: Capabilities,
    make_request: MakeRequest,
    stranger: Callable[[], bytes],
    message: str,
) -> None:
    with pytest.raises(ModelUnusable, match=message):
        measuring.measure(make_request(model=stranger()), here)
    assert measuring.measure(make_request(), here).latency_ms > 0


def test_a_call_that_never_returns_is_ended_by_time(here: Capabilities, make_request: MakeRequest) -> None:
    short = IsolatedMeasuring(ModelLimits(seconds=4.0))
    try:
        with pytest.raises(ModelUnusable, match="took over 4 s and was ended"):
            short.measure(make_request(model=endless()), here)
    finally:
        short.close()


def test_what_is_no_longer_wanted_ends_at_once(here: Capabilities, make_request: MakeRequest) -> None:
    began, wanted = time.monotonic(), threading.Event()
    threading.Timer(0.5, wanted.set).start()
    measuring = IsolatedMeasuring()
    try:
        with pytest.raises(MeasurementCancelled):
            measuring.measure(make_request(model=endless()), here, wanted.is_set)
    finally:
        measuring.close()
    assert time.monotonic() - began < 30


def test_an_ended_process_is_replaced(
    measuring: IsolatedMeasuring, here: Capabilities, make_request: MakeRequest
) -> None:
    assert measuring._process is not None
    os.kill(measuring._process.pid, 9)
    measuring._process.wait()
    assert measuring.measure(make_request(), here).latency_ms > 0


WRONG = [{"seconds": 0.0}, {"processor_seconds": float("nan")}, {"memory_bytes": -1}]


@pytest.mark.parametrize("wrong", WRONG)
def test_limits_are_numbers_above_nothing(wrong: dict) -> None:
    with pytest.raises(ValueError, match="accepted: a finite number above 0"):
        ModelLimits(**wrong)

"""What a worker says of what happened to it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_isolated import model

from workers.measurement import Measurement
from workers.messages import TEXT_CHARACTERS, Failure, Leave, Result, WorkerMessage, shortened
from workers.request import MeasurementFailure, MeasurementRequest
from workers.rpc.convert import worker_message_to_wire
from workers.server import MAX_RECEIVE_BYTES, WorkerServer
from workers.target import Target, Workload

MakeServer = Callable[..., WorkerServer]
MakeRequest = Callable[..., MeasurementRequest]
StartWorker = Callable[..., "subprocess.Popen[bytes]"]

TARGET = Target("bench", workload=Workload(tokens=64))
SECONDS = 30
"""No wait of these tests is longer; a correct worker ends each in a fraction of it."""


def test_a_long_reason_arrives_with_its_beginning_and_its_end(
    make_server: MakeServer, start_worker: StartWorker, make_request: MakeRequest
) -> None:
    from onnx import helper

    server = make_server()
    start_worker(server.address)
    server.wait_for(TARGET, SECONDS)
    (before,) = server.devices()
    unknown = model([helper.make_node("Begins" + "x" * 70_000 + "Ends", ["tokens"], ["logits"])])
    (outcome,) = server.measure([make_request(model=unknown)])
    assert isinstance(outcome, MeasurementFailure)
    assert not outcome.retryable
    assert outcome.reason.startswith("onnxruntime does not load the model")
    assert "characters left out" in outcome.reason
    assert "Ends" in outcome.reason
    (after,) = server.devices()
    assert after.connected_since == before.connected_since, "the session goes on"


LONG = "begins" + "…\udcff" * 50_000 + "ends"
MEASUREMENT = Measurement("a", TARGET, 5.0, 0.1, 0.01, 5.1, 0.5, 1.0, 0, 10, 0, False, conditions=LONG)


@pytest.mark.parametrize(
    "message",
    [Failure("l", LONG, True), Leave(LONG), Result("l", MEASUREMENT)],
    ids=lambda message: type(message).__name__,
)
def test_no_message_is_longer_than_a_service_takes(message: WorkerMessage) -> None:
    assert len(worker_message_to_wire(message).SerializeToString()) < MAX_RECEIVE_BYTES // 8


@given(st.integers(0, 10**5), st.integers(0, 10**5))
def test_what_is_left_out_is_counted(first: int, last: int) -> None:
    text = "b" * first + "e" * last
    told = shortened(text)
    assert len(told) <= TEXT_CHARACTERS
    if len(text) <= TEXT_CHARACTERS:
        assert told == text
        return
    head, _, rest = told.partition(" … (")
    number, _, tail = rest.partition(" characters left out) … ")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) + int(number) + len(tail) == len(text)
    assert min(len(head), len(tail)) > TEXT_CHARACTERS // 3

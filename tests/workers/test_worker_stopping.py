"""A worker that is stopped while a model is on its way to it."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from workers.messages import Lease
from workers.models import model_file
from workers.request import MeasurementRequest
from workers.rpc.convert import service_message_to_wire
from workers.rpc.v1 import worker_pb2 as wire
from workers.rpc.v1 import worker_pb2_grpc

MakeRequest = Callable[..., MeasurementRequest]
StartWorker = Callable[..., "subprocess.Popen[bytes]"]

SECONDS = 30
"""No wait of these tests is longer; a correct worker ends each in a fraction of it."""


class StallingService(worker_pb2_grpc.WorkerServiceServicer):
    """Leases one model, sends a piece of it and then nothing.

    Attributes:
        fetching: set once a worker waits for the rest.
        given_up: set once it waits no more.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self.fetching, self.given_up = threading.Event(), threading.Event()
        self.ends = threading.Event()

    def Session(self, request_iterator, context):  # type: ignore[no-untyped-def]  # noqa: N802
        next(request_iterator)
        yield wire.ServiceMessage(welcome=wire.Welcome(session_id="s", heartbeat_seconds=60.0))
        yield service_message_to_wire(self._lease)
        context.add_callback(self.ends.set)
        self.ends.wait(SECONDS)

    def FetchModel(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        context.add_callback(self.given_up.set)
        yield wire.ModelChunk(data=b"begins")
        self.fetching.set()
        self.given_up.wait(SECONDS)


@pytest.fixture
def stalling(make_request: MakeRequest) -> Iterator[tuple[StallingService, str]]:
    """The service, and its address."""
    request = make_request()
    file = model_file(request.model)
    service = StallingService(Lease("l", "a", request.target, file, file, 64, 1.0, request.protocol))
    server = grpc.server(ThreadPoolExecutor(4))
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, f"127.0.0.1:{port}"
    service.ends.set()
    server.stop(0).wait()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_in_the_middle_of_a_transfer(
    how: signal.Signals, stalling: tuple[StallingService, str], start_worker: StartWorker
) -> None:
    service, address = stalling
    worker = start_worker(address)
    assert service.fetching.wait(SECONDS)
    began = time.monotonic()
    worker.send_signal(how)
    assert worker.wait(SECONDS) == 0
    assert time.monotonic() - began < 10
    assert service.given_up.is_set()


def test_a_second_signal_ends_a_worker_at_once(
    stalling: tuple[StallingService, str], start_worker: StartWorker
) -> None:
    service, address = stalling
    worker = start_worker(address)
    assert service.fetching.wait(SECONDS)
    worker.send_signal(signal.SIGINT)
    # It waits for its goodbye to be heard now, which here it is not.
    assert service.given_up.wait(SECONDS)
    worker.send_signal(signal.SIGINT)
    assert worker.wait(1.0) == -signal.SIGINT

"""One device name stands for one kind of machine, whoever is connected."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import grpc
from raw_worker import HERE, SECONDS, RawWorker, measuring

from workers.capabilities import Accelerator, Capabilities
from workers.measurement import Measurement
from workers.messages import Register
from workers.request import MeasurementRequest
from workers.rpc.convert import worker_message_to_wire
from workers.server import WorkerServer

MakeServer = Callable[..., WorkerServer]
MakeRequest = Callable[..., MeasurementRequest]

OTHER = replace(HERE, cpu_model="slower cpu")


def refusal(server: WorkerServer, capabilities: Capabilities) -> str:
    """Why the server does not let such a machine in."""
    with RawWorker(server.address) as worker:
        worker.outbox.put(worker_message_to_wire(Register(capabilities)))
        error = worker.ending()
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    return error.details()


def measured(server: WorkerServer, request: MeasurementRequest, here: Capabilities = HERE) -> None:
    """Have such a machine measure, and leave."""
    wait = measuring(server, request)
    with RawWorker(server.address) as worker:
        worker.register(here)
        worker.report(worker.lease())
        (outcome,) = wait()
    assert isinstance(outcome, Measurement)
    gone(server)


def gone(server: WorkerServer) -> None:
    """Until nobody is connected."""
    until = time.monotonic() + SECONDS
    while server.devices():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_one_device_name_stands_for_one_kind_of_machine(make_server: MakeServer) -> None:
    server = make_server()
    with RawWorker(server.address) as first:
        first.register()
        assert refusal(server, OTHER) == (
            "device bench is a cpu, this is a slower cpu; choose another --device name"
        )


def test_it_does_once_the_first_has_left(make_server: MakeServer, make_request: MakeRequest) -> None:
    server = make_server()
    measured(server, make_request())
    said = refusal(server, OTHER)
    assert "a cpu has measured as device bench, this is a slower cpu; choose another --device name" in said
    assert "nas measurements forget TARGET" in said
    assert "this is a cpu with H200" in refusal(server, replace(HERE, accelerators=(Accelerator("H200", 1),)))


def test_the_same_kind_of_machine_may_come_back_changed(
    make_server: MakeServer, make_request: MakeRequest
) -> None:
    """Another kernel, more memory, fewer threads, a later driver: it is still the machine that it was."""
    server = make_server()
    here = replace(HERE, accelerators=(Accelerator("H200", 1 << 37, "550"),), memory_bytes=1 << 34)
    measured(server, make_request("a"), here)
    later = Accelerator("H200", 1 << 36, "560")
    changed = replace(here, system="Linux 7", memory_bytes=1 << 35, threads=1, accelerators=(later,))
    measured(server, make_request("b"), changed)


def test_a_name_under_which_nothing_was_measured_is_free(make_server: MakeServer) -> None:
    server = make_server()
    with RawWorker(server.address) as first:
        first.register()
    gone(server)
    with RawWorker(server.address) as second:
        assert second.register(OTHER)

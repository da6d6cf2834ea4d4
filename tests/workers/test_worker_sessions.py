"""A worker that lies, over a real socket: the service answers clearly, drops it, and carries on."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import SimpleQueue

import grpc
import pytest
from raw_worker import HERE, SECONDS, RawWorker, measuring

from workers.agent import run_worker
from workers.connection import Connection, Inbox
from workers.errors import ListenFailed, NoWorkerServes, TransferFailed, WorkerError
from workers.measurement import Measurement
from workers.messages import PROTOCOL_VERSION, Heartbeat, Lease, Register, Welcome
from workers.models import ModelCache
from workers.request import MeasurementFailure, MeasurementRequest
from workers.rpc.convert import service_message_to_wire, worker_message_to_wire
from workers.rpc.v1 import worker_pb2 as wire
from workers.rpc.v1 import worker_pb2_grpc
from workers.server import WorkerServer
from workers.target import Target

MakeServer = Callable[..., WorkerServer]
MakeRequest = Callable[..., MeasurementRequest]


def test_a_raw_worker_can_do_it_right(make_server: MakeServer, make_request: MakeRequest) -> None:
    server = make_server()
    wait = measuring(server, make_request())
    with RawWorker(server.address) as worker:
        session_id = worker.register()
        (device,) = server.devices()
        assert (device.name, device.capabilities) == ("bench", HERE)
        lease = worker.lease()
        fetch = wire.FetchModelRequest(
            session_id=session_id, lease_id=lease.lease_id, sha256=lease.model.sha256
        )
        assert b"".join(c.data for c in worker.stub.FetchModel(fetch)) == make_request().model
        worker.report(lease)
        (outcome,) = wait()
        assert isinstance(outcome, Measurement)
        assert outcome.latency_ms == 5.0


@pytest.mark.parametrize(
    ("latency_ms", "fields"),
    [
        (math.nan, {}),
        (math.inf, {}),
        (-1.0, {}),
        (5.0, {"digest": "b"}),
        (5.0, {"reference_ms": 7.0}),
        (5.0, {"repeats": 0}),
    ],
)
def test_a_result_that_cannot_be_is_rejected_and_its_lease_returns(
    make_server: MakeServer, make_request: MakeRequest, latency_ms: float, fields: dict[str, object]
) -> None:
    server = make_server()
    wait = measuring(server, make_request())
    with RawWorker(server.address) as liar:
        liar.register()
        lease = liar.lease()
        with RawWorker(server.address) as honest:
            honest.register()
            liar.report(lease, latency_ms, **fields)
            honest.report(honest.lease(), 6.0)
            (outcome,) = wait()
    assert isinstance(outcome, Measurement)
    assert outcome.latency_ms == 6.0


def test_a_worker_that_keeps_lying_is_dropped_and_its_work_fails_clearly(
    make_server: MakeServer, make_request: MakeRequest
) -> None:
    server = make_server()
    wait = measuring(server, make_request())
    with RawWorker(server.address) as liar:
        liar.register()
        for _ in range(3):
            liar.report(liar.lease(), math.nan)
        error = liar.ending()
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "dropped after 3 offences: latency_ms is nan" in error.details()
    (outcome,) = wait()
    assert isinstance(outcome, MeasurementFailure)
    assert outcome.retryable
    assert "latency_ms is nan" in outcome.reason
    assert server.devices() == []


def test_a_result_told_twice_counts_once(make_server: MakeServer, make_request: MakeRequest) -> None:
    server = make_server()
    wait = measuring(server, make_request("a"), make_request("b"))
    with RawWorker(server.address) as worker:
        worker.register()
        first = worker.lease()
        worker.report(first)
        worker.report(first, 50.0)
        worker.report(worker.lease(), 6.0)
        outcomes = wait()
    assert sorted((o.digest, o.latency_ms) for o in outcomes if isinstance(o, Measurement)) == [
        ("a", 5.0),
        ("b", 6.0),
    ]


def test_bytes_that_are_no_message_end_the_session_only(
    make_server: MakeServer, make_request: MakeRequest
) -> None:
    server = make_server()
    wait = measuring(server, make_request())
    with RawWorker(server.address, raw=True) as garbage:
        garbage.outbox.put(worker_message_to_wire(Register(HERE)).SerializeToString())
        garbage.lease()
        garbage.outbox.put(b"\xff\xff\xff\xff not a message")
        garbage.ending()
    with RawWorker(server.address) as honest:
        honest.register()
        honest.report(honest.lease())
        (outcome,) = wait()
    assert isinstance(outcome, Measurement)


def test_a_message_over_the_limit_ends_the_session_only(make_server: MakeServer) -> None:
    server = make_server()
    with RawWorker(server.address) as worker:
        worker.register()
        worker.outbox.put(wire.WorkerMessage(leave=wire.Leave(reason="x" * (1 << 17))))
        assert worker.ending().code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "first",
    [
        worker_message_to_wire(Heartbeat()),
        wire.WorkerMessage(),
        wire.WorkerMessage(register=wire.Register(protocol_version=PROTOCOL_VERSION)),
    ],
    ids=["heartbeat", "empty", "nameless"],
)
def test_a_worker_must_introduce_itself(make_server: MakeServer, first: wire.WorkerMessage) -> None:
    server = make_server()
    with RawWorker(server.address) as worker:
        worker.outbox.put(first)
        error = worker.ending()
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Register" in error.details()
    assert server.devices() == []


@pytest.mark.parametrize(("older", "advice"), [(1, "update the worker"), (-1, "update the service")])
def test_another_protocol_version_is_answered_clearly(
    make_server: MakeServer, older: int, advice: str
) -> None:
    version = PROTOCOL_VERSION - older
    with RawWorker(make_server().address) as worker:
        worker.outbox.put(worker_message_to_wire(Register(HERE, version)))
        error = worker.ending()
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    said = f"the worker speaks protocol {version}, the service {PROTOCOL_VERSION}; {advice}"
    assert error.details() == said


def test_more_workers_than_accepted(make_server: MakeServer) -> None:
    server = make_server(max_sessions=1)
    with RawWorker(server.address) as first, RawWorker(server.address) as second:
        first.register()
        second.outbox.put(worker_message_to_wire(Register(HERE)))
        assert second.ending().code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("token", [None, "wrong", "secre", "secret2"])
def test_without_the_token_nothing_is_told(make_server: MakeServer, token: str | None) -> None:
    server = make_server(token="secret")
    with RawWorker(server.address, token) as worker:
        worker.outbox.put(worker_message_to_wire(Register(HERE)))
        error = worker.ending()
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "secret" not in error.details()
        with pytest.raises(grpc.RpcError) as caught:
            list(worker.stub.FetchModel(wire.FetchModelRequest(), metadata=worker.metadata))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with RawWorker(server.address, "secret") as worker:
        assert worker.register()


def test_a_worker_fetches_only_what_its_lease_names(
    make_server: MakeServer, make_request: MakeRequest
) -> None:
    server = make_server()
    requests = make_request("a", model=b"model a"), make_request("b", model=b"model b")
    wait = measuring(server, *requests)
    with RawWorker(server.address) as one, RawWorker(server.address) as two:
        one_id, one_lease = one.register(), one.lease()
        two_id, two_lease = two.register(), two.lease()
        for session_id, lease_id, sha256 in [
            (one_id, two_lease.lease_id, two_lease.model.sha256),
            (one_id, one_lease.lease_id, two_lease.model.sha256),
            ("", one_lease.lease_id, one_lease.model.sha256),
            (two_id, one_lease.lease_id, one_lease.model.sha256),
        ]:
            fetch = wire.FetchModelRequest(session_id=session_id, lease_id=lease_id, sha256=sha256)
            with pytest.raises(grpc.RpcError) as caught:
                list(one.stub.FetchModel(fetch))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        one.report(one_lease)
        two.report(two_lease)
        assert len(wait()) == 2


def test_nobody_is_there(make_server: MakeServer, make_request: MakeRequest) -> None:
    server = make_server(no_worker_seconds=0.3)
    with pytest.raises(NoWorkerServes, match=r"connected: none; start one .*--connect 127\.0\.0\.1:\d+"):
        list(server.measure([make_request()]))
    with RawWorker(server.address) as worker:
        worker.register()
        elsewhere = Target("elsewhere")
        assert not server.serves(elsewhere)
        with pytest.raises(
            NoWorkerServes, match=r"connected: bench is device bench, not elsewhere; .*elsewhere"
        ):
            server.wait_for(elsewhere, 0.05)
        server.wait_for(Target("bench"), 0)


def test_a_cancelled_measurement_is_over_at_once(make_server: MakeServer, make_request: MakeRequest) -> None:
    server = make_server()
    with RawWorker(server.address) as worker:
        worker.register()
        outcomes = server.measure(map(make_request, "abc"), cancelled=lambda: server.devices()[0].busy)
        assert list(outcomes) == []
        worker.lease()
        assert next(worker.replies).WhichOneof("message") == "cancel"
        assert not server.devices()[0].busy


def test_stopping_the_service_ends_a_wait(make_server: MakeServer, make_request: MakeRequest) -> None:
    server = make_server()
    outcomes = server.measure([make_request()])
    threading.Timer(0.2, server.stop).start()
    with pytest.raises(WorkerError, match="the service stops"):
        next(outcomes)


def test_requests_are_made_just_in_time(make_server: MakeServer, make_request: MakeRequest) -> None:
    server = make_server()
    made: list[str] = []

    def requests() -> Iterator[MeasurementRequest]:
        for digest in "abcdef":
            made.append(digest)
            yield make_request(digest)

    with RawWorker(server.address) as worker:
        worker.register()
        outcomes = server.measure(requests())
        for measured in range(1, 7):
            lease_and_report = threading.Thread(target=lambda: worker.report(worker.lease()))
            lease_and_report.start()
            next(outcomes)
            lease_and_report.join()
            # One is measured by now, one is leased, one waits.
            assert len(made) <= measured + 2
        assert list(outcomes) == []
        assert made == list("abcdef")


def test_none_are_made_for_workers_of_other_targets(
    make_server: MakeServer, make_request: MakeRequest
) -> None:
    server = make_server()
    made: list[str] = []
    with contextlib.ExitStack() as stack:
        serving, *others = [stack.enter_context(RawWorker(server.address)) for _ in range(9)]
        serving.register()
        for other in others:
            other.register(replace(HERE, device="elsewhere"))
        outcomes = server.measure(made.append(digest) or make_request(digest) for digest in "abcdef")
        threading.Thread(target=lambda: serving.report(serving.lease())).start()
        next(outcomes)
        assert len(made) <= 3  # one is measured by now, one is leased, one waits
        outcomes.close()


def test_an_address_that_is_taken(make_server: MakeServer) -> None:
    server = make_server()
    with pytest.raises(ListenFailed, match=server.address):
        make_server(bind=server.address)


class CorruptService(worker_pb2_grpc.WorkerServiceServicer):
    """Leases one model, and sends it with a bit flipped."""

    def __init__(self, lease: Lease, model: bytes) -> None:
        self.lease = lease
        self.model = model

    def Session(self, request_iterator, context):  # type: ignore[no-untyped-def]  # noqa: N802
        next(request_iterator)
        yield wire.ServiceMessage(welcome=wire.Welcome(session_id="s", heartbeat_seconds=60.0))
        yield service_message_to_wire(self.lease)
        for _ in request_iterator:
            pass

    def FetchModel(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        yield wire.ModelChunk(data=self.model[:5])
        yield wire.ModelChunk(data=bytes([self.model[5] ^ 1]) + self.model[6:])


def test_a_damaged_model_is_never_measured(make_request: MakeRequest) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from workers.models import model_file

    request = make_request()
    file = model_file(request.model)
    lease = Lease("l", "a", request.target, file, file, 64, 1.0, request.protocol)
    server = grpc.server(ThreadPoolExecutor(4))
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(CorruptService(lease, request.model), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    inbox: Inbox = SimpleQueue()
    connection = Connection(f"127.0.0.1:{port}", HERE, None, inbox)
    try:
        assert isinstance(inbox.get(timeout=SECONDS), Welcome)
        assert inbox.get(timeout=SECONDS) == lease
        cache = ModelCache()
        with pytest.raises(TransferFailed, match="arrived damaged") as caught:
            connection.fetch(lease, file, cache)
        assert caught.value.retryable
        assert cache.get(file.sha256) is None
    finally:
        connection.close()
        server.stop(0).wait()


def test_a_signal_between_two_sessions_ends_a_worker(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inbox of the last session hears of it; the next session has another."""
    server, made = make_server(), []

    def inbox() -> SimpleQueue[object]:
        made.append(time.monotonic())
        if len(made) == 2:  # the agent's own is the first
            # What the signal would run. A real one is taken on the small stack that pytest's faulthandler
            # keeps for signals, which the registers overflow once a runtime has asked for AMX.
            stop = signal.getsignal(signal.SIGTERM)
            assert callable(stop)
            stop(signal.SIGTERM, None)
        return SimpleQueue()

    monkeypatch.setattr("workers.agent.SimpleQueue", inbox)
    otherwise = threading.Timer(5.0, server.stop)
    otherwise.start()
    run_worker(server.address, "stopped")
    otherwise.cancel()
    assert time.monotonic() - made[1] < 4

"""A worker that says whatever a test wants, over a real socket."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType

import grpc
import pytest

from workers.capabilities import Capabilities, RuntimeCapability
from workers.measurement import Measurement
from workers.messages import PROTOCOL_VERSION, Register, Result
from workers.request import MeasurementRequest, Outcome
from workers.rpc.convert import worker_message_to_wire
from workers.rpc.v1 import worker_pb2 as wire
from workers.rpc.v1 import worker_pb2_grpc
from workers.server import WorkerServer
from workers.target import Phase, Target

RUNTIME = RuntimeCapability("onnxruntime", "1", ("fp32",), (Phase.PREFILL,))
HERE = Capabilities("bench", (RUNTIME,), 2, "cpu", "x86_64", "linux")
SECONDS = 20
"""No wait of these tests is longer; a correct service ends each in a fraction of it."""


class RawWorker:
    """Says whatever a test wants on a stream of its own."""

    def __init__(self, address: str, token: str | None = None, raw: bool = False) -> None:
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self.channel = grpc.insecure_channel(address)
        self.stub = worker_pb2_grpc.WorkerServiceStub(self.channel)
        self.outbox: SimpleQueue[wire.WorkerMessage | bytes | None] = SimpleQueue()
        session = self.stub.Session
        if raw:
            session = self.channel.stream_stream(
                "/workers.rpc.v1.WorkerService/Session", response_deserializer=wire.ServiceMessage.FromString
            )
        self.replies = session(iter(self.outbox.get, None), metadata=self.metadata, timeout=SECONDS)

    def __enter__(self) -> RawWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.outbox.put(None)
        self.channel.close()

    def register(self, capabilities: Capabilities = HERE, version: int = PROTOCOL_VERSION) -> str:
        self.outbox.put(worker_message_to_wire(Register(capabilities, version)))
        return next(self.replies).welcome.session_id

    def lease(self) -> wire.Lease:
        return next(reply.lease for reply in self.replies if reply.WhichOneof("message") == "lease")

    def report(self, lease: wire.Lease, latency_ms: float = 5.0, **fields: object) -> None:
        self.outbox.put(self.answer(lease, latency_ms, **fields))

    def answer(self, lease: wire.Lease, latency_ms: float = 5.0, **fields: object) -> wire.WorkerMessage:
        good = Measurement(
            lease.digest, Target("bench"), 5.0, 0.1, 0.01, 5.1, lease.reference_ms, 1.0, 0, 10, 0, False
        )
        message = worker_message_to_wire(Result(lease.lease_id, good))
        message.result.measurement.target.CopyFrom(lease.target)
        message.result.measurement.latency_ms = latency_ms
        for name, value in fields.items():
            setattr(message.result.measurement, name, value)
        return message

    def ending(self) -> grpc.RpcError:
        """The error that the stream ends with."""
        with pytest.raises(grpc.RpcError) as caught:
            for _ in self.replies:
                pass
        return caught.value


def measuring(server: WorkerServer, *requests: MeasurementRequest) -> Callable[[], list[Outcome]]:
    """Start `server.measure` in a thread; the result waits for its outcomes."""
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.extend(server.measure(requests)), daemon=True)
    thread.start()

    def wait() -> list[Outcome]:
        thread.join(SECONDS)
        assert not thread.is_alive()
        return outcomes

    return wait

"""The service's half of a worker's streams: gRPC in front of `workers.leases`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import NoReturn

import grpc

from workers.capabilities import Capabilities
from workers.errors import ProtocolViolation
from workers.leases import Board, End, WorkerSession
from workers.messages import (
    PROTOCOL_VERSION,
    Failure,
    Heartbeat,
    Leave,
    Register,
    Result,
    WorkerMessage,
)
from workers.models import chunks
from workers.rpc.convert import service_message_to_wire, worker_message_from_wire
from workers.rpc.v1 import worker_pb2 as wire
from workers.rpc.v1 import worker_pb2_grpc

__all__ = ["WorkerServicer"]

log = logging.getLogger(__name__)

REGISTER_SECONDS = 10.0
"""A stream whose first message does not come within this is closed."""

HEARTBEATS_PER_LEASE = 4
"""A lease outlives this many lost heartbeats, less one."""


Admits = Callable[[str], bool]
"""Whether a worker that shows this ``authorization``, ``Bearer TOKEN``, comes in."""


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    """Reads each worker's stream in a thread of its own and writes it from gRPC's.

    Args:
        board: of leases.
        admits: judges what a worker shows as ``authorization``; None lets any in.
        lease_seconds: as the board's.
        max_sessions: workers at once.
    """

    def __init__(self, board: Board, admits: Admits | None, lease_seconds: float, max_sessions: int) -> None:
        self._board = board
        self._admits = admits
        self._heartbeat_seconds = lease_seconds / HEARTBEATS_PER_LEASE
        self._max_sessions = max_sessions

    def Session(  # noqa: N802 - the stub's name
        self, request_iterator: Iterator[wire.WorkerMessage], context: grpc.ServicerContext
    ) -> Iterator[wire.ServiceMessage]:
        """See worker.proto."""
        self._authenticate(context)
        registered: SimpleQueue[WorkerSession | _Refusal] = SimpleQueue()
        threading.Thread(
            target=self._read,
            args=(request_iterator, registered, context.peer().rpartition(":")[0]),
            name="worker-stream",
            daemon=True,
        ).start()
        try:
            session = registered.get(timeout=REGISTER_SECONDS)
        except Empty:
            _abort(context, grpc.StatusCode.DEADLINE_EXCEEDED, f"no Register within {REGISTER_SECONDS:.0f} s")
        if isinstance(session, _Refusal):
            _abort(context, session.status, session.reason)
        if not context.add_callback(lambda: self._board.leave(session, "its connection broke")):
            self._board.leave(session, "its connection broke")
        device = session.capabilities.device
        log.info("worker %s connected", device)
        while not isinstance(message := session.outbox.get(), End):
            yield service_message_to_wire(message)
        log.info("worker %s left: %s", device, message.reason)
        if message.offence:
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, message.reason)

    def FetchModel(  # noqa: N802 - the stub's name
        self, request: wire.FetchModelRequest, context: grpc.ServicerContext
    ) -> Iterator[wire.ModelChunk]:
        """See worker.proto."""
        self._authenticate(context)
        model = self._board.model_of(request.session_id, request.lease_id, request.sha256)
        if model is None:
            _abort(
                context,
                grpc.StatusCode.PERMISSION_DENIED,
                "this session does not hold that lease, or the lease does not name that model",
            )
        for chunk in chunks(model):
            yield wire.ModelChunk(data=chunk)

    def _authenticate(self, context: grpc.ServicerContext) -> None:
        shown = dict(context.invocation_metadata()).get("authorization", "")
        if self._admits is not None and not self._admits(str(shown)):
            _abort(
                context,
                grpc.StatusCode.UNAUTHENTICATED,
                "the token is missing or is not the service's, has expired, or is for a user; "
                "accepted: one for a worker (nas token add NAME --role worker)",
            )

    def _read(
        self,
        messages: Iterator[wire.WorkerMessage],
        registered: SimpleQueue[WorkerSession | _Refusal],
        host: str,
    ) -> None:
        """Body of the thread that listens to one worker, until its stream ends."""
        try:
            session = self._register(next(messages, None), host)
            if isinstance(session, WorkerSession):
                self._board.join(session, self._heartbeat_seconds)
            registered.put(session)
            if isinstance(session, WorkerSession):
                for message in messages:
                    self._hear(session, message)
        except grpc.RpcError:
            # The stream broke: the handler's callback puts the lease back. One that waits for the first
            # message need not wait on.
            registered.put(_Refusal(grpc.StatusCode.CANCELLED, "the stream broke"))
            return
        if isinstance(session, WorkerSession):
            self._board.leave(session, "it closed its stream")

    def _register(self, first: wire.WorkerMessage | None, host: str) -> WorkerSession | _Refusal:
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        if first is None or first.WhichOneof("message") != "register":
            return _Refusal(invalid, "the first message of a worker must be Register")
        version = first.register.protocol_version
        if version != PROTOCOL_VERSION:
            older = "worker" if version < PROTOCOL_VERSION else "service"
            return _Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"the worker speaks protocol {version}, the service {PROTOCOL_VERSION}; update the {older}",
            )
        try:
            register = worker_message_from_wire(first)
        except ProtocolViolation as error:
            return _Refusal(invalid, f"Register: {error}")
        assert isinstance(register, Register)
        capabilities = register.capabilities
        connected = self._board.sessions()
        if len(connected) >= self._max_sessions:
            return _Refusal(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._max_sessions} workers are connected, no more"
            )
        if other := self._other_kind(capabilities, connected):
            return _Refusal(grpc.StatusCode.FAILED_PRECONDITION, other)
        return WorkerSession(capabilities, host)

    def _other_kind(self, here: Capabilities, connected: list[WorkerSession]) -> str | None:
        """Why a machine may not have its name, which stands for another kind of machine; None where it may. A
        latency of the one must not stand for the other."""
        for other in (session.capabilities for session in connected):
            if other.device == here.device and other.hardware != here.hardware:
                said = f"device {here.device} is a {other.hardware}, this is a {here.hardware}"
                return f"{said}; choose another --device name"
        known = self._board.measured_on(here.device)
        if known is None or known == here.hardware:
            return None
        return (
            f"a {known} has measured as device {here.device}, this is a {here.hardware}; choose another "
            "--device name, or free this one: have what was measured under it forgotten (nas measurements "
            "forget TARGET) and start the service again"
        )

    def _hear(self, session: WorkerSession, message: wire.WorkerMessage) -> None:
        self._board.hear(session)
        try:
            self._answer(session, worker_message_from_wire(message))
        except ProtocolViolation as error:
            log.warning("worker %s: %s", session.capabilities.device, error)
            self._board.offend(session, str(error), _lease_id(message))

    def _answer(self, session: WorkerSession, message: WorkerMessage) -> None:
        match message:
            case Heartbeat():
                pass
            case Result() | Failure():
                self._board.settle(session, message)
            case Leave(reason):
                self._board.leave(session, reason, blamed=False)
            case Register():
                raise ProtocolViolation("a worker registers once")


def _abort(context: grpc.ServicerContext, status: grpc.StatusCode, reason: str) -> NoReturn:
    """gRPC's own `abort` raises, but does not tell type checkers so."""
    context.abort(status, reason)
    raise AssertionError("abort returned")


class _Refusal:
    """Why a worker is not let in."""

    def __init__(self, status: grpc.StatusCode, reason: str) -> None:
        self.status = status
        self.reason = reason


def _lease_id(message: wire.WorkerMessage) -> str | None:
    """Of the lease that a message speaks of, however wrong the rest of it is."""
    kind = message.WhichOneof("message")
    return getattr(message, kind).lease_id if kind in ("result", "failure") else None

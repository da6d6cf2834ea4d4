"""One session of a worker with a service, from the device's side: the stream, its threads, model transfer."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias

import grpc

from workers.capabilities import Capabilities
from workers.errors import MeasurementCancelled, ProtocolViolation, TransferFailed
from workers.messages import (
    Cancel,
    Heartbeat,
    Lease,
    Leave,
    ModelFile,
    Register,
    ServiceMessage,
    Welcome,
    WorkerMessage,
)
from workers.models import ModelCache, assemble
from workers.rpc.convert import service_message_from_wire, worker_message_to_wire
from workers.rpc.v1 import worker_pb2 as wire
from workers.rpc.v1 import worker_pb2_grpc
from workers.tls import ClientTls

__all__ = ["Connection", "Disconnected", "Inbox", "check_address"]

log = logging.getLogger(__name__)

FETCH_SECONDS = 60.0
"""A model that takes longer to arrive has not arrived."""

LOOK_SECONDS = 0.1
"""How often whoever waits for a model looks whether it is still wanted."""

GOODBYE_SECONDS = 2.0
"""How long a last message may take to leave this machine."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The session is over; `status` where the service or the line ended it."""

    reason: str
    status: grpc.StatusCode | None = None


Inbox: TypeAlias = SimpleQueue[ServiceMessage | Disconnected | None]
"""What whoever holds a connection hears; None is their own word to themselves."""


_HOST = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?|\[[^\s/]+\]|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")
"""Labels with a dot between each two, or an address of IPv6, in brackets or not."""


def check_address(address: str, first_port: int = 1) -> None:
    """Refuse what can never be reached, rather than try it for ever.

    Args:
        first_port: 0 where a port 0 stands for an unused one.

    Raises:
        ValueError: it is not ``HOST:PORT``.
    """
    host, _, port = address.rpartition(":")
    if not (
        _HOST.fullmatch(host) and port.isascii() and port.isdigit() and first_port <= int(port) < 1 << 16
    ):
        accepted = f"accepted: HOST:PORT, with a port from {first_port} to 65535"
        raise ValueError(f"{address!r:.80} is not an address; {accepted}")


class Connection:
    """Opens a session at once. What the service says, and the session's end, come to the inbox.

    Args:
        address: of the service, ``HOST:PORT``.
        here: what this device can measure.
        token: the service's secret, or None.
        inbox: where the service's messages and at last a Disconnected are put.
        tls: None for plain text.
    """

    def __init__(
        self,
        address: str,
        here: Capabilities,
        token: str | None,
        inbox: Inbox,
        tls: ClientTls | None = None,
    ) -> None:
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        self._inbox = inbox
        self._outbox: SimpleQueue[WorkerMessage | None] = SimpleQueue()
        self._cancelled: set[str] = set()
        self._session_id: str | None = None
        self._ended = threading.Event()
        options = [("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 10_000)]
        if tls is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, tls.credentials(), options)
        self._stub = worker_pb2_grpc.WorkerServiceStub(self._channel)
        self.send(Register(here))
        self._replies = self._stub.Session(self._messages(), metadata=self._metadata)
        threading.Thread(target=self._read, name="worker-replies", daemon=True).start()

    @property
    def welcomed(self) -> bool:
        """Whether the service accepted this worker."""
        return self._session_id is not None

    def wants(self, lease: Lease) -> bool:
        """Whether a result for the lease would still be taken."""
        return not self._ended.is_set() and lease.lease_id not in self._cancelled

    def send(self, message: WorkerMessage) -> None:
        """Queue a message; lost where the session is over."""
        self._outbox.put(message)

    def leave(self, message: Leave) -> None:
        """Say goodbye, and see it off."""
        self.send(message)
        self._ended.wait(GOODBYE_SECONDS)

    def fetch(
        self,
        lease: Lease,
        file: ModelFile,
        cache: ModelCache,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> bytes:
        """A model that the lease names, from the cache or the service.

        Raises:
            TransferFailed: it did not arrive, or not as announced.
            MeasurementCancelled: `cancelled` said so; at once, however slow the line is.
        """
        kept = cache.get(file.sha256)
        if kept is not None:
            return kept
        request = wire.FetchModelRequest(
            session_id=self._session_id, lease_id=lease.lease_id, sha256=file.sha256
        )
        parts = self._stub.FetchModel(request, metadata=self._metadata, timeout=FETCH_SECONDS)
        over = threading.Event()

        def watch() -> None:
            """Body of the thread that gives up for the one that waits for the next piece."""
            while not over.wait(LOOK_SECONDS):
                if cancelled():
                    parts.cancel()
                    return

        threading.Thread(target=watch, name="worker-fetch", daemon=True).start()
        try:
            model = assemble(file, (part.data for part in parts))
        except grpc.RpcError as error:
            if cancelled():
                raise MeasurementCancelled("the model is no longer wanted") from error
            raise TransferFailed(f"model {file.sha256[:12]} did not arrive: {error.details()}") from error
        finally:
            over.set()
            parts.cancel()  # what is more than was announced
        cache.put(file.sha256, model)
        return model

    def close(self) -> None:
        """End the session, if it lasts, and free its threads."""
        self._ended.set()
        self._outbox.put(None)
        self._channel.close()

    def _messages(self) -> Iterator[wire.WorkerMessage]:
        while (message := self._outbox.get()) is not None:
            yield worker_message_to_wire(message)

    def _read(self) -> None:
        """Body of the thread that listens to the service."""
        try:
            for reply in self._replies:
                self._take(service_message_from_wire(reply))
            ended = Disconnected("the service closed the session")
        except grpc.RpcError as error:
            ended = Disconnected(error.details() or error.code().name, error.code())
        except ProtocolViolation as error:
            ended = Disconnected(f"the service sent what the protocol does not have: {error}")
        self._ended.set()
        self._inbox.put(ended)

    def _take(self, message: ServiceMessage) -> None:
        match message:
            case Welcome(session_id, heartbeat_seconds):
                self._session_id = session_id
                log.info("registered")
                threading.Thread(
                    target=self._beat, args=(heartbeat_seconds,), name="worker-heartbeat", daemon=True
                ).start()
            case Cancel(lease_id):
                self._cancelled.add(lease_id)
        self._inbox.put(message)

    def _beat(self, seconds: float) -> None:
        """Body of the thread that tells the service, however long a measurement takes, that we live."""
        while not self._ended.wait(seconds):
            self.send(Heartbeat())

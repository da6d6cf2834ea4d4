"""One browser that joined: a worker's session with the service, and the stream that tells the page of it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import grpc

from workers.capabilities import Capabilities
from workers.connection import Connection, Disconnected, Inbox
from workers.errors import ProtocolViolation, TransferFailed
from workers.gateway.documents import answer_of, lease_document
from workers.messages import Cancel, Drain, Failure, Lease, Leave, Welcome
from workers.models import ModelCache

__all__ = ["SILENT_SECONDS", "Phone"]

log = logging.getLogger(__name__)

SILENT_SECONDS = 10.0
"""A page that says nothing for so long is gone: browsers stop pages that nobody looks at."""

LOOK_SECONDS = 0.5
CACHE_BYTES = 1 << 26

AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED)
"""Ends of a session after which another try may succeed, as when the service was started again."""

Connect = Callable[[Capabilities, Inbox], Connection]


class Phone:
    """Opens the session at once. Made and called in an event loop.

    Args:
        connect: opens a connection with the service.
        here: what the browser can measure.
    """

    def __init__(self, connect: Connect, here: Capabilities) -> None:
        self.here = here
        self._loop = asyncio.get_running_loop()
        self._told: asyncio.Queue[tuple[str, Mapping[str, Any]] | None] = asyncio.Queue()
        self._leases: dict[str, Lease] = {}
        self._cache, self._fetching = ModelCache(CACHE_BYTES), asyncio.Lock()
        self._left: str | None = None
        self._heard = time.monotonic()
        inbox: Inbox = SimpleQueue()
        self._connection = connect(here, inbox)
        threading.Thread(target=self._listen, args=(inbox,), name="phone", daemon=True).start()
        self._watching = asyncio.create_task(self._watch())

    @property
    def gone(self) -> bool:
        """Whether the session is over."""
        return self._left is not None

    def hear(self) -> None:
        """The page lives."""
        self._heard = time.monotonic()

    async def stream(self) -> AsyncIterator[bytes]:
        """What the service says, as browsers' `EventSource` reads it. The session lasts as long as whoever
        reads this."""
        try:
            while (told := await self._told.get()) is not None:
                name, document = told
                yield f"event: {name}\ndata: {json.dumps(document)}\n\n".encode()
        finally:
            self.leave("the page closed its stream")

    async def fetch(self, sha256: str) -> bytes:
        """A model that the page's lease names.

        Raises:
            TransferFailed: no lease names it, or it did not arrive.
        """
        for lease in self._leases.values():
            for file in (lease.model, lease.reference):
                if file.sha256 == sha256:
                    async with self._fetching:
                        return await asyncio.to_thread(self._connection.fetch, lease, file, self._cache)
        raise TransferFailed(f"no lease of this page names the model {sha256[:12]}")

    def answer(self, document: Mapping[str, Any]) -> None:
        """Pass on what the page says of a lease. What is no answer is told to the service as a failure: it is
        not to wait for a better one.

        Raises:
            ProtocolViolation: it is no answer, or nobody waits for one.
        """
        lease = self._leases.pop(str(document.get("lease_id")), None)
        if lease is None or not self._connection.wants(lease):
            raise ProtocolViolation("nobody waits for an answer to that lease")
        try:
            answer = answer_of(document, lease)
        except ProtocolViolation as error:
            reason = f"the page's answer cannot be: {error}"
            self._connection.send(Failure(lease.lease_id, reason, retryable=True))
            raise
        self._connection.send(answer)
        told = answer.reason if isinstance(answer, Failure) else f"{answer.measurement.latency_ms:.3f} ms"
        log.info("%s: %s: %s on %s", self.here.device, lease.digest, told, lease.target)

    def leave(self, reason: str) -> None:
        """End the session: its lease is the service's again at once. Nothing where it is over."""
        if self._end(reason, again=False):
            threading.Thread(target=self._say_goodbye, args=(reason,), name="phone-leaves").start()

    def _say_goodbye(self, reason: str) -> None:
        self._connection.leave(Leave(reason))
        self._connection.close()

    def _end(self, reason: str, again: bool) -> bool:
        if self._left is not None:
            return False
        self._left = reason
        self._watching.cancel()
        self._told.put_nowait(("over", {"reason": reason, "again": again}))
        self._told.put_nowait(None)
        log.info("%s left: %s", self.here.device, reason)
        return True

    async def _watch(self) -> None:
        while time.monotonic() - self._heard < SILENT_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
        self.leave(f"the page was silent for {SILENT_SECONDS:.0f} s")

    def _listen(self, inbox: Inbox) -> None:
        """Body of the thread that hears the service, until the session ends."""
        while True:
            message = inbox.get()
            with suppress(RuntimeError):  # the gateway was stopped, and its loop with it
                self._loop.call_soon_threadsafe(self._take, message)
            if isinstance(message, Disconnected):
                return

    def _take(self, message: object) -> None:
        match message:
            case Welcome():
                log.info("%s joined: %s", self.here.device, self.here.hardware)
                self._tell("welcome", {"device": self.here.device})
            case Lease():
                self._leases[message.lease_id] = message
                self._tell("lease", lease_document(message))
            case Cancel(lease_id):
                self._leases.pop(lease_id, None)
                self._tell("cancel", {"lease_id": lease_id})
            case Drain(reason):
                self._tell("drain", {"reason": reason})
            case Disconnected(reason, status):
                if status is grpc.StatusCode.UNAVAILABLE:
                    reason = "the service cannot be reached"
                if self._end(reason, again=status is None or status in AGAIN):
                    self._connection.close()

    def _tell(self, name: str, document: Mapping[str, Any]) -> None:
        if self._left is None:
            self._told.put_nowait((name, document))

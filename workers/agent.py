"""The device's half: dials the service, measures what it leases, and comes back when the line breaks."""

from __future__ import annotations

import contextlib
import logging
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from queue import Empty, SimpleQueue
from types import FrameType

import grpc

from workers.capabilities import Capabilities
from workers.connection import Connection, Disconnected, Inbox, check_address
from workers.errors import MeasurementCancelled, SessionRefused, WorkerError
from workers.isolated import IsolatedMeasuring
from workers.limits import ModelLimits
from workers.messages import Drain, Failure, Lease, Leave, Result
from workers.models import ModelCache
from workers.request import MeasurementRequest
from workers.tls import ClientTls

__all__ = ["run_worker"]

log = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0

REFUSALS = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
)
"""Answers that another try would get again."""

STOPPING = (signal.SIGTERM, signal.SIGINT)


def run_worker(
    address: str,
    device: str,
    token: str | None = None,
    once: bool = False,
    tls: ClientTls | None = None,
    limits: ModelLimits | None = None,
) -> None:
    """Measure for a service until stopped by SIGTERM or SIGINT (handled where this is the main thread); a
    second one ends the process as it is.

    A lost connection is dialled again after a growing, randomised delay.

    Args:
        address: of the service, ``HOST:PORT``.
        device: the name that targets call this machine by.
        token: the service's secret, where it wants one; never logged.
        once: return when the first session ends rather than reconnect.
        tls: None for plain text.
        limits: of every model that is measured.

    Raises:
        ValueError: `device` is not a name, `address` is none, or a file of `tls` cannot be read.
        SessionRefused: the service will not have this worker; says why.
        WorkerError: with `once`, the service was not reached.
    """
    check_address(address)
    with closing(IsolatedMeasuring(limits)) as measuring:
        agent = _Agent(address, measuring.describe(device), token, tls, measuring)
        with agent.stopped_by_signals():
            agent.run(once)


class _Agent:
    """Has models measured in a process beside, so that it answers whatever a model does."""

    def __init__(
        self,
        address: str,
        here: Capabilities,
        token: str | None,
        tls: ClientTls | None,
        measuring: IsolatedMeasuring,
    ) -> None:
        self._address = address
        self._token = token
        self._tls = tls
        self._here = here
        self._measuring = measuring
        self._cache = ModelCache()
        self._stopping = False
        # SimpleQueue: its put may run in a signal handler.
        self._inbox: Inbox = SimpleQueue()

    @contextlib.contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end `run` in good order while this lasts; a second one ends the process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        earlier = {number: signal.signal(number, self._stop) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._inbox.put(None)
        for either in STOPPING:
            signal.signal(either, signal.SIG_DFL)  # whoever asks twice does not want to wait

    def run(self, once: bool) -> None:
        """See `run_worker`."""
        delay = FIRST_DELAY_SECONDS
        while True:
            self._inbox = SimpleQueue()
            # Asked after there is an inbox: a signal before it left its word in the last one.
            if self._stopping:
                break
            connection = Connection(self._address, self._here, self._token, self._inbox, self._tls)
            try:
                ended = self._serve(connection)
            finally:
                connection.close()
            if self._stopping:
                break
            log.warning("session with %s ended: %s", self._address, ended.reason)
            if ended.status in REFUSALS:
                raise SessionRefused(f"{self._address} refused this worker: {ended.reason}")
            if once and not connection.welcomed:
                raise WorkerError(f"cannot reach {self._address}: {ended.reason}")
            if once:
                return
            delay = FIRST_DELAY_SECONDS if connection.welcomed else min(2 * delay, LONGEST_DELAY_SECONDS)
            self._inbox = SimpleQueue()
            if not self._stopping:
                with contextlib.suppress(Empty):
                    self._inbox.get(timeout=random.uniform(delay / 2, delay))
        log.info("stopped")

    def _serve(self, connection: Connection) -> Disconnected:
        """Take leases until the session ends."""
        while True:
            match self._inbox.get():
                case Lease() as lease:
                    self._measure(connection, lease)
                case Drain(reason):
                    log.info("%s drains: %s", self._address, reason)
                case Disconnected() as ended:
                    return ended
                case None:
                    connection.leave(Leave("the worker was stopped"))
                    return Disconnected("the worker was stopped")

    def _measure(self, connection: Connection, lease: Lease) -> None:
        def cancelled() -> bool:
            return self._stopping or not connection.wants(lease)

        try:
            # One at a time and both before anything is timed: while a model is timed the line is quiet.
            reference = connection.fetch(lease, lease.reference, self._cache, cancelled)
            request = MeasurementRequest(
                digest=lease.digest,
                target=lease.target,
                model=connection.fetch(lease, lease.model, self._cache, cancelled),
                reference=reference,
                vocabulary=lease.vocabulary,
                reference_ms=lease.reference_ms,
                protocol=lease.protocol,
            )
            measurement = self._measuring.measure(request, self._here, cancelled)
        except MeasurementCancelled:
            log.info("%s: cancelled", lease.digest)
        except WorkerError as error:
            log.warning("%s: %s", lease.digest, error)
            connection.send(Failure(lease.lease_id, str(error), error.retryable))
        except Exception as error:
            # Whatever one model brought about, the next must be measured.
            log.exception("%s", lease.digest)
            connection.send(Failure(lease.lease_id, f"{type(error).__name__}: {error}", retryable=True))
        else:
            log.info("%s: %.3f ms on %s", lease.digest, measurement.latency_ms, lease.target)
            connection.send(Result(lease.lease_id, measurement))

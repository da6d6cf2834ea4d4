"""Who measures what: connected workers, waiting requests and the leases that join them. Knows no gRPC.

A request is leased to one worker at a time. It comes back, and goes to another worker where there is one,
when its worker vanishes, falls silent, takes too long, refuses it or answers what cannot be; a request that
comes back too often, and that nobody is left to try, ends as a failure, so one model that kills workers
cannot do so for ever. A worker that fails again and again by its own fault is quarantined
(`workers.standing`).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

from workers.capabilities import Capabilities
from workers.errors import ProtocolViolation, WorkerError
from workers.messages import (
    Cancel,
    Drain,
    Failure,
    Lease,
    ModelFile,
    Result,
    ServiceMessage,
    Welcome,
    shortened,
)
from workers.models import MAX_MODEL_BYTES, model_file
from workers.plausible import check_lease, check_memory, check_times
from workers.request import DeviceNote, MeasurementFailure, MeasurementRequest, Outcome
from workers.standing import Standing, Standings
from workers.target import Target

__all__ = ["Batch", "Board", "End", "WorkerSession"]

MAX_ATTEMPTS = 3
"""Leases of one request before it is given up, unless there is a worker that never had it; and workers that
refuse a model before it is taken to be at fault."""

MAX_OFFENCES = 3
"""Messages that cannot be, before a worker is dropped."""


@dataclass(frozen=True, slots=True)
class End:
    """The last thing a session's stream is told: why it ends, and whether the worker is to blame."""

    reason: str
    offence: bool = False


@dataclass(eq=False, slots=True)
class Batch:
    """The requests of one call of `WorkerServer.measure`, from the board's side."""

    outcomes: deque[Outcome] = field(default_factory=deque)
    open: int = 0
    """Requests that wait or are leased."""
    targets: set[Target] = field(default_factory=set)
    """Of its requests so far."""


@dataclass(eq=False, slots=True)
class _Work:
    request: MeasurementRequest
    batch: Batch
    model: ModelFile
    reference: ModelFile
    attempts: int = 0
    failed_on: set[str] = field(default_factory=set)
    lost_by: set[tuple[str, str]] = field(default_factory=set)
    refused_by: dict[tuple[str, str], str] = field(default_factory=dict)
    unserved_since: float | None = None


@dataclass(eq=False, slots=True)
class _Grant:
    lease: Lease
    work: _Work
    since: float
    deadline: float


@dataclass(eq=False, slots=True)
class WorkerSession:
    """One connected worker, which called from `host`. `outbox` is read by whoever holds its stream, until an
    End."""

    capabilities: Capabilities
    host: str = ""
    outbox: SimpleQueue[ServiceMessage | End] = field(default_factory=SimpleQueue)
    session_id: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    connected_since: float = field(default_factory=time.time)
    heard: float = 0.0
    offences: int = 0
    grant: _Grant | None = None
    ended: deque[str] = field(default_factory=lambda: deque(maxlen=64))
    """Leases that it holds no more: settled ones, whose results it may repeat, and those taken back, whose
    results may still arrive. Neither is its fault, nor changes anything."""

    @property
    def worker(self) -> tuple[str, str]:
        """Whose session it is: the next one of the same worker has the same."""
        return self.capabilities.device, self.host


class Board:
    """Thread-safe; every method returns at once but `take` and `wait_for`.

    Args:
        lease_seconds: a worker that has not been heard for longer loses its lease and its session.
        measurement_seconds: the same for a worker that is heard, but whose measurement takes longer.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        lease_seconds: float,
        measurement_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease_seconds = lease_seconds
        self._measurement_seconds = measurement_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._sessions: dict[str, WorkerSession] = {}
        self._waiting: deque[_Work] = deque()
        self._closed: str | None = None
        self._standings = Standings(clock)

    # Workers

    def join(self, session: WorkerSession, heartbeat_seconds: float) -> None:
        """Welcome a worker; it may be leased work from now on."""
        with self._changed:
            if self._closed is not None:
                session.outbox.put(End(self._closed))
                return
            session.heard = self._clock()
            self._sessions[session.session_id] = session
            session.outbox.put(Welcome(session.session_id, heartbeat_seconds))
            self._assign()

    def leave(self, session: WorkerSession, reason: str, blamed: bool = True) -> None:
        """A worker went; its lease goes back, as a failed attempt where the worker is to blame."""
        with self._changed:
            self._drop(session, End(reason), blamed)

    def hear(self, session: WorkerSession) -> None:
        """A worker said something: it lives."""
        with self._changed:
            session.heard = self._clock()

    def settle(self, session: WorkerSession, message: Result | Failure) -> None:
        """A worker answers its lease.

        Raises:
            ProtocolViolation: it does not hold that lease, or the measurement is of something else.
        """
        with self._changed:
            grant = session.grant
            if grant is None or grant.lease.lease_id != message.lease_id:
                if message.lease_id in session.ended:
                    return
                raise ProtocolViolation(f"the worker does not hold lease {message.lease_id[:40]!r}")
            if isinstance(message, Result):
                check_lease(message, grant.lease)
                check_times(message.measurement, self._clock() - grant.since)
                check_memory(message.measurement, session.capabilities)
                outcome = replace(message.measurement, measured_at=time.time())
                self._end_grant(session)
                self._standings.measured(session.worker, session.capabilities.hardware)
                for other, reason in grant.work.refused_by.items():
                    said = f"it refused {grant.lease.digest}, which {session.worker[0]} measured: {reason}"
                    self._blame(other, said, grant.work)
                self._finish(grant.work, outcome)
            elif message.retryable:
                self._take_back(session, message.reason)
            else:
                self._refuse(session, message.reason)
            self._assign()

    def offend(self, session: WorkerSession, reason: str, lease_id: str | None) -> None:
        """A worker said what cannot be. The lease it said it of goes back; a repeated offender is dropped."""
        with self._changed:
            reason = shortened(reason)
            session.offences += 1
            if session.grant is not None and session.grant.lease.lease_id == lease_id:
                self._take_back(session, f"{session.capabilities.device} answered nonsense: {reason}")
            if session.offences >= MAX_OFFENCES:
                self._drop(session, End(f"dropped after {session.offences} offences: {reason}", True))
            self._assign()

    def standing(self, session: WorkerSession) -> tuple[Standing, float]:
        """How a worker has done, and for how many seconds it is given no work."""
        with self._changed:
            return self._standings.of(session.worker), self._standings.quarantine(session.worker)

    def measured_on(self, device: str) -> str | None:
        """The hardware that measured under a device's name; None where none did."""
        with self._changed:
            return self._standings.hardware(device)

    def sessions(self) -> list[WorkerSession]:
        """Connected workers, longest connected first."""
        with self._changed:
            self._expire()
            return list(self._sessions.values())

    def model_of(self, session_id: str, lease_id: str, sha256: str) -> bytes | None:
        """A model that a session may fetch for its lease; None where it may not."""
        with self._changed:
            session = self._sessions.get(session_id)
            grant = session.grant if session is not None else None
            if grant is None or grant.lease.lease_id != lease_id:
                return None
            work = grant.work
            models = {work.model.sha256: work.request.model, work.reference.sha256: work.request.reference}
            return models.get(sha256)

    def close(self, reason: str) -> None:
        """End every session, and every wait."""
        with self._changed:
            self._closed = reason
            for session in list(self._sessions.values()):
                session.outbox.put(Drain(reason))
                self._drop(session, End(reason), blamed=False)
            self._changed.notify_all()

    # Whoever wants measurements

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """A batch of requests; what is left of it at the end is withdrawn, from workers too."""
        batch = Batch()
        try:
            yield batch
        finally:
            with self._changed:
                self._waiting = deque(work for work in self._waiting if work.batch is not batch)
                for session in self._sessions.values():
                    if session.grant is not None and session.grant.work.batch is batch:
                        self._withdraw(session, "no longer wanted")
                self._assign()

    def submit(self, batch: Batch, request: MeasurementRequest) -> None:
        """Queue a request, or answer at once that its model is too large."""
        work = _Work(request, batch, model_file(request.model), model_file(request.reference))
        with self._changed:
            batch.open += 1
            batch.targets.add(request.target)
            largest = max(work.model.size_bytes, work.reference.size_bytes)
            if largest > MAX_MODEL_BYTES:
                reason = f"the model has {largest} bytes; accepted: at most {MAX_MODEL_BYTES}"
                self._fail(work, reason, retryable=False)
                return
            self._waiting.append(work)
            self._assign()

    def hungry(self, batch: Batch) -> bool:
        """Fewer of the batch's requests wait than workers would take one (or none at all)."""
        with self._changed:
            waiting = sum(work.batch is batch for work in self._waiting)
            # Each that waits holds a whole model: workers that serve other targets do not count.
            return waiting < max(1, len(self._takers(*batch.targets)))

    def take(self, batch: Batch, timeout: float) -> Outcome | None:
        """The batch's next outcome; None where none came in `timeout` seconds.

        Raises:
            WorkerError: the board is closed.
        """
        with self._changed:
            if not batch.outcomes and self._closed is None:
                self._changed.wait(timeout)
            if batch.outcomes:
                return batch.outcomes.popleft()
            if self._closed is not None:
                raise WorkerError(self._closed)
            return None

    def unserved(self, batch: Batch, seconds: float) -> Target | None:
        """A target that the batch has waited for longer than that while no connected worker served it."""
        with self._changed:
            self._expire()
            for work in self._waiting:
                if work.batch is not batch:
                    continue
                if self._takers(work.request.target):
                    work.unserved_since = None
                elif work.unserved_since is None:
                    work.unserved_since = self._clock()
                elif self._clock() - work.unserved_since > seconds:
                    return work.request.target
            return None

    def wait_for(self, target: Target, timeout: float) -> bool:
        """Whether a worker that serves the target is connected, or connects within `timeout` seconds."""
        with self._changed:
            self._expire()
            self._changed.wait_for(lambda: self._closed is not None or bool(self._takers(target)), timeout)
            return bool(self._takers(target))

    # With the lock held

    def _assign(self) -> None:
        """Lease waiting requests to free workers, oldest first."""
        for session in self._sessions.values():
            if session.grant is not None:
                continue
            work = next((w for w in self._waiting if self._may_take(session, w)), None)
            if work is not None:
                self._waiting.remove(work)
                self._lease(session, work)
        self._changed.notify_all()

    def _may_take(self, session: WorkerSession, work: _Work) -> bool:
        """Where a request failed before, another worker's turn comes first."""
        new = session.session_id not in work.failed_on
        return self._would_take(session, work.request.target) and (new or not self._untried(work))

    def _would_take(self, session: WorkerSession, target: Target) -> bool:
        """Whether a worker serves the target and may be given work."""
        served = session.capabilities.obstacle(target) is None
        return served and not self._standings.quarantine(session.worker)

    def _takers(self, *targets: Target) -> list[WorkerSession]:
        """Who serves one of the targets at least, and may be given work."""
        sessions = self._sessions.values()
        return [s for s in sessions if any(self._would_take(s, target) for target in targets)]

    def _untried(self, work: _Work) -> list[WorkerSession]:
        """Who serves the target, may be given work, and has not failed at this."""
        return [s for s in self._takers(work.request.target) if s.session_id not in work.failed_on]

    def _lease(self, session: WorkerSession, work: _Work) -> None:
        request = work.request
        lease = Lease(
            lease_id=secrets.token_hex(8),
            digest=request.digest,
            target=request.target,
            model=work.model,
            reference=work.reference,
            vocabulary=request.vocabulary,
            reference_ms=request.reference_ms,
            protocol=request.protocol,
        )
        work.unserved_since = None
        now = self._clock()
        session.grant = _Grant(lease, work, now, now + self._measurement_seconds)
        session.outbox.put(lease)

    def _expire(self) -> None:
        now = self._clock()
        for session in list(self._sessions.values()):
            if now - session.heard > self._lease_seconds:
                self._drop(session, End(f"not heard for {now - session.heard:.0f} s"))
            elif session.grant is not None and now > session.grant.deadline:
                self._drop(session, End(f"a measurement took over {self._measurement_seconds:.0f} s"))
        self._assign()

    def _drop(self, session: WorkerSession, end: End, blamed: bool = True) -> None:
        if self._sessions.pop(session.session_id, None) is None:
            return
        session.outbox.put(end)
        if session.grant is not None:
            self._take_back(session, f"{session.capabilities.device}: {end.reason}", blamed)
        self._assign()

    def _take_back(self, session: WorkerSession, reason: str, blamed: bool = True) -> None:
        work = self._end_grant(session).work
        if blamed:
            work.attempts += 1
            work.failed_on.add(session.session_id)
            work.lost_by.add(session.worker)
            self._blame(session.worker, reason, work)
        # Whoever comes back under a new session is no other worker.
        others = [s for s in self._untried(work) if s.worker not in work.lost_by]
        if work.attempts >= MAX_ATTEMPTS and not others:
            self._fail(work, f"given up after {work.attempts} attempts; the last: {reason}", retryable=True)
        else:
            self._waiting.appendleft(work)

    def _refuse(self, session: WorkerSession, reason: str) -> None:
        """A worker says that the model is at fault: so it is once everybody who is asked says so."""
        work = self._end_grant(session).work
        work.failed_on.add(session.session_id)
        work.refused_by[session.worker] = shortened(reason)
        if self._untried(work) and len(work.failed_on) < MAX_ATTEMPTS:
            self._waiting.appendleft(work)
        else:
            self._fail(work, reason, retryable=False)

    def _blame(self, worker: tuple[str, str], reason: str, work: _Work) -> None:
        """A failure was a worker's own; whoever waits for the work is told where it is quarantined for it."""
        told = self._standings.failed(worker, shortened(reason))
        if told is not None:
            work.batch.outcomes.append(DeviceNote(worker[0], told))

    def _end_grant(self, session: WorkerSession) -> _Grant:
        assert session.grant is not None
        grant, session.grant = session.grant, None
        session.ended.append(grant.lease.lease_id)
        return grant

    def _withdraw(self, session: WorkerSession, reason: str) -> None:
        session.outbox.put(Cancel(self._end_grant(session).lease.lease_id, reason))

    def _fail(self, work: _Work, reason: str, retryable: bool) -> None:
        request, reason = work.request, shortened(reason)
        self._finish(work, MeasurementFailure(request.digest, request.target, reason, retryable))

    def _finish(self, work: _Work, outcome: Outcome) -> None:
        work.batch.open -= 1
        work.batch.outcomes.append(outcome)
        self._changed.notify_all()

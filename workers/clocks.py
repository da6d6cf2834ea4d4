"""What time is taken from: what a call cost, what passed, and whether somebody else disturbed it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = [
    "Clocks",
    "Conditions",
    "EventClocks",
    "EventStream",
    "ProcessorClocks",
    "TimedCall",
    "queued_seconds",
]

TASKS = Path("/proc/self/task")

DISTURBED = 1.10
"""On a processor a call whose wall time is over this many times its processor time was interrupted by
somebody else; so was one whose threads stood in the scheduler's queue for what this exceeds 1 by."""


def _never() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class TimedCall:
    """Of one call, in seconds.

    Attributes:
        busy: what it cost.
        wall: what passed.
        disturbed: somebody else had the device in between.
    """

    busy: float
    wall: float
    disturbed: bool = False


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a device says of itself.

    Attributes:
        text: for people; empty where it says nothing.
        throttled: it says that it runs slower than it could for heat or want of power.
    """

    text: str = ""
    throttled: bool = False


class Clocks(ABC):
    """What a runtime's calls are timed by.

    Attributes:
        settle_seconds: how long a device must have worked until its clock rate can be relied on.
    """

    settle_seconds: float = 0.0

    @abstractmethod
    def wall(self) -> float:
        """Seconds that pass."""

    @abstractmethod
    def time(self, call: Callable[[], object]) -> TimedCall:
        """Make a call."""

    def conditions(self) -> Conditions:
        """What the device says of its clock rate now."""
        return Conditions()


@dataclass(frozen=True)
class ProcessorClocks(Clocks):
    """Of calls that the processor works on, all in seconds.

    Args:
        busy: what a call cost.
        passed: what passed.
        queued: how long threads wanted a processor and had none.
    """

    busy: Callable[[], float]
    passed: Callable[[], float]
    queued: Callable[[], float] = _never

    @classmethod
    def for_threads(cls, threads: int) -> ProcessorClocks:
        """Where a call runs in the calling thread alone, that thread's processor time, which leaves out any
        wait. Where several threads work on it, the time that passed: their waits are told apart by the
        scheduler's own account."""
        if threads == 1:
            return cls(time.thread_time, time.perf_counter)
        return cls(time.perf_counter, time.perf_counter, queued_seconds)

    def wall(self) -> float:
        """See `Clocks.wall`."""
        return self.passed()

    def time(self, call: Callable[[], object]) -> TimedCall:
        """See `Clocks.time`."""
        queued, wall, busy = self.queued(), self.passed(), self.busy()
        call()
        busy, wall = self.busy() - busy, self.passed() - wall
        waited = self.queued() - queued
        return TimedCall(busy, wall, wall > DISTURBED * busy or waited > (DISTURBED - 1) * wall)


class EventStream(Protocol):
    """A queue of work on an accelerator, and the marks that it can put between pieces of it."""

    def record(self) -> Any:
        """An event that happens once all work queued so far is done."""

    def synchronize(self) -> None:
        """Wait for all work queued so far."""

    def seconds(self, begin: Any, end: Any) -> float:
        """Between two events that happened."""


@dataclass(frozen=True)
class EventClocks(Clocks):
    """Of calls that queue work for an accelerator: from an event before a call to one after it, on a stream
    that is empty when the call begins. The calling thread's own time would be that of the queueing; where
    the accelerator waits for it, the events tell.

    Nothing says that somebody else had the accelerator in between; the reference, timed beside, does.

    Args:
        stream: that the calls queue their work on.
        passed: seconds that pass.
        said: what the accelerator says of its clock rate; clock rates are never set.
    """

    stream: EventStream
    passed: Callable[[], float] = time.perf_counter
    said: Callable[[], Conditions] = Conditions

    settle_seconds = 1.0

    def wall(self) -> float:
        """See `Clocks.wall`."""
        return self.passed()

    def time(self, call: Callable[[], object]) -> TimedCall:
        """See `Clocks.time`."""
        self.stream.synchronize()
        wall = self.passed()
        begin = self.stream.record()
        call()
        end = self.stream.record()
        self.stream.synchronize()
        return TimedCall(self.stream.seconds(begin, end), self.passed() - wall)

    def conditions(self) -> Conditions:
        """See `Clocks.conditions`."""
        return self.said()


def queued_seconds() -> float:
    """How long this process's threads have stood in the scheduler's queue, summed; 0 where that is not told
    (Linux does)."""
    queued = 0
    for task in TASKS.iterdir() if TASKS.is_dir() else ():
        with suppress(OSError):  # a thread that ended meanwhile, or a kernel without the account
            queued += int((task / "schedstat").read_text(encoding="ascii").split()[1])
    return queued / 1e9

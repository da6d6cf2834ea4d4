"""What time is taken from: what a call cost, what passed, and how long it had to wait for a processor."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Clocks", "queued_seconds"]

TASKS = Path("/proc/self/task")


def _never() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """All in seconds.

    Attributes:
        busy: what a call cost.
        wall: what passed.
        queued: how long threads wanted a processor and had none.
    """

    busy: Callable[[], float]
    wall: Callable[[], float]
    queued: Callable[[], float] = _never

    @classmethod
    def for_threads(cls, threads: int) -> Clocks:
        """Where a call runs in the calling thread alone, that thread's processor time, which leaves out any
        wait. Where several threads work on it, the time that passed: their waits are told apart by the
        scheduler's own account."""
        if threads == 1:
            return cls(time.thread_time, time.perf_counter)
        return cls(time.perf_counter, time.perf_counter, queued_seconds)


def queued_seconds() -> float:
    """How long this process's threads have stood in the scheduler's queue, summed; 0 where that is not told
    (Linux does)."""
    queued = 0
    for task in TASKS.iterdir() if TASKS.is_dir() else ():
        with suppress(OSError):  # a thread that ended meanwhile, or a kernel without the account
            queued += int((task / "schedstat").read_text(encoding="ascii").split()[1])
    return queued / 1e9

"""How workers have done: who fails again and again is given no work for a while. And what was measured under
which name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["FAILURES_IN_A_ROW", "Standing", "Standings"]

FAILURES_IN_A_ROW = 5
"""Of a worker's own, before it is quarantined."""

FIRST_SECONDS, LONGEST_SECONDS = 30.0, 600.0
"""A quarantine lasts, and at most; twice as long each time that nothing is measured in between."""


@dataclass(slots=True)
class Standing:
    """Of one worker, over all of its sessions.

    Attributes:
        measured, failed: how many measurements it took, and failed to take by its own fault.
        in_a_row: of the latter since it last took one.
        reason: of the last failure.
        until: when its quarantine ends, by the board's clock; 0 where it was never in one.
    """

    measured: int = 0
    failed: int = 0
    in_a_row: int = 0
    reason: str = ""
    until: float = 0.0


class Standings:
    """Of every worker that was ever connected, by its name and the host that it called from.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], Standing] = {}
        self._hardware: dict[str, str] = {}

    def of(self, worker: tuple[str, str]) -> Standing:
        """Its standing, the same object whenever it is asked for."""
        return self._known.setdefault(worker, Standing())

    def hardware(self, device: str) -> str | None:
        """What was measured first under a device's name; None where nothing was yet."""
        return self._hardware.get(device)

    def measured(self, worker: tuple[str, str], hardware: str) -> None:
        """It took a measurement that was believed, on a machine of this kind (`Capabilities.hardware`)."""
        self._hardware.setdefault(worker[0], hardware)
        standing = self.of(worker)
        standing.measured += 1
        standing.in_a_row = 0

    def failed(self, worker: tuple[str, str], reason: str) -> str | None:
        """It failed by its own fault; what to tell where that put it in quarantine."""
        standing = self.of(worker)
        standing.failed += 1
        standing.in_a_row += 1
        standing.reason = reason
        if standing.in_a_row < FAILURES_IN_A_ROW:
            return None
        seconds = min(FIRST_SECONDS * 2 ** (standing.in_a_row - FAILURES_IN_A_ROW), LONGEST_SECONDS)
        standing.until = self._clock() + seconds
        return (
            f"worker {worker[0]} is quarantined for {seconds:.0f} s: it failed {standing.in_a_row} times "
            f"in a row, the last: {reason}"
        )

    def quarantine(self, worker: tuple[str, str]) -> float:
        """Seconds for which it is given no work; 0 where it is given some."""
        return max(0.0, self.of(worker).until - self._clock())

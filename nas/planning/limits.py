"""What a service takes on in one job."""

from __future__ import annotations

from dataclasses import dataclass

from workers.memory import total_memory_bytes

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service takes on in one job; `nas.planning.sizes` says what a job takes.

    Attributes:
        memory_bytes: of everything that a job holds at once; None for no limit.
        tokens: read by training, evaluations and finalists together; None for no limit.
    """

    memory_bytes: int | None = None
    tokens: int | None = 10**12

    @classmethod
    def of_this_machine(cls) -> Limits:
        """As much memory as this machine has."""
        return cls(memory_bytes=total_memory_bytes() or None)

"""What the measuring of one model may take of a device."""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass
from pathlib import Path

from workers.memory import total_memory_bytes
from workers.target import Target

__all__ = ["SECONDS", "ModelLimits", "address_space_bytes", "limit_process", "limits_of"]

SECONDS = 280.0
"""A service takes a measurement from a worker that is at it for 300. One is at least seven calls of the
model: one of 21 s, SmolLM2-135M on 4,096 tokens and one thread, takes 170."""

THREADS = 4
"""That work on a model, at most most of the time."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What the measuring of one model may take.

    Attributes:
        memory_bytes: of address space beside what engines took before the first model; this machine's memory
            where None. Not of GPUs, whose drivers reserve more address space than there is memory.
        processor_seconds: of all threads together.
        seconds: that pass.
    """

    memory_bytes: int | None = None
    processor_seconds: float = 4 * SECONDS
    seconds: float = SECONDS

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "processor_seconds", "seconds"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value!r}; accepted: a finite number above 0")


def limits_of(gibibytes: float | None, seconds: float) -> ModelLimits:
    """As people say them; several threads may work all that time.

    Raises:
        ValueError: a number is none, or not above 0.
    """
    memory = None if gibibytes is None else max(1, round(gibibytes * 2**30))
    return ModelLimits(memory, THREADS * seconds, seconds)


def limit_process(limits: ModelLimits, target: Target, before: int) -> None:
    """Hold this process to the limits of processor time and memory from now on, for one model; the hard
    limits stay, so that the next may have as much. `before` is its address space without the model."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = math.ceil(used.ru_utime + used.ru_stime + limits.processor_seconds)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds if hard < 0 else min(seconds, hard), hard))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = limits.memory_bytes or total_memory_bytes()
    space = before + most if most and "cuda" not in target.runtime else hard
    resource.setrlimit(resource.RLIMIT_AS, (space if hard < 0 else min(space, hard), hard))


def address_space_bytes() -> int:
    """That this process has mapped; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()

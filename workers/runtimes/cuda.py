"""What all runtimes on an NVIDIA GPU have in common."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

from workers import cuda
from workers.clocks import Clocks, EventClocks
from workers.runtimes.runtime import Runtime
from workers.target import Phase, Workload

__all__ = ["CudaRuntime"]

REFERENCE = Workload(Phase.PREFILL, batch=64, tokens=2048)
"""What fills a GPU with the reference: about a millisecond of an H100 in float32, where one sequence of a
thousand tokens would take microseconds."""


class CudaRuntime(Runtime):
    """Runs on the first GPU that is visible. Calls are timed by events on its stream (`workers.clocks`)."""

    forks = False

    def obstacle(self) -> str | None:
        """See `Runtime.obstacle`."""
        return super().obstacle() or cuda.obstacle()

    def clocks(self, threads: int) -> Clocks:
        """See `Runtime.clocks`."""
        return EventClocks(self.stream, said=cuda.conditions)

    def reference_workload(self, workload: Workload) -> Workload:
        """See `Runtime.reference_workload`."""
        return REFERENCE

    @cached_property
    def stream(self) -> cuda.CudaStream:
        """That its models queue their work on."""
        return self.make_stream()

    @abstractmethod
    def make_stream(self) -> cuda.CudaStream:
        """One that the engine uses."""

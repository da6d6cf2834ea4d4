"""What a stage is, and what it is given to work with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from nas.errors import JobInterrupted
from nas.job import Event, EventKind
from nas.planning.plan import Plan
from nas.spec import StageName
from nas.stages.backends import ComputeBackend, EvaluationPool, MeasurementBackend
from nas.store.store import Store, SupernetRecord

__all__ = ["Stage", "StageContext"]


@dataclass(frozen=True)
class StageContext:
    """Everything a stage may touch.

    Attributes:
        home: folder of what is kept beside the database: supernets, exported blocks.
        report: stores an event and shows it to whoever watches.
        stopped: whether the user asked the job to stop.
    """

    job_id: str
    plan: Plan
    store: Store
    home: Path
    measurement_backend: MeasurementBackend
    compute_backend: ComputeBackend
    report: Callable[[Event], None]
    stopped: Callable[[], bool]

    def check_stop(self) -> None:
        """Raise JobInterrupted where the user asked the job to stop; called between units of work."""
        if self.stopped():
            raise JobInterrupted(f"job {self.job_id} was stopped; go on with: nas resume {self.job_id}")

    def evaluations(
        self, stage: StageName, supernet: SupernetRecord
    ) -> AbstractContextManager[EvaluationPool]:
        """A pool for the supernet, whose waiting and troubles are notes of the stage."""
        note = partial(self.note, stage)
        return self.compute_backend.evaluations(self.plan, supernet, self.check_stop, note)

    def progress(self, stage: StageName, done: float, total: float, message: str = "") -> None:
        """Say how far the stage is, in its own units of work."""
        self.report(Event(EventKind.PROGRESS, stage, message, done, total))

    def note(self, stage: StageName, message: str, **data: Any) -> None:
        """Say something worth keeping."""
        self.report(Event(EventKind.NOTE, stage, message, data=data))


class Stage(ABC):
    """One step of a job. `run` does what is left of it: started again after a kill at any point, it
    goes on from its last completed unit of work and does none twice."""

    name: ClassVar[StageName]

    @abstractmethod
    def run(self, context: StageContext) -> None:
        """Do the stage, or what is left of it.

        Raises:
            JobInterrupted: the user stopped it.
            NasError: it cannot be done; the message tells the job's user why.
        """

"""A job as it is stored: where it stands, what happened in it, how well its predictors do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from nas.errors import NasError, named_error
from nas.spec import JobSpec, StageName
from workers.target import Target

__all__ = ["Event", "EventKind", "Job", "JobStatus", "TargetProfile", "Viewer"]


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks for jobs that are not everybody's.

    Attributes:
        name: whose own jobs they are.
        group: whose members see and change each other's jobs; empty for none.
    """

    name: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A stored job.

    Attributes:
        id: short and unique, e.g. ``"demo-3f9a1c"``.
        stage: the first stage that has not ended; None once all have.
        error: why it failed, for its user.
        created_at, updated_at: seconds since the epoch.
        error_kind: name of the class of `nas.errors` that the failure was.
        last_event: sequence number of the newest event; 0 where nothing has happened yet.
        owner: who submitted it; empty where nobody in particular did.
        group: whose members it is open to; empty for none.
        shared: whether everybody may look at it.
        abandoned: it is stored as running, and the lease of the process that ran it has expired.
    """

    id: str
    spec: JobSpec
    status: JobStatus
    stage: StageName | None
    error: str | None
    created_at: float
    updated_at: float
    error_kind: str | None = None
    last_event: int = 0
    owner: str = ""
    group: str = ""
    shared: bool = False
    abandoned: bool = False

    def belongs_to(self, viewer: Viewer) -> bool:
        """Whether they may change it: it is theirs, or their group's."""
        return self.owner == viewer.name or bool(self.group and self.group == viewer.group)

    def failure(self) -> NasError:
        """What a job that failed raises wherever it is asked about: the error that ended it."""
        return named_error(self.error_kind, self.error or f"job {self.id} failed without saying why")


@dataclass(frozen=True, slots=True)
class TargetProfile:
    """How well a target's predictor does on architectures that it never saw. Errors are relative to what
    was measured.

    Attributes:
        predictor: its name.
        measured, held_out: measurements that it learned from, and held-out ones that it was tested on.
        mape: mean |predicted − measured| / measured.
        within_10, within_5: share of architectures predicted within ±10% and ±5%.
        spearman: rank correlation.
        coverage_90: share of measurements inside the predicted 90% interval.
        single_blocks: of those that it learned from, models of one layer that are not of the space.
    """

    target: Target
    predictor: str
    measured: int
    held_out: int
    mape: float
    within_10: float
    within_5: float
    spearman: float
    coverage_90: float
    single_blocks: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data; the target as its text."""
        return {**asdict(self), "target": str(self.target)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TargetProfile:
        """Inverse of `to_dict`."""
        return cls(**{**data, "target": Target.parse(data["target"])})


class EventKind(StrEnum):
    """What an event tells."""

    STATUS = "status"
    STAGE = "stage"
    PROGRESS = "progress"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a job, in order.

    Attributes:
        sequence: 1, 2, … within the job; 0 until stored.
        done, total: of the stage's units of work, for PROGRESS.
        data: plain JSON.
    """

    kind: EventKind
    stage: StageName | None = None
    message: str = ""
    done: float = 0.0
    total: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict)
    sequence: int = 0
    time: float = 0.0

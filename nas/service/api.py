"""What can be asked of the service, wherever it runs.

`nas.service.local.LocalService` answers in this process; a remote one answers the same calls with the
same values and the same errors, so that nothing above needs a second code path.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from nas.front import Front, Point
from nas.job import Event, Job, JobSpec

__all__ = ["Service"]


class Service(ABC):
    """What can be asked of a service, embedded or remote: same calls, same answers, same errors."""

    @abstractmethod
    def submit(self, spec: JobSpec | str | Path | Mapping[str, Any]) -> Job:
        """Validate a spec whole and store it as a queued job; `resume` starts it.

        Raises:
            InvalidSpec: every problem at once; nothing is written.
        """

    @abstractmethod
    def resume(self, job_id: str) -> Job:
        """Start a job, or go on with it from its last completed unit of work, in the background."""

    @abstractmethod
    def cancel(self, job_id: str) -> Job:
        """Stop a job for good."""

    @abstractmethod
    def interrupt(self, job_id: str) -> Job:
        """Stop a running job so that it can be resumed; returns once it has stopped."""

    @abstractmethod
    def watch(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """Events as they happen, those already stored first, until the job stops running."""

    @abstractmethod
    def job(self, job_id: str) -> Job:
        """A job by id or by the unambiguous beginning of one; ``"latest"`` is the newest."""

    @abstractmethod
    def jobs(self) -> list[Job]:
        """All jobs, newest first."""

    @abstractmethod
    def front(self, job_id: str) -> Front:
        """The job's points, those on the front marked."""

    @abstractmethod
    def best(self, job_id: str, bounds: Mapping[str, float] | None = None) -> Point:
        """The front's point of best quality within the bounds (the job's own where None).

        Raises:
            NothingMeetsBounds: none; the nearest point is named.
        """

    @abstractmethod
    def extract(self, job_id: str, digest: str, out: str | Path) -> dict[str, Any]:
        """Cut a point out of the supernet into the folder `out`; returns its manifest."""

    @abstractmethod
    def spaces(self) -> list[dict[str, Any]]:
        """Spaces that ship: name, description, size and genes."""

    @abstractmethod
    def tasks(self) -> list[dict[str, Any]]:
        """Registered tasks: name, description, metric, direction and options."""

    @abstractmethod
    def presets(self, space: str) -> list[dict[str, Any]]:
        """Published designs within a space: name, source and architecture."""

    @abstractmethod
    def close(self) -> None:
        """Stop what was started in this process; jobs stay resumable."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

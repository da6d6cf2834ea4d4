"""What becomes of a job whose run ended before the job did."""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import NasError, StoreUnavailable
from nas.job import JobStatus
from nas.store.store import UNFINISHED

__all__ = ["AUTOMATIC", "ON_REQUEST", "RestartPolicy"]

_OVER = (JobStatus.SUCCEEDED, JobStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Who takes up a job whose run ended early: whoever asks for it, or any process with room.

    Attributes:
        automatic: jobs are run without anyone asking for each. A run that an outage of the store or the end
            of its process cut short then leaves its job to be taken up again.
        most_deaths: processes that may die in a row with a job in the same place before the job is taken to
            kill them, and failed; None for any number.
    """

    automatic: bool
    most_deaths: int | None

    def starts(self, status: JobStatus) -> bool:
        """Whether a job found so is run: only somebody who asks has a failed or interrupted one run."""
        return status in UNFINISHED if self.automatic else status not in _OVER

    def status_of_stopped(self, asked: bool) -> JobStatus:
        """How a job is left whose run was stopped between two units of its work.

        Args:
            asked: somebody wanted this job to stop, rather than this process to end.
        """
        return JobStatus.QUEUED if self.automatic and not asked else JobStatus.INTERRUPTED

    @property
    def status_of_abandoned(self) -> JobStatus:
        """How a job stands whose process is gone: it waits for any process, or for whoever asks."""
        return JobStatus.QUEUED if self.automatic else JobStatus.INTERRUPTED

    def retries(self, error: NasError) -> bool:
        """Whether a job that met this is left to be taken up again, rather than failed."""
        return self.automatic and isinstance(error, StoreUnavailable)

    def gives_up_after(self, deaths: int) -> bool:
        """Whether a job is failed with which so many processes died in the same place."""
        return self.most_deaths is not None and deaths >= self.most_deaths


ON_REQUEST = RestartPolicy(automatic=False, most_deaths=None)
"""Of a service of one user: a job is run when they ask for it, as often as they do."""

AUTOMATIC = RestartPolicy(automatic=True, most_deaths=3)
"""Of a shared service: whichever process has room runs what is queued."""

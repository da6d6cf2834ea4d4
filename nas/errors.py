"""One tree of errors. Each leaf has exactly one gRPC status, one HTTP status and one exit code.

The message says what was wrong, where, and what is accepted. gRPC statuses are named by text so that
this module needs no grpc; `tests/nas/test_errors.py` checks each against `grpc.StatusCode`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from typing import ClassVar

from searchspaces.errors import Problem, SpaceError
from workers.errors import (
    AcceleratorFailed,
    EngineMissing,
    LinkRefused,
    ListenFailed,
    ModelUnusable,
    NoWorkerServes,
    ProtocolViolation,
    SessionRefused,
    TargetNotServed,
    TransferFailed,
    WorkerError,
)
from workers.tls import TlsFileError

__all__ = [
    "Busy",
    "DeadlineExceeded",
    "Forbidden",
    "Incompatible",
    "InvalidSpec",
    "JobFailed",
    "JobInterrupted",
    "LimitExceeded",
    "ModelRejected",
    "NasError",
    "NoSuchJob",
    "NoSuchPoint",
    "NoWorker",
    "NothingMeetsBounds",
    "ServiceFault",
    "ServiceUnavailable",
    "StoreUnavailable",
    "Unauthenticated",
    "as_nas_error",
    "leaves",
    "named_error",
]


class NasError(Exception):
    """Base of everything that this project raises on purpose."""

    grpc_status: ClassVar[str]
    http_status: ClassVar[int]
    exit_code: ClassVar[int]


class InvalidSpec(NasError):
    """What the user wrote is not valid; every problem at once, nothing was started or written."""

    grpc_status = "INVALID_ARGUMENT"
    http_status = 422
    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class NoSuchJob(NasError):
    """No job of that id."""

    grpc_status = "NOT_FOUND"
    http_status = 404
    exit_code = 3


class NoSuchPoint(NasError):
    """The job has no point of that digest."""

    grpc_status = "NOT_FOUND"
    http_status = 404
    exit_code = 3


class NothingMeetsBounds(NasError):
    """No point of the front meets the bounds; the nearest is named."""

    grpc_status = "FAILED_PRECONDITION"
    http_status = 409
    exit_code = 4


class Busy(NasError):
    """Another process holds the job's lease."""

    grpc_status = "ABORTED"
    http_status = 409
    exit_code = 5


class NoWorker(NasError):
    """No connected worker serves the target."""

    grpc_status = "UNAVAILABLE"
    http_status = 503
    exit_code = 6


class StoreUnavailable(NasError):
    """The database or its disk cannot take a write (locked, full, gone)."""

    grpc_status = "UNAVAILABLE"
    http_status = 503
    exit_code = 7


class DeadlineExceeded(NasError):
    """A wait ended before its answer came."""

    grpc_status = "DEADLINE_EXCEEDED"
    http_status = 504
    exit_code = 8


class ModelRejected(NasError):
    """A model file does not load, or its outputs differ from what it was cut out of."""

    grpc_status = "DATA_LOSS"
    http_status = 500
    exit_code = 9


class JobFailed(NasError):
    """A stage of a job failed; the cause is kept with the job."""

    grpc_status = "INTERNAL"
    http_status = 500
    exit_code = 1


class JobInterrupted(NasError):
    """The user stopped the job; it can be resumed."""

    grpc_status = "CANCELLED"
    http_status = 499
    exit_code = 130


class Unauthenticated(NasError):
    """The service wants a token, and the one that came is not known to it."""

    grpc_status = "UNAUTHENTICATED"
    http_status = 401
    exit_code = 10


class Forbidden(NasError):
    """The token's role may not do this."""

    grpc_status = "PERMISSION_DENIED"
    http_status = 403
    exit_code = 11


class LimitExceeded(NasError):
    """A quota, a rate or a size is over what the service accepts."""

    grpc_status = "RESOURCE_EXHAUSTED"
    http_status = 429
    exit_code = 12


class ServiceUnavailable(NasError):
    """The service cannot be reached."""

    grpc_status = "UNAVAILABLE"
    http_status = 503
    exit_code = 13


class Incompatible(NasError):
    """Client and service speak different versions."""

    grpc_status = "UNIMPLEMENTED"
    http_status = 501
    exit_code = 14


class ServiceFault(NasError):
    """A defect in the service; its log has the cause."""

    grpc_status = "UNKNOWN"
    http_status = 500
    exit_code = 15


def leaves(base: type[NasError] = NasError) -> Iterator[type[NasError]]:
    """Every class that can be raised: those with a status."""
    if hasattr(base, "grpc_status"):
        yield base
    for derived in base.__subclasses__():
        yield from leaves(derived)


def named_error(kind: str | None, message: str) -> NasError:
    """The error that was stored or sent as the name of its class and its message; `JobFailed` where this
    version knows no class of that name."""
    known = {leaf.__name__: leaf for leaf in leaves()}
    if kind == InvalidSpec.__name__:
        return InvalidSpec([Problem("", line) for line in message.splitlines()])
    return known.get(kind or "", JobFailed)(message)


_OF_WORKERS: dict[type[WorkerError], type[NasError]] = {
    NoWorkerServes: NoWorker,
    TargetNotServed: NoWorker,
    AcceleratorFailed: NoWorker,
    ListenFailed: ServiceUnavailable,
    EngineMissing: ServiceUnavailable,
    TransferFailed: ServiceUnavailable,
    SessionRefused: Forbidden,
    LinkRefused: Forbidden,
    ProtocolViolation: Incompatible,
    ModelUnusable: ModelRejected,
}


def as_nas_error(error: Exception) -> NasError:
    """What an error of a lower layer, or one that nobody expected, is to a user of this one."""
    if isinstance(error, NasError):
        return error
    if isinstance(error, SpaceError):
        return InvalidSpec(error.problems)
    if isinstance(error, TlsFileError):
        return InvalidSpec([Problem("tls", str(error))])
    for kind, mapped in _OF_WORKERS.items():
        if isinstance(error, kind):
            return mapped(str(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return StoreUnavailable(f"cannot write {error.filename or 'to disk'}: {error.strerror}")
    return JobFailed(f"{type(error).__name__}: {error}")

"""Errors across the wire: what one side raises the other raises again, same class and same message."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf.message import DecodeError

from nas.errors import (
    DeadlineExceeded,
    Forbidden,
    Incompatible,
    InvalidSpec,
    LimitExceeded,
    NasError,
    ServiceFault,
    ServiceUnavailable,
    Unauthenticated,
    leaves,
)
from nas.rpc.v1 import service_pb2 as pb
from nas.service.wire.version import older_of
from searchspaces.errors import Problem

__all__ = ["DETAIL_KEY", "DETAIL_LIMIT", "detail_of", "error_of_call", "status_of"]

DETAIL_KEY = "nas-error-bin"
"""Trailing metadata that carries an `ErrorDetail`."""

DETAIL_LIMIT = 4 * 1024
"""Bytes of problems and of message that an `ErrorDetail` may take. Clients and proxies take 8 KiB of metadata
in all unless they are told otherwise, and see nothing of an error that has more; binary metadata grow by a
third on their way."""

STATUS_TEXT_LIMIT = 1000
"""Bytes of the status's own text as it travels, which other clients than ours print."""

PROBLEM_LIMIT = 1000
"""Characters of a single problem's message."""

_BY_STATUS: dict[grpc.StatusCode, type[NasError]] = {
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitExceeded,
    grpc.StatusCode.UNAVAILABLE: ServiceUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNIMPLEMENTED: Incompatible,
}
"""What a status means where gRPC itself made it, so that no detail came with it."""


def status_of(error: NasError) -> tuple[grpc.StatusCode, str]:
    """The status and its text."""
    return grpc.StatusCode[error.grpc_status], _that_travels(str(error))


def _that_travels(text: str) -> str:
    """As much of a text as fits into `STATUS_TEXT_LIMIT` bytes: what is not plain ASCII, line ends too, takes
    three bytes for each of its own."""
    room = STATUS_TEXT_LIMIT
    for place, character in enumerate(text):
        room -= 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
        if room < 0:
            return text[:place]
    return text


def detail_of(error: NasError) -> bytes:
    """A serialised `ErrorDetail`; what does not fit is counted, not sent."""
    if isinstance(error, InvalidSpec):
        detail = pb.ErrorDetail(kind=type(error).__name__, problems=_that_fit(error.problems))
    else:
        message = str(error).encode()[:DETAIL_LIMIT].decode(errors="ignore")
        detail = pb.ErrorDetail(kind=type(error).__name__, message=message)
    return detail.SerializeToString()


def _that_fit(problems: Iterable[Problem]) -> list[pb.Problem]:
    fitting: list[pb.Problem] = []
    room, left = DETAIL_LIMIT, 0
    for problem in problems:
        message = pb.Problem(path=problem.path[:PROBLEM_LIMIT], message=problem.message[:PROBLEM_LIMIT])
        room -= message.ByteSize() + 8
        if room > 0 and not left:
            fitting.append(message)
        else:
            left += 1
    if left:
        fitting.append(pb.Problem(message=f"and {left} more problems"))
    return fitting


def error_of_call(error: grpc.RpcError, server: str) -> NasError:
    """What a failed call raises here.

    Args:
        server: where it was sent, for the message.
    """
    metadata = dict(error.trailing_metadata() or ())
    told = _told(error, metadata.get(DETAIL_KEY, b""), server)
    if (older := older_of(metadata)) is None:
        return told
    if isinstance(told, InvalidSpec):
        return InvalidSpec([*told.problems, Problem("", older)])
    return Incompatible(f"{told}; {older}") if isinstance(told, Incompatible) else told


def _told(error: grpc.RpcError, detail_bytes: bytes, server: str) -> NasError:
    known = {leaf.__name__: leaf for leaf in leaves()}
    try:
        detail = pb.ErrorDetail.FromString(detail_bytes)
    except DecodeError:
        detail = pb.ErrorDetail()
    if detail.kind == InvalidSpec.__name__:
        return InvalidSpec([Problem(p.path, p.message) for p in detail.problems])
    if detail.kind in known:
        return known[detail.kind](detail.message)
    kind = _BY_STATUS.get(error.code(), ServiceFault)
    return kind(f"{server}: {error.details() or error.code().name}")

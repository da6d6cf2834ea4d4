"""Members of enums as their numbers, and plain data as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from nas.errors import Incompatible
from nas.front import Scope
from nas.job import EventKind, JobStatus
from nas.objectives import Direction, Source
from nas.rpc.v1 import service_pb2 as pb
from nas.service.wire.version import unknown
from nas.spec import StageName
from workers.target import Phase

__all__ = ["ENUMS", "document", "member_of", "number_of", "text"]

E = TypeVar("E", bound=StrEnum)

ENUMS: Mapping[type[StrEnum], tuple[EnumTypeWrapper, str]] = {
    JobStatus: (pb.JobStatus, "JOB_STATUS_"),
    StageName: (pb.StageName, "STAGE_NAME_"),
    EventKind: (pb.EventKind, "EVENT_KIND_"),
    Phase: (pb.Phase, "PHASE_"),
    Direction: (pb.Direction, "DIRECTION_"),
    Source: (pb.Source, "SOURCE_"),
    Scope: (pb.Scope, "SCOPE_"),
}


def number_of(member: StrEnum) -> Any:
    """A member's number in its proto enum, which has the same names behind a prefix."""
    wrapper, prefix = ENUMS[type(member)]
    return wrapper.Value(prefix + member.name)


def member_of(kind: type[E], number: int) -> E:
    """Inverse of `number_of`.

    Raises:
        Incompatible: this version knows no such member.
    """
    wrapper, prefix = ENUMS[kind]
    try:
        return kind[wrapper.Name(number).removeprefix(prefix)]
    except (KeyError, ValueError) as error:
        raise unknown(f"{kind.__name__} of number {number}", ", ".join(kind.__members__)) from error


def text(value: Any) -> str:
    """Plain data as JSON text."""
    return json.dumps(value, separators=(",", ":"))


def document(value: str, what: str) -> Any:
    """Plain data from JSON text.

    Raises:
        Incompatible: it is not JSON.
    """
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Incompatible(f"{what} is not JSON: {error}") from error

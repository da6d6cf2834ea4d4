"""What service and worker say to each other, as plain values; `workers.rpc.convert` puts them on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from workers.capabilities import Capabilities
from workers.measurement import Measurement
from workers.target import Target
from workers.timing import TimingProtocol

__all__ = [
    "PROTOCOL_VERSION",
    "Cancel",
    "Drain",
    "Failure",
    "Heartbeat",
    "Lease",
    "Leave",
    "ModelFile",
    "Register",
    "Result",
    "ServiceMessage",
    "Welcome",
    "WorkerMessage",
    "shortened",
]

PROTOCOL_VERSION = 5
"""Raised whenever a message changes its meaning; service and worker must speak the same."""

TEXT_CHARACTERS = 1000
"""That a worker tells of what happened to it: services keep no more, and take no message of over 64 KiB."""


@dataclass(frozen=True, slots=True)
class Register:
    """The first message of a worker: who it is."""

    capabilities: Capabilities
    protocol_version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker lives; renews its lease."""


@dataclass(frozen=True, slots=True)
class Result:
    """A lease was measured."""

    lease_id: str
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class Failure:
    """A lease could not be measured; `retryable` where another try may succeed."""

    lease_id: str
    reason: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """The worker goes in good order."""

    reason: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """Answers Register: the session's secret, and how often the service wants to hear from the worker."""

    session_id: str
    heartbeat_seconds: float


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model to fetch: lower-case hexadecimal SHA-256 and length of its bytes."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A measurement that the worker is to take; fields as in `workers.request.MeasurementRequest`."""

    lease_id: str
    digest: str
    target: Target
    model: ModelFile
    reference: ModelFile
    vocabulary: int
    reference_ms: float | None
    protocol: TimingProtocol


@dataclass(frozen=True, slots=True)
class Cancel:
    """A lease is no longer wanted."""

    lease_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Drain:
    """No more leases come in this session."""

    reason: str


WorkerMessage: TypeAlias = Register | Heartbeat | Result | Failure | Leave
ServiceMessage: TypeAlias = Welcome | Lease | Cancel | Drain


def shortened(text: str) -> str:
    """A text for people as it is sent and kept, in at most `TEXT_CHARACTERS`: how it begins and how it ends,
    since engines name the cause in either place, and between them how much is left out."""
    text = text.encode(errors="replace").decode()  # names of files may hold what is no character
    if len(text) <= TEXT_CHARACTERS:
        return text
    # The number is never longer than that of all characters.
    room = TEXT_CHARACTERS - len(_left_out(len(text)))
    head, tail = text[: room - room // 2], text[len(text) - room // 2 :]
    return head + _left_out(len(text) - room) + tail


def _left_out(characters: int) -> str:
    return f" … ({characters} characters left out) … "

"""Which form of messages a client and a service speak, and which of them is the older where one does not know
what the other says.

Fields that are added change no form by themselves: whoever does not read them misses nothing that was there
before. What would be misread without them, or cannot be read at all, is listed in `SINCE` with the form that
brought it, and whoever is older is told so instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any

from google.protobuf.message import Message

from nas.errors import Incompatible
from nas.rpc.v1 import service_pb2 as pb

__all__ = [
    "FORM",
    "FORM_KEY",
    "SERVING",
    "check_answer",
    "check_form",
    "check_point_form",
    "least_form",
    "older_of",
    "unknown",
]

FORM = 3
"""1: a point had a field for each count and a map of latencies. 2: it has `values`. 3: models may see a whole
input: an architecture has a form, a target the phase encode."""

FORM_KEY = "nas-form"
"""Metadata in which a client says which form it reads, and a service, where it refuses, which it speaks."""

SINCE: Mapping[str, int] = {"nas.rpc.v1.Architecture.form": 3, "PHASE_ENCODE": 3}
"""Fields by their full names, and members of enums by theirs, that whoever speaks an earlier form would
misread."""

SPEC_FIELD = "nas.rpc.v1.Job.spec_json"
"""Says its targets as JSON."""

POINTS_FORM = 2
"""Readers of an earlier form would take a point for one without numbers."""
ANSWERED_WITH_POINTS = ("QueryFront", "GetPoint", "GetBest", "FindOptimum")

SERVING: ContextVar[bool] = ContextVar("SERVING", default=False)
"""Whether it is a service that reads messages here, or else a client."""


def unknown(what: str, accepted: str) -> Incompatible:
    """The error of whoever reads something that only a later version says."""
    here, there = ("the service", "the client") if SERVING.get() else ("this client", "the service")
    return Incompatible(
        f"{what} is not known to {here}, which is older than {there}: update it; accepted: {accepted}"
    )


def check_form(method: str, metadata: Mapping[str, Any]) -> int:
    """The form that a caller reads; refuses one who would read a point as one without numbers.

    Raises:
        Incompatible: the caller's form is an earlier one; which is accepted is told.
    """
    form = _form(metadata, default=1)
    if method in ANSWERED_WITH_POINTS and form < POINTS_FORM:
        raise _older_client(form, POINTS_FORM)
    return form


def check_answer(message: Message, form: int) -> None:
    """Refuse to send what a caller of that form cannot read.

    Raises:
        Incompatible: it would need a later form.
    """
    if form < FORM and (needed := least_form(message)) > form:
        raise _older_client(form, needed)


def check_point_form(message: pb.Point) -> None:
    """Refuse a point of an earlier form.

    Raises:
        Incompatible: the service is of an earlier version.
    """
    if not message.values:
        raise Incompatible(
            f"the service sends points in form 1 and is older than this client, which reads form {FORM}: "
            "update the service"
        )


def least_form(message: Message) -> int:
    """The earliest form in which a message is read as it is meant."""
    return max([1, *_forms(message)])


def _forms(message: Message) -> Iterable[int]:
    for field, value in message.ListFields():
        if field.full_name in SINCE:
            yield SINCE[field.full_name]
        if field.full_name == SPEC_FIELD:
            yield from _forms_of_spec(value)
        elif field.enum_type is not None:
            yield SINCE.get(field.enum_type.values_by_number[value].name, 1)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in [value] if isinstance(value, Message) else value:
                yield from _forms(each)


def _forms_of_spec(spec: str) -> Iterable[int]:
    for target in json.loads(spec).get("targets", ()):
        yield SINCE.get(f"PHASE_{str(target.get('phase')).upper()}", 1)


def older_of(metadata: Mapping[str, Any]) -> str | None:
    """What a client should know of a service that refused its call with this metadata: which of both is
    older; None where neither is."""
    form = _form(metadata, default=POINTS_FORM)
    if form == FORM:
        return None
    older, newer = ("the service", "this client") if form < FORM else ("this client", "the service")
    return f"{older} is older than {newer} and may not know what it is asked: update it"


def _form(metadata: Mapping[str, Any], default: int) -> int:
    said = metadata.get(FORM_KEY)
    return int(said) if isinstance(said, str) and said.isascii() and said.isdigit() else default


def _older_client(form: int, needed: int) -> Incompatible:
    return Incompatible(
        f"the client reads form {form} and is older than the service, whose answer takes form {needed}: "
        f"update the client (one of the service's version sends the metadata {FORM_KEY}: {FORM})"
    )

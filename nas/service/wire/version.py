"""Which form of messages a client and a service speak. Fields that are added change no form; ones that are
taken away do, and whoever would misread what is left is told so instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.errors import Incompatible
from nas.rpc.v1 import service_pb2 as pb

__all__ = ["FORM", "FORM_KEY", "check_form", "check_point_form"]

FORM = 2
"""1: a point had a field for each count and a map of latencies. 2: it has `values`."""

FORM_KEY = "nas-form"
"""Metadata in which a client says which form it reads."""

ANSWERED_WITH_POINTS = ("QueryFront", "GetPoint", "GetBest", "FindOptimum")


def check_form(method: str, metadata: Mapping[str, Any]) -> None:
    """Refuse a caller who would read a point of this form as one without numbers.

    Raises:
        Incompatible: the caller's form is another; which one is accepted is told.
    """
    form = metadata.get(FORM_KEY, "1")
    if method in ANSWERED_WITH_POINTS and form != str(FORM):
        raise Incompatible(
            f"this service sends points in form {FORM}, the client reads form {form}; accepted: a client of "
            f"the service's version (it sends the metadata {FORM_KEY}: {FORM})"
        )


def check_point_form(message: pb.Point) -> None:
    """Refuse a point of an earlier form.

    Raises:
        Incompatible: the service is of an earlier version.
    """
    if not message.values:
        raise Incompatible(
            f"the service sends points in form 1, this client reads form {FORM}; accepted: a service of this "
            "version"
        )

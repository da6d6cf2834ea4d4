"""How jobs are named, and found again by what a user typed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from nas.errors import LimitExceeded, NoSuchJob
from nas.spec import JobSpec

__all__ = ["SHOWN", "is_beginning", "new_job_id", "no_such_job", "too_many_jobs"]

_BEGINNING = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SHOWN = 5
"""Ids that an error names at most."""


def new_job_id(spec: JobSpec, is_taken: Callable[[str], bool]) -> str:
    """A fresh id, e.g. ``"demo-3f9a1c"``."""
    while is_taken(job_id := f"{spec.name}-{secrets.token_hex(3)}"):
        pass
    return job_id


def is_beginning(text: str) -> bool:
    """Whether an id could begin so (other characters never reach a database)."""
    return _BEGINNING.fullmatch(text) is not None


def no_such_job(asked: str, matching: Sequence[str], known: Sequence[str]) -> NoSuchJob:
    """The error for an id that names no job, or several.

    Args:
        matching: ids that begin with what was asked.
        known: ids to look for near ones in, newest first.
    """
    if matching:
        return NoSuchJob(f"{asked!r} is the beginning of several jobs: {_listed(matching)}")
    if not known:
        return NoSuchJob(f"no job {asked!r}: there is no job yet")
    near = get_close_matches(asked, known, n=3)
    if near:
        return NoSuchJob(f"no job {asked!r}; did you mean {_listed(near)}?")
    return NoSuchJob(f"no job {asked!r}; the newest are {_listed(known)}")


def too_many_jobs(owner: str, most: int) -> LimitExceeded:
    """The error for an owner who would have more unfinished jobs than accepted."""
    return LimitExceeded(f"{owner} has {most} jobs that have not ended; accepted: at most that many")


def _listed(ids: Sequence[str]) -> str:
    return ", ".join([*ids[:SHOWN], "…"] if len(ids) > SHOWN else ids)

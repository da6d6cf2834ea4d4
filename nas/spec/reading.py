"""Read a spec from a document, and say everything that is wrong with it in one answer."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nas.errors import InvalidSpec
from nas.objectives.kind import objective_kinds
from nas.spec.job import JobSpec
from searchspaces.documents import (
    MOST_NESTED,
    MOST_VALUES,
    DocumentError,
    described,
    overlong,
    read_document,
)
from searchspaces.errors import Problem
from searchspaces.validation import problems_of

__all__ = ["load_job_spec"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def load_job_spec(
    source: str | Path | Mapping[str, Any], others: Callable[[JobSpec], Iterable[Problem]] | None = None
) -> JobSpec:
    """A spec from a YAML or JSON file, or from plain data. A relative space path or task `path` is
    left as written.

    Args:
        others: where something is wrong with the form, asked what else is wrong with what is left of the spec
            without that: so all mistakes come in one answer.

    Raises:
        InvalidSpec: every problem of the document's form, each with its path. Names of tasks,
            spaces, strategies and predictors are checked by the service, which knows them.
    """
    data: Any = dict(source) if isinstance(source, Mapping) else _read(Path(source))
    problems = list(_json_problems(data))
    if problems:
        raise InvalidSpec(problems)
    if isinstance(data.get("task"), str):
        data = {**data, "task": {"name": data["task"]}}
    try:
        return JobSpec.model_validate(data)
    except ValidationError as error:
        problems = problems_of(error, JobSpec)
        left = _without(data, [item["loc"] for item in error.errors()]) if others is not None else None
        if left is not None and others is not None:
            told = {problem.path for problem in problems}
            problems += [problem for problem in others(left) if not _follows(problem, told, left)]
        raise InvalidSpec(problems) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        data = read_document(path)
    except DocumentError as error:
        raise InvalidSpec([Problem("", str(error))]) from error
    if not isinstance(data, dict):
        accepted = "accepted: a job, that is a mapping with space, task and targets"
        raise InvalidSpec([Problem("", f"{str(path)!r:.200} holds {described(data)}; {accepted}")])
    return data


def _without(data: Mapping[str, Any], places: Sequence[tuple[int | str, ...]]) -> JobSpec | None:
    """The spec without what stands in these places; None where that is none either."""
    left = copy.deepcopy(dict(data))
    around = {place[:depth] for place in places for depth in range(len(place))}
    for place in places:
        if place in around:
            continue  # what is wrong within it is left out
        while place and isinstance(place[-1], int):
            place = place[:-1]  # a list without one of its items would number the others anew
        within: Any = left
        for step in place[:-1]:
            if isinstance(within, dict):
                within = within.get(step)
            else:
                within = within[step] if isinstance(within, list | tuple) and isinstance(step, int) else None
        if isinstance(within, dict) and place:
            within.pop(place[-1], None)
    try:
        return JobSpec.model_validate(left)
    except ValidationError:
        return None


def _follows(problem: Problem, told: Set[str], left: JobSpec) -> bool:
    """Whether a problem of what is left of a spec may be one only because of what was left out: it stands
    where something was told, or speaks of it."""
    if any(_within(problem.path, path) for path in told):
        return True
    wrong = {path.partition(".")[0] for path in told}
    part, _, place = problem.path.partition(".")
    if part == "bounds" and "objectives" in wrong:
        return True
    if "targets" not in wrong or not place:
        return False
    if part == "targets":
        number, _, field = place.partition(".")
        return not field or (field in ("dtype", "phase") and f"targets.{number}.runtime" in told)
    if part not in ("objectives", "bounds"):
        return False
    name = (place if part == "bounds" else left.objectives[int(place)]).partition("@")[0]
    return any(kind.per_target and name in (kind.name, *kind.aliases) for kind in objective_kinds().values())


def _within(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}.") or place.startswith(f"{path}.")


def _json_problems(document: Any) -> Iterator[Problem]:
    """Whatever JSON, in which specs are stored and sent, cannot hold; and texts longer than are kept."""
    waiting: list[tuple[Any, str, int]] = [(document, "", 0)]
    seen = 0
    while waiting:
        value, path, depth = waiting.pop()
        seen += 1
        if seen > MOST_VALUES:
            yield Problem("", f"more than {MOST_VALUES} values")
            return
        if depth > MOST_NESTED:  # of Python's mappings one may hold itself
            yield Problem("", f"more than {MOST_NESTED} levels of nesting")
            return
        if isinstance(value, Mapping):
            for said in filter(None, (overlong(key) for key in value if isinstance(key, str))):
                yield Problem(path, f"a name is {said}")
                return
            named = [(inner, f"{path}.{key}" if path else str(key)) for key, inner in value.items()]
            waiting += [(inner, name, depth + 1) for inner, name in named]
            for key in value:
                if not isinstance(key, str) or _SURROGATE.search(key):
                    yield Problem(path, f"{key!r:.80} is not a name; accepted: text")
        elif isinstance(value, list | tuple):
            waiting += [
                (inner, f"{path}.{number}" if path else str(number), depth + 1)
                for number, inner in enumerate(value)
            ]
        elif isinstance(value, str):
            if too_long := overlong(value):
                yield Problem(path, too_long)
            if _SURROGATE.search(value):
                yield Problem(path, f"{value!r:.80} has half of a character (U+D800 to U+DFFF)")
        elif isinstance(value, float):
            if not math.isfinite(value):
                yield Problem(path, f"{value} is not a finite number")
        elif not (value is None or isinstance(value, bool | int)):
            kind = type(value).__name__
            yield Problem(path, f"a {kind} is not JSON (got {value!r:.80}); put it in quotes for text")

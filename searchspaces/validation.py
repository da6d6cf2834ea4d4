"""What pydantic finds wrong, in this project's words: where it stands, what it is, what is accepted there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from searchspaces.errors import Problem

__all__ = ["problems_of"]


def problems_of(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[Problem]:
    """Every problem of an error, with dotted paths.

    Args:
        model: that the data was read as.
        prefix: of the paths.
    """
    found = []
    items = error.errors(include_url=False)
    within = {item["loc"][:depth] for item in items for depth in range(len(item["loc"]))}
    for item in items:
        if item["type"] == "too_short" and item["loc"] in within:
            continue  # pydantic counts a sequence's valid items; what is wrong with the others is said
        path = ".".join([*([prefix] if prefix else []), *map(str, item["loc"])])
        found.append(Problem(path, _message(item, model)))
    return found


def _message(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    kind, given = item["type"], item["input"]
    if kind == "missing":
        return "required"
    if kind == "extra_forbidden":
        return f"no such name; accepted: {', '.join(_names(model, item['loc'][:-1]))}"
    told = str(item["ctx"]["error"]) if kind == "value_error" else item["msg"]
    return told if isinstance(given, Mapping) else f"{told} (got {given!r:.80})"


def _names(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """What can be said at a place of a model's data."""
    at = [model]
    for step in place:
        fields = [each.model_fields[step] for each in at if step in each.model_fields]
        at = [inner for field in fields for inner in _models(field.annotation)] or at
    return [field.alias or name for each in at for name, field in each.model_fields.items()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Those that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)

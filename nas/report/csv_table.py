"""A front as CSV, for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import Any

from nas.front import Front
from nas.objectives.objective import Key
from nas.objectives.quality import QUALITY

__all__ = ["csv_table"]

COLUMNS = ("digest", "on_front", "preset", "validation", "test", "tuned_validation", "tuned_test")
"""Before what is known in each objective."""


def csv_table(front: Front) -> str:
    """One row a point, best quality first, the front before the others. A count has a column of its name;
    what is of a target one of ``TARGET:NAME``, with ``:predicted`` and ``:measured`` where it is measured;
    quality once trained alone is ``delivered``, with the same."""
    others = [point for point in front.points if not point.on_front]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    exact = {key: value.exact for point in front.points for key, value in point.values.items()}
    keys = sorted(exact, key=lambda key: (key[1] is not None, list(exact).index(key)))
    writer.writerow([*COLUMNS, *(head for key in keys for head in _heads(key, exact[key])), "architecture"])
    for point in [*front.members(), *others]:
        tuned = point.tuned
        row: list[Any] = [point.digest, point.on_front, point.preset, point.validation, point.test]
        row += [None, None] if tuned is None else [tuned.validation, tuned.test]
        for key in keys:
            value = point.values.get(key)
            if exact[key]:
                row.append(None if value is None else value.to_plain())
            else:
                row += [None, None] if value is None else [value.predicted, value.measured]
        writer.writerow([*row, point.architecture.canonical_json()])
    return text.getvalue()


def _heads(key: Key, exact: bool) -> list[str]:
    kind, target = key
    name = f"{target}:{kind}" if target else "delivered" if kind == QUALITY else kind
    return [name] if exact else [f"{name}:predicted", f"{name}:measured"]

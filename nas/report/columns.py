"""What the tables of a front show of each point besides quality and latency, the same wherever they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nas.front import Front
from nas.objectives.kind import ObjectiveKind, objective_kinds
from nas.objectives.latency_ms import LATENCY
from nas.objectives.objective import Key
from nas.objectives.quality import QUALITY
from nas.point import Point
from nas.report.numbers import in_heading, written
from workers.target import Target

__all__ = ["UNKNOWN", "Column", "columns", "label_of", "unit_of"]

ALWAYS = ("parameters", "state_bytes")
"""Shown whether they are objectives or not."""
UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """One of them.

    Attributes:
        key: of the objective.
        label: heading.
        short: a heading in as few letters as there is a name for.
        asked: its bound, ``"≤ 95.4 MiB"``; empty where there is none.
        unit: of the values.
    """

    key: Key
    label: str
    short: str
    asked: str
    unit: str

    def cell(self, point: Point) -> str:
        """Measured where it was, else predicted, which a tilde tells; a dash where it is unknown."""
        value = point.values.get(self.key)
        if value is None:
            return UNKNOWN
        tilde = "" if value.exact or value.measured is not None else "~"
        return tilde + written(value.best_known, self.unit)


def columns(front: Front, target: Target) -> list[Column]:
    """What is always shown, and the front's own objectives."""
    keys: dict[Key, float | None] = {(kind, None): None for kind in ALWAYS}
    for o in front.objectives:
        if o.kind not in (QUALITY, LATENCY) and o.target in (None, target):
            keys[o.key] = o.bound
    kinds = objective_kinds()
    made = []
    for key, bound in keys.items():
        label, unit = label_of(key[0], kinds), unit_of(key[0], kinds)
        short = min([label, *getattr(kinds.get(key[0]), "aliases", ())], key=len)
        asked = "" if bound is None else f"≤ {written(bound, unit)}"
        said = f" {in_heading(unit)}".rstrip()
        made.append(Column(key, label + said, short + said, asked, unit))
    return made


def label_of(kind: str, kinds: Mapping[str, type[ObjectiveKind]] | None = None) -> str:
    """How people call a kind of objective; one that only the service knows, by its name."""
    known = (objective_kinds() if kinds is None else kinds).get(kind)
    return kind.replace("_", " ") if known is None else known.label


def unit_of(kind: str, kinds: Mapping[str, type[ObjectiveKind]] | None = None) -> str:
    """Of its values; none of a kind that only the service knows."""
    known = (objective_kinds() if kinds is None else kinds).get(kind)
    return "" if known is None else known.unit

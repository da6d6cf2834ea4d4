"""What is wanted of an export, and whether it is so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from nas.point import Point
from searchspaces.submodel import has_bounded_state

__all__ = ["Goal", "export_goals"]

PARITY = 1e-3
"""Accepted between the logits of an engine in float32 and torch's."""

BUDGETS_MEDIAN, BUDGETS_WORST = 0.03, 0.08
"""Accepted between what a front says of a model's latency and what it takes, as a share."""

DECODE_GROWTH = 1.2
"""Accepted of a token after the longest context over one after the shortest, where no state grows."""

MEMORY = 0.02
"""Accepted between two readings of a model's peak memory, as a share."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted of the export, and whether it is so.

    Attributes:
        value: what was found; None where nothing tells.
        limit: at most this.
    """

    name: str
    value: float | None
    limit: float

    @property
    def met(self) -> bool:
        """Also where nothing tells."""
        return self.value is None or self.value <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "met": self.met}


def export_goals(
    contexts: Sequence[int],
    members: Sequence[Point],
    rows: Sequence[dict[str, Any]],
    written: Sequence[dict[str, Any]],
    budgets: Sequence[dict[str, Any]],
    memory: float | None,
) -> Iterator[Goal]:
    """Of models of a front, by the rows that the bench found.

    Args:
        contexts: tokens before the one that is decoded.
        members: the models.
        rows, written: by engine and number format, and by format of folders.
        budgets: what was asked of the front.
        memory: by what share two readings of a model's peak memory differ; None where it is not told.
    """
    exact = [row["difference"] for row in rows if row["dtype"] == "fp32" and "difference" in row]
    exact += [row["difference"] for row in written if row.get("difference") is not None]
    yield Goal("difference to torch in fp32", max(exact, default=None), PARITY)
    failed = [row for row in (*rows, *written) if "failed" in row]
    yield Goal("models that an engine does not take", float(len(failed)), 0.0)
    off = [row["off"] for row in budgets]
    yield Goal("latency said and measured, median", median(off) if off else None, BUDGETS_MEDIAN)
    yield Goal("latency said and measured, worst", max(off, default=None), BUDGETS_WORST)
    bounded = {point.digest for point in members if has_bounded_state(point.architecture)}
    shortest, longest = (str(end(contexts)) for end in (min, max))
    growth = [
        decoding[longest] / decoding[shortest]
        for row in rows
        if row["digest"] in bounded and row["dtype"] == "fp32" and (decoding := row.get("decode_ms"))
    ]
    yield Goal(f"a token after {longest} over after {shortest}", max(growth, default=None), DECODE_GROWTH)
    yield Goal("peak memory, read twice", memory, MEMORY)

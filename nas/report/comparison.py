"""Did the search beat the plain transformer? Said only where it is true."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nas.front import Front, Point
from workers.target import Target

__all__ = ["Comparison", "Tried", "comparisons"]

PLAIN = "softmax-L"
"""Presets of this name are the plain softmax transformer, one at each depth."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A point that was measured on the device and scored on the test split."""

    point: Point
    latency_ms: float
    test: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A plain softmax transformer beside what the search found at the same depth.

    Attributes:
        baseline: the plain one.
        better: the found point of best test quality among those with both lower measured latency and
            better test quality; None where there is none.
    """

    baseline: Tried
    better: Tried | None


def comparisons(front: Front, target: Target) -> list[Comparison]:
    """One for each plain softmax transformer that was measured and tested, by depth."""
    sign = front.direction.sign
    tried = list(_tried(front, target))
    plain = [one for one in tried if one.point.preset and one.point.preset.startswith(PLAIN)]
    compared = []
    for baseline in sorted(plain, key=lambda one: one.point.architecture.depth):
        better = [
            one
            for one in tried
            if one.point.preset is None
            and one.point.architecture.depth == baseline.point.architecture.depth
            and one.latency_ms < baseline.latency_ms
            and sign * one.test < sign * baseline.test
        ]
        compared.append(Comparison(baseline, min(better, key=lambda one: sign * one.test, default=None)))
    return compared


def _tried(front: Front, target: Target) -> Iterator[Tried]:
    for point in front.points:
        latency = point.latency_ms.get(str(target))
        if point.test is not None and latency is not None and latency.measured is not None:
            yield Tried(point, latency.measured, point.test)

"""The Pareto front: points whose every value says counted, predicted or measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

from nas.bounds import bounded_objectives, check_bounds, describe_miss
from nas.errors import NoSuchPoint, NothingMeetsBounds
from nas.objectives import Direction, Objective, Source
from nas.objectives.quality import quality_objective
from nas.point import Point
from workers.target import Target

__all__ = ["Front", "Scope", "extent_of", "mark_front"]


class Scope(StrEnum):
    """Which of a job's points are asked for."""

    FRONT = "front"
    """Its front's members."""
    SHOWN = "shown"
    """Those and the presets: what people compare."""
    ALL = "all"
    """Every evaluated candidate."""


def mark_front(points: Sequence[Point], objectives: Sequence[Objective]) -> list[Point]:
    """The points with `on_front` set: within every bound, and not dominated by another that is.

    What was measured counts where something was, what was predicted elsewhere. Of points equal in every
    objective all are on the front. A point with an unknown objective is not.
    """
    minimised = _minimised(points, objectives)
    usable = np.isfinite(minimised).all(1) & (_excess(points, objectives).max(1, initial=0.0) <= 0)
    on_front = np.zeros(len(points), bool)
    if usable.any():
        on_front[usable] = moocore.is_nondominated(minimised[usable], keep_weakly=True)
    return [
        point if point.on_front == flag else replace(point, on_front=flag)
        for point, flag in zip(points, on_front.tolist(), strict=True)
    ]


def extent_of(
    points: Sequence[Point], objectives: Sequence[Objective]
) -> tuple[tuple[float, float] | None, ...]:
    """The lowest and the highest value of each objective over the points; None where none has one."""
    known = [[v for p in points if not math.isnan(v := p.value(o))] for o in objectives]
    return tuple((min(values), max(values)) if values else None for values in known)


def _minimised(points: Sequence[Point], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    rows = [[o.direction.sign * point.value(o) for o in objectives] for point in points]
    return np.array(rows, float).reshape(len(points), len(objectives))


def _excess(points: Sequence[Point], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """(n, bounds) by which share of each bound a point misses it; ≤ 0 where it meets it."""
    bounded = [(o, o.bound) for o in objectives if o.bound is not None]
    rows = [
        [o.direction.sign * (p.value(o) - bound) / abs(bound or 1.0) for o, bound in bounded] for p in points
    ]
    excess = np.array(rows, float).reshape(len(points), len(bounded))
    return np.where(np.isnan(excess), np.inf, excess)


@dataclass(frozen=True)
class Front:
    """A job's points and what they are compared by.

    Attributes:
        metric, direction: of the task.
        objectives: of the job, with their bounds (what was asked).
        points: those of the scope that was asked for; members of the front are marked.
        evaluated: how many candidates the job has evaluated, whatever the scope.
        extent: of each objective the lowest and the highest value, in own units, that any candidate of the
            job ever had, whatever the scope; None where none had one.
    """

    job: str
    space: str
    task: str
    metric: str
    direction: Direction
    targets: tuple[Target, ...]
    objectives: tuple[Objective, ...]
    points: tuple[Point, ...]
    evaluated: int
    extent: tuple[tuple[float, float] | None, ...]

    def members(self) -> list[Point]:
        """Points on the front, best `Point.quality` first."""
        return self._by_quality(point for point in self.points if point.on_front)

    def _by_quality(self, points: Iterable[Point]) -> list[Point]:
        return sorted(points, key=lambda point: self.direction.sign * point.value(self._quality))

    @property
    def _quality(self) -> Objective:
        return quality_objective(self.metric, self.direction)

    def quality_of(self, point: Point, target: Target | None = None) -> float:
        """Of a point on a target, of None where it is worst; NaN where it is unknown."""
        on_target = None if target is None else point.quality_on(target)
        return point.value(self._quality) if on_target is None else on_target

    def values(self, points: Sequence[Point] | None = None) -> NDArray[np.float64]:
        """(n, objectives) in their own units, of all points where None."""
        chosen = self.points if points is None else points
        rows = [[point.value(objective) for objective in self.objectives] for point in chosen]
        return np.array(rows, float).reshape(len(chosen), len(self.objectives))

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(objectives,) best and worst value of each objective over all that was evaluated, in own units;
        NaN where there is none."""
        known = [(math.nan, math.nan) if pair is None else pair for pair in self.extent]
        lowest, highest = np.array(known, float).reshape(-1, 2).T
        falling = np.array([o.direction is Direction.MIN for o in self.objectives])
        return np.where(falling, lowest, highest), np.where(falling, highest, lowest)

    def hypervolume(self) -> float:
        """Share, in [0, 1], of the `box` that the front dominates (Zitzler & Thiele, 1998); 0 where there is
        no front."""
        members = _minimised(self.members(), self.objectives)
        best, worst = self.box()
        if not len(members):
            return 0.0
        signs = np.array([o.direction.sign for o in self.objectives])
        low, high = signs * best, signs * worst
        scaled = (members - low) / np.where(high > low, high - low, 1.0)
        return float(moocore.hypervolume(scaled, ref=np.ones(len(low))))

    def best(self, bounds: Mapping[str, float] | None = None) -> Point:
        """The point of best quality within bounds: the front's, or where they bound what is no objective
        of the job, that of all verified points, which may be one that others dominate.

        Args:
            bounds: objective or count → no worse than this, beside the job's own bounds.

        Raises:
            InvalidSpec: a bound's name is not known, or it is no finite number above 0; what is accepted is
                named.
            NoSuchPoint: nothing was evaluated yet.
            NothingMeetsBounds: the message says which point comes nearest and by how much it misses; where
                none is within the job's own bounds, see `why_empty`.
        """
        check_bounds(bounds or {})
        bounded = self.bounded(bounds or {})
        points = self._answering(bounds or {})
        if not points:
            raise (NothingMeetsBounds if self.evaluated else NoSuchPoint)(self.why_empty())
        excess = _excess(points, bounded)
        within = excess.max(1, initial=0.0) <= 0
        if within.any():
            return points[int(within.argmax())]
        nearest = points[int(excess.max(1).argmin())]
        shown = ", ".join(describe_miss(objective, nearest.value(objective)) for objective in bounded)
        raise NothingMeetsBounds(
            f"no point of {self.job} meets the bounds; the nearest, {nearest.digest}, has {shown}"
        )

    def why_empty(self) -> str:
        """Why there are no members: nothing was evaluated yet, or nothing of it is within what was asked,
        and what the best of any is in each objective that is bounded."""
        if not self.evaluated:
            # What a front knows does not tell a job that was stopped from one that ends before its search.
            said = f"job {self.job} has no evaluated architecture yet; where it stands: nas show {self.job}"
            return f"{said}; to go on with one that was stopped: nas resume {self.job}"
        said = f"none of the {self.evaluated} architectures of job {self.job} is within what was asked"
        best = ", ".join(
            describe_miss(objective, value)
            for objective, value in zip(self.objectives, self.box()[0].tolist(), strict=True)
            if objective.bound is not None
        )
        return f"{said}; the best of any: {best}" if best else said

    def needs_others(self, bounds: Mapping[str, float]) -> bool:
        """Whether the best within such bounds may be a point that others dominate: where they bound what
        is no objective of the job."""
        compared = {o.key for o in self.objectives}
        return any(o.key not in compared for o in self.bounded(bounds))

    def _answering(self, bounds: Mapping[str, float]) -> list[Point]:
        """Points among which the best within such bounds is, best quality first."""
        if not self.needs_others(bounds):
            return self.members()
        return self._by_quality(p for p in self.points if p.on_front or (p.verified and self._allows(p)))

    def _allows(self, point: Point) -> bool:
        """Whether the point is within the job's own bounds."""
        return bool(_excess([point], self.objectives).max(initial=0.0) <= 0)

    def select(self, bounds: Mapping[str, float], points: Sequence[Point] | None = None) -> list[Point]:
        """Those of the points (the front's where None) that meet every bound, in their order."""
        chosen = self.members() if points is None else list(points)
        excess = _excess(chosen, self.bounded(bounds)).max(1, initial=0.0)
        return [point for point, over in zip(chosen, excess, strict=True) if over <= 0]

    def bounded(self, bounds: Mapping[str, float]) -> list[Objective]:
        """The objectives that bounds speak of, with the bounds as theirs; see `nas.bounds`.

        Raises:
            InvalidSpec: a bound's name is not known; those accepted are named.
        """
        return bounded_objectives(bounds, self._quality, self.targets)

    def to_dict(self) -> dict[str, Any]:
        """The document that programs read; keys are stable, new ones may be added."""
        best, worst = self.box()
        names = [objective.name for objective in self.objectives]
        return {
            "job": self.job,
            "space": self.space,
            "task": self.task,
            "quality": {"metric": self.metric, "direction": str(self.direction)},
            "targets": [str(target) for target in self.targets],
            "objectives": [
                {
                    "name": o.name,
                    "unit": o.unit,
                    "direction": str(o.direction),
                    "source": str(o.source),
                    "bound": o.bound,
                    "target": None if o.target is None else str(o.target),
                }
                for o in self.objectives
            ],
            "evaluated": self.evaluated,
            "points": [point.to_dict() for point in self.points],
            "hypervolume": {
                "value": self.hypervolume(),
                "reference": _named(names, worst),
                "ideal": _named(names, best),
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Front:
        """Inverse of `to_dict`; what follows from the points is computed again."""
        ideal, reference = (data["hypervolume"][end] for end in ("ideal", "reference"))
        box = [(ideal[o["name"]], reference[o["name"]]) for o in data["objectives"]]
        return cls(
            job=data["job"],
            space=data["space"],
            task=data["task"],
            metric=data["quality"]["metric"],
            direction=Direction(data["quality"]["direction"]),
            targets=tuple(Target.parse(text) for text in data["targets"]),
            objectives=tuple(
                Objective(
                    o["name"],
                    o["unit"],
                    Direction(o["direction"]),
                    Source(o["source"]),
                    o["bound"],
                    None if o["target"] is None else Target.parse(o["target"]),
                )
                for o in data["objectives"]
            ),
            points=tuple(Point.from_dict(point) for point in data["points"]),
            evaluated=data["evaluated"],
            extent=tuple(None if None in ends else (min(ends), max(ends)) for ends in box),
        )


def _named(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float | None]:
    return {
        name: float(value) if math.isfinite(value) else None
        for name, value in zip(names, values, strict=True)
    }

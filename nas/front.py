"""The Pareto front: points whose every latency says predicted or measured."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidSpec, NoSuchPoint, NothingMeetsBounds
from nas.objective import Direction, Objective, Source
from searchspaces.architecture import Architecture
from searchspaces.errors import Problem
from workers.target import Target

__all__ = ["Front", "Latency", "Point", "mark_front"]

COLUMNS = ("digest", "on_front", "preset", "validation", "test", "parameters", "macs", "state_bytes")
"""Of the CSV, before the latencies."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one point on one target, in milliseconds.

    Attributes:
        predicted, predicted_std: what the predictor said when the point was verified (before its
            own measurement taught it).
        measured, measured_std: what the device said; None until it was asked.
    """

    predicted: float
    predicted_std: float
    measured: float | None = None
    measured_std: float | None = None

    @property
    def best_known(self) -> float:
        """Measured where there is a measurement, else predicted."""
        return self.predicted if self.measured is None else self.measured


@dataclass(frozen=True, slots=True)
class Point:
    """One architecture with everything that is known of it in a job.

    Attributes:
        validation, test: the task's metric on each split; None where not evaluated. Fronts are made
            of validation; test is what the search never saw.
        latency_ms: by target text.
        preset: name of the published design that it is, or None.
        on_front: not dominated by any point of the job, by measured values where there are some.
    """

    digest: str
    architecture: Architecture
    validation: float | None
    test: float | None
    parameters: int
    macs: int
    state_bytes: int
    latency_ms: Mapping[str, Latency] = field(default_factory=dict)
    preset: str | None = None
    on_front: bool = False

    def value(self, objective: Objective) -> float:
        """The objective's value, measured where it can be; NaN where it is unknown."""
        if objective.source is Source.EVALUATED:
            return math.nan if self.validation is None else self.validation
        if objective.target is not None:
            latency = self.latency_ms.get(str(objective.target))
            return math.nan if latency is None else latency.best_known
        return float(getattr(self, objective.name))

    def to_dict(self) -> dict[str, Any]:
        """Plain data; see `docs/design.md`."""
        return {
            "digest": self.digest,
            "architecture": self.architecture.to_dict(),
            "quality": {"validation": self.validation, "test": self.test},
            "parameters": self.parameters,
            "macs": self.macs,
            "state_bytes": self.state_bytes,
            "latency_ms": {
                target: {
                    "predicted": latency.predicted,
                    "predicted_std": latency.predicted_std,
                    "measured": latency.measured,
                    "measured_std": latency.measured_std,
                }
                for target, latency in self.latency_ms.items()
            },
            "preset": self.preset,
            "on_front": self.on_front,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Point:
        """Inverse of `to_dict`."""
        return cls(
            digest=data["digest"],
            architecture=Architecture.from_dict(data["architecture"]),
            validation=data["quality"]["validation"],
            test=data["quality"]["test"],
            parameters=data["parameters"],
            macs=data["macs"],
            state_bytes=data["state_bytes"],
            latency_ms={target: Latency(**latency) for target, latency in data["latency_ms"].items()},
            preset=data["preset"],
            on_front=data["on_front"],
        )


def mark_front(points: Sequence[Point], objectives: Sequence[Objective]) -> list[Point]:
    """The points with `on_front` set: within every bound, and not dominated by another that is.

    A measured latency counts where there is one, a predicted one elsewhere. Of points equal in every
    objective all are on the front. A point with an unknown objective is not.
    """
    minimised = _minimised(points, objectives)
    usable = np.isfinite(minimised).all(1) & (_excess(points, objectives).max(1, initial=0.0) <= 0)
    on_front = np.zeros(len(points), bool)
    if usable.any():
        on_front[usable] = moocore.is_nondominated(minimised[usable], keep_weakly=True)
    return [replace(point, on_front=bool(flag)) for point, flag in zip(points, on_front, strict=True)]


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
        points: every evaluated candidate; those on the front are marked.
    """

    job: str
    space: str
    task: str
    metric: str
    direction: Direction
    targets: tuple[Target, ...]
    objectives: tuple[Objective, ...]
    points: tuple[Point, ...]

    def members(self) -> list[Point]:
        """Points on the front, best quality first."""
        quality = next(o for o in self.objectives if o.source is Source.EVALUATED)
        return sorted(
            (point for point in self.points if point.on_front),
            key=lambda point: quality.direction.sign * point.value(quality),
        )

    def values(self, points: Sequence[Point] | None = None) -> NDArray[np.float64]:
        """(n, objectives) in their own units, of all points where None."""
        chosen = self.points if points is None else points
        rows = [[point.value(objective) for objective in self.objectives] for point in chosen]
        return np.array(rows, float).reshape(len(chosen), len(self.objectives))

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(objectives,) best and worst value of each objective over all points, in own units."""
        known = _minimised(self.points, self.objectives)
        known = known[np.isfinite(known).all(1)]
        if not len(known):
            return np.full(len(self.objectives), np.nan), np.full(len(self.objectives), np.nan)
        signs = np.array([o.direction.sign for o in self.objectives])
        return signs * known.min(0), signs * known.max(0)

    def hypervolume(self) -> float:
        """Share, in [0, 1], of the box between the points' best and worst values that the front
        dominates (Zitzler & Thiele, 1998); 0 where there is no front."""
        members = _minimised(self.members(), self.objectives)
        best, worst = self.box()
        if not len(members):
            return 0.0
        signs = np.array([o.direction.sign for o in self.objectives])
        low, high = signs * best, signs * worst
        scaled = (members - low) / np.where(high > low, high - low, 1.0)
        return float(moocore.hypervolume(scaled, ref=np.ones(len(low))))

    def best(self, bounds: Mapping[str, float] | None = None) -> Point:
        """The front's point of best quality within bounds.

        Args:
            bounds: objective or count → no worse than this, beside the job's own bounds.

        Raises:
            InvalidSpec: a bound's name is not known; those accepted are named.
            NoSuchPoint: the front is empty.
            NothingMeetsBounds: the message says which point comes nearest and by how much it misses.
        """
        members = self.members()
        if not members:
            raise NoSuchPoint(
                f"job {self.job} has no point on its front yet; finish it with: nas resume {self.job}"
            )
        within = self.select(bounds or {}, members)
        if within:
            return within[0]
        bounded = self._bounded(bounds or {})
        excess = _excess(members, bounded).max(1)
        nearest = members[int(excess.argmin())]
        shown = ", ".join(f"{o.name} {nearest.value(o):.4g} (asked ≤ {o.bound:g})" for o in bounded)
        raise NothingMeetsBounds(
            f"no point of {self.job} meets the bounds; the nearest, {nearest.digest}, has {shown}"
        )

    def select(self, bounds: Mapping[str, float], points: Sequence[Point] | None = None) -> list[Point]:
        """Those of the points (the front's where None) that meet every bound, in their order."""
        chosen = self.members() if points is None else list(points)
        excess = _excess(chosen, self._bounded(bounds)).max(1, initial=0.0)
        return [point for point, over in zip(chosen, excess, strict=True) if over <= 0]

    def _bounded(self, bounds: Mapping[str, float]) -> list[Objective]:
        """The objectives that the bounds speak of, with the bounds as theirs."""
        known = {o.name: o for o in self.objectives}
        for name in ("parameters", "macs", "state_bytes"):
            known.setdefault(name, Objective(name, name))
        for target in self.targets:
            for name in ("latency_ms", f"latency_ms@{target.device}", f"latency_ms@{target}"):
                known.setdefault(name, Objective(name, "ms", Direction.MIN, Source.PREDICTED, None, target))
        several = len(self.targets) > 1
        problems, bounded = [], []
        for name, bound in bounds.items():
            if name == "latency_ms" and several:
                latencies = [
                    Objective(name, "ms", Direction.MIN, Source.PREDICTED, bound, t) for t in self.targets
                ]
                bounded += latencies
            elif name in known:
                bounded.append(replace(known[name], bound=bound))
            else:
                problems.append(Problem(f"bounds.{name}", f"not known; accepted: {', '.join(known)}"))
        if problems:
            raise InvalidSpec(problems)
        return bounded

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
        )

    def to_csv(self) -> str:
        """One row a point, best quality first, the front before the others."""
        members = self.members()
        others = [point for point in self.points if not point.on_front]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        latencies = [
            f"{target}:{kind}" for target in self.targets for kind in ("predicted_ms", "measured_ms")
        ]
        writer.writerow(
            [
                "digest",
                "on_front",
                "preset",
                "validation",
                "test",
                "parameters",
                "macs",
                "state_bytes",
                *latencies,
                "architecture",
            ]
        )
        for point in [*members, *others]:
            row: list[Any] = [point.digest, point.on_front, point.preset, point.validation, point.test]
            row += [point.parameters, point.macs, point.state_bytes]
            for target in self.targets:
                latency = point.latency_ms.get(str(target))
                row += [None, None] if latency is None else [latency.predicted, latency.measured]
            writer.writerow([*row, point.architecture.canonical_json()])
        return text.getvalue()


def _named(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float | None]:
    return {
        name: float(value) if math.isfinite(value) else None
        for name, value in zip(names, values, strict=True)
    }

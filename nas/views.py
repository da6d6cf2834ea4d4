"""Points seen in another way: one job's for a single target, or for all of its targets at once by the worst
of them; several jobs' as one front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import moocore
import numpy as np

from nas.errors import InvalidSpec, NoSuchPoint
from nas.front import Front, extent_of, mark_front
from nas.objectives import Direction
from nas.objectives.latency_ms import LATENCY, Latency
from nas.objectives.quality import QUALITY, quality_objective
from nas.objectives.value import Value
from nas.point import QUALITIES, Point
from searchspaces.errors import Problem
from workers.target import Target

__all__ = ["JointFront", "RobustFront", "front_of_target", "joint_front", "robust_front"]


def front_of_target(front: Front, target: Target) -> Front:
    """The front that the job would have with this target alone: what is of other targets, and bounds on that,
    do not count.

    Args:
        front: of every point (`Scope.ALL`): what a bound on another target excludes may be on it.
    """
    kept = [number for number, o in enumerate(front.objectives) if o.target in (None, target)]
    objectives = tuple(front.objectives[number] for number in kept)
    points = [point.without_other_targets(target) for point in front.points]
    known = {p.digest: p for p in mark_front(_trusted(points, [target]), objectives)}
    return replace(
        front,
        targets=(target,),
        objectives=objectives,
        extent=tuple(front.extent[number] for number in kept),
        points=tuple(known.get(p.digest, replace(p, on_front=False)) for p in points),
    )


@dataclass(frozen=True)
class RobustFront:
    """Points that serve all targets with one model.

    Attributes:
        front: the job's, with those points marked that no other beats in quality, in the other objectives
            (of one that is of targets, in the worst ratio of its values too) and in the worst ratio.
        best_ms: by target text the lowest latency of any point: what a device can do at its best.
        worst_ratio: by digest the largest, over targets, of a point's latency over the target's best; ≥ 1.
    """

    front: Front
    best_ms: Mapping[str, float]
    worst_ratio: Mapping[str, float]

    def members(self) -> list[Point]:
        """Of the robust front, best quality first."""
        return self.front.members()

    def to_dict(self) -> dict[str, Any]:
        """The front's document, and what `on_front` follows from."""
        robust = {"best_ms": dict(self.best_ms), "worst_ratio": dict(self.worst_ratio)}
        return {**self.front.to_dict(), "robust": robust}


def robust_front(front: Front, bounds: Mapping[str, float] | None = None) -> RobustFront:
    """The front of quality against the worst latency over all targets, each relative to its own best
    (minimax of normalised objectives; Ehrgott et al., 2014, call it point-based robustness).

    Args:
        front: of every point (`Scope.ALL`).
        bounds: what marked points meet, beside the job's own bounds; see `Front.bounded`. A target's best is
            that of any point all the same.

    Raises:
        InvalidSpec: the job has one target only, or a bound's name is not known.
        NoSuchPoint: no point has a latency on every target.
    """
    if len(front.targets) < 2:
        raise InvalidSpec(
            [Problem("--robust", f"job {front.job} has one target; accepted: a job of several")]
        )
    points = _trusted(front.points, front.targets)
    names = [str(target) for target in front.targets]
    latencies = np.array([[p.value(axis) for axis in Latency.axes(front.targets)] for p in points])
    complete = np.isfinite(latencies).all(1) if points else np.zeros(0, bool)
    points = [point for point, known in zip(points, complete, strict=True) if known]
    if not points:
        raise NoSuchPoint(f"job {front.job} has no point on every target; go on with: nas resume {front.job}")
    best, ratio = _ratios(latencies[complete])
    others = [o for o in front.objectives if o.target is None]
    values = np.array([[o.direction.sign * p.value(o) for o in others] for p in points])
    for kind in sorted({o.kind for o in front.objectives if o.target is not None} - {LATENCY}):
        axes = [o for o in front.objectives if o.kind == kind]
        of_targets = np.array([[point.value(axis) for axis in axes] for point in points])
        values = np.column_stack([values, _ratios(of_targets, axes[0].direction)[1]])
    # Within every bound, those on a latency too: as on the joint front.
    inside = {p.digest for p in front.select(bounds or {}, front.select(_bounds(front), points))}
    usable = np.array([p.digest in inside for p in points]) & np.isfinite(values).all(1)
    marked = np.zeros(len(points), bool)
    if usable.any():
        both = np.column_stack([values, ratio])[usable]
        marked[usable] = moocore.is_nondominated(both, keep_weakly=True)
    members = {p.digest for p, flag in zip(points, marked, strict=True) if flag}
    return RobustFront(
        replace(front, points=tuple(replace(p, on_front=p.digest in members) for p in front.points)),
        dict(zip(names, best.tolist(), strict=True)),
        {p.digest: value for p, value in zip(points, ratio.tolist(), strict=True)},
    )


@dataclass(frozen=True)
class JointFront:
    """What several jobs of one space and task found for one target.

    Attributes:
        front: of quality and of latency on the target, over the points of all jobs; it is called
            ``SPACE/TASK``.
        jobs: by digest the job that the point came from.
        left_out: jobs whose qualities do not compare.
    """

    front: Front
    jobs: Mapping[str, str]
    left_out: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The front's document, and where its points came from."""
        return {**self.front.to_dict(), "jobs": dict(self.jobs), "left_out": list(self.left_out)}


def joint_front(fronts: Sequence[Front], target: Target, left_out: Sequence[str] = ()) -> JointFront:
    """The front over the points of several jobs. Of an architecture that several have, the point of the best
    quality is taken, that of the first among equals, with what was measured on the target for any of them.
    Qualities are those with the supernets' weights: jobs do not train their finalists to one end. What the
    target's number format changes of them is as in each job.

    Args:
        fronts: of at least one job, all of one space, task and metric, and each with the target.
    """
    first = fronts[0]
    (latency,) = Latency.axes([target])
    quality = quality_objective(first.metric, first.direction)
    best: dict[str, tuple[Point, str]] = {}
    measured: dict[str, Value] = {}
    for front in fronts:
        for delivered in front.points:
            point, value = _with_supernet(delivered, target), delivered.values.get(latency.key)
            if point.validation is None or value is None:
                continue
            if value.measured is not None:
                measured.setdefault(point.digest, value)
            known = best.get(point.digest)
            sign = first.direction.sign
            if known is None or sign * point.value(quality) < sign * known[0].value(quality):
                best[point.digest] = point, front.job
    points = [
        replace(point, values={**point.values, latency.key: measured[digest]})
        if digest in measured
        else point
        for digest, (point, _) in best.items()
    ]
    objectives = (quality, latency)
    marked = {p.digest: p for p in mark_front(_trusted(points, [target]), objectives)}
    points = [marked.get(p.digest, replace(p, on_front=False)) for p in points]
    joined = replace(
        first,
        job=f"{first.space}/{first.task}",
        targets=(target,),
        objectives=objectives,
        points=tuple(points),
        evaluated=sum(front.evaluated for front in fronts),
        extent=extent_of(points, objectives),
    )
    return JointFront(joined, {digest: job for digest, (_, job) in best.items()}, tuple(left_out))


def _with_supernet(point: Point, target: Target) -> Point:
    """What it scores with the supernet's weights as the target runs them; nothing of other targets."""
    values = {key: value for key, value in point.values.items() if key[0] not in QUALITIES}
    converted = point.known(QUALITY, target)
    if converted is not None and point.validation is not None and point.quality is not None:
        change = converted.best_known - point.quality
        values[QUALITY, str(target)] = Value(point.validation + change, converted.predicted_std)
    return replace(point, values=values)


def _ratios(values: np.ndarray, direction: Direction = Direction.MIN) -> tuple[np.ndarray, np.ndarray]:
    """(targets,) the best of (n, targets) values > 0, and (n,) by what factor a row is worse at worst."""
    if direction is Direction.MAX:
        best = values.max(0)
        return best, (best / values).max(1)
    best = values.min(0)
    return best, (values / best).max(1)


def _bounds(front: Front) -> dict[str, float]:
    return {
        o.kind if o.target is None else f"{o.kind}@{o.target}": o.bound
        for o in front.objectives
        if o.bound is not None
    }


def _trusted(points: Sequence[Point], targets: Sequence[Target]) -> list[Point]:
    """Those measured on the targets; all of them where the job has not measured any yet."""
    return [point for point in points if all(map(point.measured_on, targets))] or list(points)

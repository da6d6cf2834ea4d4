"""One point in words and numbers, the same wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nas.comparison import Comparison
from nas.errors import NoSuchPoint, NothingMeetsBounds
from nas.front import FineTuned, Front, Latency, Point
from nas.objectives import Direction
from nas.report.numbers import readable_bytes, readable_count
from workers.target import Target

__all__ = [
    "Dot",
    "describe_absence",
    "describe_comparison",
    "describe_latency",
    "describe_point",
    "describe_quality",
    "dots_of",
    "known_latency",
    "readable_metric",
    "staircase",
]

UNKNOWN = "–"


def readable_metric(metric: str) -> str:
    """``"bits_per_byte"`` → ``"bits per byte"``."""
    return metric.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Dot:
    """A point that can be drawn: both of its coordinates are known."""

    point: Point
    latency: Latency
    quality: float

    @property
    def latency_ms(self) -> float:
        """Measured where there is a measurement, else predicted."""
        return self.latency.best_known


def dots_of(front: Front, target: Target) -> list[Dot]:
    """Every point of the front's job that can be drawn, fastest first.

    Raises:
        NoSuchPoint: there is none yet.
        NothingMeetsBounds: there are, but none is within what was asked.
    """
    if front.evaluated and not front.points:
        raise NothingMeetsBounds(describe_absence(front))
    dots = [
        Dot(point, latency, point.validation)
        for point in front.points
        if point.validation is not None and (latency := point.latency_ms.get(str(target))) is not None
    ]
    if not dots:
        raise NoSuchPoint(
            f"job {front.job} has no evaluated point on {target} to draw; go on with: nas resume {front.job}"
        )
    return sorted(dots, key=lambda dot: dot.latency_ms)


def staircase(dots: Iterable[Dot], direction: Direction) -> list[Dot]:
    """Those that no other beats in the two things that are drawn, fastest first: where more is compared
    (another target, a count), members of a front do not all lie on one line."""
    steps: list[Dot] = []
    for dot in sorted(dots, key=lambda dot: (dot.latency_ms, direction.sign * dot.quality)):
        if not steps or direction.sign * dot.quality < direction.sign * steps[-1].quality:
            steps.append(dot)
    return steps


def describe_absence(front: Front) -> str:
    """Why a front has no points."""
    if front.evaluated:
        return f"none of the {front.evaluated} architectures of job {front.job} is within what was asked"
    return f"job {front.job} has no evaluated architecture yet"


def known_latency(point: Point, target: Target) -> float | None:
    """Measured where there is a measurement, else predicted, in milliseconds."""
    latency = point.latency_ms.get(str(target))
    return None if latency is None else latency.best_known


def describe_latency(latency: Latency | None) -> tuple[str, str]:
    """Predicted and measured milliseconds, e.g. ``("3.20±0.05", "3.14±0.02")``; a dash where unknown. A
    measurement from which a slowdown of the device was divided out says so: ``"3.14±0.02 (÷1.22)"``."""
    if latency is None:
        return UNKNOWN, UNKNOWN
    predicted = f"{latency.predicted:.2f}±{latency.predicted_std:.2f}"
    if latency.measured is None:
        return predicted, UNKNOWN
    divided = "" if latency.slowdown == 1.0 else f" (÷{latency.slowdown:.2f})"
    return predicted, f"{latency.measured:.2f}±{latency.measured_std or 0.0:.2f}{divided}"


def describe_quality(value: float | None) -> str:
    """``"2.310"``; a dash where it was not evaluated."""
    return UNKNOWN if value is None else f"{value:.3f}"


def _describe_tuned(tuned: FineTuned, unit: str) -> str:
    scores = f"validation {describe_quality(tuned.validation)}, test {describe_quality(tuned.test)} {unit}"
    return f"{scores} after {tuned.steps} steps"


def describe_comparison(comparison: Comparison, metric: str, direction: Direction) -> str:
    """One line: how much faster, and whether better, worse or neither beyond two standard errors."""
    unit, difference = readable_metric(metric), comparison.difference
    faster = (
        f"found {comparison.found[:8]}: {comparison.speedup:.1f} times faster than {comparison.preset} "
        f"({comparison.found_ms:.2f} against {comparison.baseline_ms:.2f} ms)"
    )
    change = f"{difference.mean:+.3f} ± {difference.standard_error:.3f}"
    if not difference.is_significant:
        return f"= {faster} and equal within the noise ({change} {unit})"
    scores = f"{comparison.found_test:.3f} against {comparison.baseline_test:.3f} {unit} ({change})"
    better = direction.sign * difference.mean < 0
    return f"✔ {faster} and better: {scores}" if better else f"✘ {faster} but worse: {scores}"


def describe_point(point: Point, metric: str, target: Target) -> list[tuple[str, str]]:
    """(name, value) of everything that is known of a point on one target."""
    predicted, measured = describe_latency(point.latency_ms.get(str(target)))
    unit = readable_metric(metric)
    return [
        ("digest", point.digest),
        *([("preset", f"★ {point.preset}")] if point.preset else []),
        ("measured", f"{measured} ms"),
        ("predicted", f"{predicted} ms"),
        ("validation", f"{describe_quality(point.validation)} {unit}"),
        ("test", f"{describe_quality(point.test)} {unit}"),
        *([] if point.tuned is None else [("trained alone", _describe_tuned(point.tuned, unit))]),
        ("parameters", readable_count(point.parameters)),
        ("MACs", readable_count(point.macs)),
        ("state", readable_bytes(point.state_bytes)),
    ]

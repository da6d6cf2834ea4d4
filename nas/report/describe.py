"""One point in words and numbers, the same wherever it is shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nas.comparison import Comparison
from nas.errors import NoSuchPoint, NothingMeetsBounds
from nas.front import Front
from nas.objectives import Direction, Objective
from nas.objectives.latency_ms import LATENCY, Latency
from nas.objectives.quality import FINE_TUNED
from nas.objectives.value import Value
from nas.point import QUALITIES, SCORES, FineTuned, Point
from nas.report.columns import UNKNOWN, label_of, unit_of
from nas.report.numbers import MILLISECONDS, unit_of_axis, written
from workers.target import Target

__all__ = [
    "Axis",
    "Dot",
    "axis_of",
    "describe_comparison",
    "describe_delivered",
    "describe_point",
    "describe_quality",
    "describe_score",
    "describe_value",
    "describe_verdict",
    "drawn_over",
    "fidelity_of",
    "known_latency",
    "readable_metric",
    "staircase",
]


def readable_metric(metric: str) -> str:
    """``"bits_per_byte"`` → ``"bits per byte"``."""
    return metric.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Dot:
    """A point that can be drawn: both of its coordinates are known.

    Attributes:
        value: in the unit of its axis.
    """

    point: Point
    value: Value
    quality: float

    @property
    def x(self) -> float:
        """Measured where there is a measurement, else predicted, or counted."""
        return self.value.best_known


@dataclass(frozen=True, slots=True)
class Axis:
    """What quality is drawn over: an objective, in the unit that people read.

    Attributes:
        unit: of the dots and of the bounds; empty for plain numbers.
        dots: every point of the front's job that can be drawn, the least value first.
        bounds: what was asked.
    """

    label: str
    unit: str
    dots: tuple[Dot, ...]
    bounds: tuple[float, ...]

    @property
    def title(self) -> str:
        """``"latency, ms"``."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def counted(self) -> bool:
        """Whether nothing of it is ever predicted."""
        return all(dot.value.exact for dot in self.dots)


def drawn_over(front: Front, target: Target) -> list[Objective]:
    """The objectives that quality on one target is drawn over: the front's own, and latency where it has
    none of that target."""
    own = [o for o in front.objectives if o.target == target]
    return own or Latency.axes([target])


def axis_of(front: Front, objective: Objective) -> Axis:
    """The points of a front over one of its objectives.

    Raises:
        NoSuchPoint: there is none yet.
        NothingMeetsBounds: there are, but none is within what was asked.
    """
    if front.evaluated and not front.points:
        raise NothingMeetsBounds(front.why_empty())
    known = [
        (point, value, quality)
        for point in front.points
        if not math.isnan(quality := front.quality_of(point, objective.target))
        and (value := point.values.get(objective.key)) is not None
    ]
    if not known:
        raise NoSuchPoint(
            f"job {front.job} has no evaluated point on {objective.target or 'any target'} to draw; "
            f"where it stands: nas show {front.job}"
        )
    unit, factor = unit_of_axis(objective.unit, [value.best_known for _, value, _ in known])
    dots = [Dot(point, _divided(value, factor), quality) for point, value, quality in known]
    bounds = [o.bound / factor for o in front.objectives if o.key == objective.key and o.bound is not None]
    dots.sort(key=lambda dot: dot.x)
    return Axis(label_of(objective.kind), unit, tuple(dots), tuple(bounds))


def _divided(value: Value, factor: float) -> Value:
    def by(number: float | None) -> float | None:
        return None if number is None else number / factor

    return Value(
        value.predicted / factor,
        by(value.predicted_std),
        by(value.measured),
        by(value.measured_std),
        value.slowdown,
    )


def staircase(dots: Iterable[Dot], direction: Direction) -> list[Dot]:
    """Those that no other beats in the two things that are drawn, the least value first: where more is
    compared (another target, a count), members of a front do not all lie on one line."""
    steps: list[Dot] = []
    for dot in sorted(dots, key=lambda dot: (dot.x, direction.sign * dot.quality)):
        if not steps or direction.sign * dot.quality < direction.sign * steps[-1].quality:
            steps.append(dot)
    return steps


def fidelity_of(front: Front) -> str:
    """What the qualities that a front is drawn by are."""
    if any(point.delivered for point in front.points):
        return "alone, predicted where hollow"
    if any(point.converted for point in front.points):
        return "validation, as the target runs it"
    return "validation"


def known_latency(point: Point, target: Target) -> float | None:
    """Measured where there is a measurement, else predicted, in milliseconds."""
    latency = point.known(LATENCY, target)
    return None if latency is None else latency.best_known


def describe_value(value: Value | None, unit: str) -> tuple[str, str]:
    """What was predicted and what was measured, e.g. ``("3.20±0.05", "3.14±0.02")``; a dash where unknown. A
    measurement from which a slowdown of the device was divided out says so: ``"3.14±0.02 (÷1.22)"``."""
    if value is None:
        return UNKNOWN, UNKNOWN
    predicted = _with_doubt(value.predicted, value.predicted_std, unit)
    if value.measured is None:
        return predicted, UNKNOWN
    divided = "" if value.slowdown == 1.0 else f" (÷{value.slowdown:.2f})"
    return predicted, _with_doubt(value.measured, value.measured_std, unit) + divided


def _with_doubt(value: float, std: float | None, unit: str) -> str:
    return written(value, unit) if std is None else f"{written(value, unit)}±{written(std, unit)}"


def describe_quality(value: float | None) -> str:
    """``"2.310"``; a dash where it was not evaluated."""
    return UNKNOWN if value is None else f"{value:.3f}"


def describe_delivered(point: Point) -> str:
    """Quality once trained alone: see `describe_score`."""
    return describe_score(point.delivered)


def describe_score(value: Value | None) -> str:
    """A quality that was measured, ``"1.851"``, or as it is predicted, ``"~1.870±0.020"``; a dash where
    neither is known."""
    if value is None:
        return UNKNOWN
    if value.measured is None:
        return f"~{value.predicted:.3f}±{value.predicted_std or 0.0:.3f}"
    return f"{value.measured:.3f}" + (f"±{value.measured_std:.3f}" if value.measured_std else "")


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


def describe_verdict(comparisons: Sequence[Comparison], direction: Direction) -> str:
    """How many of the found models are better than the published designs that they were compared with: others
    may be as good, and were not trained."""
    wins: dict[str, bool] = {}
    for comparison in comparisons:
        difference = comparison.difference
        better = difference.is_significant and direction.sign * difference.mean < 0
        wins[comparison.found] = wins.get(comparison.found, True) and better
    done = "trained" if any(comparison.steps for comparison in comparisons) else "scored"
    what = (
        f"better than every published design that was {done} beside them and is no faster, by more than two "
        "standard errors"
    )
    return f"{sum(wins.values()) or 'none'} of {len(wins)} found models: {what}"


def describe_point(point: Point, metric: str, target: Target) -> list[tuple[str, str]]:
    """(name, value) of everything that is known of a point on one target."""
    predicted, measured = describe_value(point.known(LATENCY, target), MILLISECONDS)
    unit = readable_metric(metric)
    return [
        ("digest", point.digest),
        *([("preset", f"★ {point.preset}")] if point.preset else []),
        ("measured", f"{measured} {MILLISECONDS}"),
        ("predicted", f"{predicted} {MILLISECONDS}"),
        *(
            (f"{target.dtype}, {split}", f"{describe_score(value)} {unit}")
            for kind, split in SCORES.items()
            if (value := point.known(kind, target)) is not None
        ),
        ("validation", f"{describe_quality(point.validation)} {unit}"),
        ("test", f"{describe_quality(point.test)} {unit}"),
        *(
            []
            if (rung := point.known(FINE_TUNED)) is None
            else [("fine-tuned", f"{describe_score(rung)} {unit}")]
        ),
        *([] if point.delivered is None else [("delivered", f"{describe_delivered(point)} {unit}")]),
        *([] if point.tuned is None else [("trained alone", _describe_tuned(point.tuned, unit))]),
        ("quality is of", ", ".join(point.fidelities) or UNKNOWN),
        *(
            (label_of(kind), _describe_known(value, unit_of(kind)))
            for (kind, of), value in point.values.items()
            if kind != LATENCY and kind not in QUALITIES and of in (None, str(target))
        ),
    ]


def _describe_known(value: Value, unit: str) -> str:
    """E.g. ``"119 MiB (predicted 113 MiB±2.1 MiB)"``."""
    predicted, measured = describe_value(value, unit)
    if value.exact:
        return predicted
    return f"{predicted} predicted" if value.measured is None else f"{measured} (predicted {predicted})"

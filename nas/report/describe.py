"""One point in words, the same wherever it is shown."""

from __future__ import annotations

from nas.front import Latency, Point
from nas.report.numbers import readable_bytes, readable_count
from workers.target import Target

__all__ = ["describe_latency", "describe_point", "describe_quality", "known_latency", "readable_metric"]

UNKNOWN = "–"


def readable_metric(metric: str) -> str:
    """``"bits_per_byte"`` → ``"bits per byte"``."""
    return metric.replace("_", " ")


def known_latency(point: Point, target: Target) -> float | None:
    """Measured where there is a measurement, else predicted, in milliseconds."""
    latency = point.latency_ms.get(str(target))
    return None if latency is None else latency.best_known


def describe_latency(latency: Latency | None) -> tuple[str, str]:
    """Predicted and measured milliseconds, e.g. ``("3.20±0.05", "3.14±0.02")``; a dash where unknown."""
    if latency is None:
        return UNKNOWN, UNKNOWN
    predicted = f"{latency.predicted:.2f}±{latency.predicted_std:.2f}"
    if latency.measured is None:
        return predicted, UNKNOWN
    return predicted, f"{latency.measured:.2f}±{latency.measured_std or 0.0:.2f}"


def describe_quality(value: float | None) -> str:
    """``"2.310"``; a dash where it was not evaluated."""
    return UNKNOWN if value is None else f"{value:.3f}"


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
        ("parameters", readable_count(point.parameters)),
        ("MACs", readable_count(point.macs)),
        ("state", readable_bytes(point.state_bytes)),
    ]

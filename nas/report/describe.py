"""One point in words, the same wherever it is shown."""

from __future__ import annotations

from nas.front import Point
from nas.report.numbers import readable_bytes, readable_count
from workers.target import Target

__all__ = ["describe_latency", "describe_point", "describe_quality", "known_latency", "readable_metric"]


def readable_metric(metric: str) -> str:
    """``"bits_per_byte"`` → ``"bits per byte"``."""
    return metric.replace("_", " ")


def known_latency(point: Point, target: Target) -> float | None:
    """Measured where there is a measurement, else predicted, in milliseconds."""
    latency = point.latency_ms.get(str(target))
    return None if latency is None else latency.best_known


def describe_latency(value: float | None, std: float | None) -> str:
    """``"3.14±0.02"``; a dash where nothing is known."""
    return "–" if value is None else f"{value:.2f}±{std or 0.0:.2f}"


def describe_quality(value: float | None) -> str:
    """``"2.310"``; a dash where it was not evaluated."""
    return "–" if value is None else f"{value:.3f}"


def describe_point(point: Point, metric: str, target: Target) -> list[tuple[str, str]]:
    """(name, value) of everything that is known of a point on one target."""
    latency = point.latency_ms.get(str(target))
    latencies = latency and [
        ("measured", f"{describe_latency(latency.measured, latency.measured_std)} ms"),
        ("predicted", f"{describe_latency(latency.predicted, latency.predicted_std)} ms"),
    ]
    unit = readable_metric(metric)
    return [
        ("digest", point.digest),
        *([("preset", f"★ {point.preset}")] if point.preset else []),
        *(latencies or []),
        ("validation", f"{describe_quality(point.validation)} {unit}"),
        ("test", f"{describe_quality(point.test)} {unit}"),
        ("parameters", readable_count(point.parameters)),
        ("MACs", readable_count(point.macs)),
        ("state", readable_bytes(point.state_bytes)),
    ]

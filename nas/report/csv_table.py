"""A front as CSV, for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import Any

from nas.front import Front

__all__ = ["csv_table"]

COLUMNS = (
    "digest",
    "on_front",
    "preset",
    "validation",
    "test",
    "tuned_validation",
    "tuned_test",
    "parameters",
    "macs",
    "state_bytes",
)
"""Before the latencies."""


def csv_table(front: Front) -> str:
    """One row a point, best quality first, the front before the others."""
    others = [point for point in front.points if not point.on_front]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    latencies = [f"{target}:{kind}" for target in front.targets for kind in ("predicted_ms", "measured_ms")]
    writer.writerow([*COLUMNS, *latencies, "architecture"])
    for point in [*front.members(), *others]:
        tuned = point.tuned
        row: list[Any] = [point.digest, point.on_front, point.preset, point.validation, point.test]
        row += [None, None] if tuned is None else [tuned.validation, tuned.test]
        row += [point.parameters, point.macs, point.state_bytes]
        for target in front.targets:
            latency = point.latency_ms.get(str(target))
            row += [None, None] if latency is None else [latency.predicted, latency.measured]
        writer.writerow([*row, point.architecture.canonical_json()])
    return text.getvalue()

"""Numbers that a benchmark does not compute twice."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Kept"]


class Kept:
    """Numbers that took long, by name, in a file of JSON lines: none is computed twice. One that is not
    finite stands there as null."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text().splitlines() if path.is_file() else []
        self._path, self._rows = path, {row["name"]: row for row in map(json.loads, lines)}

    def __call__(self, name: str, compute: Callable[[], float]) -> float:
        """The number of that name; computed where it is not known."""
        if name not in self._rows:
            begun, value = time.monotonic(), compute()
            seconds = time.monotonic() - begun
            row = {"name": name, "value": value if math.isfinite(value) else None, "seconds": seconds}
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            self._rows[name] = row
        value = self._rows[name]["value"]
        return math.inf if value is None else float(value)

    def seconds(self, name: str) -> float:
        """That it took; of the run that ended it, where it took several."""
        return float(self._rows[name]["seconds"])

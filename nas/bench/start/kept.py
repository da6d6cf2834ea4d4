"""Numbers that a benchmark does not compute twice."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nas.errors import InvalidSpec
from nas.files import write_whole
from searchspaces.errors import Problem

__all__ = ["Kept", "keep_settings"]


def keep_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write beside numbers what they follow from, as ``settings.json``. A folder of an earlier version has
    none: its numbers are taken to be of these.

    Raises:
        InvalidSpec: the numbers there follow from other settings; every difference is named, nothing is
            written.
    """
    path = folder / "settings.json"
    if path.is_file():
        there, here = dict(_leaves(json.loads(path.read_text()))), dict(_leaves(settings))
        differing = [name for name in {**here, **there} if here.get(name) != there.get(name)]
        if differing:
            said = "; ".join(f"{name} {there.get(name)!r}, not {here.get(name)!r}" for name in differing)
            accepted = "accepted: a new folder, or one of a run with the same settings"
            raise InvalidSpec([Problem("--kept", f"{folder} has numbers of another run: {said}; {accepted}")])
        return
    folder.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as whole:
        whole.write_text(json.dumps(settings, indent=1))


def _leaves(settings: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, Any]]:
    """What tables hold in the end, by dotted path."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{under}{name}.")
        else:
            yield f"{under}{name}", value


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

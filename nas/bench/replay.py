"""A table of measured architectures as the surroundings of whole jobs: its space, qualities and devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

from nas.bench.tables import PoolEncoding, distinct_rows, read_scored
from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.problem import Values
from predictors.errors import PredictorError
from searchspaces.architecture import Architecture
from searchspaces.errors import Problem, SpaceError
from searchspaces.space import SearchSpace, load_space
from workers.target import Target

__all__ = ["Replay", "load_replay"]


@dataclass(frozen=True)
class Replay:
    """What a table says of its architectures, and of every other one of their space as of its nearest.

    With `quality` in a `nas.bench.backends.SimulatedComputeBackend` and `devices` in a
    `SimulatedMeasurementBackend` a job on `declaration` runs from its first stage to its last, and what it
    ought to have found is known.

    Attributes:
        space: that the architectures span.
        encoding: the same genes, of which only the architectures of the table exist.
        perplexity: (n,) of each of them.
        latency_ms: (n,) by device.
        notes: what was left out of the table, and why.
    """

    space: SearchSpace
    encoding: PoolEncoding
    perplexity: NDArray[np.float64]
    latency_ms: Mapping[str, NDArray[np.float64]]
    notes: tuple[str, ...]

    @property
    def declaration(self) -> dict[str, Any]:
        """The space as a job's spec takes it."""
        return self.space.spec.model_dump(mode="json")

    @property
    def devices(self) -> dict[str, Callable[[Architecture, Target], float]]:
        """Latency in ms of an architecture, by device; the same for every workload."""

        def of(latency: NDArray[np.float64]) -> Callable[[Architecture, Target], float]:
            return lambda architecture, target: float(latency[self._nearest([architecture])[0]])

        return {device: of(latency) for device, latency in self.latency_ms.items()}

    def quality(self, architecture: Architecture, split: Split) -> float:
        """Perplexity of an architecture; the table has one split.

        Raises:
            SpaceError: it is none of the space.
        """
        return float(self.perplexity[self._nearest([architecture])[0]])

    def values(self, device: str, architectures: Sequence[Architecture]) -> Values:
        """(n, 2) perplexity and latency in ms on a device."""
        nearest = self._nearest(architectures)
        return np.stack([self.perplexity[nearest], self.latency_ms[device][nearest]], 1)

    def share(self, device: str, architectures: Sequence[Architecture]) -> float:
        """Hypervolume of some architectures over that of the table's exact front, perplexity × latency on a
        device; the reference point is the worst of the table in each."""
        pool = np.stack([self.perplexity, self.latency_ms[device]], 1)
        worst = pool.max(0)
        found = moocore.hypervolume(self.values(device, architectures), ref=worst)
        return float(found / moocore.hypervolume(pool, ref=worst))

    def _nearest(self, architectures: Sequence[Architecture]) -> NDArray[np.int64]:
        rows = self.space.encode(architectures)
        return self.encoding.index(self.encoding.canonical(rows))


def load_replay(path: Path, devices: Sequence[str]) -> Replay:
    """The architectures of a table (the form of HW-GPT-Bench's) that have a perplexity, and a latency on each
    of the devices. Of those that only a column tells apart for which spaces have no gene the first counts.

    Raises:
        InvalidSpec: the table cannot be read, lacks a column, has no such architecture, or its sizes make no
            space that a job could search.
    """
    try:
        rows = read_scored(path, devices)
        space = load_space(rows.space.spec.model_dump(mode="json"))
    except (PredictorError, SpaceError) as error:
        raise InvalidSpec([Problem("table", str(error))]) from error
    population = rows.population[:, : space.genes]
    first = distinct_rows(population)
    encoding = PoolEncoding(
        space.cardinalities.tolist(), space.names, space.layer_genes.tolist(), population[first]
    )
    repeated = len(population) - len(first)
    notes = (*rows.notes, *([f"{repeated} rows repeat an architecture"] if repeated else []))
    latency = {device: latency[first] for device, latency in rows.latency_ms.items()}
    return Replay(space, encoding, rows.perplexity[first], latency, notes)

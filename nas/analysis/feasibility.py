"""Whether bounds can be met at all, asked before anything expensive is started."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.problem import SearchProblem, Values
from nas.strategies.evolution import EvolutionStrategy
from searchspaces.encoding import Population

__all__ = ["Nearest", "nearest_to_bounds"]

BATCH = 500


@dataclass(frozen=True)
class Nearest:
    """The candidate found that comes nearest to meeting the bounds of the free objectives.

    Attributes:
        row: (genes,) canonical.
        free: its values of the free objectives, by name.
        violation: sum of excesses relative to their bounds; 0 if all bounds are met.
    """

    row: NDArray[np.int64]
    free: dict[str, float]
    violation: float


def nearest_to_bounds(problem: SearchProblem, seed: int = 0, candidates: int = 20_000) -> Nearest:
    """Search for a candidate within the bounds of the free objectives; ends with the first one found.

    A violation above 0 means that none was found among `candidates`: no proof that there is none, but reason
    enough to ask the user before a job starts.

    Raises:
        ValueError: the problem has no free objectives.
    """
    if problem.known is None or not problem.free:
        raise ValueError("no objective is known beforehand, so that bounds cannot be checked")
    known, free = problem.known, problem.free
    alone = replace(
        problem, objectives=tuple(problem.objectives[i] for i in free), known=None, reference=None
    )
    strategy = EvolutionStrategy(alone, seed)
    best: tuple[float, Population, Values] | None = None
    for _ in range(-(-candidates // BATCH)):
        rows = strategy.ask(BATCH)
        if not len(rows):
            break
        values = known(rows)
        strategy.tell(rows, values)
        violation = alone.violation(alone.minimised(values))
        first = int(np.argmin(violation))
        if best is None or violation[first] < best[0]:
            best = (float(violation[first]), rows[first], values[first])
        if best[0] == 0:
            break
    if best is None:
        raise ValueError("the space has no architecture")
    named = {objective.name: float(v) for objective, v in zip(alone.objectives, best[2], strict=True)}
    return Nearest(best[1], named, best[0])

"""What a session of measuring measures again of what earlier ones measured: from such pairs the store knows
what sessions differ by (`nas.analysis.sessions`)."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from nas.stages.fitting import known_measurements
from nas.stages.stage import StageContext
from searchspaces.architecture import Architecture
from workers.target import Target

__all__ = ["choose_repeats"]

SHARE, FEWEST = 0.04, 1
"""Of what earlier sessions measured, and how many at least; never more than are measured for the first
time."""


def choose_repeats(
    context: StageContext, target: Target, new: set[str], without: set[str], done: int
) -> list[Architecture]:
    """What to measure again now: those that were repeated least often, spread over all latencies.

    Args:
        new: digests of what this session measured first.
        without: digests that are no use: controls, which are read anyway, and what the device refused.
        done: repeats that this session has by now.
    """
    _, measured = known_measurements(context, target, exclude=new | without)
    wanted = min(max(FEWEST, math.ceil(SHARE * len(measured))), len(new)) - done
    if wanted <= 0 or not measured:
        return []
    times = Counter(repeat.digest for repeat in context.store.repeats() if repeat.target == target)
    fewest = min(times[m.digest] for m in measured)
    pool = sorted(
        (m for m in measured if times[m.digest] == fewest), key=lambda m: (m.corrected.latency_ms, m.digest)
    )
    places = (np.arange(min(wanted, len(pool))) + 0.5) / min(wanted, len(pool)) * len(pool)
    chosen = [pool[int(place)].digest for place in places]
    return list(context.store.architectures(chosen).values())

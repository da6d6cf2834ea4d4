"""What sessions of measuring differ by, on each target: from what later sessions said of models that earlier
ones had measured.

A measurement's own standard error is that of one session, whose samples share the pages that a model lies on,
the device's temperature and clock rates. What it says of the device is less certain by the variance between
sessions, a share of the latency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from nas.store.store import Repeat, Store
from workers.target import Target

__all__ = ["SESSION_ERROR", "SessionError", "session_error"]

SESSION_ERROR = 0.01
"""What sessions differ by before any model was measured in two, as a relative standard deviation."""
IMAGINED_PAIRS = 4
"""Pairs that what is known of other targets counts as."""
FARTHEST = math.log(2.0)
"""Two readings that differ by more are a mistake: they count as if they differed by so much."""


@dataclass(frozen=True, slots=True)
class SessionError:
    """What sessions of measuring differ by on a target.

    Attributes:
        relative: standard deviation of what a model takes from one session to the next, as a share of it.
        pairs: of measurements of one model in two sessions from which it was learned.
    """

    relative: float = SESSION_ERROR
    pairs: int = 0


def session_error(store: Store, target: Target) -> SessionError:
    """Of one target.

    The variance of a pair's log ratio is that of both readings and twice that between sessions. A target's
    few pairs are drawn to what sessions differ by elsewhere: the geometric mean over all other targets that
    have pairs and `SESSION_ERROR`, each one vote.
    """
    pairs: dict[Target, list[Repeat]] = {target: []}
    for repeat in store.repeats():
        pairs.setdefault(repeat.target, []).append(repeat)
    mine = pairs.pop(target)
    votes = [SESSION_ERROR, *(_drawn_to(SESSION_ERROR, of) for of in pairs.values())]
    return SessionError(_drawn_to(geometric_mean(votes), mine), len(mine))


def _drawn_to(prior: float, pairs: Sequence[Repeat]) -> float:
    """The relative standard deviation that pairs show, among `IMAGINED_PAIRS` of the prior's."""
    excess = sum(_squared_distance(pair) - _expected(pair) for pair in pairs) / 2
    total = IMAGINED_PAIRS * prior**2 + max(0.0, excess)
    return math.sqrt(total / (IMAGINED_PAIRS + len(pairs)))


def _squared_distance(pair: Repeat) -> float:
    apart = abs(math.log(pair.again.latency_ms) - math.log(pair.first.latency_ms))
    return min(apart, FARTHEST) ** 2


def _expected(pair: Repeat) -> float:
    """The variance of a pair's log ratio within sessions."""
    errors = (reading.error_ms / reading.latency_ms for reading in (pair.first, pair.again))
    return sum(error * error for error in errors)

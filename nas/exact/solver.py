"""Proved optima of sums along chains, under bounds: what is best by a model that adds up over layers.

To minimise one value of a chain under bounds on others is a shortest path under resource constraints (Handler
and Zang, 1980). Labels answer it, and where positions are alike, counts of options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.exact.chains import TOLERANCE, Chain
from nas.exact.counts import CountSearch, are_alike
from nas.exact.labels import LabelSearch, slack

__all__ = ["WORK", "Solution", "solve"]

Array = NDArray[np.float64]

WORK = 1_500_000
"""Partial choices that a second or so allows for."""


@dataclass(frozen=True)
class Solution:
    """The best choice found, and what is proved of it.

    Attributes:
        chain: which of the chains it is of.
        options: one a position.
        values: (m,).
        gap: how much better, relative to its value, anything could still be; 0 where it is proved optimal.
    """

    chain: int
    options: tuple[int, ...]
    values: Array
    gap: float


def solve(chains: Sequence[Chain], objective: int, bounds: Array, work: int = WORK) -> Solution | None:
    """The choice, in any of the chains, of the least `objective` with all values at most `bounds`.

    Args:
        objective: column of the value to minimise.
        bounds: (m,), infinite for none.
        work: partial choices that may be looked at: a limit of time would make the answer depend on the
            machine.

    Returns:
        None where it is proved that nothing meets the bounds, or where nothing was found that does
        before the limit was reached.
    """
    limited = [i for i in range(len(bounds)) if np.isfinite(bounds[i])]
    searches = [_search(chain.narrowed([objective, *limited]), bounds[limited]) for chain in chains]
    incumbent, best = np.inf, None
    while True:
        least = min(range(len(searches)), key=lambda n: searches[n].least, default=None)
        if least is None or searches[least].least >= incumbent - slack(incumbent):
            break
        search = searches[least]
        if not search.priced:
            prices = search.price()
            for other in searches:
                if not other.priced:
                    other.bound_by(prices)
            continue
        if work <= 0 or search.exhausted:
            break
        options, seen = search.sweep(incumbent)
        work -= seen
        if options is not None:
            best = (least, options)
            incumbent = float(search.chain.values(options)[0])
    if best is None:
        return None
    values = chains[best[0]].values(best[1])
    missing = max(0.0, incumbent - min(search.least for search in searches))
    gap = missing / max(abs(incumbent), 1e-300)
    return Solution(best[0], best[1], values, gap if gap > 10 * TOLERANCE else 0.0)


def _search(chain: Chain, bounds: Array) -> LabelSearch:
    return CountSearch(chain, bounds) if are_alike(chain) else LabelSearch(chain, bounds)

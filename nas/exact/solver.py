"""Exact minimisation over chains under bounds: a shortest path with resource constraints.

Minimising one value of a chain under bounds on others is the resource-constrained shortest path problem
(Handler and Zang, 1980). Labels solve it (`nas.exact.labels`); where positions are alike, counts of options
do (`nas.exact.counts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.exact.chains import TOLERANCE, Chain
from nas.exact.counts import CountSearch, are_alike
from nas.exact.labels import LabelSearch, slack

__all__ = ["WORK", "ChainOptimum", "minimise"]

Array = NDArray[np.float64]

WORK = 1_500_000
"""Partial choices: takes about a second."""


@dataclass(frozen=True)
class ChainOptimum:
    """The best choice found.

    Attributes:
        chain: index of its chain.
        options: one for each position.
        values: (m,).
        gap: by how much, relative to its value, another choice might still be better; 0 if it is proved
            optimal.
    """

    chain: int
    options: tuple[int, ...]
    values: Array
    gap: float


def minimise(
    chains: Sequence[Chain], objective: int, bounds: Array, work: int = WORK
) -> tuple[ChainOptimum | None, float]:
    """The choice, in any of the chains, of the least `objective` with no value above its bound.

    Args:
        objective: column of the value to minimise.
        bounds: (m,), infinite for none; met up to a relative difference of `TOLERANCE`.
        work: partial choices to look at before giving up the proof: limiting time instead would make
            results depend on the machine.

    Returns:
        The best choice found, None if none was found; and a proved lower bound of the objective, infinite if
        no choice meets the bounds.
    """
    limited = [i for i in range(len(bounds)) if np.isfinite(bounds[i])]
    searches = [_search(chain.narrowed([objective, *limited]), bounds[limited]) for chain in chains]
    incumbent, best = np.inf, None
    while True:
        first = min(range(len(searches)), key=lambda n: searches[n].least, default=None)
        if first is None or searches[first].least >= incumbent - slack(incumbent):
            break
        search = searches[first]
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
            best = (first, options)
            incumbent = float(search.chain.values(options)[0])
    least = min((search.least for search in searches), default=np.inf)
    if best is None:
        return None, least
    gap = max(0.0, incumbent - least) / max(abs(incumbent), 1e-300)
    gap = gap if gap > 10 * TOLERANCE else 0.0
    chain, options = best
    values = chains[chain].values(options)
    return ChainOptimum(chain, options, values, gap), min(least, incumbent)


def _search(chain: Chain, bounds: Array) -> LabelSearch:
    return CountSearch(chain, bounds) if are_alike(chain) else LabelSearch(chain, bounds)

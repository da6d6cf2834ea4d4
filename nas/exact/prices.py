"""Prices of bounded resources, from the Lagrangian dual."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

__all__ = ["best_prices"]

Array = NDArray[np.float64]

CUTS = 100
"""Shortest paths that may be asked for."""
CLOSE = 1e-7
"""Relative difference of the cutting planes' bound and the dual's value at which the prices are good."""
GROWTH = 10.0
"""Factor by which the range of a price grows while the best one lies at its end."""


def best_prices(shortest: Callable[[Array], Array], bounds: Array, most: float) -> tuple[Array, float]:
    """Prices (r,) ≥ 0 under which the cheapest choice, resources paid for beyond their bounds, costs most.

    Cutting planes (Kelley, 1960): each choice that was once the cheapest bounds the dual from above, and
    the next prices are those where all these bounds together leave the most room.

    Args:
        shortest: prices → (1 + r,) value and resources of the cheapest choice under them.
        bounds: (r,).
        most: no choice has a greater value; where all would cost more than this, none meets the bounds.

    Returns:
        The prices, and what every choice within the bounds costs at least: infinite where there is none.
    """
    count = len(bounds)
    values = shortest(np.zeros(count))
    best, best_value = np.zeros(count), float(values[0])
    if not count:
        return best, best_value
    cuts, sides = [], []
    over = np.abs(values[1:] - bounds)
    ends = GROWTH * max(abs(most - best_value), 1e-12) / np.where(over > 0, over, 1.0)
    objective = np.concatenate([[-1.0], np.zeros(count)])
    for _ in range(CUTS):
        excess = values[1:] - bounds
        # Multiplied by the ends, prices and their planes are of one size.
        cuts.append(np.concatenate([[1.0], -excess * ends]))
        sides.append(float(values[0]))
        plane = linprog(
            objective,
            A_ub=np.array(cuts),
            b_ub=np.array(sides),
            bounds=[(None, None)] + [(0.0, 1.0)] * count,
            method="highs",
        )
        if plane.x is None:
            break
        upper, prices = float(plane.x[0]), plane.x[1:] * ends
        if upper - best_value <= CLOSE * max(abs(upper), abs(best_value)):
            if (plane.x[1:] < 1.0 - 1e-9).all():
                break
            wider = np.where(plane.x[1:] < 1.0 - 1e-9, 1.0, GROWTH)
            ends = ends * wider
            cuts = [np.concatenate([cut[:1], cut[1:] * wider]) for cut in cuts]
            continue
        values = shortest(prices)
        value = float(values[0] + prices @ (values[1:] - bounds))
        if value > best_value:
            best, best_value = prices, value
        if best_value > most + CLOSE * abs(most):
            return best, np.inf
    return best, best_value

"""Prices of bounded resources: the Lagrangian dual, maximised by cutting planes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

__all__ = ["best_prices"]

Array = NDArray[np.float64]

CUTS = 100
"""Most shortest paths to solve."""
CLOSE = 1e-7
"""Relative difference between the cutting planes' bound and the dual's value at which to stop."""
GROWTH = 10.0
"""Factor by which the range of a price grows as long as the best price lies at its end."""


def best_prices(shortest: Callable[[Array], Array], bounds: Array, most: float) -> tuple[Array, float]:
    """Maximise the Lagrangian dual: the least value plus priced excess of resources over their bounds.

    Cutting planes (Kelley, 1960): each choice that was the cheapest at some prices bounds the dual from
    above; the next prices maximise the bound of all of them together.

    Args:
        shortest: (r,) prices → (1 + r,) value and resources of the choice that is cheapest at them.
        bounds: (r,).
        most: no choice has a greater value, so that no choice meets the bounds if the dual exceeds it.

    Returns:
        The (r,) prices ≥ 0, and a lower bound of the value of every choice within the bounds: infinite if
        there is none.
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
        # Scaled by the ends of their ranges, prices and planes are of similar magnitude.
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

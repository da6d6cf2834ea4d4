"""Do predictions of quality alone hold for models that they were not learned of?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.analysis.delivered import DeliveredModel, described
from nas.bench.ranking.agreement import agreement, upper_half
from nas.planning.plan import Plan
from nas.point import Point

__all__ = ["Calibration", "calibrate"]

TAUGHT = 8
"""Models trained alone that a prediction may be learned of: what a job can pay for."""

FEWEST_HELD_OUT = 4
DRAWS = 10


@dataclass(frozen=True)
class Calibration:
    """How well models are predicted that were not learned of, on average over draws of those that were.

    Attributes:
        taught, held_out: models of each draw.
        predicted, supernet: Kendall's tau of each with quality alone, over all held out (``tau``) and over
            their better half (``tau_upper``); None where it is undefined.
        within_one, within_two: shares of models that are within so many of their stated deviations; of an
            honest normal distribution 0.68 and 0.95.
        error, deviation: root mean square of what predictions miss by, and of what they state.
    """

    taught: int
    held_out: int
    predicted: Mapping[str, float | None]
    supernet: Mapping[str, float | None]
    within_one: float
    within_two: float
    error: float
    deviation: float


def calibrate(
    plan: Plan, points: Sequence[Point], alone: Mapping[str, float], draws: int = DRAWS
) -> Calibration | None:
    """Learn of `TAUGHT` models drawn from those trained alone, and predict the others.

    Args:
        points: of a job, those that the supernet has scored among them.
        alone: by digest, quality of those that were trained alone.
        draws: how often.

    Returns:
        None where fewer than `TAUGHT` and `FEWEST_HELD_OUT` besides were trained.
    """
    scored = [point for point in points if point.validation is not None]
    trained = np.array([row for row, point in enumerate(scored) if point.digest in alone])
    if len(trained) < TAUGHT + FEWEST_HELD_OUT:
        return None
    sign, blocks = plan.task.direction.sign, described(plan, scored)
    truth = np.array([alone[scored[row].digest] for row in trained])
    cheap = np.array([scored[row].validation for row in trained], float)
    told: list[dict[str, Any]] = []
    for draw in range(draws):
        order = np.random.default_rng((3, draw)).permutation(len(trained))
        taught, rest = np.sort(order[:TAUGHT]), np.sort(order[TAUGHT:])
        mean, std = (
            of[trained[rest]] for of in DeliveredModel(blocks, trained[taught], truth[taught]).predict()
        )
        upper = upper_half(sign * truth[rest])
        missed = np.abs(mean - truth[rest])
        told.append(
            {
                "predicted": agreement(sign * mean, sign * truth[rest], upper),
                "supernet": agreement(sign * cheap[rest], sign * truth[rest], upper),
                "within_one": np.mean(missed <= std),
                "within_two": np.mean(missed <= 2 * std),
                "error": np.mean(missed**2),
                "deviation": np.mean(std**2),
            }
        )

    def mean_of(key: str) -> float:
        return float(np.mean([draw[key] for draw in told]))

    def taus(score: str) -> dict[str, float | None]:
        return {name: _mean([draw[score][name] for draw in told]) for name in ("tau", "tau_upper")}

    return Calibration(
        TAUGHT,
        len(trained) - TAUGHT,
        taus("predicted"),
        taus("supernet"),
        mean_of("within_one"),
        mean_of("within_two"),
        mean_of("error") ** 0.5,
        mean_of("deviation") ** 0.5,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None

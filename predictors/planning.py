"""Which architectures to measure next: those that tell most about the coefficients."""

from __future__ import annotations

import numpy as np

from predictors.design import Matrix, SpaceDesign
from predictors.predictor import Predictor
from predictors.prior import Prior, counted_prior
from searchspaces.encoding import Population
from searchspaces.space import SearchSpace
from workers.target import Workload

__all__ = ["choose_next", "most_informative"]

CANDIDATES = 2048
NOISE = 0.02
"""Relative error that one measurement is expected to have."""


def choose_next(
    space: SearchSpace,
    workload: Workload,
    measured: Population,
    n: int,
    rng: np.random.Generator,
    candidates: Population | None = None,
    predictor: Predictor | None = None,
    prior: Prior | None = None,
) -> Population:
    """(≤ n, genes) the architectures whose measurement is expected to tell most.

    Greedy D-optimal design (information gain about the additive coefficients under a Gaussian prior,
    which does not depend on what will be measured, only on what was chosen).

    Args:
        measured: (m, genes) architectures already measured; none of them is chosen again.
        n: how many to choose; fewer come back where fewer candidates are new.
        rng: draws the candidates.
        candidates: (c, genes) to choose from; 2048 random ones where None.
        predictor: a fitted one, which says how long candidates are expected to take.
        prior: what other devices taught; counted work alone where None.
    """
    pool = space.sample(CANDIDATES, rng) if candidates is None else space.canonical(candidates)
    pool = np.unique(pool, axis=0)
    pool = rng.permutation(pool[~np.isin(space.keys(pool), space.keys(space.canonical(measured)))])
    design = SpaceDesign(space, workload)
    belief = counted_prior(design) if prior is None else prior.check(design)

    def relative(population: Population) -> Matrix:
        """Counts over expected latency in the belief's own scale: the same share of every architecture's
        time is worth knowing as well."""
        counts = design.counts(population)
        expected = counts @ belief.mean
        if predictor is not None and len(population):
            latency = predictor.predict(population).mean_ms
            expected = latency * np.median(expected / latency)
        return counts / expected[:, None]

    return pool[most_informative(relative(pool), relative(measured), belief.covariance, n)]


def most_informative(candidates: Matrix, measured: Matrix, covariance: Matrix, n: int) -> list[int]:
    """Indices of ≤ n rows of `candidates`, greedily the one with the largest variance given `measured` rows
    and those chosen before.

    Args:
        candidates: (c, terms) counts relative to expected latency.
        measured: (m, terms) likewise.
        covariance: (terms, terms) before any measurement.
    """
    known = measured @ covariance @ measured.T + NOISE**2 * np.eye(len(measured))
    cross = candidates @ covariance @ measured.T
    explained = np.linalg.solve(known, cross.T) if len(measured) else np.zeros((0, len(candidates)))
    variance = ((candidates @ covariance) * candidates).sum(1) - (cross * explained.T).sum(1)
    remaining = covariance
    if len(measured):
        gain = covariance @ measured.T
        remaining = covariance - gain @ np.linalg.solve(known, gain.T)
    chosen: list[int] = []
    for _ in range(min(n, len(candidates))):
        best = int(np.argmax(variance))
        chosen.append(best)
        direction = remaining @ candidates[best]
        direction /= np.sqrt(candidates[best] @ direction + NOISE**2)
        remaining = remaining - np.outer(direction, direction)
        variance = variance - (candidates @ direction) ** 2
        variance[best] = -np.inf
    return chosen

"""Which architectures to measure next: those that tell most about all the others."""

from __future__ import annotations

import numpy as np

from predictors.design import Matrix, SpaceDesign
from predictors.predictor import Predictor, Vector
from predictors.prior import Prior, counted_prior
from searchspaces.encoding import Population
from searchspaces.space import SearchSpace
from workers.target import Workload
from workers.timing import TimingProtocol

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

    Greedy Bayesian I-optimal design (Chaloner & Verdinelli, 1995; active learning of Cohn, 1996): under the
    Gaussian prior over additive coefficients, the choice leaves the least mean relative variance over all
    candidates. Information about coefficients alone (D-optimal) would choose only the shallowest models,
    whose blocks are the largest part of them, and be wrong about the deep ones.

    Once a predictor says how long candidates take, what counts is information a second: a measurement takes
    `TimingProtocol.expected_seconds`, so that models of few layers serve as micro-benchmarks of their blocks
    where they tell as much as deep ones for less.

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

    seconds: Vector | None = None
    if predictor is not None and len(pool):
        seconds = TimingProtocol().expected_seconds(predictor.predict(pool).mean_ms)

    def relative(population: Population) -> Matrix:
        """Counts over expected latency in the belief's own scale: the same share of every architecture's
        time is worth knowing as well."""
        counts = design.counts(population)
        expected = counts @ belief.mean
        if predictor is not None and len(population):
            latency = predictor.predict(population).mean_ms
            expected = latency * np.median(expected / latency)
        return counts / expected[:, None]

    return pool[most_informative(relative(pool), relative(measured), belief.covariance, n, seconds)]


def most_informative(
    candidates: Matrix,
    measured: Matrix,
    covariance: Matrix,
    n: int,
    seconds: Vector | None = None,
    noise: float = NOISE,
) -> list[int]:
    """Indices of ≤ n rows of `candidates`, greedily the one that most lowers the mean variance of all of
    them (a second, where `seconds` are given), given `measured` rows and those chosen before.

    Args:
        candidates: (c, terms) counts relative to expected latency.
        measured: (m, terms) likewise.
        covariance: (terms, terms) before any measurement.
        seconds: (c,) > 0 what measuring each candidate takes; alike where None.
        noise: standard deviation of one measurement, relative.
    """
    known = measured @ covariance
    kernel = known @ measured.T + noise**2 * np.eye(len(measured))
    remaining = covariance - known.T @ np.linalg.solve(kernel, known)
    wanted = candidates.T @ candidates / max(len(candidates), 1)
    free = np.ones(len(candidates), bool)
    chosen: list[int] = []
    for _ in range(min(n, len(candidates))):
        told = candidates @ remaining
        variance = (told * candidates).sum(1) + noise**2
        gain = ((told @ wanted) * told).sum(1) / variance
        if seconds is not None:
            gain = gain / seconds
        best = int(np.argmax(np.where(free, gain, -np.inf)))
        chosen.append(best)
        free[best] = False
        remaining = remaining - np.outer(told[best], told[best]) / variance[best]
    return chosen

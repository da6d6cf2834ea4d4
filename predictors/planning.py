"""Which architectures to measure next: those that tell most about all the others."""

from __future__ import annotations

import numpy as np
from scipy.linalg import block_diag

from predictors.design import Matrix, SpaceDesign
from predictors.posterior import SINGLE_DOUBT
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
    excluded: Population | None = None,
) -> Population:
    """(≤ n, genes) the architectures whose measurement is expected to tell most.

    Greedy Bayesian I-optimal design (Chaloner & Verdinelli, 1995; active learning of Cohn, 1996): under the
    Gaussian prior over additive coefficients, the choice leaves the least mean relative variance over all
    candidates that are members of the space. Information about coefficients alone (D-optimal) would choose
    only the shallowest models, whose blocks are the largest part of them, and be wrong about the deep ones.

    Once a predictor says how long candidates take, what counts is information a second: a measurement takes
    `TimingProtocol.expected_seconds`, so that models of few layers serve as micro-benchmarks of their blocks
    where they tell as much as deep ones for less. Of `SearchSpace.with_single_blocks` single blocks are
    candidates as well: they tell how blocks compare, and whole models by which factor all of them differ in
    one (`SINGLE_DOUBT`).

    Args:
        space: whose architectures may be measured.
        workload: that they are measured under.
        measured: (m, genes) architectures already measured; none of them is chosen again.
        n: how many to choose; fewer come back where fewer candidates are new, none where no member is.
        rng: draws the candidates.
        candidates: (c, genes) to choose from; 2048 random ones where None.
        predictor: a fitted one, which says how long candidates are expected to take.
        prior: what other devices taught; counted work alone where None.
        excluded: (e, genes) architectures that are not chosen either, though nothing is learned from them:
            what is held out, or what the device refuses.
    """
    pool = space.sample(CANDIDATES, rng) if candidates is None else space.canonical(candidates)
    pool = np.unique(pool, axis=0)
    taken = measured if excluded is None else np.concatenate([measured, excluded])
    pool = rng.permutation(pool[~np.isin(space.keys(pool), space.keys(space.canonical(taken)))])
    members = pool[space.is_member(pool)]
    if not len(members):
        return members  # nothing is left to predict
    design = SpaceDesign(space, workload)
    assumed = counted_prior(design) if prior is None else prior.check(design)
    covariance = block_diag(assumed.covariance, SINGLE_DOUBT**2)

    seconds: Vector | None = None
    unit = 1.0
    if predictor is not None:
        seconds = TimingProtocol().expected_seconds(predictor.predict(pool).mean, workload.phase)
        # The prior's own scale.
        unit = float(np.median(design.counts(members) @ assumed.mean / predictor.predict(members).mean))

    def relative(population: Population) -> Matrix:
        """Counts over expected latency: the same share of every architecture's time is worth knowing as
        well. Last comes whether a row is a single block, which has one more factor."""
        counts = design.counts(population)
        expected = counts @ assumed.mean
        if predictor is not None and len(population):
            expected = unit * predictor.predict(population).mean
        return np.column_stack([counts / expected[:, None], design.single_blocks(population)])

    chosen = most_informative(relative(pool), relative(members), relative(measured), covariance, n, seconds)
    return pool[chosen]


def most_informative(
    candidates: Matrix,
    wanted: Matrix,
    measured: Matrix,
    covariance: Matrix,
    n: int,
    seconds: Vector | None = None,
    noise: float = NOISE,
) -> list[int]:
    """Indices of ≤ n rows of `candidates`, greedily the one that most lowers the mean variance of the
    `wanted` (a second, where `seconds` are given), given `measured` rows and those chosen before.

    Args:
        candidates: (c, terms) counts relative to expected latency.
        wanted: (w, terms) likewise, of what is to be predicted.
        measured: (m, terms) likewise.
        covariance: (terms, terms) before any measurement.
        seconds: (c,) > 0 what measuring each candidate takes; alike where None.
        noise: standard deviation of one measurement, relative.
    """
    known = measured @ covariance
    kernel = known @ measured.T + noise**2 * np.eye(len(measured))
    remaining = covariance - known.T @ np.linalg.solve(kernel, known)
    importance = wanted.T @ wanted / max(len(wanted), 1)
    free = np.ones(len(candidates), bool)
    chosen: list[int] = []
    for _ in range(min(n, len(candidates))):
        told = candidates @ remaining
        variance = (told * candidates).sum(1) + noise**2
        gain = ((told @ importance) * told).sum(1) / variance
        if seconds is not None:
            gain = gain / seconds
        best = int(np.argmax(np.where(free, gain, -np.inf)))
        chosen.append(best)
        free[best] = False
        remaining = remaining - np.outer(told[best], told[best]) / variance[best]
    return chosen

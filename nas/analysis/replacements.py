"""What single replacements in a pretrained model cost, and what assemblies of them are expected to."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nas.analysis.candidates import Candidates
from nas.analysis.known import Known
from nas.evaluation import Split
from nas.exact.additive import AdditiveModel
from nas.exact.decomposition import Decomposition
from nas.objectives import Source
from nas.surrogates.additive import summed
from searchspaces.architecture import Architecture
from searchspaces.encoding import Population
from searchspaces.space import SearchSpace

__all__ = [
    "ReplacementScores",
    "beginning",
    "ladder",
    "proved_optima",
    "single_replacements",
    "stored_scores",
]

CLIP = 2.0
"""Nats above which one replacement is as bad as another: sums are of what is worth having."""

OPTIMA = 16
"""Proved optima that a search begins with, at most."""


def single_replacements(space: SearchSpace) -> Iterator[tuple[int, int, Architecture]]:
    """Every (gene, option, model) that differs from the space's first member in one gene of one layer."""
    first = space.encode([space.first])[0]
    for gene in space.layer_genes.ravel().tolist():
        for option in range(int(space.cardinalities[gene])):
            row = first.copy()
            row[gene] = option
            if option and np.array_equal(space.canonical(row[None])[0], row):
                yield gene, option, space.decode(row[None])[0]


class ReplacementScores:
    """Divergences of single replacements from the parent, and their sums over assemblies: these rank
    assemblies well, and understate what many replacements cost together (`docs/results.md`).

    Args:
        table: by (gene, option), nats a token.
    """

    def __init__(self, space: SearchSpace, table: dict[tuple[int, int], float]) -> None:
        self._table = np.zeros((space.genes, int(space.cardinalities.max())))
        for (gene, option), score in table.items():
            self._table[gene, option] = min(score, CLIP) if math.isfinite(score) else CLIP

    def __call__(self, population: Population) -> NDArray[np.float64]:
        """(n,) sums."""
        total: NDArray[np.float64] = self._table[np.arange(population.shape[1]), population].sum(1)
        return total


def stored_scores(job: Known) -> ReplacementScores | None:
    """Of a job that starts from a pretrained model, once all its replacements are scored."""
    plan = job.plan
    if plan.spec.start is None:
        return None
    stored = job.store.evaluations(plan.supernet_digest, Split.CALIBRATION)
    known = {evaluation.digest: evaluation.value for evaluation in stored}
    table = {}
    for gene, option, architecture in single_replacements(plan.space):
        if architecture.digest not in known:
            return None
        table[gene, option] = known[architecture.digest]
    return ReplacementScores(plan.space, table)


def ladder(least: float, most: float, bound: float, count: int) -> NDArray[np.float64]:
    """(count,) bounds on an objective for models to be proved best within.

    They are spread evenly from the least there is to the parent's. Where a job bounds the objective itself
    they go from its bound down, closest together beside it: there its users look, and where measuring shows
    that a model misses the bound the next lower ones are what is left.

    Args:
        most: the parent's.
        bound: the job's; infinite where it has none.
    """
    steps = np.linspace(0, 1, count)
    # The least itself would be the only member; the parent is a candidate of its own.
    if bound < most:
        return least + (bound - least) * (1 - 0.9 * steps**2)
    return least + (most - least) * (0.1 + 0.88 * steps)


def proved_optima(candidates: Candidates, scores: ReplacementScores, count: int) -> Population:
    """(≤ count, genes) the least sums of scores within bounds on the first objective that costs no
    evaluation, and within the job's own bounds.

    In the order of these bounds, for which see `ladder`. They are proved on sums: an objective that is none
    enters by its least-squares fit.
    """
    plan, space = candidates.plan, candidates.plan.space
    free = [objective for objective in plan.objectives if objective.source is not Source.EVALUATED]
    if not free:
        return np.empty((0, space.genes), np.int64)
    signs = np.array([1.0, *(objective.direction.sign for objective in free)])

    def known(population: Population) -> NDArray[np.float64]:
        return np.concatenate([scores(population)[:, None], candidates.known(population)], axis=1) * signs

    decomposition = Decomposition(space)
    model = AdditiveModel(decomposition, known)
    if not model.exact.all():
        model = AdditiveModel(decomposition, summed(space, known, plan.spec.seed))
    own = [math.inf if o.bound is None else o.bound * o.direction.sign for o in free]
    unbounded = np.full(len(signs), np.inf)
    least = model.optimum(1, unbounded)
    most = known(space.encode([space.first]))[0, 1]
    rows = []
    for bound in [] if least is None else ladder(least.values[1], most, own[0], count).tolist():
        bounds = np.array([np.inf, bound, *own[1:]])
        best = model.optimum(0, bounds)
        if best is not None:
            rows.append(best.row)
    found = np.array(rows, np.int64).reshape(-1, space.genes)
    _, first = np.unique(found, axis=0, return_index=True)
    return found[np.sort(first)]


def beginning(candidates: Candidates, scores: ReplacementScores, evaluations: int) -> Population:
    """(s, genes) what a search evaluates first: the parent; then what is proved best, with half of its
    evaluations, `OPTIMA` at most; then, with a quarter, cuts that are uniform over the layers, for
    comparison: those within the job's bounds and of the least sums first."""
    space, cuts = candidates.plan.space, candidates.plan.preset_population
    parent = space.encode([space.first])
    cuts = cuts[(cuts != parent).any(1)]
    best = np.lexsort((scores(cuts), candidates.problem().free_violation(cuts)))
    optima = proved_optima(candidates, scores, min(OPTIMA, max(1, evaluations // 2)))
    return np.concatenate([parent, optima, cuts[best[: max(1, evaluations // 4)]]])

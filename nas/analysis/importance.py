"""Explains a front: which genes matter for which objective, and what its members have in common."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.problem import SearchProblem, Values
from nas.strategies.archive import Archive
from nas.surrogates.surrogate import Surrogate
from searchspaces.encoding import Population

__all__ = ["explain"]

SAMPLE = 400
LARGEST = 600
"""Evaluations that the surrogate learns from, the latest ones."""


def explain(problem: SearchProblem, population: Population, values: Values, seed: int = 0) -> dict[str, Any]:
    """Explain evaluated candidates, as plain JSON data.

    Permutation importance (Breiman, 2001): how much an objective, as predicted by the surrogate or as known,
    changes if a kind of gene (``mixer`` of all layers, ``depth``, …) is shuffled among candidates, half of
    them from the front and half from the whole space. It includes a gene's interactions with others.

    Args:
        population, values: (n, genes) canonical and (n, objectives), as told to a strategy.

    Returns:
        ``importance``: for each objective, each kind's share of the total, the largest first.
        ``shared``: options that at least three quarters of the front's members have, but fewer than half of
            random candidates: gene, option index, both shares.
        ``members``: number of candidates on the front.

    Raises:
        ValueError: fewer than 4 candidates have finite values.
    """
    usable = np.isfinite(values).all(1)
    if usable.sum() < 4:
        raise ValueError(f"{int(usable.sum())} candidates with finite values; at least 4 are needed")
    population, values = population[usable], problem.refreshed(population[usable], values[usable])
    archive = Archive(problem)
    archive.add(population, values)
    rng = np.random.default_rng(seed)
    anywhere = problem.encoding.sample(SAMPLE, rng)
    return {
        "importance": _importance(problem, population, values, archive.population, anywhere, rng),
        "shared": _shared(problem, archive.population, anywhere),
        "members": len(archive),
    }


def _importance(
    problem: SearchProblem,
    population: Population,
    values: Values,
    front: Population,
    anywhere: Population,
    rng: np.random.Generator,
) -> dict[str, dict[str, float]]:
    surrogate = Surrogate(problem)
    latest = slice(-LARGEST, None)
    surrogate.fit(population[latest], values[latest], learn=True)
    members = front[rng.integers(0, len(front), SAMPLE // 2)]
    base = np.concatenate([members, anywhere[: SAMPLE // 2]])
    predicted = surrogate.predict(base, 0.0)
    changes = {}
    for kind, columns in _kinds(problem.encoding.names).items():
        shuffled = base.copy()
        shuffled[:, columns] = base[rng.permutation(len(base))][:, columns]
        moved = surrogate.predict(problem.encoding.canonical(shuffled), 0.0)
        changes[kind] = np.square(moved - predicted).mean(0)
    whole = np.maximum(sum(changes.values(), np.zeros(len(problem.objectives))), 1e-300)
    return {
        objective.name: dict(
            sorted(
                ((kind, float(change[i] / whole[i])) for kind, change in changes.items()),
                key=lambda item: -item[1],
            )
        )
        for i, objective in enumerate(problem.objectives)
    }


def _kinds(names: tuple[str, ...]) -> dict[str, list[int]]:
    """Columns by the names of their genes without the layer's number."""
    kinds: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        kinds.setdefault(re.sub(r"_\d+$", "", name), []).append(column)
    return kinds


def _shared(problem: SearchProblem, front: Population, anywhere: Population) -> list[dict[str, Any]]:
    found = []
    for column, name in enumerate(problem.encoding.names):
        here, elsewhere = (_shares(rows, column, problem) for rows in (front, anywhere))
        found += [
            {"gene": name, "option": option, "on_front": float(here[option]), "elsewhere": float(share)}
            for option, share in enumerate(elsewhere)
            if here[option] >= 0.75 and share < 0.5
        ]
    return sorted(found, key=lambda item: item["elsewhere"] - item["on_front"])


def _shares(population: Population, column: int, problem: SearchProblem) -> NDArray[np.float64]:
    """(options,) share of the candidates with each option of the gene, in a layer that is present."""
    encoding = problem.encoding
    layer = np.flatnonzero((encoding.layer_genes == column).any(axis=1))
    present = encoding.active_layers(population)[:, layer].all(axis=1)
    counts = np.bincount(population[present, column], minlength=int(encoding.cardinalities[column]))
    return counts / len(population)

"""Why a job's front looks as it does, in the space's own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import moocore
import numpy as np

from nas.analysis.candidates import Candidates
from nas.analysis.importance import explain
from nas.analysis.known import Known, scored, stored_predictors, unlearned
from nas.errors import NoSuchPoint
from nas.front import Scope
from nas.objectives import Objective
from nas.point import Point
from searchspaces.space import SearchSpace

__all__ = ["explain_front"]

FEWEST = 8
"""Evaluations below which nothing is explained."""


def explain_front(job: Known) -> dict[str, Any]:
    """What `Service.explain` answers with.

    Raises:
        NoSuchPoint: the job has no predictors, too few evaluations or no front yet.
    """
    plan, store = job.plan, job.store
    members = store.points(job.job_id, Scope.FRONT)
    missing = unlearned(job)
    population, scores = scored(job)
    if missing or not members or len(scores) < FEWEST:
        raise NoSuchPoint(
            f"job {job.job_id} has {len(scores)} evaluations and {len(members)} points on its front, too few "
            f"to explain it (at least {FEWEST} and 1); go on with: nas resume {job.job_id}"
        )
    candidates = Candidates(job, stored_predictors(job))
    found = explain(candidates.problem(), population, candidates.values(population, scores), plan.spec.seed)
    return {
        "job": job.job_id,
        "evaluations": len(scores),
        "importance": found["importance"],
        "shared": [_in_words(item, plan.space) for item in found["shared"]],
        "members": _reasons(members, plan.objectives),
    }


def _in_words(item: dict[str, Any], space: SearchSpace) -> dict[str, Any]:
    """An option by its name instead of its number, in its layer: 1 for the first, None for all."""
    options = space.options[space.names.index(item["gene"])]
    gene, _, layer = item["gene"].rpartition("_")
    in_layer = bool(gene) and layer.isdigit()
    return {
        "gene": gene if in_layer else item["gene"],
        "layer": int(layer) + 1 if in_layer else None,
        "option": options[item["option"]],
        "on_front": item["on_front"],
        "elsewhere": item["elsewhere"],
    }


def _reasons(members: Sequence[Point], objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    """Of each member what it is best in, and which share of the front's hypervolume would be lost without
    it (between the front's best and a tenth beyond its worst values), the greatest first."""
    values = np.array([[o.direction.sign * point.value(o) for o in objectives] for point in members])
    low, high = values.min(0), values.max(0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    reference = np.full(len(objectives), 1.1)
    lost = moocore.hv_contributions(scaled, ref=reference) / moocore.hypervolume(scaled, ref=reference)
    reasons = [
        {
            "digest": point.digest,
            "best_in": [o.name for column, o in enumerate(objectives) if values[row, column] <= low[column]],
            "contribution": float(lost[row]),
        }
        for row, point in enumerate(members)
    ]
    return sorted(reasons, key=lambda reason: -reason["contribution"])

"""A job's plan and the store: enough to predict, and to look up what was evaluated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nas.errors import JobFailed
from nas.evaluation import Split
from nas.planning.plan import Plan
from nas.store.store import Store
from predictors import Predictor, restore_predictor
from searchspaces.encoding import Population
from workers.target import Target

__all__ = ["Known", "KnownJob", "scored", "stored_predictors"]


class Known(Protocol):
    """A job's plan, and where what is known of its candidates is kept: enough to predict."""

    @property
    def job_id(self) -> str:
        """Of the job."""

    @property
    def plan(self) -> Plan:
        """Its spec, resolved."""

    @property
    def store(self) -> Store:
        """The only door to the database."""


@dataclass(frozen=True)
class KnownJob:
    """See `nas.stages.stage.Known`."""

    job_id: str
    plan: Plan
    store: Store


def stored_predictors(context: Known) -> dict[Target, Predictor]:
    """What `profile` left for each target."""
    plan, predictors = context.plan, {}
    for target in plan.targets:
        state = context.store.predictor(target, plan.space.digest)
        if state is None:
            raise JobFailed(f"no predictor of {target} is stored; profile it first")
        predictors[target] = restore_predictor(plan.space, target.workload, state)
    return predictors


def scored(job: Known) -> tuple[Population, np.ndarray]:
    """(n, genes) and their (n,) qualities: what the job's supernet has scored."""
    evaluations = job.store.evaluations(job.plan.supernet_digest, Split.VALIDATION)
    values = {e.digest: e.value for e in evaluations if math.isfinite(e.value)}
    known = job.store.architectures(values)
    inside = [d for d in values if d in known and job.plan.space.contains(known[d])]
    rows = job.plan.space.encode(known[d] for d in inside)
    return rows, np.array([values[d] for d in inside])

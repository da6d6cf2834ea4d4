"""A job's plan and the store: enough to predict, and to look up what was evaluated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nas.errors import JobFailed
from nas.evaluation import Split
from nas.objectives import Objective, Source
from nas.objectives.kind import measured_kinds
from nas.objectives.latency_ms import Latency
from nas.objectives.objective import Key
from nas.planning.plan import Plan
from nas.store.store import Store
from predictors import Predictor, restore_predictor
from searchspaces.encoding import Population

__all__ = ["Known", "KnownJob", "scored", "stored_predictors", "unlearned"]


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
    """See `Known`."""

    job_id: str
    plan: Plan
    store: Store


def unlearned(job: Known) -> list[Objective]:
    """What the job needs a predictor of and has none yet: latency on each target, and whatever else is
    measured that it compares."""
    needed = [*Latency.axes(job.plan.targets), *job.plan.objectives]
    # What is combined is learned where its terms are, which are latencies of the job's targets.
    of_devices = {o.key: o for o in needed if o.source is Source.PREDICTED and len(job.plan.terms(o)) == 1}
    space = job.plan.space.digest
    return [o for key, o in of_devices.items() if job.store.predictor(space, key) is None]


def stored_predictors(job: Known) -> dict[Key, Predictor]:
    """What `profile` left for everything that devices measure; of what a target does not tell there is none.

    Raises:
        JobFailed: one is missing that the job needs.
    """
    plan = job.plan
    if missing := unlearned(job):
        name = f"{missing[0].kind} on {missing[0].target}"
        raise JobFailed(f"no predictor of {name} is stored; profile it first")
    predictors: dict[Key, Predictor] = {}
    for target in plan.targets:
        for kind in measured_kinds():
            key = kind.name, str(target)
            state = job.store.predictor(plan.space.digest, key)
            if state is not None:
                predictors[key] = restore_predictor(plan.space, target.workload, state)
    return predictors


def scored(job: Known) -> tuple[Population, np.ndarray]:
    """(n, genes) and their (n,) qualities: what the job's supernet has scored; once some were trained alone,
    what each scores so (`nas.point.Point.quality`)."""
    evaluations = job.store.evaluations(job.plan.supernet_digest, Split.VALIDATION)
    values = {e.digest: e.value for e in evaluations if math.isfinite(e.value)}
    if job.plan.spec.budget.finalists.start == "scratch":
        values |= {p.digest: p.quality for p in job.store.points(job.job_id) if p.quality is not None}
    known = job.store.architectures(values)
    inside = [d for d in values if d in known and job.plan.space.contains(known[d])]
    rows = job.plan.space.encode(known[d] for d in inside)
    return rows, np.array([values[d] for d in inside])

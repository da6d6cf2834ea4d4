"""A stored job of which enough is known to model it, without a device or a supernet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.cli.demo import DEMO_FAST
from nas.evaluation import Evaluation, Split
from nas.front import mark_front
from nas.job import JobStatus
from nas.objectives.value import Value
from nas.planning.plan import resolve
from nas.point import Point
from nas.spec import load_job_spec
from nas.store import open_store
from predictors import make_predictor
from searchspaces.encoding import Population


def milliseconds(rows: Population) -> np.ndarray:
    """A sum over layers, so that the additive predictor can know it."""
    return 1.0 + rows[:, 1] + rows[:, 2::4].sum(1) / 10


def quality(rows: Population) -> np.ndarray:
    return 3.0 - 0.2 * rows[:, 1] - 0.05 * rows[:, 5::4].sum(1)


def store_known_job(home: Path, scored: int = 40) -> str:
    """Its id. A quarter of what was scored was measured too; the fastest of all were never tried."""
    plan = resolve(load_job_spec(DEMO_FAST))
    store = open_store(home)
    job = store.create_job(plan.spec)
    rows = np.unique(plan.space.sample(8 * scored, np.random.default_rng(0)), axis=0)
    rows = rows[milliseconds(rows) > 1.3][:scored]
    architectures, scores, latencies = plan.space.decode(rows), quality(rows), milliseconds(rows)
    store.put_architectures(architectures)
    store.add_evaluations(
        [
            Evaluation(plan.supernet_digest, a.digest, Split.VALIDATION, float(score), 0.1)
            for a, score in zip(architectures, scores, strict=True)
        ]
    )
    (target,) = plan.targets
    predictor = make_predictor("additive", plan.space, target.workload).fit(rows, latencies)
    latency = "latency_ms", str(target)
    store.put_predictor(plan.space.digest, latency, predictor.to_state())
    counts = plan.counts(rows)
    points = [
        Point(
            digest=architecture.digest,
            architecture=architecture,
            validation=float(scores[n]),
            test=None,
            values={
                **{key: Value(float(values[n])) for key, values in counts.items()},
                latency: Value(float(latencies[n]), 0.1, float(latencies[n]) if n % 4 == 0 else None),
            },
        )
        for n, architecture in enumerate(architectures)
    ]
    store.put_points(job.id, mark_front(points, plan.objectives))
    store.set_job(job.id, JobStatus.SUCCEEDED, None)
    store.close()
    return job.id

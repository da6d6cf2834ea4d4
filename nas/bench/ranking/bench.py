"""Does a cheap score rank as training alone does? A job's architectures trained alone tell.

The trainings are a job's finalists (`nas.stages.finalists`), spread over everything that was evaluated, so
that they run, stop and go on as any job's. What is told follows from that job's points alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nas.bench.ranking.agreement import agreement, upper_half
from nas.bench.ranking.calibration import calibrate
from nas.errors import InvalidSpec, NoSuchPoint
from nas.front import Front
from nas.job import Job, JobStatus
from nas.objectives.value import Value
from nas.planning.plan import resolve
from nas.point import Point
from nas.spec import (
    Budget,
    FinalistBudget,
    JobSpec,
    ProfileBudget,
    SearchBudget,
    StageName,
    TargetSpec,
    TaskSpec,
    TrainBudget,
    VerifyBudget,
)
from searchspaces.errors import Problem

__all__ = ["FEWEST", "RankingBench", "held_out", "judge", "key_of", "trained_points", "zero_cost_scores"]

FEWEST = 4
"""Models trained alone that can be ranked: upper halves have two at least."""

REPEATS = 200
"""Draws of the noise of seeds."""


MIXED = "-mixed"
"""Presets of mixed feed-forward widths are named after those of uniform ones, as large, with this."""


@dataclass(frozen=True)
class RankingBench:
    """What is trained.

    Attributes:
        architectures: found ones, half of them on the front.
        presets: published designs besides.
        steps, batch, learning_rate: of each training.
        seeds: trainings of each.
        supernet_steps: of the supernet where a space is judged; a job has its own.
        evaluations: candidates that are scored with it there.
    """

    architectures: int = 8
    presets: int = 8
    steps: int = 1200
    batch: int = 1
    learning_rate: float = 0.03
    seeds: int = 1
    supernet_steps: int = 1200
    evaluations: int = 64

    def quick(self) -> RankingBench:
        """The least that shows that it works."""
        return replace(self, architectures=6, presets=6, steps=20, seeds=1, supernet_steps=40, evaluations=40)

    def of_space(self, space: str, task: str) -> JobSpec:
        """The job that says how well a space is ranked: it trains a supernet and searches a little first."""
        budget = Budget(
            profile=ProfileBudget(measurements=16, minimum=8, holdout=8, tolerance=0.1),
            train=TrainBudget(steps=self.supernet_steps, batch=self.batch),
            search=SearchBudget(evaluations=self.evaluations),
            verify=VerifyBudget(rounds=1, evaluations=1),
            finalists=self._finalists(),
        )
        return JobSpec(
            name="ranking", space=space, task=TaskSpec(name=task), targets=(TargetSpec(),), budget=budget
        )

    def of_job(self, job: Job) -> JobSpec:
        """The job that says how well another's supernet ranks; weights and evaluations are found by digest.

        Raises:
            InvalidSpec: that one has not ended, or has no supernet.
        """
        if job.status is not JobStatus.SUCCEEDED or StageName.VERIFY not in job.spec.stages:
            accepted = f"accepted: one that has searched and succeeded; go on with: nas resume {job.id}"
            raise InvalidSpec(
                [Problem("SUBJECT", f"job {job.id} is {job.status}, until {job.spec.until}; {accepted}")]
            )
        update = {
            "search": SearchBudget(evaluations=1, batch=1),
            "verify": VerifyBudget(rounds=1, evaluations=1),
            "finalists": self._finalists(),
        }
        budget = job.spec.budget.model_copy(update=update)
        return job.spec.model_copy(update={"name": "ranking", "budget": budget, "until": StageName.FINALISTS})

    def _finalists(self) -> FinalistBudget:
        return FinalistBudget(
            count=self.architectures,
            start="scratch",
            choice="spread",
            presets=self.presets,
            seeds=self.seeds,
            steps=self.steps,
            batch=self.batch,
            learning_rate=self.learning_rate,
        )


def key_of(spec: JobSpec) -> str:
    """Names the job of a spec: asked again, the same job goes on."""
    return f"ranking-{hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:16]}"


def trained_points(front: Front) -> list[Point]:
    """Those that were trained alone, by digest.

    Args:
        front: of all points.

    Raises:
        NoSuchPoint: fewer than `FEWEST`.
    """
    trained = [p for p in front.points if p.delivered is not None and p.delivered.measured is not None]
    if len(trained) < FEWEST:
        raise NoSuchPoint(
            f"job {front.job} trained {len(trained)} models alone, too few to rank (at least {FEWEST}): "
            "budget.finalists with start: scratch"
        )
    return sorted(trained, key=lambda point: point.digest)


def judge(front: Front, proxies: Mapping[str, Sequence[float]] | None = None) -> dict[str, Any]:
    """How well each cheap score ranks what was trained alone: Kendall's tau-b and Spearman's rho, over all
    and over the better half (by the truth). Plain data; None where a score is the same for all.

    Args:
        front: of all points.
        proxies: further scores of `trained_points(front)`, the larger the better.

    Raises:
        NoSuchPoint: see `trained_points`.
    """
    points, sign = trained_points(front), front.direction.sign
    told = [(p, p.delivered) for p in points if p.delivered is not None]
    truth = np.array([sign * (value.measured or 0.0) for _, value in told])
    upper = upper_half(truth)
    scores = {
        "supernet": [sign * (p.validation or 0.0) for p in points],
        "predicted when delivered": [sign * value.predicted for _, value in told],
        "parameters": [-p.values["parameters", None].predicted for p in points],
        "MACs": [-p.values["macs", None].predicted for p in points],
        "layers": [-float(p.architecture.depth) for p in points],
        **{name: [-value for value in values] for name, values in (proxies or {}).items()},
    }
    nested = {p.preset: p for p in points if p.preset and p.preset.startswith("matformer")}
    again = _trained_again(told, truth, upper)
    errors = [value.measured_std for _, value in told if value.measured_std is not None]
    inside = [abs(v.predicted - v.measured) <= 2 * (v.predicted_std or 0.0) for _, v in told if v.measured]
    return {
        "job": front.job,
        "space": front.space,
        "task": front.task,
        "metric": front.metric,
        "steps": points[0].tuned.steps if points[0].tuned else None,
        "alone": len(points),
        "spread": float(np.ptp(truth)),
        "spread_upper": float(np.ptp(truth[upper])),
        "seed_error": float(np.mean(errors)) if errors else None,
        "within_two_deviations": float(np.mean(inside)) if inside else None,
        "scores": [
            {"score": name, **agreement(np.array(values), truth, upper)} for name, values in scores.items()
        ]
        + ([] if again is None else [{"score": "alone with other seeds", **again}]),
        "granularities": [_in_supernet(p, sign) for name, p in nested.items() if not name.endswith(MIXED)],
        "mixed": [
            _mixed(p, nested[name.removesuffix(MIXED)], sign)
            for name, p in nested.items()
            if name.endswith(MIXED) and name.removesuffix(MIXED) in nested
        ],
        "largest": _in_supernet(max(points, key=lambda p: p.values["parameters", None].predicted), sign),
        "models": [
            {
                **_in_supernet(p, sign),
                "predicted": value.predicted,
                "predicted_std": value.predicted_std,
            }
            for p, value in told
        ],
    }


def _trained_again(
    told: Sequence[tuple[Point, Value]], truth: np.ndarray, upper: np.ndarray
) -> dict[str, float | None] | None:
    """How the noise of seeds lets training alone agree with itself, as often repeated: no score can be
    expected to agree better. None where seeds are unknown."""
    errors = np.array([value.measured_std or 0.0 for _, value in told])
    if not errors.any():
        return None
    rng = np.random.default_rng(0)
    drawn = [agreement(truth + rng.normal(0.0, errors), truth, upper) for _ in range(REPEATS)]
    return {name: float(np.mean([row[name] or 0.0 for row in drawn])) for name in drawn[0]}


def _mixed(mixed: Point, uniform: Point, sign: int) -> dict[str, Any]:
    """A model of mixed feed-forward widths beside that of uniform ones, as large: by how much it is better,
    in the supernet and alone."""
    ours, theirs = _in_supernet(mixed, sign), _in_supernet(uniform, sign)
    better = {of: sign * (theirs[of] - ours[of]) for of in ("supernet", "alone")}
    return {"preset": mixed.preset, "beside": uniform.preset, "better": better}


def _in_supernet(point: Point, sign: int) -> dict[str, Any]:
    """A model in the supernet, alone, and by what share of the latter it is worse in the former: for
    MatFormer's granularities 1% is claimed (Devvrit et al., 2023)."""
    alone = math.nan if point.delivered is None else point.delivered.measured or math.nan
    supernet = math.nan if point.validation is None else point.validation
    worse = sign * (supernet - alone) / abs(alone)
    told = {"supernet": supernet, "alone": alone, "worse_in_supernet": worse}
    return {"digest": point.digest, "preset": point.preset, **told}


def held_out(spec: JobSpec, front: Front) -> dict[str, Any] | None:
    """How well a prediction from few models trained alone holds of the others, of all points (see
    `nas.bench.ranking.calibration`); None where too few were trained."""
    alone = {p.digest: p.delivered.measured or 0.0 for p in trained_points(front) if p.delivered is not None}
    told = calibrate(resolve(spec), front.points, alone)
    return None if told is None else asdict(told)


def zero_cost_scores(spec: JobSpec, points: Sequence[Point]) -> dict[str, list[float]]:
    """Scores of fresh weights by one batch, which cost no training (Abdelfattah et al., 2021), of each point:
    the norm of the first gradient, and SNIP, the sum of |weight x gradient| (Lee et al., 2019). The task's
    data is read here."""
    import torch

    from searchspaces.submodel import Submodel

    plan = resolve(spec)
    batch = plan.task.batch(0, plan.train_seed, spec.budget.finalists.batch, plan.space.spec.context)
    scores: dict[str, list[float]] = {"first gradient": [], "SNIP": []}
    for point in points:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.train_seed)
            model = Submodel(point.architecture)
        plan.task.loss(model(batch.inputs), batch.targets).backward()
        known = [(p.detach(), p.grad) for p in model.parameters() if p.grad is not None]
        scores["first gradient"].append(math.sqrt(sum(g.square().sum().item() for _, g in known)))
        scores["SNIP"].append(sum((weight * g).abs().sum().item() for weight, g in known))
    return scores

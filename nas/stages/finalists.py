"""Finalists: members of the front are trained each on its own."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nas.errors import JobFailed
from nas.evaluation import Evaluation, Split
from nas.front import FineTuned, Point, Scope, mark_front
from nas.planning.plan import Plan
from nas.spec import StageName
from nas.stages.backends import Finalist, FinalistProgress
from nas.stages.search import trained_supernet
from nas.stages.stage import Stage, StageContext
from nas.stages.states import FinalistsState
from nas.training.finetune import BestWeights, best_weights
from searchspaces.architecture import Architecture

__all__ = ["Finalists", "finalist_folder"]

STATE = "finalists"


def finalist_folder(home: Path, weights: str) -> Path:
    """Where the weights of that digest lie."""
    return home / "finalists" / weights


class Finalists(Stage):
    """Train members of the front each on its own, and keep their weights beside the supernet's.

    Those that go on from the supernet keep them where they got better, the poor ones not trained to the end.
    Those that start from scratch are all trained to one end, published designs among them: what they then
    score is what is delivered, and what models are compared by.
    """

    name = StageName.FINALISTS

    def run(self, context: StageContext) -> None:
        """See the class."""
        finalists = {_digest(context.plan, point): point for point in _chosen(context)}
        self._train(context, finalists)
        points = []
        for done, (weights, point) in enumerate(finalists.items(), 1):
            points.append(self._conclude(context, weights, point))
            context.progress(self.name, done, len(finalists), "test split")
            context.check_stop()
        context.store.put_points(context.job_id, points)

    def _train(self, context: StageContext, finalists: dict[str, Point]) -> None:
        """Go on with whatever has not ended."""
        steps = context.plan.spec.budget.finalists.steps
        taken = dict.fromkeys(finalists, 0)
        ended = dict(FinalistsState.load(context.store, context.job_id, STATE).ended)
        if finalists.keys() <= ended.keys():
            return

        def on_progress(progress: FinalistProgress) -> None:
            taken[progress.weights] = progress.steps
            if progress.diverged:
                self._give_up(context, finalists[progress.weights], progress)
            if progress.ended:
                ended[progress.weights] = progress.steps
                FinalistsState(ended).save(context.store, context.job_id, STATE)
            done = sum(steps if weights in ended else at for weights, at in taken.items())
            context.progress(self.name, done, steps * len(finalists), progress.message)

        wanted = [
            Finalist(
                point.architecture,
                _known(point),
                weights,
                finalist_folder(context.home, weights),
                ended.get(weights, steps),
            )
            for weights, point in finalists.items()
        ]
        supernet = trained_supernet(context)
        context.compute_backend.finetune(context.plan, supernet, wanted, on_progress, context.stopped)
        context.check_stop()

    def _give_up(self, context: StageContext, point: Point, progress: FinalistProgress) -> None:
        """Keep that a training diverged: a failed evaluation, paid for once."""
        failed = Evaluation(progress.weights, point.digest, Split.VALIDATION, math.nan, 0.0)
        context.store.add_evaluations([failed])
        context.note(self.name, f"{point.digest[:8]} was not trained to the end: {progress.message}")

    def _conclude(self, context: StageContext, weights: str, point: Point) -> Point:
        """Store how a finalist ended; its point, with the weights where they are better."""
        unit, sign = context.plan.task.metric, context.plan.task.direction.sign
        folder = finalist_folder(context.home, weights)
        if any(math.isnan(e.value) for e in context.store.evaluations(weights, Split.VALIDATION)):
            return replace(point, tuned=None)  # it diverged
        best = best_weights(folder)
        if best is None:
            raise JobFailed(f"no weights of finalist {point.digest} are in {folder}")
        before = _known(point)
        change = f"{point.digest[:8]}: {before:.3f} → {best.validation:.3f} {unit} after {best.steps} steps"
        goes_on = context.plan.spec.budget.finalists.start == "supernet"
        if goes_on and sign * best.validation >= sign * before:
            context.note(self.name, f"{change}: no better, the supernet's weights are kept")
            return replace(point, tuned=None)
        known = context.store.evaluations(weights, Split.TEST, [point.digest])
        test = known[0] if known else _tested(context.plan, weights, point.architecture, best)
        validation = Evaluation(weights, point.digest, Split.VALIDATION, best.validation, best.seconds)
        context.store.add_evaluations([validation, test])
        context.note(self.name, change, digest=point.digest, weights=weights)
        value = None if math.isnan(test.value) else test.value
        return replace(point, tuned=FineTuned(weights, best.steps, best.validation, value))


def _chosen(context: StageContext) -> list[Point]:
    """Members of the front, and of the published designs those that none of them beats; as many as wanted."""
    plan, budget = context.plan, context.plan.spec.budget.finalists
    sign = plan.task.direction.sign
    shown = context.store.points(context.job_id, Scope.SHOWN)
    found = _spread([point for point in shown if point.on_front], budget.count, sign)
    presets = [point for point in shown if point.preset is not None and point.validation is not None]
    best = {point.digest for point in mark_front(presets, plan.objectives) if point.on_front}
    published = _spread([point for point in presets if point.digest in best], budget.presets, sign)
    return list({point.digest: point for point in [*found, *published]}.values())


def _spread(points: Sequence[Point], count: int, sign: int) -> list[Point]:
    """So many of the points, evenly from the best in quality to the worst (the fastest)."""
    ordered = sorted(points, key=lambda point: sign * _known(point))
    return [ordered[round(at)] for at in np.linspace(0, len(ordered) - 1, min(count, len(ordered)))]


def _known(point: Point) -> float:
    """Its quality with the supernet's weights; a point without one is on no front."""
    assert point.validation is not None
    return point.validation


def _digest(plan: Plan, point: Point) -> str:
    """Names everything that the weights follow from."""
    budget = plan.spec.budget.finalists
    start = (
        {"supernet": plan.supernet_digest}
        if budget.start == "supernet"
        else {"task": plan.task.digest, "context": plan.space.spec.context}
    )
    content = {
        **start,
        "architecture": point.digest,
        "finalists": budget.identity(),
        "seed": plan.train_seed,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _tested(plan: Plan, weights: str, architecture: Architecture, best: BestWeights) -> Evaluation:
    from searchspaces.submodel import Submodel

    submodel = Submodel(architecture)
    submodel.load_state_dict(best.tensors)
    begun = time.perf_counter()
    value, sequences = plan.task.evaluate_sequences(submodel.eval(), Split.TEST)
    seconds = time.perf_counter() - begun
    return Evaluation(weights, architecture.digest, Split.TEST, value, seconds, sequences=sequences)

"""Finalists: architectures are trained each on its own, published designs first, then what promises most."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nas.analysis.candidates import Candidates
from nas.analysis.choice import (
    TRAININGS,
    Training,
    most_improving,
    over_everything,
    over_the_front,
    published,
)
from nas.analysis.delivered import FEWEST, tuned_scores
from nas.analysis.known import stored_predictors
from nas.analysis.points import as_delivered, evaluated_points, mark_verified
from nas.errors import JobFailed
from nas.evaluation import SPLITS, Evaluation, Split
from nas.export import BlockLibrary
from nas.export.converted import ConvertedModel
from nas.planning.plan import Plan
from nas.point import Fidelity, FineTuned, Point
from nas.spec import StageName
from nas.stages.backends import Finalist, FinalistProgress
from nas.stages.controls import measure_between_controls
from nas.stages.scores import conversions_here
from nas.stages.search import trained_supernet
from nas.stages.stage import Stage, StageContext
from nas.stages.states import FinalistsState
from nas.store.files import keep_checksum
from nas.training.finetune import WEIGHTS_FILE, BestWeights, best_weights
from searchspaces.architecture import Architecture
from workers.errors import WorkerError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Finalists", "finalist_folder"]

STATE = "finalists"


def finalist_folder(home: Path, weights: str) -> Path:
    """Where the weights of that digest lie."""
    return home / "finalists" / weights


@dataclass(frozen=True)
class _Repetition:
    """Of a point's training, with one of the budget's seeds."""

    point: Point
    seed: int


_Trainings = Mapping[str, _Repetition]
"""By the digest of the weights."""


class Finalists(Stage):
    """Train architectures each on its own, and keep their weights beside the supernet's.

    Members of the front that go on from the supernet keep theirs where they got better, the poor ones not
    trained to the end. Those that start from scratch are all trained to one end, published designs first;
    the others are chosen a few at a time by what the trainings so far tell (`nas.analysis.choice`). What they
    score is what is delivered, and every other point is predicted to score: the front goes by it.
    """

    name = StageName.FINALISTS

    def run(self, context: StageContext) -> None:
        """See the class."""
        while batch := self._batch(context):
            tuned = [training.point for training in batch if training.fidelity is Fidelity.TUNED]
            alone = [training.point for training in batch if training.fidelity is Fidelity.ALONE]
            if tuned:
                begun = time.monotonic()
                self._tune(context, tuned)
                _spend(context, tuned, Fidelity.TUNED, time.monotonic() - begun)
            begun, trainings = time.monotonic(), _trainings(context.plan, alone)
            self._train(context, trainings)
            for done, (weights, training) in enumerate(trainings.items(), 1):
                self._conclude(context, weights, training)
                context.progress(self.name, done, len(trainings), "test split")
                context.check_stop()
            _mark(context)
            _spend(context, alone, Fidelity.ALONE, time.monotonic() - begun)
            _keep(context, replace(_state(context), open=(), batches=_state(context).batches + 1))

    # What to train
    def _batch(self, context: StageContext) -> list[Training]:
        """What is to be trained now: what was begun with before an interruption, else what is chosen next."""
        state, budget = _state(context), context.plan.spec.budget.finalists
        points = context.store.points(context.job_id)
        if state.ended and not state.chosen:  # an earlier version chose all of them at once
            trained = tuple(point.digest for point in points if point.tuned is not None)
            state = replace(state, chosen=trained, over=True)
            _keep(context, state)
        if state.over:
            return []
        by_digest = {point.digest: point for point in points}
        if state.open or state.tuning:
            tuning = [Training(by_digest[digest], Fidelity.TUNED) for digest in state.tuning]
            return tuning + [Training(by_digest[digest], Fidelity.ALONE) for digest in state.open]
        batch: list[Training] = []
        if not state.chosen:
            first = _first(context, points)
            rungs = [Fidelity.TUNED, Fidelity.ALONE] if budget.tuning_steps else [Fidelity.ALONE]
            batch = [Training(point, rung) for rung in rungs for point in first]
        elif budget.start == "scratch" and budget.choice == "improvement" and _has_time(context, state):
            left = budget.count - sum(by_digest[digest].preset is None for digest in state.chosen)
            batch = self._next(context, min(budget.together, left), state)
        tuned, chosen = (tuple(t.point.digest for t in batch if t.fidelity is rung) for rung in TRAININGS)
        state = replace(state, chosen=(*state.chosen, *chosen), open=chosen)
        state = replace(state, tuned=(*state.tuned, *tuned), tuning=tuned)
        _keep(context, replace(state, over=not batch))
        for rung, digests in ((Fidelity.TUNED, tuned), (Fidelity.ALONE, chosen)):
            if digests:
                named = ", ".join(_expected(by_digest[digest]) for digest in digests)
                what = "trained next" if rung is Fidelity.ALONE else "fine-tuned next"
                context.note(self.name, f"{what}: {named}", chosen=list(digests))
        return batch

    def _next(self, context: StageContext, count: int, state: FinalistsState) -> list[Training]:
        """What promises most. What is to be trained alone is measured on every target before."""
        budget, refused = context.plan.spec.budget.finalists, set[str]()
        rates = {Fidelity(of): seconds / max(work, 1.0) for of, (work, seconds) in state.spent.items()}
        # All fine-tunings together take no more steps than what they are to choose.
        most = budget.count * budget.seeds * budget.steps // max(1, budget.tuning_steps)
        tunings = max(0, most - len(state.tuned)) if budget.tuning_steps else 0
        while True:
            points = context.store.points(context.job_id)
            excluded = {*state.chosen, *refused}
            batch = most_improving(context, points, count, excluded, tunings, rates)
            unmeasured = [t.point for t in batch if t.fidelity is Fidelity.ALONE and not t.point.verified]
            if not unmeasured:
                return batch
            for target in context.plan.targets:
                for _ in measure_between_controls(
                    context, self.name, target, [point.architecture for point in unmeasured]
                ):
                    context.check_stop()
            known = evaluated_points(context, Candidates(context, stored_predictors(context)))
            context.store.put_points(context.job_id, mark_verified(known, context.plan.objectives))
            verified = {point.digest for point in known if point.verified}
            refused |= {point.digest for point in unmeasured} - verified

    # Fine-tuning
    def _tune(self, context: StageContext, points: Sequence[Point]) -> None:
        """Score what was not scored yet after fine-tuning from the supernet's weights; the weights are not
        kept, and a training that diverges is a failed evaluation."""
        plan, weights = context.plan.tuning, context.plan.tuning_digest
        known = tuned_scores(context)
        left = {plan.finalist_digest(p.digest): p for p in points if p.digest not in known}
        steps, taken = plan.spec.budget.finalists.steps, dict.fromkeys(left, 0)
        failed: dict[str, str] = {}

        def on_progress(progress: FinalistProgress) -> None:
            taken[progress.weights] = progress.steps
            if progress.diverged:
                failed[progress.weights] = progress.message
            context.progress(self.name, sum(taken.values()), steps * len(left), "fine-tuning")

        wanted = [
            Finalist(
                point.architecture,
                _known(point),
                name,
                finalist_folder(context.home, name),
                steps,
                plan.train_seed,
            )
            for name, point in left.items()
        ]
        if wanted:
            supernet = trained_supernet(context)
            context.compute_backend.finetune(plan, supernet, wanted, on_progress, context.stopped)
            context.check_stop()
        for name, point in left.items():
            best = None if name in failed else best_weights(finalist_folder(context.home, name))
            if best is None and name not in failed:
                raise JobFailed(f"no weights of {point.digest} are in {finalist_folder(context.home, name)}")
            value, seconds = (math.nan, 0.0) if best is None else (best.validation, best.seconds)
            scored = Evaluation(weights, point.digest, Split.VALIDATION, value, seconds)
            context.store.add_evaluations([scored])
            told = failed.get(name, f"{_known(point):.3f} → {value:.3f} after {steps} steps")
            context.note(self.name, f"{point.digest[:8]} fine-tuned: {told}")
            shutil.rmtree(finalist_folder(context.home, name), ignore_errors=True)
        _keep(context, replace(_state(context), tuning=()))

    # Training
    def _train(self, context: StageContext, trainings: _Trainings) -> None:
        """Go on with whatever has not ended."""
        budget = context.plan.spec.budget.finalists
        taken = dict.fromkeys(trainings, 0)
        ended = dict(_state(context).ended)
        if trainings.keys() <= ended.keys():
            return
        before = len(ended.keys() - trainings.keys()) * budget.steps
        total = max((budget.count + budget.presets) * budget.seeds, len(trainings)) * budget.steps

        def on_progress(progress: FinalistProgress) -> None:
            taken[progress.weights] = progress.steps
            if progress.diverged:
                self._give_up(context, trainings[progress.weights].point, progress)
            if progress.ended:
                ended[progress.weights] = progress.steps
                _keep(context, replace(_state(context), ended=ended))
            done = before + sum(budget.steps if weights in ended else at for weights, at in taken.items())
            context.progress(self.name, done, max(total, done), progress.message)

        wanted = [
            Finalist(
                training.point.architecture,
                _known(training.point),
                weights,
                finalist_folder(context.home, weights),
                ended.get(weights, budget.steps),
                context.plan.train_seed + training.seed,
            )
            for weights, training in trainings.items()
        ]
        supernet = trained_supernet(context)
        context.compute_backend.finetune(context.plan, supernet, wanted, on_progress, context.stopped)
        context.check_stop()

    def _give_up(self, context: StageContext, point: Point, progress: FinalistProgress) -> None:
        """Keep that a training diverged: a failed evaluation, paid for once."""
        failed = Evaluation(progress.weights, point.digest, Split.VALIDATION, math.nan, 0.0)
        context.store.add_evaluations([failed])
        context.note(self.name, f"{point.digest[:8]} was not trained to the end: {progress.message}")

    def _conclude(self, context: StageContext, weights: str, training: _Repetition) -> None:
        """Store how a training ended, and with the point the weights that are better, or are delivered."""
        unit, sign = context.plan.task.metric, context.plan.task.direction.sign
        point, folder = training.point, finalist_folder(context.home, weights)
        if any(math.isnan(e.value) for e in context.store.evaluations(weights, Split.VALIDATION)):
            return  # it diverged
        best = best_weights(folder)
        if best is None:
            raise JobFailed(f"no weights of finalist {point.digest} are in {folder}")
        before = _known(point)
        change = f"{point.digest[:8]}: {before:.3f} → {best.validation:.3f} {unit} after {best.steps} steps"
        goes_on = context.plan.spec.budget.finalists.start == "supernet"
        if goes_on and sign * best.validation >= sign * before:
            context.note(self.name, f"{change}: no better, the supernet's weights are kept")
            return
        known = context.store.evaluations(weights, Split.TEST, [point.digest])
        test = known[0] if known else _tested(context.plan, weights, point.architecture, best)
        validation = Evaluation(weights, point.digest, Split.VALIDATION, best.validation, best.seconds)
        converted = self._converted(context, weights, point, best) if training.seed == 0 else []
        keep_checksum(context.store, context.home, folder / WEIGHTS_FILE)
        context.store.add_evaluations([validation, test, *converted])
        context.note(self.name, change, digest=point.digest, weights=weights)
        if training.seed == 0:
            value = None if math.isnan(test.value) else test.value
            tuned = FineTuned(weights, best.steps, best.validation, value)
            context.store.put_points(context.job_id, [replace(point, tuned=tuned)])

    def _converted(
        self, context: StageContext, weights: str, point: Point, best: BestWeights
    ) -> list[Evaluation]:
        """Of the files that targets run of these weights."""
        library, found = BlockLibrary(context.home / "blocks"), []
        for conversion in conversions_here(context):
            model = ConvertedModel(point.architecture, best.tensors, conversion, library)
            try:
                found += [
                    _scored(context.plan, model, conversion.weights(weights), point.digest, split)
                    for split in SPLITS
                ]
            except WorkerError as error:
                context.note(self.name, f"{conversion}: {point.digest} could not be scored: {error}")
        return found


def _state(context: StageContext) -> FinalistsState:
    return FinalistsState.load(context.store, context.job_id, STATE)


def _keep(context: StageContext, state: FinalistsState) -> None:
    state.save(context.store, context.job_id, STATE)


def _first(context: StageContext, points: Sequence[Point]) -> list[Point]:
    """What is trained before anything is known of training alone: published designs, and as many of what was
    found as are chosen at once, or as the others are predicted from."""
    plan, budget = context.plan, context.plan.spec.budget.finalists
    if budget.start == "supernet":
        # The model that a job starts from has nothing to learn of itself.
        return over_the_front(context, [p for p in points if p.architecture != plan.parent], budget.count)
    if budget.choice == "spread":
        return over_everything(context, points, budget.count, budget.presets)
    designs = published(context, points, budget.presets)
    found = [point for point in points if point.preset is None]
    return designs + over_the_front(context, found, min(budget.count, max(0, FEWEST - len(designs))))


def _spend(context: StageContext, points: Sequence[Point], fidelity: Fidelity, seconds: float) -> None:
    """Keep what trainings took."""
    state, plan, budget = _state(context), context.plan, context.plan.spec.budget.finalists
    steps = budget.tuning_steps if fidelity is Fidelity.TUNED else budget.steps * budget.seeds
    rows = plan.space.encode(point.architecture for point in points)
    work = steps * float(plan.costs.macs(rows, plan.space.spec.context).sum()) if points else 0.0
    before = state.spent.get(fidelity.value, (0.0, 0.0))
    known = {fidelity.value: (before[0] + work, before[1] + seconds)} if points else {}
    spent = {**state.spent, **known}
    _keep(context, replace(state, spent=spent, seconds=state.seconds + seconds))


def _has_time(context: StageContext, state: FinalistsState) -> bool:
    """Whether another batch like those so far ends within the budget's minutes."""
    minutes = context.plan.spec.budget.finalists.minutes
    return minutes is None or state.seconds * (1 + 1 / max(state.batches, 1)) <= 60 * minutes


def _trainings(plan: Plan, batch: Sequence[Point]) -> _Trainings:
    seeds = range(plan.spec.budget.finalists.seeds)
    return {plan.finalist_digest(p.digest, seed): _Repetition(p, seed) for p in batch for seed in seeds}


def _known(point: Point) -> float:
    """Its quality with the supernet's weights; a point without one is never chosen."""
    assert point.validation is not None
    return point.validation


def _expected(point: Point) -> str:
    """A point by its name, and what it is expected to score where that is known."""
    name, value = point.preset or point.digest[:8], point.delivered
    return name if value is None else f"{name} ({value.predicted:.3f}±{value.predicted_std or 0.0:.3f})"


def _mark(context: StageContext) -> None:
    """Store what training alone tells of every point of the job, and the front that follows from it."""
    points = context.store.points(context.job_id)
    told = as_delivered(context, points)
    if told != points:
        context.store.put_points(context.job_id, mark_verified(told, context.plan.objectives))


def _tested(plan: Plan, weights: str, architecture: Architecture, best: BestWeights) -> Evaluation:
    from searchspaces.submodel import Submodel

    submodel = Submodel(architecture)
    submodel.load_state_dict(best.tensors)
    return _scored(plan, submodel.eval(), weights, architecture.digest, Split.TEST)


def _scored(
    plan: Plan, model: Callable[[Tensor], Tensor], weights: str, digest: str, split: Split
) -> Evaluation:
    begun = time.perf_counter()
    value, sequences = plan.task.evaluate_sequences(model, split)
    seconds = time.perf_counter() - begun
    return Evaluation(weights, digest, split, value, seconds, sequences=sequences)

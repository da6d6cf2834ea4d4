"""Verify: measure what the search found on the devices before it is trusted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from statistics import median

from nas.analysis.candidates import Candidates
from nas.analysis.choice import over_the_front, published
from nas.analysis.known import stored_predictors
from nas.analysis.points import evaluated_points, mark_verified, mark_without
from nas.errors import JobFailed
from nas.evaluation import SPLITS, Split
from nas.objectives import Objective
from nas.objectives.latency_ms import LATENCY, Latency
from nas.point import Point
from nas.spec import StageName
from nas.stages.backends import EvaluationPool
from nas.stages.controls import Controls, measure_between_controls
from nas.stages.fitting import (
    fit_predictor,
    keep_predictors,
    known_measurements,
    prior_of_other_targets,
)
from nas.stages.scores import conversions_here, note_conversions_elsewhere, score, unscored
from nas.stages.search import informed, trained_supernet
from nas.stages.search_loop import search
from nas.stages.stage import Stage, StageContext
from nas.stages.states import VerifyState
from searchspaces.architecture import Architecture

__all__ = ["Verify", "verify_architecture"]

STATE = "verify"


class Verify(Stage):
    """Measure the front until all of it is measured, refit the predictors, and search again until their
    predictions of the front hold; then evaluate it on the test split, and as the files that targets run.

    Control models are read in between, as while profiling: what a device measured while it was slower than
    usual is measured again, or its factor divided out, and that is said of each point.
    """

    name = StageName.VERIFY

    def run(self, context: StageContext) -> None:
        """See the class."""
        budget = context.plan.spec.budget.verify
        first = _state(context).round
        with ExitStack() as stack:
            # Begun when it is needed: beside measurements its processes would only take memory.
            pool = cache(
                lambda: stack.enter_context(context.evaluations(self.name, trained_supernet(context)))
            )
            for number in range(first, budget.rounds + 1):
                if self._holds(context, number) or number == budget.rounds:
                    break
                self._search_again(context, pool(), number)
                _keep(context, VerifyState(number + 1))
            self._conclude(context, pool)

    def _holds(self, context: StageContext, number: int) -> bool:
        """One round: measure, compare, refit; whether the predictions of the front held."""
        candidates = Candidates(context, stored_predictors(context))
        points = self._measure_front(context, candidates)
        front = [point for point in points if point.on_front and point.verified]
        # Those that fell off the front by what was measured of them count too: they are what it promised.
        taken = set(_state(context).measured)
        measured = [point for point in points if point.digest in taken]
        gaps = [_gaps(measured, objective) for objective in context.plan.predicted]
        self._learn(context)
        tolerance = context.plan.spec.budget.verify.tolerance
        if points and not front:
            said = f"none of {len(points)} candidates is within the bounds by what was measured"
            context.note(self.name, f"round {number}: {said}")
            return False
        if not any(gaps):
            context.note(
                self.name, f"round {number}: all {len(front)} points of the front had been measured before"
            )
            return True
        # Each objective's predictions must hold: a median over all would hide one that is predicted badly.
        gap, number_of = max((median(of), len(of)) for of in gaps if of)
        verdict = "holds" if gap <= tolerance else "does not hold yet"
        context.note(
            self.name,
            f"round {number}: the front {verdict}: median |predicted − measured| of {number_of} is {gap:.1%}",
            round=number,
            gap=gap,
            points=len(front),
        )
        return gap <= tolerance

    def _measure_front(self, context: StageContext, candidates: Candidates) -> list[Point]:
        """Measure members until every one is measured, or as many as are to be: a measurement may uncover
        points behind it. All points, as they are then."""
        refused: set[str] = set()
        for target in context.plan.targets:
            Controls(context, self.name, target).close()  # what a stop left open
        while True:
            points = evaluated_points(context, candidates)
            points = mark_without(refused, points, context.plan.objectives)
            context.store.put_points(context.job_id, points)
            wanted = _unmeasured(context, points, refused)
            if not wanted:
                return points
            state, members = _state(context), [point.digest for point in wanted if point.on_front]
            _keep(context, replace(state, measured=sorted({*state.measured, *members})))
            done = sum(point.on_front and point.verified for point in points)
            steps = done + len(wanted)
            for target in context.plan.targets:
                for measurement in measure_between_controls(
                    context, self.name, target, [p.architecture for p in wanted]
                ):
                    done += 1
                    message = f"{target.device} measured {measurement.corrected.latency_ms:.2f} ms"
                    context.progress(self.name, done, max(done, steps), message)
                known = {m.digest for m in context.store.measurements(target, [p.digest for p in wanted])}
                refused |= {p.digest for p in wanted if p.digest not in known}

    def _learn(self, context: StageContext) -> None:
        for target in context.plan.targets:
            prior = prior_of_other_targets(context, target)
            population, measured = known_measurements(context, target)
            predictor = fit_predictor(context, Latency, target, population, measured, prior)
            keep_predictors(context, target, predictor, population, measured)

    def _search_again(self, context: StageContext, pool: EvaluationPool, number: int) -> None:
        evaluations = context.plan.spec.budget.verify.evaluations
        candidates = informed(context, Candidates(context, stored_predictors(context)), evaluations)
        search(context, self.name, candidates, pool, name=f"{STATE}-{number}", evaluations=evaluations)

    def _conclude(self, context: StageContext, pool: Callable[[], EvaluationPool]) -> None:
        """The last fit may put other points on the front: measure those too, then evaluate the front and the
        presets on data that the search never saw. Only measured points stay on the front."""
        candidates = Candidates(context, stored_predictors(context))
        self._measure_front(context, candidates)
        # So that adding a target to the finished job does not search again.
        _keep(context, replace(_state(context), round=context.plan.spec.budget.verify.rounds))
        note_conversions_elsewhere(context, self.name)
        usable = conversions_here(context)
        while True:  # what a conversion does to one point may put another on the front
            points = mark_verified(evaluated_points(context, candidates), context.plan.objectives)
            shown = [p.architecture for p in _shown(context, points)]
            missing = unscored(context, shown, [Split.TEST], usable)
            if not missing:
                break
            score(context, self.name, pool(), missing)
        context.store.put_points(context.job_id, points)
        _tell_of_disturbed(context, [p for p in points if p.on_front])


def _shown(context: StageContext, points: Sequence[Point]) -> list[Point]:
    """The front, and as many published designs as the budget says."""
    designs = published(context, points, context.plan.spec.budget.verify.presets)
    shown = {point.digest for point in designs}
    return [point for point in points if point.on_front or point.digest in shown]


def _unmeasured(context: StageContext, points: Sequence[Point], refused: Collection[str]) -> list[Point]:
    """Which of the front, and of the designs beside it, are to be measured next."""
    front = [point for point in points if point.on_front]
    missing = [p for p in _shown(context, points) if not p.verified and p.digest not in refused]
    # The best is, however many are measured already.
    least = sum(point in missing for point in over_the_front(context, front, 1))
    left = context.plan.spec.budget.verify.members - sum(point.verified for point in front)
    designs = [point for point in missing if not point.on_front]
    return over_the_front(context, missing, max(least, left)) + designs


def _state(context: StageContext) -> VerifyState:
    return VerifyState.load(context.store, context.job_id, STATE)


def _keep(context: StageContext, state: VerifyState) -> None:
    state.save(context.store, context.job_id, STATE)


def _gaps(points: Sequence[Point], objective: Objective) -> list[float]:
    """|predicted − measured| over measured, of the points of which the objective is measured."""
    values = [point.values[objective.key] for point in points if objective.key in point.values]
    return [abs(each.predicted - each.measured) / each.measured for each in values if each.measured]


def _tell_of_disturbed(context: StageContext, front: Sequence[Point]) -> None:
    """Report which members of the front have latencies from which a slowdown was divided out."""
    for target in context.plan.targets:
        known = {p.digest: p.known(LATENCY, target) for p in front}
        slowdowns = {digest: latency.slowdown for digest, latency in known.items() if latency}
        disturbed = {digest: slowdown for digest, slowdown in slowdowns.items() if slowdown != 1.0}
        if disturbed:
            context.note(
                StageName.VERIFY,
                f"{target.device} was never undisturbed when {len(disturbed)} of the front's {len(front)} "
                "points were measured: its slowdown according to its control models, up to "
                f"{max(disturbed.values()):.2f}, was divided out of their latencies",
                target=str(target),
                slowdowns=disturbed,
            )


def verify_architecture(context: StageContext, architecture: Architecture) -> Point:
    """Measure an architecture on every target and evaluate it on both splits; it is a point of the job
    from then on, and the front is marked again.

    Raises:
        NoWorker: nobody serves a target.
        JobFailed: a target refuses it, or it cannot be scored; the message says why.
    """
    plan, store, digest = context.plan, context.store, architecture.digest
    store.put_architectures([architecture])
    for target in plan.targets:
        for _ in measure_between_controls(context, StageName.VERIFY, target, [architecture]):
            pass
        if not store.measurements(target, [digest]):
            raise JobFailed(f"{target} could not measure {digest}; the job's notes say why")
    usable = conversions_here(context)
    missing = unscored(context, [architecture], SPLITS, usable)
    if missing:
        with context.evaluations(StageName.VERIFY, trained_supernet(context)) as pool:
            score(context, StageName.VERIFY, pool, missing)
    points = mark_verified(
        evaluated_points(context, Candidates(context, stored_predictors(context))), plan.objectives
    )
    verified = [point for point in points if point.digest == digest]
    if not verified:
        raise JobFailed(f"{digest} could not be evaluated: its quality is not a number")
    store.put_points(context.job_id, points)
    # Behind the points: whoever reads the front anew at each event finds them.
    context.note(StageName.VERIFY, f"verified {digest}", digest=digest)
    return verified[0]

"""Profile: teach each target's predictor by measuring what tells it most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.analysis.attainability import check_predicted_bounds
from nas.job import TargetProfile
from nas.spec import StageName
from nas.stages.controls import Controls
from nas.stages.stage import Stage, StageContext
from predictors import Predictor, Prior, choose_next, held_out_report, make_predictor, transfer_prior
from searchspaces.architecture import Architecture
from searchspaces.encoding import Population
from searchspaces.space import SearchSpace
from workers.measurement import Measurement
from workers.target import Target

__all__ = ["Profile", "fit_predictor", "holdout"]

BATCH = 8
"""Architectures chosen at once: the predictor is refitted, and judged, after each batch."""

FEWEST = 4
"""Measurements before a predictor is fitted at all."""

ENOUGH = 8
"""Members of the space measured on another target before it has a say."""


class Profile(Stage):
    """Measure what the predictor knows least, and in between a fixed random held-out set that only judges
    it, until its error on those meets the job's tolerance or the budget is spent.

    Where models of the space have many layers, single blocks are measured among them: what tells most a
    second decides. Only members of the space judge.

    The two are measured in turns: a device that slows down or warms up then does so for both. Control models
    are read in between: what a device measured while it was slower than usual is measured again. What an
    earlier job measured, or this one before it was stopped, comes from the store.
    """

    name = StageName.PROFILE

    def run(self, context: StageContext) -> None:
        """See the class."""
        profiled = context.store.state(context.job_id, self.name) or {}
        for number, target in enumerate(context.plan.targets):
            if str(target) not in profiled:
                self._profile(context, target, number)
        if context.plan.given_task is not None:
            warning = check_predicted_bounds(context)
            if warning is not None:
                context.note(self.name, warning)

    def _profile(self, context: StageContext, target: Target, number: int) -> None:
        plan, budget = context.plan, context.plan.spec.budget.profile
        judges = holdout(plan.space, budget.holdout, plan.spec.seed)
        judge_digests = {a.digest for a in plan.space.decode(judges)}
        unmeasured = judges[~_measured(context, target, judges)]
        judges_a_round = -(-budget.holdout * BATCH // max(budget.minimum, BATCH))
        prior = prior_of_other_targets(context, target)
        per_target = budget.holdout + budget.measurements
        controls = Controls(context, self.name, target)
        predictor: Predictor | None = None
        while True:
            controls.measure_again()
            population, measured = known_measurements(context, target, exclude=judge_digests)
            judged = int(_measured(context, target, judges).sum())
            done = number * per_target + min(len(measured), budget.measurements) + judged
            if len(measured) >= FEWEST and judged:
                predictor = fit_predictor(context, target, population, measured, prior)
                profile = self._judge(context, target, predictor, judges, population)
                learned_enough = len(measured) >= min(budget.minimum, budget.measurements)
                if learned_enough and not len(unmeasured) and profile.mape <= budget.tolerance:
                    break
            room = max(0, budget.measurements - len(measured))
            refused = plan.profiled_space.encode(controls.refused.values())
            taken = np.concatenate([population, judges, refused])
            rng = np.random.default_rng([plan.spec.seed, len(population)])
            first = controls.unmeasured[:room]
            wanted = min(BATCH, room) - len(first)
            batch = choose_next(
                plan.profiled_space, target.workload, taken, wanted, rng, predictor=predictor, prior=prior
            )
            share = unmeasured[: judges_a_round if room else None]
            if not first and not len(batch) and not len(share):
                break
            unmeasured = unmeasured[len(share) :]
            chosen = [*first, *plan.profiled_space.decode(in_turns(batch, share))]
            self._measure(context, target, controls, chosen, done, per_target * len(plan.targets))
            if len(known_measurements(context, target)[1]) == len(measured) + judged:
                break  # the device refused all of it: noted one by one
        if predictor is None and measured:
            # The space has too few architectures to hold any out, or to need more.
            predictor = fit_predictor(context, target, population, measured, prior)
            context.store.put_predictor(target, plan.space.digest, predictor.to_state())
            said = f"{len(measured)} measurements are all there is to measure; none judges the predictor"
            context.note(self.name, f"{target}: {said}")
        elif predictor is not None:
            context.store.put_predictor(target, plan.space.digest, predictor.to_state())
            _keep(context, profile)
            context.note(self.name, f"{target}: {describe(profile)}", **profile.to_dict())
        total = per_target * len(plan.targets)
        context.progress(self.name, (number + 1) * per_target, total, f"{target.device} profiled")

    def _measure(
        self,
        context: StageContext,
        target: Target,
        controls: Controls,
        architectures: list[Architecture],
        done: int,
        total: int,
    ) -> None:
        context.progress(self.name, done, total, f"{target.device}")
        for measurement in controls.measure(architectures):
            done += 1
            context.progress(
                self.name, done, total, f"{target.device}: {measurement.corrected.latency_ms:.2f} ms"
            )

    def _judge(
        self,
        context: StageContext,
        target: Target,
        predictor: Predictor,
        judges: Population,
        population: Population,
    ) -> TargetProfile:
        space = context.plan.space
        by_digest = {m.digest: m for m in known_measurements(context, target)[1]}
        rows, latencies = [], []
        for row, architecture in zip(judges, space.decode(judges), strict=True):
            if architecture.digest in by_digest:
                rows.append(row)
                latencies.append(by_digest[architecture.digest].corrected.latency_ms)
        report = held_out_report(predictor, np.array(rows), np.array(latencies))
        single = int((~context.plan.profiled_space.is_member(population)).sum())
        return TargetProfile(
            target, predictor.name, len(population), len(rows), single_blocks=single, **report.to_dict()
        )


def holdout(space: SearchSpace, n: int, seed: int) -> Population:
    """The (≤ n, genes) random architectures that only judge predictors, fixed by space and seed."""
    rows = np.unique(space.sample(4 * n, np.random.default_rng([seed, 1])), axis=0)
    # Of a space of few architectures half are left to learn from.
    return np.random.default_rng([seed, 2]).permutation(rows)[: min(n, len(rows) // 2)]


def in_turns(first: Population, second: Population) -> Population:
    """(n + m, genes) the rows of both, each spread evenly over the whole."""
    places = [(np.arange(len(rows)) + 0.5) / max(1, len(rows)) for rows in (first, second)]
    return np.concatenate([first, second])[np.argsort(np.concatenate(places), kind="stable")]


def prior_of_other_targets(context: StageContext, target: Target) -> Prior | None:
    """What measurements of this space's architectures on other targets say of this one; None where there
    are too few."""
    space = context.plan.profiled_space
    others = []
    for other in context.store.targets():
        if other != target and other.workload.phase is target.workload.phase:
            population, measured = known_measurements(context, other)
            if space.is_member(population).sum() >= ENOUGH:
                others.append(
                    (other.workload, population, np.array([m.corrected.latency_ms for m in measured]))
                )
    return transfer_prior(space, target.workload, others) if others else None


def _measured(context: StageContext, target: Target, population: Population) -> NDArray[np.bool_]:
    """(n,) which are."""
    digests = [a.digest for a in context.plan.space.decode(population)]
    known = {m.digest for m in context.store.measurements(target, digests)}
    return np.array([digest in known for digest in digests], bool)


def known_measurements(
    context: StageContext, target: Target, exclude: set[str] | frozenset[str] = frozenset()
) -> tuple[Population, list[Measurement]]:
    """(n, genes) of the profiled space, and their measurements: everything in the store that it contains."""
    space = context.plan.profiled_space
    measurements = [m for m in context.store.measurements(target) if m.digest not in exclude]
    architectures = context.store.architectures([m.digest for m in measurements])
    usable = [
        m for m in measurements if m.digest in architectures and space.contains(architectures[m.digest])
    ]
    return space.encode(architectures[m.digest] for m in usable), usable


def fit_predictor(
    context: StageContext,
    target: Target,
    population: Population,
    measured: list[Measurement],
    prior: Prior | None = None,
) -> Predictor:
    """A predictor of the job's kind, fitted to (n, genes) measurements of the profiled space."""
    name = context.plan.spec.budget.profile.predictor
    predictor = make_predictor(name, context.plan.profiled_space, target.workload, prior)
    return predictor.fit(
        population,
        np.array([m.corrected.latency_ms for m in measured]),
        np.array([m.corrected.error_ms for m in measured]),
    )


def _keep(context: StageContext, profile: TargetProfile) -> None:
    """With the job, beside those of its other targets."""
    kept = context.store.state(context.job_id, StageName.PROFILE) or {}
    context.store.put_state(
        context.job_id, StageName.PROFILE, {**kept, str(profile.target): profile.to_dict()}
    )


def describe(profile: TargetProfile) -> str:
    """One line for people."""
    blocks = f", {profile.single_blocks} of them single blocks" if profile.single_blocks else ""
    return (
        f"{profile.predictor} from {profile.measured} measurements{blocks}: {profile.within_10:.0%} of "
        f"{profile.held_out} held-out within ±10%, mean error {profile.mape:.1%}, "
        f"Spearman {profile.spearman:.3f}"
    )

"""Profile: fit a predictor for each target, measuring the most informative architectures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nas.analysis.attainability import check_predicted_bounds
from nas.analysis.known import KnownJob
from nas.errors import JobFailed
from nas.export import attention_for
from nas.job import TargetProfile
from nas.objectives.kind import measured_kinds
from nas.objectives.latency_ms import Latency
from nas.objectives.objective import Key
from nas.planning.plan import Plan
from nas.spec import StageName
from nas.stages.controls import Controls, measure_between_controls
from nas.stages.fitting import (
    fit_predictor,
    keep_predictors,
    known_measurements,
    prior_of_other_targets,
)
from nas.stages.stage import Stage, StageContext
from nas.stages.states import ProfileState
from predictors import Predictor, choose_next, held_out_report
from searchspaces.architecture import Architecture
from searchspaces.encoding import Population
from searchspaces.space import SearchSpace
from workers.runtimes import parse_runtime
from workers.target import Target

__all__ = ["Profile", "holdout"]

BATCH = 8
"""Architectures chosen at once, at most: the predictor is refitted and evaluated after each batch."""

FEWEST = 4
"""Measurements before a predictor is fitted at all."""


class Profile(Stage):
    """Measure the most informative architectures, interleaved with a fixed random held-out set on which the
    predictor is evaluated, until its held-out error meets the job's tolerance or the budget is spent.

    In spaces of deep models single blocks are measured as well, wherever they are more informative per
    second. Only members of the space are held out.

    The two sets are interleaved so that a device that slows down or warms up affects both alike. Control
    models are measured in between: whatever was measured while the device was slower than usual is measured
    again. Measurements of earlier jobs, and of this one before it was stopped, come from the store.
    """

    name = StageName.PROFILE

    def run(self, context: StageContext) -> None:
        """See the class."""
        plan = settle_shares(context)  # first: what the parent takes is worth learning from
        profiled = ProfileState.load(context.store, context.job_id, self.name).profiles
        for number, target in enumerate(context.plan.targets):
            if str(target) not in profiled:
                _Run(context, target, number).run()
        if plan.given_task is not None:
            warning = check_predicted_bounds(KnownJob(context.job_id, plan, context.store))
            if warning is not None:
                context.note(self.name, warning)


def settle_shares(context: StageContext) -> Plan:
    """Measure the model that the job starts from, where a bound is a share of what that takes; from then on
    the job's spec has numbers instead."""
    plan = context.plan
    if not any(isinstance(bound, str) for bound in plan.spec.bounds.values()):
        return plan
    parent, measured = plan.space.first, dict[Key, float]()
    for target in plan.targets:
        for _ in measure_between_controls(context, StageName.PROFILE, target, [parent]):
            pass
        for measurement in context.store.measurements(target, [parent.digest]):
            for kind in measured_kinds():
                if (observation := kind.observed(measurement)) is not None:
                    measured[kind.name, str(target)] = observation.value
        if not context.store.measurements(target, [parent.digest]):
            raise JobFailed(f"{target} could not measure the parent, of which bounds are shares")
    for axis in plan.combined:
        measured[axis.key] = sum(factor * measured[key] for factor, key in plan.terms(axis))
    settled = plan.settled(measured)
    for name, bound in settled.spec.bounds.items():
        if isinstance(bound, str):
            raise JobFailed(
                f"{name} is bounded by {bound} of the parent's, which its target does not tell; "
                "accepted: a number"
            )
    context.store.amend(context.job_id, settled.spec)
    said = ", ".join(f"{name} ≤ {bound:.4g}" for name, bound in settled.spec.bounds.items())
    context.note(StageName.PROFILE, f"bounds by what the parent takes: {said}")
    return settled


class _Run:
    """The profiling of one target between two interruptions: batches of measurements, after each of which
    the predictor is fitted to all of them but the held-out ones, and evaluated on those.

    Attributes:
        held_out: (h, genes) the held-out set.
        held_out_ms: (h,) its latencies; NaN where not measured yet.
        unasked: the part of it that is still to be measured.
        population, measured: (n, genes) the training set, and its measurements.
    """

    def __init__(self, context: StageContext, target: Target, number: int) -> None:
        plan = context.plan
        self.context, self.target, self.number = context, target, number
        self.budget = plan.spec.budget.profile
        self.controls = Controls(context, StageName.PROFILE, target)
        self.prior = prior_of_other_targets(context, target)
        self.predictor: Predictor | None = None
        self.profile: TargetProfile | None = None
        self.held_out = holdout(plan.space, self.budget.holdout, plan.spec.seed)
        self._held_out_digests = [a.digest for a in plan.space.decode(self.held_out)]
        self._read()
        self.unasked = self.held_out[~self.tested]

    def run(self) -> None:
        """Measure and fit until a stopping criterion is met; store the predictor."""
        self._learn()
        while not self._learned_enough() and self._measure_batch():
            self._learn()
        self._conclude()

    def _read(self) -> None:
        """Read the target's measurements from the store."""
        held_out = frozenset(self._held_out_digests)
        self.population, self.measured = known_measurements(self.context, self.target, exclude=held_out)
        measured = self.context.store.measurements(self.target, self._held_out_digests)
        known = {m.digest: m.corrected.latency_ms for m in measured}
        self.held_out_ms = np.array([known.get(digest, np.nan) for digest in self._held_out_digests])

    @property
    def tested(self) -> NDArray[np.bool_]:
        """(h,) which of the held-out architectures are measured by now."""
        return ~np.isnan(self.held_out_ms)

    def _learn(self) -> None:
        """Fit the predictor to what is measured by now, and evaluate it on the held-out set."""
        self.controls.measure_again()
        self._read()
        tested = self.tested
        if len(self.measured) < FEWEST or not tested.any():
            return
        self.predictor = self._fitted()
        report = held_out_report(self.predictor, self.held_out[tested], self.held_out_ms[tested])
        single = ~self.context.plan.profiled_space.is_member(self.population)
        self.profile = TargetProfile(
            self.target,
            self.predictor.name,
            len(self.measured),
            int(tested.sum()),
            single_blocks=int(single.sum()),
            **report.to_dict(),
        )

    def _fitted(self) -> Predictor:
        return fit_predictor(self.context, Latency, self.target, self.population, self.measured, self.prior)

    def _learned_enough(self) -> bool:
        minimum = min(self.budget.minimum, self.budget.measurements)
        return (
            self.profile is not None
            and len(self.measured) >= minimum
            and not len(self.unasked)
            and self.profile.mape <= self.budget.tolerance
        )

    def _measure_batch(self) -> bool:
        """Measure the most informative architectures and a share of the held-out set; whether anything was
        measured."""
        architectures = self._chosen()
        self._progress(0)
        done = 0
        for done, measurement in enumerate(self.controls.measure(architectures), 1):
            self._progress(done, f": {measurement.corrected.latency_ms:.2f} ms")
        return done > 0  # else nothing is left, or the device refused all of it: each refusal was noted

    def _chosen(self) -> list[Architecture]:
        """Controls that were never measured first, then informative and held-out architectures in turns."""
        space = self.context.plan.profiled_space
        room = max(0, self.budget.measurements - len(self.measured))
        first = self.controls.unmeasured[:room]
        informative = choose_next(
            space,
            self.target.workload,
            self.population,
            min(self._at_once, room) - len(first),
            np.random.default_rng([self.context.plan.spec.seed, len(self.population)]),
            predictor=self.predictor,
            prior=self.prior,
            excluded=np.concatenate([self.held_out, space.encode(self.controls.refused.values())]),
        )
        # So that all of them are measured by the time that profiling may end.
        at_once = self._at_once
        share = -(-self.budget.holdout * at_once // max(self.budget.minimum, at_once)) if room else None
        held_out, self.unasked = self.unasked[:share], self.unasked[share:]
        return [*first, *space.decode(interleaved(informative, held_out))]

    @property
    def _at_once(self) -> int:
        """Of a small budget half is left for when it is known what models take."""
        return min(BATCH, max(FEWEST, self.budget.measurements // 2))

    def _conclude(self) -> None:
        """Store the predictor and its evaluation, and report them."""
        context, target = self.context, self.target
        if self.predictor is not None and self.profile is not None:
            state = ProfileState.load(context.store, context.job_id, StageName.PROFILE)
            state = replace(state, profiles={**state.profiles, str(target): self.profile})
            self._keep(self.predictor)
            state.save(context.store, context.job_id, StageName.PROFILE)
            said = f"{target}: {describe(self.profile)}{told_attention(target)}"
            context.note(StageName.PROFILE, said, **self.profile.to_dict())
        elif self.measured:
            # The space is too small to hold any out, or to need more.
            self._keep(self._fitted())
            said = f"the space has only {len(self.measured)} architectures to measure, none left to hold out"
            context.note(StageName.PROFILE, f"{target}: {said}")
        done = (self.number + 1) * self._most
        context.progress(StageName.PROFILE, done, self._total, f"{target.device} profiled")

    def _keep(self, predictor: Predictor) -> None:
        keep_predictors(self.context, self.target, predictor, self.population, self.measured)

    @property
    def _most(self) -> int:
        """Measurements of one target at most."""
        return self.budget.holdout + self.budget.measurements

    @property
    def _total(self) -> int:
        return self._most * len(self.context.plan.targets)

    def _progress(self, new: int, said: str = "") -> None:
        """Report progress over all targets, with so many measurements since the store was last read."""
        known = min(len(self.measured), self.budget.measurements) + int(self.tested.sum())
        done = self.number * self._most + known + new
        total = max(self._total, done)  # controls come besides where the budget is smaller than they are
        self.context.progress(StageName.PROFILE, done, total, f"{self.target.device}{said}")


def holdout(space: SearchSpace, n: int, seed: int) -> Population:
    """The (≤ n, genes) random held-out architectures, fixed by space and seed."""
    rows = np.unique(space.sample(4 * n, np.random.default_rng([seed, 1])), axis=0)
    # In a small space half of the architectures are left to learn from.
    return np.random.default_rng([seed, 2]).permutation(rows)[: min(n, len(rows) // 2)]


def interleaved(first: Population, second: Population) -> Population:
    """(n + m, genes) the rows of both, either spread evenly over the whole."""
    places = [(np.arange(len(rows)) + 0.5) / max(1, len(rows)) for rows in (first, second)]
    return np.concatenate([first, second])[np.argsort(np.concatenate(places), kind="stable")]


def describe(profile: TargetProfile) -> str:
    """One line for people."""
    blocks = f", {profile.single_blocks} of them single blocks" if profile.single_blocks else ""
    return (
        f"{profile.predictor} from {profile.measured} measurements{blocks}: {profile.within_10:.0%} of "
        f"{profile.held_out} held-out within ±10%, mean error {profile.mape:.1%}, "
        f"Spearman {profile.spearman:.3f}"
    )


def told_attention(target: Target) -> str:
    """What its files compute causal softmax attention by, for people; nothing where its engine does so by
    itself."""
    form = attention_for([target])
    if form is None:
        return ""
    fastest = parse_runtime(target.runtime).attention(target.workload.tokens)[0]
    lacking = "" if fastest == form.name else f" for want of {fastest}"
    return f"; softmax attention as {form.name}{lacking}"

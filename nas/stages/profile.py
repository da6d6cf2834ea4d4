"""Profile: teach each target's predictor by measuring what tells it most."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nas.job import StageName
from nas.stages.measure import measure_missing
from nas.stages.stage import Stage, StageContext
from predictors import Predictor, choose_next, held_out_report, make_predictor
from searchspaces.architecture import Architecture
from searchspaces.encoding import Population
from searchspaces.space import SearchSpace
from workers.measurement import Measurement
from workers.target import Target

__all__ = ["Profile", "fit_predictor", "holdout"]

BATCH = 8
"""Architectures chosen at once: the predictor is refitted, and judged, after each batch."""


class Profile(Stage):
    """Measure a fixed random held-out set, then what the predictor knows least, until the held-out
    error meets the job's tolerance or the budget is spent. All measurements come from the store where
    an earlier job, or this one before it was stopped, took them."""

    name = StageName.PROFILE

    def run(self, context: StageContext) -> None:
        """See the class."""
        for number, target in enumerate(context.plan.targets):
            self._profile(context, target, number)

    def _profile(self, context: StageContext, target: Target, number: int) -> None:
        plan, budget = context.plan, context.plan.spec.budget.profile
        judges = holdout(plan.space, budget.holdout, plan.spec.seed)
        per_target = budget.holdout + budget.measurements
        total = per_target * len(plan.targets)
        done = number * per_target

        def measure(architectures: list[Architecture], message: str) -> None:
            nonlocal done
            already = len(context.store.measurements(target, [a.digest for a in architectures]))
            done += already
            context.progress(self.name, done, total, message)
            for measurement in measure_missing(context, self.name, target, architectures):
                done += 1
                context.progress(self.name, done, total, f"{message}: {measurement.latency_ms:.2f} ms")

        judge_architectures = plan.space.decode(judges)
        measure(judge_architectures, f"{target.device} held-out")
        judge_digests = {a.digest for a in judge_architectures}
        predictor: Predictor | None = None
        chosen = 0
        while True:
            population, measured = known_measurements(context, target, exclude=judge_digests)
            learned_enough = len(measured) >= min(budget.minimum, budget.measurements)
            if len(measured) >= 4:
                predictor = fit_predictor(context, target, population, measured)
                report = self._judge(context, target, predictor, judges)
                if learned_enough and report["mape"] <= budget.tolerance:
                    break
            room = budget.measurements - max(chosen, len(measured))
            if room <= 0:
                break
            batch = self._choose(context, target, population, judges, min(BATCH, room), predictor)
            if not len(batch):
                break
            measure(plan.space.decode(batch), f"{target.device} learning")
            chosen += len(batch)
        if predictor is not None:
            context.store.put_predictor(target, plan.space.digest, predictor.to_state())
            context.note(
                self.name, f"{target}: {describe(report, len(measured))}", target=str(target), **report
            )
        context.progress(self.name, (number + 1) * per_target, total, f"{target.device} profiled")

    def _choose(
        self,
        context: StageContext,
        target: Target,
        population: Population,
        judges: Population,
        n: int,
        predictor: Predictor | None,
    ) -> Population:
        """Presets before anything else: they are on every plot, and they are what people know."""
        space = context.plan.space
        taken = np.concatenate([population, judges])
        presets = context.plan.preset_population
        fresh = presets[~np.isin(space.keys(presets), space.keys(taken))]
        if len(fresh):
            return fresh[:n]
        rng = np.random.default_rng([context.plan.spec.seed, len(population)])
        return choose_next(space, target.workload, taken, n, rng, predictor=predictor)

    def _judge(
        self, context: StageContext, target: Target, predictor: Predictor, judges: Population
    ) -> dict[str, Any]:
        space = context.plan.space
        by_digest = {m.digest: m for m in context.store.measurements(target)}
        rows, latencies = [], []
        for row, architecture in zip(judges, space.decode(judges), strict=True):
            if architecture.digest in by_digest:
                rows.append(row)
                latencies.append(by_digest[architecture.digest].latency_ms)
        report = held_out_report(predictor, np.array(rows), np.array(latencies))
        facts = {name: None if math.isnan(value) else value for name, value in report.to_dict().items()}
        return {"predictor": predictor.name, "held_out": len(rows), **facts}


def holdout(space: SearchSpace, n: int, seed: int) -> Population:
    """The (≤ n, genes) random architectures that only judge predictors, fixed by space and seed."""
    rows = np.unique(space.sample(4 * n, np.random.default_rng([seed, 1])), axis=0)
    return np.random.default_rng([seed, 2]).permutation(rows)[:n]


def known_measurements(
    context: StageContext, target: Target, exclude: set[str] | frozenset[str] = frozenset()
) -> tuple[Population, list[Measurement]]:
    """(n, genes) and their measurements: everything in the store that this space contains."""
    space = context.plan.space
    measurements = [m for m in context.store.measurements(target) if m.digest not in exclude]
    architectures = context.store.architectures([m.digest for m in measurements])
    usable = [
        m for m in measurements if m.digest in architectures and space.contains(architectures[m.digest])
    ]
    return space.encode(architectures[m.digest] for m in usable), usable


def fit_predictor(
    context: StageContext, target: Target, population: Population, measured: list[Measurement]
) -> Predictor:
    """A predictor of the job's kind, fitted to measurements."""
    predictor = make_predictor(
        context.plan.spec.budget.profile.predictor, context.plan.space, target.workload
    )
    return predictor.fit(
        population, np.array([m.latency_ms for m in measured]), np.array([m.error_ms for m in measured])
    )


def describe(report: dict[str, Any], measured: int) -> str:
    """One line for people."""
    ranks = "" if report["spearman"] is None else f", Spearman {report['spearman']:.3f}"
    return (
        f"{report['predictor']} from {measured} measurements: {report['within_10']:.0%} of "
        f"{report['held_out']} held-out within ±10%, mean error {report['mape']:.1%}{ranks}"
    )

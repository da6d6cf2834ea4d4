"""Did the search beat what is published? Asked of models of one fidelity, told with standard errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nas.analysis.delivered import alone_scores, seed_deviation
from nas.analysis.known import Known
from nas.comparison import Comparison, paired_difference
from nas.evaluation import Conversion, Evaluation, Split
from nas.front import Scope
from nas.objectives.latency_ms import LATENCY
from nas.point import Point
from workers.target import Target

__all__ = ["compare_with_presets"]


@dataclass(frozen=True)
class _Tested:
    """A point that was scored on the test split, sequence by sequence, with weights of one fidelity."""

    point: Point
    test: Evaluation

    def latency_ms(self, target: Target) -> float | None:
        latency = self.point.known(LATENCY, target)
        return None if latency is None else latency.measured


def compare_with_presets(job: Known) -> list[Comparison]:
    """Each found model beside the published design that scored best on the test split of those that are no
    faster, for each target; the fastest first.

    Where found models and designs were trained alone to one end, those are compared, and no others; elsewhere
    members of the front and designs, with the weights of the supernet. Where several seeds of a model are
    known, their spread is part of every standard error. On a target of another number format than that of
    training the files that run there are compared, as far as they were scored.
    """
    sign = job.plan.task.direction.sign
    found = []
    for target in job.plan.targets:
        steps, tested = _highest_fidelity(job, Conversion.of(target))
        chance = seed_deviation(alone_scores(job, Split.TEST, [one.point for one in tested]).values())
        measured = [(ms, one) for one in tested if (ms := one.latency_ms(target)) is not None]
        designs = [(ms, one) for ms, one in measured if one.point.preset]
        for found_ms, one in sorted(measured, key=lambda pair: pair[0]):
            no_faster = [(ms, design) for ms, design in designs if ms >= found_ms]
            if one.point.preset or not no_faster:
                continue
            baseline_ms, baseline = min(no_faster, key=lambda pair: sign * pair[1].test.value)
            found.append(
                Comparison(
                    target=target,
                    found=one.point.digest,
                    baseline=baseline.point.digest,
                    preset=str(baseline.point.preset),
                    found_ms=found_ms,
                    baseline_ms=baseline_ms,
                    found_test=one.test.value,
                    baseline_test=baseline.test.value,
                    difference=paired_difference(one.test.sequences, baseline.test.sequences, chance),
                    steps=steps,
                )
            )
    return found


def _highest_fidelity(job: Known, conversion: Conversion | None) -> tuple[int, list[_Tested]]:
    """The steps that models were trained alone, 0 for those of the supernet, and what was scored so, once
    converted."""

    def tested(weights: str, points: list[Point]) -> list[_Tested]:
        return list(_tested(job, weights if conversion is None else conversion.weights(weights), points))

    budget = job.plan.spec.budget.finalists
    if budget.start == "scratch":
        trained = [p for p in job.store.points(job.job_id) if p.tuned is not None]
        alone = [one for p in trained if p.tuned for one in tested(p.tuned.weights, [p])]
        if any(one.point.preset for one in alone) and any(not one.point.preset for one in alone):
            return budget.steps, alone
    shown = job.store.points(job.job_id, Scope.SHOWN)
    return 0, tested(job.plan.supernet_digest, shown)


def _tested(job: Known, weights: str, points: list[Point]) -> Iterator[_Tested]:
    scored = job.store.evaluations(weights, Split.TEST, [p.digest for p in points])
    by_digest = {e.digest: e for e in scored if len(e.sequences) > 1}
    yield from (_Tested(p, by_digest[p.digest]) for p in points if p.digest in by_digest)

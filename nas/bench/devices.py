"""Profile real targets, and compare predictors on held-out architectures: each target as if it were new."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nas.errors import InvalidSpec
from nas.service.api import Service
from nas.spec import Budget, JobSpec, ProfileBudget, StageName, TargetSpec
from nas.stages.profile import holdout
from predictors import PredictorError, Prior, get_predictor, make_predictor, transfer_prior
from predictors.posterior import Mask
from predictors.predictor import Vector
from predictors.report import score
from searchspaces.encoding import Population
from searchspaces.errors import Problem, SpaceError
from searchspaces.space import SearchSpace, load_space
from workers.measuring import describe_device
from workers.target import Target

__all__ = ["DEFAULT_TARGETS", "DeviceBench", "targets_here"]

DEFAULT_TARGETS = tuple(
    Target.parse(f"local-cpu/{text}")
    for text in (
        "onnxruntime/fp32/1t/prefill/b1/n1024",
        "onnxruntime/fp32/2t/prefill/b1/n1024",
        "onnxruntime/int8/1t/prefill/b1/n1024",
        "openvino/fp32/1t/prefill/b1/n1024",
        "torch/fp32/1t/prefill/b1/n1024",
        "onnxruntime/fp32/1t/prefill/b4/n256",
        "onnxruntime/fp32/1t/decode/b1/n1024",
        "openvino/fp32/1t/decode/b1/n1024",
    )
)
"""What this machine can be: engines, number formats, threads, shapes of the prompt, and decoding."""

FINEST = 1e-6
"""A tolerance that no predictor meets: every measurement of the budget is taken."""

DRIFT = "controls"
PROTOCOL = (
    "every call timed between two of a reference model, their ratio kept; control models read between "
    "batches: what a disturbed device measured is measured again, or divided by its slowdown"
)
"""How a device's drift is dealt with, as `predictors.handling` names and describes it for tables."""

TIMED_ROWS = 10_000
"""Architectures on which the speed of predicting is timed."""


def targets_here() -> tuple[list[Target], dict[Target, str]]:
    """Those of `DEFAULT_TARGETS` that this machine serves, and of the others why not."""
    here = describe_device("local-cpu")
    obstacles = {target: here.obstacle(target) for target in DEFAULT_TARGETS}
    return (
        [target for target, obstacle in obstacles.items() if obstacle is None],
        {target: obstacle for target, obstacle in obstacles.items() if obstacle is not None},
    )


@dataclass(frozen=True)
class DeviceBench:
    """What to measure, and how to compare predictors.

    Attributes:
        space: a name, or a path to a YAML file.
        targets: to profile.
        learn: architectures a target that are chosen for what they tell.
        holdout: random ones that are held out, measured in turns with those.
        samples: how many of the learned ones predictors get.
        predictors: registered names.
        seeds: draws of each number of samples.
        seed: of the held-out architectures and of what is measured.
    """

    space: str
    targets: Sequence[Target]
    learn: int = 48
    holdout: int = 40
    samples: Sequence[int] = (1, 3, 5, 10, 20, 48)
    predictors: Sequence[str] = ("additive", "transfer")
    seeds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        for name in self.predictors:
            try:
                get_predictor(name)
            except ValueError as error:
                problems.append(Problem("predictors", str(error)))
        if not self.samples or not all(1 <= n <= self.learn for n in self.samples):
            problems.append(Problem("samples", f"{list(self.samples)}; accepted: 1 to learn, {self.learn}"))
        if problems:
            raise InvalidSpec(problems)

    def job(self) -> JobSpec:
        """The job that takes the measurements: those that are there already are not taken again."""
        profile = ProfileBudget(
            measurements=self.learn, minimum=self.learn, holdout=self.holdout, tolerance=FINEST
        )
        return JobSpec(
            name="bench-devices",
            space=self.space,
            targets=tuple(map(_target_spec, self.targets)),
            budget=Budget(profile=profile),
            until=StageName.PROFILE,
            seed=self.seed,
        )

    @threadpool_limits.wrap(limits=1)  # as on published tables: speeds are those of one core
    def run(self, service: Service) -> dict[str, Any]:
        """Every predictor on every target, learned from few of its own measurements and, where it can use
        them, from those of all other targets of the same phase.

        Returns:
            Plain data as `predictors.bench.run_table_bench` gives it; ``targets`` tells each target's range
            of held-out latencies, how many measurements were noisy, and for how many another number stands
            in, since control models told that the device was disturbed.

        Raises:
            InvalidSpec: there is no such space.
        """
        try:
            space = load_space(self.space)
        except SpaceError as error:
            raise InvalidSpec(error.problems) from error
        beside = space.with_single_blocks
        held_out = holdout(space, self.holdout, self.seed)
        notes: list[str] = []
        found = {}
        for target in self.targets:
            profiled = _Profiled.read(service, beside, target, held_out, self.learn)
            if len(profiled.held_out_ms) and len(profiled.learned_ms):
                found[target] = profiled
            else:
                notes.append(f"{target}: left out, nothing was measured on it")
        rows = [row for target in found for row in self._rows(beside, target, found, notes)]
        return {
            "table": f"{space.name} on {len(found)} targets",
            "protocol": {DRIFT: PROTOCOL},
            "notes": list(dict.fromkeys(notes)),
            "seeds": self.seeds,
            "targets": [profiled.facts() for profiled in found.values()],
            "rows": rows,
            "means": list(_means(rows)),
        }

    def _rows(
        self, space: SearchSpace, target: Target, found: dict[Target, _Profiled], notes: list[str]
    ) -> Iterator[dict[str, Any]]:
        own = found[target]
        others = [
            (other.workload, each.learned, each.learned_ms)
            for other, each in found.items()
            if other != target and other.workload.phase is target.workload.phase and each.whole.any()
        ]
        prior = transfer_prior(space, target.workload, others) if others else None
        if prior is None:
            notes.append(f"{target}: no other target of its phase, so nothing is transferred to it")
        timed = space.sample(TIMED_ROWS, np.random.default_rng(0))
        for name in self.predictors:
            usable = len(own.usable(name))
            for n in self.samples:
                if n > usable:
                    said = f"{n} samples left out, {usable} that teach it were measured"
                    notes.append(f"{target}: {name}: {said}")
                    continue
                # All there are can be drawn in one way only.
                seeds = self.seeds if n < usable else 1
                try:
                    scores = [own.score(space, name, n, seed, prior, timed) for seed in range(seeds)]
                except PredictorError as error:
                    notes.append(f"{name} from {n}: {error}")
                    continue
                key = {"drift": DRIFT, "predictor": name, "samples": n, "device": str(target)}
                yield {**key, **_mean(scores)}


@dataclass(frozen=True)
class _Profiled:
    """One target's measurements: (n, genes) and (n,) in ms, in the order in which they were taken, and the
    standard errors of those that teach; `whole` are those of members, not of single blocks."""

    target: Target
    learned: Population
    learned_ms: Vector
    error_ms: Vector
    whole: Mask
    held_out: Population
    held_out_ms: Vector
    noisy: int
    corrected: int

    @classmethod
    def read(
        cls, service: Service, space: SearchSpace, target: Target, held_out: Population, most: int
    ) -> _Profiled:
        digests = {architecture.digest for architecture in space.decode(held_out)}
        taken = [(a, m) for a, m in service.measurements(target) if space.contains(a)]
        tested = [(a, m) for a, m in taken if m.digest in digests]
        learned = [(a, m) for a, m in taken if m.digest not in digests][:most]
        rows = space.encode(a for a, _ in learned)
        return cls(
            target,
            rows,
            np.array([m.corrected.latency_ms for _, m in learned]),
            np.array([m.corrected.error_ms for _, m in learned]),
            space.is_member(rows),
            space.encode(a for a, _ in tested),
            np.array([m.corrected.latency_ms for _, m in tested]),
            sum(m.noisy for _, m in (*learned, *tested)),
            sum(m.correction is not None for _, m in (*learned, *tested)),
        )

    def facts(self) -> dict[str, Any]:
        """What was measured, as plain data."""
        return {
            "target": str(self.target),
            "learned": len(self.learned_ms),
            "single_blocks": int((~self.whole).sum()),
            "held_out": len(self.held_out_ms),
            "noisy": self.noisy,
            "corrected": self.corrected,
            "least_ms": float(self.held_out_ms.min()),
            "most_ms": float(self.held_out_ms.max()),
        }

    def usable(self, name: str) -> NDArray[np.int64]:
        """Indices of what a predictor can learn from."""
        return np.flatnonzero(self.whole | get_predictor(name).learns_from_blocks)

    def score(
        self, space: SearchSpace, name: str, n: int, seed: int, prior: Prior | None, timed: Population
    ) -> dict[str, float]:
        """Learn from n and what is known of their errors, as profiling does, but drawn at random; score
        the held-out ones."""
        drawn = np.random.default_rng(seed).permutation(self.usable(name))[:n]
        start = time.perf_counter()
        predictor = make_predictor(name, space, self.target.workload, prior)
        predictor.fit(self.learned[drawn], self.learned_ms[drawn], self.error_ms[drawn])
        fitted = time.perf_counter()
        predictor.predict(timed)
        predicted = time.perf_counter()
        return {
            **score(predictor.predict(self.held_out), self.held_out_ms).to_dict(),
            "fit_ms": 1000 * (fitted - start),
            "predict_per_s": len(timed) / (predicted - fitted),
        }


def _target_spec(target: Target) -> TargetSpec:
    workload = target.workload
    return TargetSpec(
        device=target.device,
        runtime=target.runtime,
        dtype=target.dtype,
        threads=target.threads,
        phase=workload.phase,
        batch=workload.batch,
        tokens=workload.tokens,
    )


def _mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}


def _means(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Means over targets, in the order of the rows."""
    keys = dict.fromkeys((row["drift"], row["predictor"], row["samples"]) for row in rows)
    for drift, predictor, samples in keys:
        alike = [
            row
            for row in rows
            if (row["drift"], row["predictor"], row["samples"]) == (drift, predictor, samples)
        ]
        numbers = [{k: v for k, v in row.items() if isinstance(v, float)} for row in alike]
        key = {"drift": drift, "predictor": predictor, "samples": samples, "devices": len(alike)}
        yield {**key, **_mean(numbers)}

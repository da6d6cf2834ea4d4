"""A service's surroundings in virtual time: evaluation processes and devices that compute their answers.

These backends (`nas.stages.backends`) cost no time and need no device, so that a
`nas.controller.controller.Controller` runs whole jobs with any number of processes, stragglers and failures.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nas.errors import JobFailed, NoWorker
from nas.evaluation import Conversion, Evaluation, Split
from nas.planning.plan import Plan
from nas.stages.backends import Finalist, FinalistProgress, TrainingProgress
from nas.store.store import Store, SupernetRecord
from nas.training import TrainingResult
from nas.training.checkpoint import save_checkpoint
from searchspaces.architecture import Architecture
from workers.measurement import Measurement
from workers.request import MeasurementFailure, MeasurementRequest, Outcome
from workers.target import Target

__all__ = ["SimulatedComputeBackend", "SimulatedMeasurementBackend"]


def _chance(seed: int, *of: str) -> np.random.Generator:
    """What happens to one thing follows from its name, not from when it happens: the same on any number of
    processes."""
    return np.random.default_rng([seed, *"/".join(of).encode()])


@dataclass
class SimulatedComputeBackend:
    """Evaluation processes in virtual time; a `ComputeBackend`.

    Args:
        quality: of an architecture on a split, in the task's metric.
        processes: evaluations at once.
        seconds: virtual duration of one whole evaluation, drawn for each; 1 s by default.
        failures: probability that an architecture cannot be scored.
        noise: standard deviation by which half of a split answers otherwise than the whole one.
        seed: of the durations and failures.
    """

    quality: Callable[[Architecture, Split], float]
    processes: int = 1
    seconds: Callable[[np.random.Generator], float] = field(default=lambda rng: 1.0)
    failures: float = 0.0
    noise: float = 0.0
    seed: int = 0
    clock: float = field(default=0.0, init=False)
    """Virtual seconds that passed so far, over all pools."""
    evaluated: int = field(default=0, init=False)
    """Evaluations done so far."""

    def model_files(self, folder: Path) -> _NoFiles:
        """See `nas.stages.backends.ComputeBackend.model_files`."""
        return _NoFiles()

    @contextmanager
    def evaluations(
        self,
        plan: Plan,
        supernet: SupernetRecord,
        check_stop: Callable[[], None],
        note: Callable[[str], None],
    ) -> Iterator[_SimulatedPool]:
        """See `nas.stages.backends.ComputeBackend.evaluations`."""
        yield _SimulatedPool(self, supernet.digest)

    def train(
        self, plan: Plan, folder: Path, progress: TrainingProgress, stopped: Callable[[], bool]
    ) -> TrainingResult:
        """See `nas.stages.backends.ComputeBackend.train`; the supernet's file holds no weights, since nobody
        asks for them."""
        path = folder / "supernet.safetensors"
        save_checkpoint(path, {}, {"simulated": True})
        return TrainingResult(path, plan.spec.budget.train.steps, 0.0, ())

    def finetune(
        self,
        plan: Plan,
        supernet: SupernetRecord,
        finalists: Sequence[Finalist],
        on_progress: Callable[[FinalistProgress], None],
        stopped: Callable[[], bool],
    ) -> None:
        """See `nas.stages.backends.ComputeBackend.finetune`.

        Raises:
            JobFailed: always: qualities are computed here, there are no weights to go on with.
        """
        raise JobFailed("a simulation has no finalists; accepted: budget.finalists.count 0")


class _NoFiles:
    """See `nas.stages.backends.ModelFiles`; a simulated device looks at no file."""

    def model(self, architecture: Architecture, target: Target) -> bytes:
        """See `nas.stages.backends.ModelFiles`."""
        return b""

    def reference(self, target: Target) -> bytes:
        """See `nas.stages.backends.ModelFiles`."""
        return b""


class _SimulatedPool:
    """See `nas.stages.backends.EvaluationPool`."""

    def __init__(self, of: SimulatedComputeBackend, supernet: str) -> None:
        self._of, self._supernet = of, supernet
        self._free = [of.clock] * of.processes
        self._running: list[tuple[float, int, Evaluation]] = []
        self._submitted = 0

    def submit(
        self,
        architecture: Architecture,
        split: Split,
        share: float = 1.0,
        conversion: Conversion | None = None,
    ) -> None:
        """See `nas.stages.backends.EvaluationPool`; conversions change nothing."""
        of = self._of
        rng = _chance(of.seed, str(split), architecture.digest)
        seconds = of.seconds(rng) * share
        value = math.nan if rng.random() < of.failures else of.quality(architecture, split)
        value += of.noise * math.sqrt(1.0 / share - 1.0) * rng.standard_normal()
        ends = max(heapq.heappop(self._free), of.clock) + seconds
        heapq.heappush(self._free, ends)
        weights = self._supernet if conversion is None else conversion.weights(self._supernet)
        evaluation = Evaluation(weights, architecture.digest, split, value, seconds, share)
        heapq.heappush(self._running, (ends, self._submitted, evaluation))
        self._submitted += 1

    def next(self) -> Evaluation:
        """See `nas.stages.backends.EvaluationPool`."""
        if not self._running:
            raise RuntimeError("no evaluation is queued")
        self._of.clock, _, evaluation = heapq.heappop(self._running)
        self._of.evaluated += 1
        return evaluation

    def drain(self) -> list[Evaluation]:
        """See `nas.stages.backends.EvaluationPool`."""
        return [self.next() for ended, _, _ in sorted(self._running) if ended <= self._of.clock]


@dataclass
class SimulatedMeasurementBackend:
    """Devices that compute their latencies; a `MeasurementBackend`.

    Args:
        store: where the architectures of what is measured are.
        devices: by name, latency in milliseconds of an architecture on a target.
        noise: relative standard deviation of a measurement.
        failures: probability that a device cannot run an architecture.
        seed: of the noise and failures.
    """

    store: Store
    devices: Mapping[str, Callable[[Architecture, Target], float]]
    noise: float = 0.0
    failures: float = 0.0
    seed: int = 0
    measured: list[tuple[str, str]] = field(default_factory=list, init=False)
    """(device, digest) of every measurement asked, in order."""

    def wait_for(self, target: Target, timeout: float) -> None:
        """See `nas.stages.backends.MeasurementBackend`."""
        if target.device not in self.devices:
            raise NoWorker(f"no simulated device {target.device}; there are: {', '.join(self.devices)}")

    def measure(
        self, requests: Iterable[MeasurementRequest], cancelled: Callable[[], bool] | None = None
    ) -> Iterator[Outcome]:
        """See `nas.stages.backends.MeasurementBackend`."""
        for request in requests:
            if cancelled is not None and cancelled():
                return
            yield self._measure(request.digest, request.target)

    def _measure(self, digest: str, target: Target) -> Outcome:
        self.measured.append((target.device, digest))
        rng = _chance(self.seed, str(target), digest)
        if rng.random() < self.failures:
            return MeasurementFailure(digest, target, "it failed, as simulated", retryable=False)
        exact = self.devices[target.device](self.store.architectures([digest])[digest], target)
        latency = exact * math.exp(self.noise * rng.standard_normal())
        spread = exact * max(self.noise, 1e-3)
        return Measurement(digest, target, latency, spread, spread, latency, 1.0, 1.0, 0, 10, 0, False)

"""This machine's engines, and what a model scores and takes in each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nas.bench.device import BenchDevice
from nas.errors import InvalidSpec
from nas.evaluation import Conversion, Split
from nas.export import BlockLibrary
from nas.export.converted import ConvertedModel
from nas.front import Front
from nas.objectives.latency_ms import LATENCY
from nas.planning.plan import Plan
from searchspaces.errors import Problem
from workers.errors import WorkerError
from workers.target import Phase, Target, Workload
from workers.timing import TimingProtocol

if TYPE_CHECKING:
    from searchspaces.architecture import Architecture
    from searchspaces.submodel import Submodel

__all__ = ["ExportDevice"]


class ExportDevice(BenchDevice):
    """This machine, and what models of a job are in its engines.

    Args:
        plan: of the job whose models they are.
        engines: ``RUNTIME`` or ``RUNTIME/DTYPE``; all that work here where empty.
        contexts: tokens before the one that is decoded.
        protocol: of every measurement.
    """

    def __init__(
        self, plan: Plan, engines: Sequence[str], contexts: Sequence[int], protocol: TimingProtocol
    ) -> None:
        self._plan, self._asked, self._contexts = plan, engines, contexts
        self._library, self._name = BlockLibrary(), plan.targets[0].device
        self._losses: dict[str, float] = {}
        super().__init__(self._name, protocol)

    @cached_property
    def engines(self) -> list[Conversion]:
        """Those that were asked for.

        Raises:
            InvalidSpec: one is not here.
        """
        known = {Conversion(r.name, dtype): r.name for r in self.here.runtimes for dtype in r.dtypes}
        wanted = set(self._asked)
        accepted = {str(engine) for engine in known} | set(known.values())
        if lacking := sorted(wanted - accepted):
            said = f"{', '.join(lacking)}: not here; accepted: {', '.join(sorted(accepted))}"
            raise InvalidSpec([Problem("--engines", said)])
        return [e for e, runtime in known.items() if not wanted or wanted & {str(e), runtime}]

    def own_target(self) -> Target:
        """The first of the job's that this machine serves."""
        for target in self._plan.targets:
            if self.here.obstacle(target) is None:
                return target
        said = f"{self._plan.targets[0]}: this machine {self.here.obstacle(self._plan.targets[0])}"
        raise InvalidSpec([Problem("SUBJECT", f"none of the job's targets is served here: {said}")])

    def row(self, submodel: Submodel, engine: Conversion) -> dict[str, Any]:
        """One model in one engine and number format; what failed says why."""
        architecture = submodel.architecture
        told: dict[str, Any] = {"runtime": engine.runtime, "dtype": engine.dtype}
        try:
            told |= self._scores(submodel, engine)
            prefill = Workload(tokens=self._plan.targets[0].workload.tokens)
            reading = self.measure(architecture, self._target(engine, prefill))
            told |= {"prefill_ms": reading.latency_ms, "peak_memory_bytes": reading.peak_memory_bytes}
            phases = next(r.phases for r in self.here.runtimes if r.name == engine.runtime)
            told["decode_ms"] = {
                str(tokens): self.measure(
                    architecture, self._target(engine, Workload(Phase.DECODE, tokens=tokens))
                ).latency_ms
                for tokens in (self._contexts if Phase.DECODE in phases else ())
            }
        except WorkerError as error:
            told["failed"] = str(error)
        return told

    def _target(self, engine: Conversion, workload: Workload) -> Target:
        return Target(self._name, engine.runtime, engine.dtype, 1, workload)

    def _scores(self, submodel: Submodel, engine: Conversion) -> dict[str, Any]:
        """Seconds from weights to first logits (blocks of other models are not exported again), the size of
        the file, the largest difference to torch's logits on the first sequences of the test split, and the
        loss there before and after."""
        import torch

        architecture, task = submodel.architecture, self._plan.task
        batch = next(iter(task.evaluation_batches(Split.TEST))).inputs
        model = ConvertedModel(architecture, submodel.state_dict(), engine, self._library)
        begun = time.perf_counter()
        found = model(batch)
        seconds = time.perf_counter() - begun
        with torch.inference_mode():
            difference = float((found - submodel(batch)).abs().max())
        if architecture.digest not in self._losses:
            self._losses[architecture.digest] = task.evaluate(submodel, Split.TEST)
        return {
            "seconds_to_convert": seconds,
            "bytes": len(model.file(*batch.shape)),
            "difference": difference,
            "loss": task.evaluate(model, Split.TEST),
            "loss_before": self._losses[architecture.digest],
        }

    def asked(
        self, front: Front, target: Target, asked_ms: float, reference_ms: float | None
    ) -> dict[str, Any]:
        """What the front gives within a budget, what it says of that, and what it takes now."""
        point = front.best({f"{LATENCY}@{target}": asked_ms})
        known = point.known(LATENCY, target)
        assert known is not None
        measured = self.measure(point.architecture, target, reference_ms).latency_ms
        return {
            "asked_ms": asked_ms,
            "digest": point.digest,
            "predicted_ms": known.predicted,
            "said_ms": known.best_known,
            "measured_ms": measured,
            "off": abs(measured - known.best_known) / known.best_known,
        }

    def memory_again(self, architecture: Architecture) -> float | None:
        """By what share two readings of a model's peak memory differ, with another model's between them; None
        where it is not told."""
        target = self._target(self.engines[0], self._plan.targets[0].workload)
        try:
            first, _, again = (
                self.measure(each, target).peak_memory_bytes
                for each in (architecture, self._plan.space.first, architecture)
            )
        except WorkerError:
            return None
        return abs(again - first) / first if first else None

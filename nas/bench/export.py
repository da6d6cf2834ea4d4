"""Does what is shipped run as fast and as well as the front said? Models of a job in every engine here."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.errors import InvalidSpec, JobFailed, ModelRejected, NoSuchPoint
from nas.evaluation import Conversion, Split
from nas.export import BlockLibrary, TimedModels, load_model_folder
from nas.export.convert import convert_model_folder
from nas.export.converted import ConvertedModel
from nas.export.formats import FORMATS, get_format
from nas.front import Front, Point
from nas.job import Job, JobStatus
from nas.objectives.latency_ms import LATENCY
from nas.planning.plan import Plan, resolve
from nas.spec import (
    Budget,
    JobSpec,
    ProfileBudget,
    SearchBudget,
    TargetSpec,
    TaskSpec,
    TrainBudget,
    VerifyBudget,
)
from searchspaces.errors import Problem
from workers.capabilities import Capabilities
from workers.errors import WorkerError
from workers.isolated import IsolatedMeasuring
from workers.measurement import Measurement
from workers.request import MeasurementRequest
from workers.runtimes import parse_runtime
from workers.target import Phase, Target, Workload
from workers.timing import TimingProtocol

if TYPE_CHECKING:
    from nas.client import Client
    from searchspaces.architecture import Architecture
    from searchspaces.submodel import Submodel

__all__ = ["ExportBench", "Goal", "run_export_bench"]

PARITY = 1e-3
"""Accepted between the logits of an engine in float32 and torch's."""

BUDGETS_MEDIAN, BUDGETS_WORST = 0.03, 0.08
"""Accepted between what a front says of a model's latency and what it takes, as a share."""

DECODE_GROWTH = 1.2
"""Accepted of a token after the longest context over one after the shortest, where no state grows."""

MEMORY = 0.02
"""Accepted between two readings of a model's peak memory, as a share."""

QUICK_ENGINES, QUICK_FORMATS = ("onnxruntime", "openvino", "torch"), ("hf", "genai", "openvino")

Progress = Callable[[int, int, str], None]
"""Steps done, steps in all, and what is next."""


@dataclass(frozen=True)
class ExportBench:
    """What is exported and asked.

    Attributes:
        models: members of the front, from the best to the fastest.
        budgets: of latency, evenly between those of the front's fastest and slowest member.
        contexts: tokens before the one that is decoded.
        engines: ``RUNTIME`` or ``RUNTIME/DTYPE``; all that work here where empty.
        formats: of folders; all whose engines are here where None.
        protocol: of every measurement.
    """

    models: int = 5
    budgets: int = 10
    contexts: tuple[int, ...] = (256, 8192)
    engines: tuple[str, ...] = ()
    formats: tuple[str, ...] | None = None
    protocol: TimingProtocol = field(default_factory=TimingProtocol)

    def quick(self) -> ExportBench:
        """The least that shows that it works, without engines that compile, which takes minutes."""
        protocol = replace(self.protocol, max_seconds=0.5, goal_error=0.03)
        here = [name for name in QUICK_ENGINES if parse_runtime(name).capability() is not None]
        return replace(
            self,
            models=2,
            budgets=4,
            contexts=(64, 512),
            engines=self.engines or tuple(here),
            formats=tuple(name for name in _formats(self) if name in QUICK_FORMATS),
            protocol=protocol,
        )

    def of_space(self, space: str, task: str) -> JobSpec:
        """A job whose models are exported, where there is none: trained a little, since loss is compared."""
        budget = Budget(
            profile=ProfileBudget(measurements=12, minimum=8, holdout=6, tolerance=0.1),
            train=TrainBudget(steps=20, batch=1),
            search=SearchBudget(evaluations=12, batch=6),
            verify=VerifyBudget(rounds=1, evaluations=1),
        )
        task_spec = TaskSpec.model_validate({"name": task, "evaluation_tokens": 4096})
        targets = (TargetSpec(tokens=256),)
        return JobSpec(name="export", space=space, task=task_spec, targets=targets, budget=budget)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted of the export, and whether it is so.

    Attributes:
        value: what was found; None where nothing tells.
        limit: at most this.
    """

    name: str
    value: float | None
    limit: float

    @property
    def met(self) -> bool:
        """Also where nothing tells."""
        return self.value is None or self.value <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "met": self.met}


def run_export_bench(bench: ExportBench, client: Client, job: Job, progress: Progress) -> dict[str, Any]:
    """Extract models of a job that has succeeded, run them in every engine and number format of this machine
    and write them in every format; then ask the front for models within budgets, and time these. Plain data:
    ``engines`` (a row for each model, engine and number format), ``formats``, ``budgets`` and ``goals``.

    Raises:
        InvalidSpec: the job has not ended, or none of its targets is of this machine; an engine is not here.
        NoSuchPoint: its front is empty.
    """
    if job.status is not JobStatus.SUCCEEDED:
        said = f"job {job.id} is {job.status}; accepted: one that has succeeded"
        raise InvalidSpec([Problem("SUBJECT", said)])
    plan, front = resolve(job.spec), client.front(job.id)
    members = _spread(front, bench.models)
    if not members:
        raise NoSuchPoint(f"job {job.id} has no point on its front yet; finish it with: nas resume {job.id}")
    with closing(_Device(plan, bench)) as device, tempfile.TemporaryDirectory(prefix="nas-export-") as folder:
        target = device.own_target()
        formats = _formats(bench)
        steps = len(members) * (len(device.engines) + len(formats)) + bench.budgets
        rows: list[dict[str, Any]] = []
        written: list[dict[str, Any]] = []
        done = 0

        def step(what: str) -> None:
            nonlocal done
            progress(done, steps, what)
            done += 1

        for point in members:
            extracted = Path(folder) / point.digest
            client.extract(job.id, point.digest, extracted)
            submodel = load_model_folder(extracted)
            for engine in device.engines:
                step(f"{point.digest[:8]} in {engine}")
                rows.append({"digest": point.digest, **device.row(submodel, engine)})
            for name in formats:
                step(f"{point.digest[:8]} as {name}")
                out = Path(folder) / f"{point.digest}-{name}"
                written.append({"digest": point.digest, **_written(extracted, out, name)})
        budgets = []
        # In the unit that the front's latencies were measured in, as a job that goes on would.
        known = client.measurements(target)
        unit_ms = known[-1][1].reference_ms if known else None
        for asked in _budgets(front, target, bench.budgets):
            step(f"a model within {asked:.2f} ms")
            budgets.append(device.asked(front, target, asked, unit_ms))
        progress(steps, steps, "done")
        memory = device.memory_again(members[0].architecture)
    return {
        "job": job.id,
        "metric": front.metric,
        "device": device.here.cpu_model,
        "contexts": list(bench.contexts),
        "prefill": target.workload.tokens,
        "target": str(target),
        "engines": rows,
        "formats": written,
        "budgets": budgets,
        "goals": [goal.to_dict() for goal in _goals(bench, plan, members, rows, written, budgets, memory)],
    }


class _Device:
    """This machine, and what models are made for it with."""

    def __init__(self, plan: Plan, bench: ExportBench) -> None:
        self._plan, self._bench = plan, bench
        self._measuring, self._library, self._models = IsolatedMeasuring(), BlockLibrary(), TimedModels()
        self._name = plan.targets[0].device
        self.here: Capabilities = self._measuring.describe(self._name)
        self._losses: dict[str, float] = {}
        self._units: dict[tuple[str, Workload], float] = {}

    def close(self) -> None:
        """End the process that measures."""
        self._measuring.close()

    @cached_property
    def engines(self) -> list[Conversion]:
        """Those that were asked for.

        Raises:
            InvalidSpec: one is not here.
        """
        known = {Conversion(r.name, dtype): r.name for r in self.here.runtimes for dtype in r.dtypes}
        wanted = set(self._bench.engines)
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
                for tokens in (self._bench.contexts if Phase.DECODE in phases else ())
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
        batch = next(iter(task.evaluation_batches(Split.TEST)))[:, :-1]
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

    def measure(
        self, architecture: Architecture, target: Target, reference_ms: float | None = None
    ) -> Measurement:
        """See `workers.measuring.measure`; where no unit is given, in that of the first with the same
        reference."""
        runtime = parse_runtime(target.runtime)
        unit = target.runtime, runtime.reference_workload(target.workload)
        files = self._models.model(architecture, target), self._models.reference(target)
        request = MeasurementRequest(
            architecture.digest,
            target,
            *files,
            architecture.vocabulary,
            reference_ms or self._units.get(unit),
            self._bench.protocol,
        )
        measurement = self._measuring.measure(request, self.here)
        self._units.setdefault(unit, measurement.reference_ms)
        return measurement

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


def _spread(front: Front, count: int) -> list[Point]:
    members = front.members()
    return [members[round(at)] for at in np.linspace(0, len(members) - 1, min(count, len(members)))]


def _formats(bench: ExportBench) -> list[str]:
    if bench.formats is not None:
        return list(bench.formats)
    return [name for name in FORMATS.names() if None not in get_format(name).versions().values()]


def _written(folder: Path, out: Path, name: str) -> dict[str, Any]:
    begun = time.perf_counter()
    try:
        manifest = convert_model_folder(folder, out, name)
    except (InvalidSpec, ModelRejected) as error:
        return {"format": name, "failed": str(error)}
    return {
        "format": name,
        "seconds_to_convert": time.perf_counter() - begun,
        "bytes": sum(file.stat().st_size for file in out.rglob("*") if file.is_file()),
        "difference": manifest["export"]["largest_difference"],
    }


def _budgets(front: Front, target: Target, count: int) -> list[float]:
    known = [v.best_known for p in front.members() if (v := p.known(LATENCY, target)) is not None]
    if not known:
        raise JobFailed(f"job {front.job} has no latency on {target}")
    return np.linspace(min(known), max(known), count).tolist()


def _goals(
    bench: ExportBench,
    plan: Plan,
    members: Sequence[Point],
    rows: Sequence[dict[str, Any]],
    written: Sequence[dict[str, Any]],
    budgets: Sequence[dict[str, Any]],
    memory: float | None,
) -> Iterator[Goal]:
    exact = [row["difference"] for row in rows if row["dtype"] == "fp32" and "difference" in row]
    exact += [row["difference"] for row in written if row.get("difference") is not None]
    yield Goal("difference to torch in fp32", max(exact, default=None), PARITY)
    failed = [row for row in (*rows, *written) if "failed" in row]
    yield Goal("models that an engine does not take", float(len(failed)), 0.0)
    off = [row["off"] for row in budgets]
    yield Goal("latency said and measured, median", median(off) if off else None, BUDGETS_MEDIAN)
    yield Goal("latency said and measured, worst", max(off, default=None), BUDGETS_WORST)
    bounded = {point.digest for point in members if _bounded(plan, point)}
    shortest, longest = (str(end(bench.contexts)) for end in (min, max))
    growth = [
        decoding[longest] / decoding[shortest]
        for row in rows
        if row["digest"] in bounded and row["dtype"] == "fp32" and (decoding := row.get("decode_ms"))
    ]
    yield Goal(f"a token after {longest} over after {shortest}", max(growth, default=None), DECODE_GROWTH)
    yield Goal("peak memory, read twice", memory, MEMORY)


def _bounded(plan: Plan, point: Point) -> bool:
    """Whether no state of it grows with the context."""
    rows = plan.space.encode([point.architecture])
    one, two = (int(plan.costs.state_bytes(rows, tokens)[0]) for tokens in (1 << 16, 1 << 17))
    return one == two

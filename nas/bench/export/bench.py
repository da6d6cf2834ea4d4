"""Does what is shipped run as fast and as well as the front said? Models of a job in every engine here."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.bench.device import unit_of
from nas.bench.export.device import ExportDevice
from nas.bench.export.goals import export_goals
from nas.errors import InvalidSpec, JobFailed, ModelRejected, NothingMeetsBounds
from nas.export import load_model_folder
from nas.export.convert import convert_model_folder
from nas.export.formats import FORMATS, get_format
from nas.front import Front
from nas.job import Job, JobStatus
from nas.objectives.latency_ms import LATENCY
from nas.planning.plan import resolve
from nas.point import Point
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
from workers.runtimes import parse_runtime
from workers.target import Target
from workers.timing import TimingProtocol

if TYPE_CHECKING:
    from nas.client import Client

__all__ = ["ExportBench", "run_export_bench"]

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


def run_export_bench(bench: ExportBench, client: Client, job: Job, progress: Progress) -> dict[str, Any]:
    """Extract models of a job that has succeeded, run them in every engine and number format of this machine
    and write them in every format; then ask the front for models within budgets, and time these. Plain data:
    ``engines`` (a row for each model, engine and number format), ``formats``, ``budgets`` and ``goals``.

    Raises:
        InvalidSpec: the job has not ended, or none of its targets is of this machine; an engine is not here.
        NothingMeetsBounds: its front is empty.
    """
    if job.status is not JobStatus.SUCCEEDED:
        said = f"job {job.id} is {job.status}; accepted: one that has succeeded"
        raise InvalidSpec([Problem("SUBJECT", said)])
    plan, front = resolve(job.spec), client.front(job.id)
    members = _spread(front, bench.models)
    if not members:
        raise NothingMeetsBounds(front.why_empty())
    with (
        closing(ExportDevice(plan, bench.engines, bench.contexts, bench.protocol)) as device,
        tempfile.TemporaryDirectory(prefix="nas-export-") as folder,
    ):
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
        unit_ms = unit_of(client, target)
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
        "goals": [
            goal.to_dict() for goal in export_goals(bench.contexts, members, rows, written, budgets, memory)
        ],
    }


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

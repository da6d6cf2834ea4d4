"""What is a search worth to a pretrained model? What it finds beside what the model is cut to without one.

At each share of the parent's latency a job finds a model (`nas.planning.start`); beside it stand cuts that
take as long (`nas.bench.start.cuts`), untrained, and all healed alike: the same steps, batches and teacher.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.bench.device import BenchDevice, unit_of
from nas.bench.start.cuts import (
    Cut,
    DroppedLayers,
    NarrowedAlike,
    PrunedByMagnitude,
    WindowedAlike,
    nearest_below,
)
from nas.bench.start.kept import Kept, keep_settings
from nas.errors import NothingMeetsBounds
from nas.evaluation import Split
from nas.files import write_whole
from nas.objectives.latency_ms import LATENCY
from nas.pretrained import Parent, read_parent
from searchspaces.architecture import Architecture
from workers.target import Target, Workload
from workers.timing import TimingProtocol

if TYPE_CHECKING:
    from nas.bench.start.settled import SettledBench
    from nas.client import Client
    from nas.job import Job
    from nas.pretrained.fitting import Moments
    from nas.spec import JobSpec
    from searchspaces.submodel import Submodel

__all__ = ["run_start_bench"]

FOUND = "found"
"""Name of what the job found; `cuts` have names of their own."""


def run_start_bench(
    settled: SettledBench,
    client: Client,
    run_job: Callable[[JobSpec, str], Job],
    folder: Path,
    on_progress: Callable[[str], None],
) -> dict[str, Any]:
    """Find, cut, heal and time; plain data: `rows`, one a model and level, and in `notes` which ones a level
    has not, and why.

    Args:
        run_job: submits a job under a key, and runs it to its end.
        folder: keeps every number and what is being healed, so that a run that was stopped goes on; in
            ``result.json`` what is known by now.

    Raises:
        InvalidSpec: the folder keeps numbers of another run.
    """
    keep_settings(folder, settled.identity)
    device = BenchDevice("local-cpu", TimingProtocol(max_seconds=5.0))
    try:
        return _Run(settled, client, run_job, folder, on_progress, device).run()
    finally:
        device.close()


@dataclass
class _Model:
    """One row in the making: a model at a level, made when it is asked for, since several do not fit."""

    level: int | None
    name: str
    architecture: Architecture
    make: Callable[[], Submodel]
    told: dict[str, Any]

    @property
    def key(self) -> str:
        """Of its scores. Where latencies are measured anew, another member of a family may take as long."""
        if self.level is None:
            return self.name
        return f"{self.level}-{self.name}-{self.architecture.digest[:8]}"


class _Run:
    def __init__(
        self,
        settled: SettledBench,
        client: Client,
        run_job: Callable[[JobSpec, str], Job],
        folder: Path,
        on_progress: Callable[[str], None],
        device: BenchDevice,
    ) -> None:
        self._settled, self._client, self._run_job = settled, client, run_job
        self._bench, self._plan = settled.bench, settled.plan
        self._folder, self._say, self._device = folder, on_progress, device
        self._kept = Kept(folder / "known.jsonl")
        self._rows: list[dict[str, Any]] = []
        self._notes: list[str] = []

    def run(self) -> dict[str, Any]:
        """First all models as they are, level by level, then healed."""
        whole = self._parent
        made: list[tuple[_Model, dict[str, Any]]] = []
        for level in self._bench.levels:
            found = self._found(level)
            if not self._rows:  # what the first job measured tells the unit of all latencies
                self._told(_Model(None, "parent", whole.architecture, lambda: whole, {}))
            made += [(model, self._told(model)) for model in [*found, *self._cuts(level)]]
            self._write()  # a level may have nothing but notes
        for model, row in made if self._bench.heal else []:
            row |= self._healed(model)
            self._write()
        return self._result()

    @cached_property
    def _declared(self) -> Parent:
        return read_parent(Path(self._bench.model))

    @cached_property
    def _parent(self) -> Submodel:
        """Nested as the jobs' is."""
        from nas.pretrained.nesting import nest
        from nas.pretrained.reading import read_model
        from nas.training.start import calibration_tokens

        self._say("reading the parent")
        plan, budget = self._plan, self._plan.spec.budget
        model = read_model(self._declared).requires_grad_(False)
        self._tokens = calibration_tokens(plan.task, budget, plan.space.spec.context, plan.train_seed)
        self._units: list[Moments] = []
        nest(model, self._tokens, lambda _, units: self._units.append(units))
        return model

    @cached_property
    def _families(self) -> list[Cut]:
        self._say("fitting cuts")
        whole, windows = self._parent, [m for m in self._bench.mixers if m.startswith("window")]
        epsilon = self._declared.epsilon
        cuts: list[Cut] = [NarrowedAlike(whole, self._units), PrunedByMagnitude(whole, epsilon)]
        cuts += [WindowedAlike(whole, self._units, mixer, self._tokens) for mixer in windows[:1]]
        return [*cuts, DroppedLayers(whole, self._tokens)]

    def _latency_ms(self, architecture: Architecture, at: Workload | None = None) -> float:
        """At the workload of the job's target, or at another."""
        target, name = self._plan.targets[0], f"latency/{architecture.digest}"
        if at is not None:
            target, name = replace(target, workload=at), f"latency/{at}/{architecture.digest}"
        return self._timed(name, architecture, target)

    def _whole_ms(self, level: int | None) -> float:
        """The parent's latency beside a level's models, which may be timed hours after another level's."""
        level = level or self._bench.levels[0]
        return self._timed(f"latency/parent/{level}", self._parent.architecture, self._plan.targets[0])

    def _timed(self, name: str, architecture: Architecture, target: Target) -> float:
        self._say(f"timing {architecture.digest[:8]} at {target.workload}")
        unit = unit_of(self._client, target)
        return self._kept(name, lambda: self._device.measure(architecture, target, unit).latency_ms)

    def _found(self, level: int) -> list[_Model]:
        """What a job finds for a level; nothing where no model meets it."""
        from nas.export import load_model_folder

        try:
            job = self._run_job(self._settled.spec(level), self._settled.job_key(level))
            point = self._client.front(job.id).best()
        except NothingMeetsBounds as error:
            self._notes.append(f"nothing found takes {level}%: {error}")
            return []
        out = self._folder / f"found-{level}-{point.digest[:8]}"
        if not out.is_dir():
            self._say(f"extracting {point.digest[:8]}")
            self._client.extract(job.id, point.digest, out)
        known = point.known(LATENCY, self._plan.targets[0])
        told = {
            "job": job.id,
            "seconds": job.updated_at - job.created_at,
            "said_ms": None if known is None else known.best_known,
        }
        return [_Model(level, FOUND, point.architecture, partial(load_model_folder, out), told)]

    def _cuts(self, level: int) -> list[_Model]:
        """The families' members that take as long; those that cannot are left out."""
        limit = level / 100 * self._whole_ms(level)
        models = []
        for cut in self._families:
            strength = nearest_below(cut, limit, self._latency_ms)
            if strength is None:
                self._notes.append(f"no model with {cut.name} takes {level}%")
                continue
            architecture = cut.architecture(strength)
            models.append(_Model(level, cut.name, architecture, partial(cut.model, strength), {}))
        return models

    def _told(self, model: _Model) -> dict[str, Any]:
        """The row of a model as it is."""
        whole = self._whole_ms(model.level)
        latency = whole if model.level is None else self._latency_ms(model.architecture)
        self._say(f"scoring {model.key}")
        row = {
            "level": model.level,
            "model": model.name,
            "digest": model.architecture.digest,
            "layers": model.architecture.depth,
            "latency_ms": latency,
            "of_parent": latency / whole,
            "also_ms": {str(at): self._latency_ms(model.architecture, at) for at in self._bench.workloads},
            "perplexity": self._perplexity(f"test/{model.key}", lambda: self._score(model.make())),
            **model.told,
        }
        self._rows.append(row)
        self._write()
        return row

    def _healed(self, model: _Model) -> dict[str, Any]:
        """What a row has besides once the model is trained on."""
        name = f"healed/{self._bench.heal}/{model.key}"
        perplexity = self._perplexity(name, lambda: self._heal(model))
        return {"healed": perplexity, "heal_seconds": self._kept.seconds(name)}

    def _heal(self, model: _Model) -> float:
        from nas.pretrained.teacher import Teacher, has_bfloat16
        from nas.training.finetune import Diverged, FineTuning, best_weights, finetune

        plan, teacher = self._plan, self._parent
        budget = plan.spec.budget.finalists.model_copy(update={"steps": self._bench.heal})
        folder = self._folder / "heal" / str(budget.steps) / model.key.replace(" ", "-")
        student = model.make().requires_grad_(True).train()
        context, seed = plan.space.spec.context, plan.train_seed
        taught = Teacher(teacher.architecture, teacher.weights, has_bfloat16())
        job = FineTuning(plan.task, budget, 0, context, seed, folder, taught)

        def progress(steps: int) -> None:
            self._say(f"healing {model.key}: {steps} of {budget.steps} steps")

        try:
            finetune(student, job, budget.steps, lambda *_: None, progress, lambda: False)
        except Diverged:
            return math.inf
        best = best_weights(folder)
        assert best is not None
        student.load_state_dict(best.tensors)
        score = self._score(student)
        (folder / "checkpoint.safetensors").unlink()  # three times the model; its best weights stay
        return score

    def _score(self, model: Submodel) -> float:
        return self._plan.task.evaluate(model, Split.TEST)

    def _perplexity(self, name: str, score: Callable[[], float]) -> float | None:
        """Of a token, from bits per byte; None where there is none."""
        bits = self._kept(name, score) * self._bytes_per_token
        return 2.0**bits if math.isfinite(bits) else None

    @property
    def _bytes_per_token(self) -> float:
        from nas.tasks.text import Text

        assert isinstance(self._plan.task, Text)
        return self._plan.task.bytes_per_token

    def _result(self) -> dict[str, Any]:
        return {
            "settings": asdict(self._bench),
            "target": str(self._plan.targets[0]),
            "rows": self._rows,
            "notes": self._notes,
        }

    def _write(self) -> None:
        with write_whole(self._folder / "result.json") as path:
            path.write_text(json.dumps(self._result(), indent=1))

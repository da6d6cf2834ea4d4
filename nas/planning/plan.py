"""A job's spec resolved into the objects that its stages work with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import InvalidSpec, JobFailed
from nas.objectives import Objective, Source
from nas.objectives.kind import OBJECTIVES, Combined, Counted, combined_kinds, counted_kinds
from nas.objectives.latency_ms import Latency
from nas.objectives.objective import Key
from nas.planning.objectives import asked_objectives, settle_bounds
from nas.planning.start import Beginning, beginning, uniform
from nas.spec import JobSpec, TargetSpec
from nas.strategies import get_strategy, strategies
from nas.tasks import SequenceOptions, Task, get_task, make_task
from predictors.predictor import get_predictor
from searchspaces.architecture import Architecture
from searchspaces.costs import CostModel
from searchspaces.counted import Deployment
from searchspaces.encoding import Population
from searchspaces.errors import Problem, SpaceError
from searchspaces.presets import Preset, presets
from searchspaces.space import SearchSpace, load_space, space_names
from workers.runtimes import parse_runtime
from workers.target import Phase, Target, Workload

__all__ = ["Plan", "resolve"]


@dataclass(frozen=True)
class Plan:
    """A valid spec and what it names."""

    spec: JobSpec
    space: SearchSpace
    given_task: Task | None
    targets: tuple[Target, ...]
    objectives: tuple[Objective, ...]

    @property
    def task(self) -> Task:
        """What architectures are scored on; only a job that ends with profiling has none.

        Raises:
            JobFailed: this one has none.
        """
        if self.given_task is None:
            raise JobFailed(f"a job until {self.spec.until} has no task")
        return self.given_task

    @cached_property
    def profiled_space(self) -> SearchSpace:
        """What profiling may measure: single blocks too, where they teach the job's predictor."""
        predictor = get_predictor(self.spec.budget.profile.predictor)
        return self.space.with_single_blocks if predictor.learns_from_blocks else self.space

    @cached_property
    def costs(self) -> CostModel:
        """Exact counts over populations."""
        return CostModel(self.space)

    @property
    def parent(self) -> Architecture | None:
        """The model that the job starts from, if any."""
        return None if self.spec.start is None else self.space.first

    @cached_property
    def presets(self) -> dict[str, Preset]:
        """Published designs that the space contains, by name. Of a job that starts from a pretrained model
        that model, and what one would cut it to without a search: one option in every layer."""
        if self.spec.start is not None:
            return {preset.name: preset for preset in uniform(self.space, self.spec.space_name)}
        return presets(self.space)

    @cached_property
    def preset_population(self) -> Population:
        """(p, genes), without repeats."""
        rows = self.space.encode(preset.architecture for preset in self.presets.values())
        return np.unique(rows, axis=0) if len(rows) else rows

    @cached_property
    def supernet_digest(self) -> str:
        """Identifies everything that the supernet's weights follow from."""
        budget, start = self.spec.budget, self.spec.start
        content: dict[str, Any] = {
            "space": self.space.digest,
            "task": self.task.digest,
            "seed": self.train_seed,
        }
        if start is None:
            content["train"] = budget.train.identity()
        else:
            calibrate = budget.calibrate.model_dump(mode="json")
            content |= {"start": start.digest, "calibrate": calibrate, "library": budget.library.identity()}
        return _digest(content)

    def finalist_digest(self, architecture: str, seed: int = 0) -> str:
        """Identifies everything that an architecture's weights follow from where it is trained on its own.

        Args:
            architecture: its digest.
            seed: number of the repetition; 0 for the model that is delivered.
        """
        budget = self.spec.budget.finalists
        start = (
            {"supernet": self.supernet_digest}
            if budget.start == "supernet"
            else {"task": self.task.digest, "context": self.space.spec.context}
        )
        if budget.start == "supernet" and self.spec.start is not None:
            start["optimizer"] = "adamw"
        return _digest(
            {
                **start,
                "architecture": architecture,
                "finalists": budget.identity(),
                "seed": self.train_seed + seed,
            }
        )

    @property
    def tuning(self) -> Plan:
        """With the rung of fine-tunings (`FinalistBudget.tuning_steps`) in place of the finalists."""
        budget = self.spec.budget
        budget = budget.model_copy(update={"finalists": budget.finalists.tuning})
        return replace(self, spec=self.spec.model_copy(update={"budget": budget}))

    @property
    def tuning_digest(self) -> str:
        """Identifies what the weights of that rung follow from besides the architecture."""
        return self.tuning.finalist_digest("")

    @property
    def train_seed(self) -> int:
        """Of the supernet: the train budget's own, else the job's."""
        seed = self.spec.budget.train.seed
        return self.spec.seed if seed is None else seed

    @property
    def tokens(self) -> int:
        """N at which what is the same on all targets is counted: the longest of their workloads."""
        return max(target.workload.tokens for target in self.targets)

    @property
    def predicted(self) -> list[Objective]:
        """The objectives whose predictions must hold before a front is trusted: those that devices measure;
        latency where the job compares none."""
        compared = [o for o in self.objectives if o.source is Source.PREDICTED]
        return compared or Latency.axes(self.targets)

    @cached_property
    def combined(self) -> list[Objective]:
        """Every sum of what the job's targets measure."""
        return [axis for kind in combined_kinds() for axis in kind.axes(self.targets)]

    def terms(self, objective: Objective) -> list[tuple[float, Key]]:
        """Factors, and what devices measure that they multiply: of what is measured itself, that alone."""
        kind = OBJECTIVES.get(objective.kind)
        if issubclass(kind, Combined) and objective.target is not None:
            return kind.terms(objective.target, self.targets, self.spec.generated)
        return [(1.0, objective.key)]

    def count(self, objective: Objective, population: Population) -> np.ndarray:
        """(n,) values of a counted objective, which need not be one of the job."""
        kind = OBJECTIVES.get(objective.kind)
        assert issubclass(kind, Counted)
        target = objective.target
        at = Deployment(self.tokens) if target is None else Deployment(target.workload.tokens, target.dtype)
        return kind.count(self.costs, population, at)

    def settled(self, of_parent: Mapping[Key, float]) -> Plan:
        """The plan with numbers in place of bounds that are shares of the parent's values: of what is
        counted, and of what is given here."""
        parent = self.space.encode([self.space.first])

        def value_of(objective: Objective) -> float | None:
            if objective.source is Source.COUNTED:
                return float(self.count(objective, parent)[0])
            return of_parent.get(objective.key)

        spec = settle_bounds(self.spec, self.targets, value_of)
        task = type(self.given_task) if self.given_task else None
        return replace(self, spec=spec, objectives=asked_objectives(spec, self.targets, task, []))

    def counts(self, population: Population) -> dict[Key, np.ndarray]:
        """(n,) values of everything that can be counted."""
        axes = [axis for kind in counted_kinds() for axis in kind.axes(self.targets)]
        return {axis.key: self.count(axis, population) for axis in axes}


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def resolve(spec: JobSpec, relative_to: Path = Path()) -> Plan:
    """Check every name and number of a spec against what exists.

    The plan's spec has a space file's content in place of its path, so that a job outlives the file.

    Args:
        relative_to: folder that a space's path starts from.

    Raises:
        InvalidSpec: every problem at once, each with its path and what is accepted.
    """
    problems: list[Problem] = []
    space: SearchSpace | None = None
    task: Task | None = None
    begun: Beginning | None = None
    is_path = spec.start is None and isinstance(spec.space, str) and spec.space not in space_names()
    try:
        if spec.start is not None:
            begun = beginning(spec, relative_to)
            space = begun.space
        else:
            space = load_space(relative_to / str(spec.space) if is_path else spec.space)
    except (SpaceError, InvalidSpec) as error:
        problems += error.problems
    try:
        task = _task(spec, begun) if spec.task else None
    except InvalidSpec as error:
        problems += error.problems
    if space and task and not space.form.serves(task.form):
        problems.append(_other_form(space, task))
    if space is not None:
        spec = _with_workloads(spec, space)
    try:
        get_predictor(spec.budget.profile.predictor)
    except ValueError as error:
        problems.append(Problem("budget.profile.predictor", str(error)))
    problems += _strategy_problems(spec, space)
    targets = []
    for number, item in enumerate(spec.targets):
        problems += _target_problems(item, f"targets.{number}", space)
        if item.target() in targets:
            problems.append(Problem(f"targets.{number}", f"{item.target()} is listed twice"))
        targets.append(item.target())
    objectives = asked_objectives(spec, targets, type(task) if task else None, problems)
    if problems or space is None:
        raise InvalidSpec(problems)
    if is_path:
        spec = spec.model_copy(update={"space": space.spec.model_dump(mode="json")})
    plan = Plan(spec, space, task, tuple(targets), objectives)
    return plan if spec.start is None else plan.settled({})


def _task(spec: JobSpec, begun: Beginning | None) -> Task:
    """The spec's task, on the tokens of the model that the job starts from."""
    assert spec.task is not None
    options = dict(spec.task.model_extra or {})
    if begun is None:
        return make_task(spec.task.name, options)
    if "tokenizer" not in get_task(spec.task.name).options_model.model_fields:
        accepted = "accepted with a start: a task that reads text with a tokenizer, such as text"
        raise InvalidSpec([Problem("task.name", f"{spec.task.name} has tokens of its own; {accepted}")])
    task = make_task(spec.task.name, {**begun.task_options, **options})
    assert isinstance(task.options, SequenceOptions)
    if task.options.evaluation_context > begun.parent.context:
        said = f"is beyond the parent's context; accepted: 1 to {begun.parent.context}"
        raise InvalidSpec([Problem("task.evaluation_context", said)])
    return task


def _strategy_problems(spec: JobSpec, space: SearchSpace | None) -> Iterator[Problem]:
    name = spec.budget.search.strategy
    try:
        strategy = get_strategy(name)
        if space is not None:
            strategy.check(space)
    except ValueError as error:
        yield Problem("budget.search.strategy", str(error))
        return
    if len(spec.budget.search.fidelities) > 1 and not strategy.fidelities:
        accepted = ", ".join(other for other, known in strategies().items() if known.fidelities)
        message = f"strategy {name} makes whole evaluations only; accepted: [1], or strategy {accepted}"
        yield Problem("budget.search.fidelities", message)


def _other_form(space: SearchSpace, task: Task) -> Problem:
    """A task whose form is not the space's."""
    if space.form.causal and task.form.causal:
        needed, ships = task.form.vocabulary, f"those that ship: {space_names()}"
        message = f"{space.name} has {space.form.vocabulary}, task {task.name} needs {needed}"
        return Problem("space.vocabulary", f"{message}; accepted: spaces of a vocabulary ≥ {needed}; {ships}")
    message = f"models of {space.name} are {space.form}, task {task.name} is {task.form}"
    return Problem("space.form", f"{message}; accepted: a space and a task of one form")


def _with_workloads(spec: JobSpec, space: SearchSpace) -> JobSpec:
    """With phases and tokens of targets where they are not said."""
    plain = Workload()
    if not space.form.causal:
        plain = Workload(Phase.ENCODE, tokens=space.spec.context)
    targets = [
        item.model_copy(update={"phase": item.phase or plain.phase, "tokens": item.tokens or plain.tokens})
        for item in spec.targets
    ]
    return spec.model_copy(update={"targets": tuple(targets)})


def _target_problems(item: TargetSpec, path: str, space: SearchSpace | None) -> Iterator[Problem]:
    """What no device could do; what a device has is for its worker to say."""
    if space is not None:
        encodes = (Phase.ENCODE,) if not space.form.causal else (Phase.PREFILL, Phase.DECODE)
        if item.phase not in encodes:
            message = f"models of {space.name} ({space.form}) have no phase {item.phase}"
            yield Problem(f"{path}.phase", f"{message}; accepted: {', '.join(encodes)}")
        elif not space.form.causal and item.tokens != space.spec.context:
            message = f"{item.tokens} are not what models of {space.name} make of an input"
            yield Problem(f"{path}.tokens", f"{message}; accepted: {space.spec.context}, or nothing")
    try:
        runtime = parse_runtime(item.runtime)
    except ValueError as error:
        yield Problem(f"{path}.runtime", str(error))
        return
    for name, value, accepted in (
        ("dtype", item.dtype, runtime.dtypes),
        ("phase", item.target().workload.phase, runtime.phases),
    ):
        if value not in accepted:
            message = f"{runtime.name} has no {name} {value}; accepted: {', '.join(accepted)}"
            yield Problem(f"{path}.{name}", message)

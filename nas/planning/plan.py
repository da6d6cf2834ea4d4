"""A job's spec resolved into the objects that its stages work with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nas.errors import InvalidSpec, JobFailed
from nas.objectives import Direction, Objective, Source
from nas.spec import JobSpec, TargetSpec
from nas.strategies import get_strategy, strategies
from nas.tasks import Task, get_task, make_task
from predictors.predictor import get_predictor
from searchspaces.costs import CostModel
from searchspaces.encoding import Population
from searchspaces.errors import Problem, SpaceError
from searchspaces.presets import Preset, presets
from searchspaces.space import SearchSpace, load_space, space_names
from workers.runtimes import parse_runtime
from workers.target import Target

__all__ = ["Plan", "compared_by", "resolve"]

COUNTED = {"parameters": "parameters", "macs": "macs", "state_bytes": "bytes"}
"""Objectives that are exact arithmetic, with their units."""


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

    @cached_property
    def presets(self) -> dict[str, Preset]:
        """Published designs that the space contains, by name."""
        return presets(self.space)

    @cached_property
    def preset_population(self) -> Population:
        """(p, genes), without repeats."""
        rows = self.space.encode(preset.architecture for preset in self.presets.values())
        return np.unique(rows, axis=0) if len(rows) else rows

    @cached_property
    def supernet_digest(self) -> str:
        """Identifies everything that the supernet's weights follow from."""
        content = {
            "space": self.space.digest,
            "task": self.task.digest,
            "train": self.spec.budget.train.identity(),
            "seed": self.train_seed,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def train_seed(self) -> int:
        """Of the supernet: the train budget's own, else the job's."""
        seed = self.spec.budget.train.seed
        return self.spec.seed if seed is None else seed

    @property
    def tokens(self) -> int:
        """N at which MACs and state bytes are stated: the longest of the targets' workloads."""
        return max(target.workload.tokens for target in self.targets)

    def counts(self, population: Population) -> dict[str, np.ndarray]:
        """(n,) of each counted objective's name."""
        return {
            "parameters": self.costs.parameters(population),
            "macs": self.costs.macs(population, self.tokens),
            "state_bytes": self.costs.state_bytes(population, self.tokens),
        }


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
    is_path = isinstance(spec.space, str) and spec.space not in space_names()
    try:
        space = load_space(relative_to / str(spec.space) if is_path else spec.space)
    except SpaceError as error:
        problems += error.problems
    try:
        task = make_task(spec.task.name, dict(spec.task.model_extra or {})) if spec.task else None
    except InvalidSpec as error:
        problems += error.problems
    if space and task and task.vocabulary > space.spec.vocabulary:
        accepted = f"accepted: spaces of a vocabulary ≥ {task.vocabulary}; those that ship: {space_names()}"
        message = f"{space.name} has {space.spec.vocabulary}, task {task.name} needs {task.vocabulary}"
        problems.append(Problem("space.vocabulary", f"{message}; {accepted}"))
    try:
        get_predictor(spec.budget.profile.predictor)
    except ValueError as error:
        problems.append(Problem("budget.profile.predictor", str(error)))
    problems += _strategy_problems(spec, space)
    targets = []
    for number, item in enumerate(spec.targets):
        problems += _target_problems(item, f"targets.{number}")
        if item.target() in targets:
            problems.append(Problem(f"targets.{number}", f"{item.target()} is listed twice"))
        targets.append(item.target())
    objectives = tuple(_objectives(spec, tuple(targets), type(task) if task else None, problems))
    if problems or space is None:
        raise InvalidSpec(problems)
    if is_path:
        spec = spec.model_copy(update={"space": space.spec.model_dump(mode="json")})
    return Plan(spec, space, task, tuple(targets), objectives)


def compared_by(spec: JobSpec) -> tuple[Objective, ...]:
    """What the points of an accepted spec are compared by, quality first among equals; reads no data.

    Raises:
        InvalidSpec: this version does not know what the spec names.
    """
    problems: list[Problem] = []
    task = None
    if spec.task:
        try:
            task = get_task(spec.task.name)
        except InvalidSpec as error:
            problems += error.problems
    targets = tuple(item.target() for item in spec.targets)
    objectives = tuple(_objectives(spec, targets, task, problems))
    if problems:
        raise InvalidSpec(problems)
    return objectives


def with_target(spec: JobSpec, target: Target) -> JobSpec:
    """The spec with one more target, the last; what was asked of the others stays as it was."""
    before = latency_names(tuple(item.target() for item in spec.targets))
    targets = (*spec.targets, TargetSpec.of(target))
    after = {of: name for name, of in latency_names(tuple(item.target() for item in targets)).items()}
    objectives, bounds = list(spec.objectives), dict(spec.bounds)
    if "latency_ms" in objectives:
        everywhere = bounds.pop("latency_ms", None)
        if everywhere is not None:
            bounds |= {after[of]: everywhere for of in before.values()}
    elif any(name in objectives for name in before):
        objectives.append(after[target])
    return spec.model_copy(update={"targets": targets, "objectives": tuple(objectives), "bounds": bounds})


def latency_names(targets: tuple[Target, ...]) -> dict[str, Target]:
    """The objective name of each target's latency: ``latency_ms`` of a single target,
    ``latency_ms@DEVICE`` of several, ``latency_ms@TARGET`` where a device has more than one."""
    if len(targets) == 1:
        return {"latency_ms": targets[0]}
    devices = [target.device for target in targets]
    return {
        f"latency_ms@{target.device if devices.count(target.device) == 1 else target}": target
        for target in targets
    }


def _objectives(
    spec: JobSpec, targets: tuple[Target, ...], task: type[Task] | None, problems: list[Problem]
) -> Iterator[Objective]:
    latencies = latency_names(targets)
    accepted = ["quality", "latency_ms", *(n for n in latencies if n != "latency_ms"), *COUNTED]
    names: list[str] = []
    for number, name in enumerate(spec.objectives):
        if name not in accepted:
            problems.append(Problem(f"objectives.{number}", f"no objective {name!r}; accepted: {accepted}"))
        names += latencies if name == "latency_ms" else [name] if name in accepted else []
    if len(set(names)) != len(names):
        problems.append(Problem("objectives", "an objective is listed twice"))
    if "quality" not in names:
        problems.append(Problem("objectives", "quality must be among them; add it"))
    bounds: dict[str, float] = {}
    for name, bound in spec.bounds.items():
        covered = latencies if name == "latency_ms" else [name]
        if not set(covered) <= set(names):
            problems.append(Problem(f"bounds.{name}", f"not an objective of this job; accepted: {names}"))
        bounds |= dict.fromkeys(covered, bound)
    for name in names:
        if name == "quality":
            unit, direction = (task.metric, task.direction) if task else ("", Direction.MIN)
            yield Objective(name, unit, direction, Source.EVALUATED, bounds.get(name))
        elif name in latencies:
            yield Objective(name, "ms", Direction.MIN, Source.PREDICTED, bounds.get(name), latencies[name])
        else:
            yield Objective(name, COUNTED[name], Direction.MIN, Source.COUNTED, bounds.get(name))


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


def _target_problems(item: TargetSpec, path: str) -> Iterator[Problem]:
    """What no device could do; what a device has is for its worker to say."""
    try:
        runtime = parse_runtime(item.runtime)
    except ValueError as error:
        yield Problem(f"{path}.runtime", str(error))
        return
    for name, value, accepted in (
        ("dtype", item.dtype, runtime.dtypes),
        ("phase", item.phase, runtime.phases),
    ):
        if value not in accepted:
            message = f"{runtime.name} has no {name} {value}; accepted: {', '.join(accepted)}"
            yield Problem(f"{path}.{name}", message)

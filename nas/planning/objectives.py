"""What a job compares and bounds: the names of its spec, as objectives on its targets."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import replace

from nas.errors import InvalidSpec
from nas.objectives import Direction, Objective, Source
from nas.objectives.kind import objective_kinds
from nas.objectives.names import Names, matching
from nas.objectives.objective import Key
from nas.objectives.quality import QUALITY, quality_objective
from nas.planning.start import context_of
from nas.spec import JobSpec, TargetSpec
from nas.tasks import Task, get_task
from searchspaces.errors import Problem
from workers.target import Target

__all__ = ["asked_objectives", "compared_by", "settle_bounds", "with_target"]


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
    targets = [item.target() for item in spec.targets]
    objectives = asked_objectives(spec, targets, task, problems)
    if problems:
        raise InvalidSpec(problems)
    return objectives


def asked_objectives(
    spec: JobSpec, targets: Sequence[Target], task: type[Task] | None, problems: list[Problem]
) -> tuple[Objective, ...]:
    """The objectives that a spec names, with the bounds that it sets on them.

    Args:
        problems: whatever is wrong with them is added here.
    """
    names = Names(_quality_of(task), targets)
    asked: dict[Key, Objective] = {}
    for number, name in enumerate(spec.objectives):
        try:
            meant = names.find(name)
        except ValueError as error:
            problems.append(Problem(f"objectives.{number}", f"no objective {name!r}: {error}"))
            continue
        if any(objective.key in asked for objective in meant):
            problems.append(Problem(f"objectives.{number}", f"{name} is listed twice"))
        asked |= {objective.key: objective for objective in meant}
    if (QUALITY, None) not in asked:
        problems.append(Problem("objectives", f"{QUALITY} must be among them; add it"))
    for name, bound in spec.bounds.items():
        try:
            covered = [asked[objective.key] for objective in names.find(name)]
        except (KeyError, ValueError):
            problems.append(Problem(f"bounds.{name}", _why_not_bounded(name, names, targets, asked)))
            continue
        if isinstance(bound, str) and any(o.source is Source.EVALUATED for o in covered):
            said = f"{bound} of the parent's quality; accepted: a number (shares are of counts and latencies)"
            problems.append(Problem(f"bounds.{name}", said))
        # A share of the parent's is a number once that is known, see `settle_bounds`.
        if isinstance(bound, float):
            asked |= {o.key: replace(o, bound=_tighter(o, o.bound, bound)) for o in covered}
    return tuple(asked.values())


def _tighter(objective: Objective, known: float | str | None, bound: float) -> float:
    """A bound, or the number that bounds the objective already by another name, where that leaves less."""
    return objective.direction.tightest(known, bound) if isinstance(known, float) else bound


def _why_not_bounded(name: str, names: Names, targets: Sequence[Target], asked: Container[Key]) -> str:
    """Why a name is no objective of a job that has these, and which names are."""

    def meant(name: str) -> list[Objective]:
        try:
            return names.find(name)
        except ValueError:
            return []

    accepted = [n for n in names.accepted if (found := meant(n)) and all(o.key in asked for o in found)]
    said = "not an objective of this job"
    kind, at, part = name.partition("@")
    of_targets = [o for o in meant(kind) if o.target is not None and o.key in asked]
    if at and of_targets:
        matched = matching(part, targets)
        if not matched:
            said = f"no target of this job matches {part!r:.80}"
        elif len(matched) > 1:
            said = f"several targets of this job match {part!r:.80}"
    return f"{said}; accepted: {', '.join(accepted)}"


def with_target(spec: JobSpec, target: Target) -> JobSpec:
    """An accepted spec with one more target, the last; what was asked of the others stays as it was.

    An objective that was asked of every target is asked of the new one too, without its bound; so is one
    that was asked of single targets.
    """
    before = [item.target() for item in spec.targets]
    names = Names(_quality_of(None), before)
    kinds = objective_kinds().values()
    after = {axis.key: axis.name for kind in kinds for axis in kind.axes([*before, target])}
    objectives: dict[str, None] = {}
    for name in spec.objectives:
        single = "@" in name
        objectives |= dict.fromkeys([after[o.key] for o in names.find(name)] if single else [name])
    alone = {name.partition("@")[0] for name in objectives if "@" in name} - objectives.keys()
    objectives |= dict.fromkeys(after[kind, str(target)] for kind in sorted(alone))
    bounds: dict[str, float | str] = {}
    for name, bound in spec.bounds.items():
        for o in names.find(name):
            known = bounds.get(after[o.key])
            bounds[after[o.key]] = bound if isinstance(bound, str) else _tighter(o, known, bound)
    targets = (*spec.targets, TargetSpec.of(target))
    # What was scored at one length says nothing of another.
    start = spec.start and spec.start.model_copy(update={"context": context_of(spec)})
    changes = {"start": start, "targets": targets, "objectives": tuple(objectives), "bounds": bounds}
    return spec.model_copy(update=changes)


def settle_bounds(
    spec: JobSpec, targets: Sequence[Target], value_of: Callable[[Objective], float | None]
) -> JobSpec:
    """An accepted spec with numbers in place of bounds that are shares of the parent's values, as far as
    these are known."""
    names = Names(_quality_of(None), targets)
    bounds: dict[str, float | str] = {}
    for name, bound in spec.bounds.items():
        covered = names.find(name)
        if not isinstance(bound, str):
            bounds[name] = _tighter(covered[0], bounds.get(name), bound)
            continue
        for objective in covered:
            value, known = value_of(objective), bounds.get(objective.name)
            number = None if value is None else value * float(bound[:-1]) / 100
            bounds[objective.name] = bound if number is None else _tighter(objective, known, number)
    return spec.model_copy(update={"bounds": bounds})


def _quality_of(task: type[Task] | None) -> Objective:
    """Only a job that ends with profiling has no task."""
    return quality_objective(task.metric, task.direction) if task else quality_objective("", Direction.MIN)

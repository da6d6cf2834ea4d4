"""What a job from outside may hold: the service's own spaces or a declaration, data under one folder,
and sizes that a process can hold. Checked before anything is read or built from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import Any

from nas.errors import InvalidSpec
from nas.spec import JobSpec, TargetSpec
from nas.tasks import get_task
from searchspaces.errors import Problem
from searchspaces.space import space_names
from workers.target import Target

__all__ = ["SPEC_LIMIT", "admit_space", "admit_spec", "admit_target"]

SPEC_LIMIT = 256 * 1024
"""Bytes of a job file."""

MOST_ENTRIES = 256
"""Of any list: options of a gene, targets of a job, files of a task."""

LARGEST = {
    "space.vocabulary": 1 << 20,
    "space.context": 1 << 20,
    "space.width": 1 << 15,
    "space.depth": 256,
    "space.layer.heads": 1 << 10,
    "space.layer.kv_heads": 1 << 10,
    "space.layer.ratio": 64,
    "targets.threads": 1 << 10,
    "targets.batch": 1 << 12,
    "budget.profile.measurements": 1 << 20,
    "budget.profile.minimum": 1 << 20,
    "budget.profile.holdout": 1 << 14,
    "budget.train.batch": 1 << 14,
    "budget.search.batch": 1 << 14,
    "task.evaluation_tokens": 1 << 30,
    "task.evaluation_context": 1 << 20,
}
"""Numbers that memory follows from: far above what a job needs, far below what would end a service."""


def admit_spec(spec: JobSpec, data_root: Path | None) -> JobSpec:
    """The spec as it may be run here, its data paths made absolute.

    Args:
        data_root: the only folder that jobs may read data from; None for none.

    Raises:
        InvalidSpec: it names a file outside, or a size beyond the limits: every problem at once.
    """
    problems = [*_name_problems(spec.space), *_size_problems(spec.model_dump())]
    if spec.start is not None:
        try:
            start = spec.start.model_copy(update={"model": _confine(spec.start.model, data_root)})
            spec = spec.model_copy(update={"start": start})
        except ValueError as error:
            problems.append(Problem("start.model", str(error)))
    if spec.task is None:
        if problems:
            raise InvalidSpec(problems)
        return spec
    options = dict(spec.task.model_extra or {})
    try:
        named = get_task(spec.task.name).options_model.data_options()
    except InvalidSpec as error:
        raise InvalidSpec([*problems, *error.problems]) from error
    problems += _stray_path_problems({k: v for k, v in options.items() if k not in named}, "task", named)
    for name in named:
        patterns = options.get(name)
        if patterns is None:
            continue
        options[name] = []
        for number, pattern in enumerate(patterns if isinstance(patterns, list | tuple) else [patterns]):
            try:
                options[name].append(_confine(pattern, data_root))
            except ValueError as error:
                problems.append(Problem(f"task.{name}.{number}", str(error)))
    if problems:
        raise InvalidSpec(problems)
    task = type(spec.task).model_validate({"name": spec.task.name, **options})
    return spec.model_copy(update={"task": task})


def admit_space(space: str | Mapping[str, Any]) -> None:
    """Check a space's name or declaration.

    Raises:
        InvalidSpec: it is a path, or a size is beyond the limits.
    """
    problems = [*_name_problems(space), *_size_problems({"space": space})]
    if problems:
        raise InvalidSpec(problems)


def admit_target(target: Target) -> None:
    """Check the sizes of a target.

    Raises:
        InvalidSpec: one is beyond the limits.
    """
    problems = list(_size_problems({"targets": TargetSpec.of(target).model_dump()}))
    if problems:
        raise InvalidSpec(problems)


def _name_problems(space: str | Mapping[str, Any]) -> Iterator[Problem]:
    if isinstance(space, str) and space not in space_names():
        accepted = f"accepted: {', '.join(space_names())}, or the declaration itself"
        yield Problem("space", f"{space[:80]!r} does not ship with this service; {accepted}")


def _size_problems(value: Any, path: tuple[str, ...] = ()) -> Iterator[Problem]:
    """Every number and list of a document that is too large, wherever it stands."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _size_problems(item, (*path, str(name)))
    elif isinstance(value, list | tuple):
        if len(value) > MOST_ENTRIES:
            yield Problem(".".join(path), f"{len(value)} entries; accepted: at most {MOST_ENTRIES}")
        else:
            for number, item in enumerate(value):
                yield from _size_problems(item, (*path, str(number)))
    elif isinstance(value, int | float):
        most = LARGEST.get(".".join(part for part in path if not part.isdigit()))
        if most is not None and not value <= most:
            yield Problem(".".join(path), f"{value} is too much for this service; accepted: at most {most}")


def _stray_path_problems(value: Any, path: str, named: tuple[str, ...]) -> Iterator[Problem]:
    """Any other option that looks like a path: a task that reads files by it would escape the root."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _stray_path_problems(item, f"{path}.{name}", named)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _stray_path_problems(item, f"{path}.{number}", named)
    elif isinstance(value, str) and _looks_like_a_path(value):
        accepted = " or ".join(f"task.{name}" for name in named) or "by no option of this task"
        yield Problem(path, f"a path is accepted from outside only as {accepted}")


def _looks_like_a_path(value: str) -> bool:
    return "/" in value or "\\" in value or value.startswith("~") or value in (".", "..")


def _confine(pattern: Any, root: Path | None) -> str:
    """The pattern within the root, absolute."""
    if root is None:
        raise ValueError("this service reads no data files; it was started without --data")
    if not isinstance(pattern, str) or not pattern or "\0" in pattern:
        raise ValueError("accepted: a file or a pattern below the service's data folder")
    outside = f"{pattern!r} leads out of the service's data folder; accepted: a path below it"
    if pattern.startswith("~") or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise ValueError(outside)
    root = root.resolve()
    try:
        names = [pattern] if (root / pattern).exists() else glob(pattern, root_dir=root, recursive=True)
        # A symbolic link within the root may lead out of it.
        if not all((root / name).resolve().is_relative_to(root) for name in names):
            raise ValueError(outside)
    except OSError as error:
        raise ValueError(f"{pattern!r:.80}: {error.strerror}") from error
    return str(root / pattern)

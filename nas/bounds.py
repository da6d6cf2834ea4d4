"""The objectives that a user's bounds speak of, and by how much a value misses one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nas.errors import InvalidSpec
from nas.objectives import Direction, Objective
from nas.objectives.names import Names
from searchspaces.errors import Problem
from workers.target import Target

__all__ = ["bounded_objectives", "check_bounds", "describe_miss"]


def check_bounds(bounds: Mapping[str, float]) -> None:
    """Refuse what is no bound among those that a user asks for. A job's own were checked at its submission;
    one that was a share of what its parent has may be 0.

    Raises:
        InvalidSpec: a bound is no finite number above 0; every such bound at once.
    """
    wrong = [
        Problem(f"bounds.{name}"[:100], f"{bound} is not a bound; accepted: a finite number above 0")
        for name, bound in bounds.items()
        if not 0 < bound < math.inf
    ]
    if wrong:
        raise InvalidSpec(wrong)


def bounded_objectives(
    bounds: Mapping[str, float], quality: Objective, targets: Sequence[Target]
) -> list[Objective]:
    """The objectives that bounds speak of, with the bounds as theirs. A single one of a target is called as
    the user calls it.

    Args:
        bounds: name → no worse than this; see `nas.objectives.names.Names` for what names stand for.

    Raises:
        InvalidSpec: a name is not known, or is a part of several targets' texts; those accepted are named.
    """
    names = Names(quality, targets)
    problems, found = [], []
    for name, bound in bounds.items():
        try:
            meant = names.find(name)
        except ValueError as error:
            problems.append(Problem(f"bounds.{name}", str(error)))
            continue
        _, at, part = name.partition("@")
        if len(meant) == 1 and meant[0].target is not None:
            meant = [replace(meant[0], name=meant[0].kind + at + part)]
        found += [replace(objective, bound=bound) for objective in meant]
    if problems:
        raise InvalidSpec(problems)
    return found


def describe_miss(objective: Objective, value: float) -> str:
    """How a value stands to its bound, e.g. ``latency_ms 9.2 (asked ≤ 8, 15% over)``."""
    if math.isnan(value):
        return f"{objective.name} unknown"
    if objective.bound is None:
        return f"{objective.name} {value:.4g}"
    relation, side = ("≤", "over") if objective.direction is Direction.MIN else ("≥", "under")
    share = objective.direction.sign * (value - objective.bound) / abs(objective.bound or 1.0)
    missed = f", {share:.2%} {side}" if 0 < share < math.inf else ""
    return f"{objective.name} {value:.4g} (asked {relation} {objective.bound:g}{missed})"

"""What a bound that a user writes stands for: names, parts of names, and by how much a value misses one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nas.errors import InvalidSpec
from nas.objectives import Direction, Objective, Source
from searchspaces.errors import Problem
from workers.target import Target

__all__ = ["COUNTED", "bounded_objectives", "describe_miss"]

COUNTED = {"parameters": "parameters", "macs": "MACs", "state_bytes": "bytes"}
"""What can be bounded of every architecture, with its unit."""
SHORT = {"params": "parameters"}
"""Names that people write."""
LATENCY = "latency_ms"


def bounded_objectives(
    bounds: Mapping[str, float], quality: Objective, targets: Sequence[Target]
) -> list[Objective]:
    """The objectives that bounds speak of, with the bounds as theirs.

    Args:
        bounds: name → no worse than this. ``latency_ms`` is that on every target, ``latency_ms@DEVICE``
            that on each of a device's; any other part of a single target's text will do as well.

    Raises:
        InvalidSpec: a name is not known, or is a part of several targets' texts; those accepted are named.
    """
    known = _known(quality, targets)
    problems, found = [], []
    for name, bound in bounds.items():
        meant = known.get(SHORT.get(name, name)) or _by_part(name, targets)
        if len(meant) > 1 and name not in known:
            several = ", ".join(str(o.target) for o in meant)
            problems.append(
                Problem(f"bounds.{name}", f"part of several targets: {several}; write more of one")
            )
        elif not meant:
            problems.append(Problem(f"bounds.{name}", f"not known; accepted: {', '.join(known)}"))
        found += [
            replace(o, bound=bound, name=name if o.target and len(meant) == 1 else o.name) for o in meant
        ]
    if problems:
        raise InvalidSpec(problems)
    return found


def _known(quality: Objective, targets: Sequence[Target]) -> dict[str, list[Objective]]:
    known = {"quality": [replace(quality, name="quality")]}
    known |= {name: [Objective(name, unit)] for name, unit in COUNTED.items()}
    for target in targets:
        latency = _latency(target)
        for name in (LATENCY, f"{LATENCY}@{target.device}", latency.name):
            known.setdefault(name, []).append(latency)
    return known


def _by_part(name: str, targets: Sequence[Target]) -> list[Objective]:
    kind, _, part = name.partition("@")
    return [_latency(target) for target in targets if kind == LATENCY and part and part in str(target)]


def _latency(target: Target) -> Objective:
    return Objective(f"{LATENCY}@{target}", "ms", Direction.MIN, Source.PREDICTED, None, target)


def describe_miss(objective: Objective, value: float) -> str:
    """How a value stands to its bound, e.g. ``latency_ms 9.2 (asked ≤ 8, 15% over)``."""
    if objective.bound is None:
        return f"{objective.name} {value:.4g}"
    relation, side = ("≤", "over") if objective.direction is Direction.MIN else ("≥", "under")
    share = objective.direction.sign * (value - objective.bound) / abs(objective.bound or 1.0)
    missed = f", {share:.2%} {side}" if 0 < share < math.inf else ""
    return f"{objective.name} {value:.4g} (asked {relation} {objective.bound:g}{missed})"

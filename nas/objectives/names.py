"""What a name that a user writes stands for."""

from __future__ import annotations

from collections.abc import Sequence

from nas.objectives.kind import objective_kinds
from nas.objectives.objective import Objective
from workers.target import Target

__all__ = ["Names", "matching", "shortest_part"]


def shortest_part(target: Target, targets: Sequence[Target]) -> str:
    """The first part of a target's text that no other of the targets has, such as ``"prefill"``; all of it
    where each part is shared."""
    others = [str(other) for other in targets if other != target]
    text = str(target)
    return next((part for part in text.split("/") if not any(part in other for other in others)), text)


def matching(part: str, targets: Sequence[Target]) -> list[Target]:
    """The target of that text, or those of a device of that name; failing both, those whose text has the
    part in it."""
    named = [target for target in targets if part in (str(target), target.device)]
    return named or [target for target in targets if part and part in str(target)]


class Names:
    """The names of objectives in a job, and the short ones that people write.

    ``NAME`` is that kind, on every target where it is of targets; ``NAME@DEVICE`` is that on each of a
    device's, and any part of a single target's text does as well.

    Args:
        quality: the task's.
    """

    def __init__(self, quality: Objective, targets: Sequence[Target]) -> None:
        kinds = objective_kinds()
        self._kind = {alias: name for name, kind in kinds.items() for alias in (name, *kind.aliases)}
        self._kind |= {quality.unit: quality.name}  # a task's metric by its own name
        self._axes = {name: kind.axes(targets) for name, kind in kinds.items()} | {quality.name: [quality]}
        self._known = dict(self._axes)
        for name, axes in self._axes.items():
            for axis in axes:
                if axis.target is not None:
                    for text in dict.fromkeys((f"{name}@{axis.target.device}", f"{name}@{axis.target}")):
                        self._known[text] = [*self._known.get(text, []), axis]

    @property
    def accepted(self) -> list[str]:
        """In full; parts of a target's text and short names are accepted besides."""
        return list(self._known)

    def find(self, name: str) -> list[Objective]:
        """The objectives that a name stands for, each under its own name.

        Raises:
            ValueError: none, or several where one was meant; those accepted are named.
        """
        written, at, part = name.partition("@")
        kind = self._kind.get(written, written)
        found = self._known.get(kind + at + part, [])
        if not found and part:
            found = [axis for axis in self._axes.get(kind, []) if part in str(axis.target)]
            if len(found) > 1:
                several = ", ".join(str(axis.target) for axis in found)
                raise ValueError(f"part of several targets: {several}; write more of one")
        if not found:
            raise ValueError(f"not known; accepted: {', '.join(self.accepted)}")
        return found

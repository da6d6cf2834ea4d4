"""The errors of this layer; `nas.errors` maps them to status and exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Problem", "SpaceError"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with what a user wrote: where it stands and what is accepted there."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SpaceError(ValueError):
    """A space, or an architecture against a space, is not valid. Carries every problem at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

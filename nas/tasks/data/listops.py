"""ListOps (Nangia & Bowman, 2018), as long as in Long Range Arena (Tay et al., 2021): nested lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PADDING", "VOCABULARY", "ListOps"]

OPERATORS = ("MIN", "MAX", "MED", "SM")
PADDING, CLOSE, VOCABULARY = 0, 1 + 10 + len(OPERATORS), 2 + 10 + len(OPERATORS)
"""Token 0 stands for nothing, 1 to 10 for the digits, then each operator with its bracket, then the bracket
that closes a list."""

LISTS = 0.25
"""Share of arguments that are lists, where these may still be nested."""
TRIES = 20_000
"""Expressions of a wrong length in a row, after which there may be none of the right one."""
UNIFORM = 4096


class _TooLong(Exception):
    pass


@dataclass(frozen=True)
class ListOps:
    """Expressions such as ``[MAX 2 9 [MIN 4 7 ] 0 ]``, each with the digit that is its value.

    Attributes:
        arguments: most of a list, which has two at least.
        depth: lists in lists, the outermost counted.
        shortest, longest: tokens of an expression.
    """

    arguments: int = 10
    depth: int = 10
    shortest: int = 500
    longest: int = 2000

    def drawn(self, seed: tuple[int, ...], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens (count, longest) with `PADDING` after each expression's end, and the values (count,).

        Raises:
            ValueError: none of so many expressions is of such a length.
        """
        source = _Uniform(np.random.default_rng(seed))
        tokens = np.full((count, self.longest), PADDING, np.int64)
        values = np.zeros(count, np.int64)
        for row in range(count):
            expression, values[row] = self._expression(source)
            tokens[row, : len(expression)] = expression
        return tokens, values

    def _expression(self, source: _Uniform) -> tuple[list[int], int]:
        for _ in range(TRIES):
            written: list[int] = []
            try:
                value = self._list(source, written, self.depth)
            except _TooLong:
                continue
            if len(written) >= self.shortest:
                return written, value
        raise ValueError(
            f"no list of at most {self.arguments} arguments, {self.depth} deep, was {self.shortest} to "
            f"{self.longest} tokens long"
        )

    def _list(self, source: _Uniform, written: list[int], depth: int) -> int:
        """Write a list that may hold lists `depth` − 1 deep; its value."""
        operator = int(source.next() * len(OPERATORS))
        written.append(11 + operator)
        values = []
        for _ in range(2 + int(source.next() * (self.arguments - 1))):
            if depth > 1 and source.next() < LISTS:
                values.append(self._list(source, written, depth - 1))
            else:
                values.append(int(source.next() * 10))
                written.append(1 + values[-1])
        written.append(CLOSE)
        if len(written) > self.longest:
            raise _TooLong
        return _applied(OPERATORS[operator], values)


def _applied(operator: str, values: list[int]) -> int:
    if operator == "MIN":
        return min(values)
    if operator == "MAX":
        return max(values)
    if operator == "SM":
        return sum(values) % 10
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) // 2


class _Uniform:
    """Numbers from [0, 1), drawn many at a time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._left: list[float] = []

    def next(self) -> float:
        if not self._left:
            self._left = self._rng.random(UNIFORM).tolist()
        return self._left.pop()

"""What goes into a model and what comes out: what a task, a space and an architecture have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["LANGUAGE", "Classes", "Form", "Grid", "Input", "NextToken", "Output", "Series", "Tokens"]

MOST_VALUES = 1 << 24
"""Of one input: users write its sizes."""
MOST_CLASSES = 1 << 20


@dataclass(frozen=True, slots=True)
class Tokens:
    """Whole numbers below `vocabulary`, int64 (B, N).

    Attributes:
        vocabulary: how many token ids there are.
        length: N; 0 for any.
    """

    vocabulary: int = 0
    length: int = 0

    name = "tokens"

    def shape(self, batch: int) -> tuple[int, ...]:
        """Of B inputs of a fixed size."""
        return batch, self.length

    def __str__(self) -> str:
        return f"{self.length or 'any number of'} tokens below {self.vocabulary}"


@dataclass(frozen=True, slots=True)
class Grid:
    """Numbers on a grid, float32 (B, C, H, W): images.

    Attributes:
        size: H and W.
        channels: C.
    """

    size: tuple[int, int]
    channels: int = 1

    name = "pixels"

    def shape(self, batch: int) -> tuple[int, ...]:
        """Of B inputs."""
        return batch, self.channels, *self.size

    def __str__(self) -> str:
        return f"a grid of {self.size[0]} × {self.size[1]}, {_counted(self.channels)}"


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers in time, float32 (B, C, N).

    Attributes:
        length: N.
        channels: C.
    """

    length: int
    channels: int = 1

    name = "series"

    def shape(self, batch: int) -> tuple[int, ...]:
        """Of B inputs."""
        return batch, self.channels, self.length

    def __str__(self) -> str:
        return f"a series of {self.length}, {_counted(self.channels)}"


@dataclass(frozen=True, slots=True)
class NextToken:
    """The token after each one: logits (B, N, V)."""

    def __str__(self) -> str:
        return "the next token"


@dataclass(frozen=True, slots=True)
class Classes:
    """One of so many classes: logits (B, count)."""

    count: int

    def __str__(self) -> str:
        return f"one of {self.count} classes"


Input: TypeAlias = Tokens | Grid | Series
Output: TypeAlias = NextToken | Classes

ACCEPTED = (
    "{input: {tokens: VOCABULARY, length: N}, or {grid: [H, W], channels: C}, or {series: N, channels: C}; "
    "output: {classes: COUNT}}"
)


@dataclass(frozen=True, slots=True)
class Form:
    """What goes in and what comes out."""

    input: Input = Tokens()
    output: Output = NextToken()

    def __post_init__(self) -> None:
        if self.causal and not isinstance(self.input, Tokens):
            raise ValueError(f"{self} is no form; accepted: the next token of tokens, or classes")

    def __str__(self) -> str:
        return f"{self.input} → {self.output}"

    @property
    def causal(self) -> bool:
        """Whether a token may see earlier ones only: that of a language model, which tells the next."""
        return isinstance(self.output, NextToken)

    @property
    def vocabulary(self) -> int:
        """Token ids that go in; 0 where other things do."""
        return self.input.vocabulary if isinstance(self.input, Tokens) else 0

    def serves(self, other: Form) -> bool:
        """Whether a model of this form can learn a task of another: a language model may know more tokens."""
        if self.causal and other.causal:
            return self.vocabulary >= other.vocabulary
        return self == other

    def to_dict(self) -> dict[str, Any]:
        """Plain data: see `ACCEPTED`."""
        match self.input:
            case Tokens(vocabulary, length):
                said: dict[str, Any] = {"tokens": vocabulary, "length": length}
            case Grid(size, channels):
                said = {"grid": list(size), "channels": channels}
            case Series(length, channels):
                said = {"series": length, "channels": channels}
        output = {"classes": self.output.count} if isinstance(self.output, Classes) else {}
        return {"input": said, "output": output}

    @classmethod
    def from_dict(cls, data: Any) -> Form:
        """Inverse of `to_dict`, of a model that sees all of a fixed input.

        Raises:
            ValueError: it is none; what is accepted is said.
        """
        try:
            match data:
                case {"input": {"tokens": int(vocabulary), "length": int(length), **more}, **rest}:
                    given: Input = Tokens(vocabulary, length)
                case {"input": {"grid": [int(height), int(width)], **more}, **rest}:
                    given = Grid((height, width), _channels(more))
                case {"input": {"series": int(length), **more}, **rest}:
                    given = Series(length, _channels(more))
                case _:
                    raise ValueError(f"{data!r:.200} is no form")
            match rest:
                case {"output": {"classes": int(count), **others}, **others_still}:
                    form = cls(given, Classes(count))
                case _:
                    raise ValueError(f"{data!r:.200} is no form")
            if more or others or others_still:
                raise ValueError(f"{[*more, *others, *others_still]} are no part of a form")
        except ValueError as error:
            raise ValueError(f"{error}; accepted: {ACCEPTED}") from error
        sizes = (*form.input.shape(1), form.vocabulary or 1, count)
        if not all(0 < size <= MOST_VALUES and type(size) is int for size in sizes):
            raise ValueError(f"{form} has a size outside 1 to {MOST_VALUES}")
        if math.prod(form.input.shape(1)) > MOST_VALUES or count > MOST_CLASSES or count < 2:
            raise ValueError(
                f"{form} is too large, or has nothing to tell apart; accepted: at most {MOST_VALUES} values, "
                f"2 to {MOST_CLASSES} classes"
            )
        return form


def _counted(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"


def _channels(more: dict[Any, Any]) -> int:
    """Taken out of what a mapping says besides."""
    channels = more.pop("channels", 1)
    if type(channels) is not int:
        raise ValueError(f"channels: {channels!r} is not a count")
    return channels


LANGUAGE = Form()
"""That of a language model, before its vocabulary is said."""

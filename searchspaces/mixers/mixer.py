"""The interface of a token mixer.

A mixer is a frozen, parameter-free description of how tokens see each other: every layer of the
supernet has ONE set of query, key, value and output projections and hands the projected heads to
whichever mixer its architecture names. Modules import torch inside `forward` and `step`, so a space
can be declared, validated and costed where torch is not installed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from searchspaces.operations import Operation
from searchspaces.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, dtype

__all__ = ["MIXERS", "Mixer", "Shape", "State", "mixers", "parse_mixer", "register_mixer"]

State = dict[str, "Tensor"]
"""What `step` carries from token to token; plain tensors by name."""

Shape = tuple[int, ...]
"""Sizes of one tensor of a state."""


class Mixer(ABC):
    """A causal token mixer over heads.

    Subclasses are frozen dataclasses whose fields are the option's parameters. Registering one
    enrols it in the contract suite `tests/searchspaces/test_mixers.py`.

    Attributes:
        name: set by `@register_mixer`.
        glyph: one character for the strip that pictures an architecture.
        example: an option text of this mixer for the contract suite, e.g. ``"window:8"``.
    """

    name: ClassVar[str]
    glyph: ClassVar[str]
    example: ClassVar[str]

    @abstractmethod
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mix a whole sequence. q, k, v and the result: (B, H, N, K), position i sees only j ≤ i."""

    @abstractmethod
    def reference(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same by the plain formula, slow and readable; what `forward` is tested against."""

    @abstractmethod
    def init_state(self, batch: int, heads: int, head_size: int, dtype: dtype) -> State:
        """The state before the first token."""

    @abstractmethod
    def step(self, q: Tensor, k: Tensor, v: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix one token. q, k, v and the result: (B, H, K)."""

    @abstractmethod
    def state_shapes(self, batch: int, heads: int, head_size: int, tokens: int) -> dict[str, Shape]:
        """What the state holds after `tokens` tokens: exact shapes by name, B first."""

    def state_bytes(self, width: int, heads: int, tokens: int, itemsize: int = 4) -> int:
        """Exact bytes of one sequence's state after `tokens` tokens."""
        shapes = self.state_shapes(1, heads, width // heads, tokens) if heads else {}
        return itemsize * sum(map(math.prod, shapes.values()))

    @abstractmethod
    def operations(self, width: int, heads: int, tokens: int) -> tuple[Operation, ...]:
        """Counted operations of `forward` on one sequence, without the projections."""

    @abstractmethod
    def step_operations(self, width: int, heads: int, context: int) -> tuple[Operation, ...]:
        """Counted operations of one `step` after `context` tokens, without the projections."""


MIXERS: Registry[Mixer] = Registry(Mixer, "searchspaces.mixers", "mixer", "nas.mixers")
register_mixer = MIXERS.register
parse_mixer = MIXERS.parse
mixers = MIXERS.classes

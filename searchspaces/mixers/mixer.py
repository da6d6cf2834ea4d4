"""The interface of a token mixer: D → D over a sequence, behind a layer's norm and beside its residual.

A mixer is a frozen description of how tokens see each other. Modules import torch inside methods, so a space
can be declared, validated and costed where torch is not installed.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from searchspaces.operations import Operation
from searchspaces.part import Part, Sight, Sizes
from searchspaces.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from searchspaces.rotary import Turns

__all__ = [
    "GENES",
    "MIXERS",
    "CausalMixer",
    "Kind",
    "Mixer",
    "Position",
    "Shape",
    "State",
    "Weights",
    "mixers",
    "obeyed_genes",
    "parse_mixer",
    "register_mixer",
]

State = dict[str, "Tensor"]
"""What `extend` carries from call to call; plain tensors by name."""

Position: TypeAlias = "int | Tensor"
"""Tokens before those of a call: a number, or a tensor () of one where a graph serves any."""

Shape = tuple[int, ...]
"""Sizes of one tensor of a state."""

Weights = Mapping[str, "Tensor"]
"""Of a layer, by name."""

GENES = ("heads", "conv", "kv_heads")
"""A layer's genes that a mixer may obey."""


class Kind(StrEnum):
    """What mixers have in common, for those who look at them: one colour each."""

    ATTENTION = "attention"
    """Softmax over some tokens."""
    KERNEL = "kernel"
    """Weights with finitely many features: sums over tokens are states of fixed size."""
    RECURRENT = "recurrent"
    """States that forget, or are corrected."""
    CONVOLUTION = "convolution"
    """Weights that follow from the distance alone, learned."""
    FIXED = "fixed"
    """Weights that nothing learns."""
    OTHER = "other"


class Mixer(Part):
    """A token mixer, in the sights that its formula has: `Sizes.view` says in which one it is used.

    Most mix projected heads and are a `searchspaces.mixers.heads.HeadMixer`. Registering one enrols it in the
    contract suites of its sights, `tests/searchspaces/test_mixers.py`. One of causal models is a
    `CausalMixer`; others keep nothing from token to token.

    Attributes:
        glyph: one character for the strip that pictures an architecture.
        family: mixers of one share a layer's query and key projections, and families are trained equally
            often; empty for what has none to share.
        kind, kernel, sparsity, source: for `nas mixers`: how a pair of tokens is weighed, which pairs are,
            and who says so.
        genes: those of `GENES` that it obeys; the others are inactive in its layers.
        shares: whether heads may share keys and values as `Projection.sharing` says.
        positioned: whether it reads rotary turns.
        sights: in which it can be used.
        dimensions: of the grids on which tokens that all see each other may lie.
        most_tokens: on such a grid; 0 for any number.
        continuous: whether rounding moves what it tells by little; not so where it decides which tokens see
            each other.
    """

    glyph: ClassVar[str]
    family: ClassVar[str]
    kind: ClassVar[Kind] = Kind.OTHER
    kernel: ClassVar[str] = ""
    sparsity: ClassVar[str] = ""
    source: ClassVar[str] = ""
    genes: ClassVar[frozenset[str]] = frozenset()
    shares: ClassVar[bool] = True
    positioned: ClassVar[bool] = False
    sights: ClassVar[frozenset[Sight]]
    dimensions: ClassVar[frozenset[int]] = frozenset({1, 2})
    most_tokens: ClassVar[int] = 0
    continuous: ClassVar[bool] = True

    @abstractmethod
    def forward(
        self,
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        present: Tensor | None = None,
    ) -> Tensor:
        """Mix a whole sequence, (B, N, D) → (B, N, D); where the view is causal, position i sees only j ≤ i.

        Args:
            weights: of the layer, those of `shapes` among them.
            turns: rotary, of the N positions; given where it is `positioned`.
            present: where the view is padded, which tokens are there, (B, N) of bool. The others, after the
                last of these, are seen by none, whatever they are; what they get themselves is any number.
        """

    @abstractmethod
    def reference(self, x: Tensor, weights: Weights, sizes: Sizes, turns: Turns | None) -> Tensor:
        """The same by the plain formula, slow and readable; what `forward` is tested against."""

    def state_shapes(self, batch: int, sizes: Sizes, tokens: int) -> dict[str, Shape]:
        """See `CausalMixer.state_shapes`: nothing."""
        return {}

    def step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """See `CausalMixer.step_operations`: none."""
        return ()

    def init_state(self, batch: int, sizes: Sizes, dtype: dtype) -> State:
        """The state before the first token: zeros."""
        import torch

        shapes = self.state_shapes(batch, sizes, 0)
        return {name: torch.zeros(shape, dtype=dtype) for name, shape in shapes.items()}

    def state_bytes(self, sizes: Sizes, tokens: int, itemsize: int = 4) -> int:
        """Exact bytes of one sequence's state after `tokens` tokens."""
        return itemsize * sum(map(math.prod, self.state_shapes(1, sizes, tokens).values()))


class CausalMixer(Mixer):
    """A mixer that can go on from a state, since tokens see earlier ones alone."""

    sights: ClassVar[frozenset[Sight]] = frozenset({Sight.CAUSAL})

    @abstractmethod
    def extend(
        self,
        x: Tensor,
        weights: Weights,
        sizes: Sizes,
        turns: Turns | None,
        state: State,
        position: Position,
    ) -> tuple[Tensor, State]:
        """Mix S more tokens, (B, S, D) → (B, S, D), and the state after them: a prompt, or one token.

        Args:
            turns: of the S tokens' positions.
            state: of the tokens before, with the shapes of `state_shapes`.
            position: how many these are.
        """

    @abstractmethod
    def state_shapes(self, batch: int, sizes: Sizes, tokens: int) -> dict[str, Shape]:
        """What the state holds after `tokens` tokens: exact shapes by name, B first. They are the same after
        any number of tokens, with zeros for what there is not yet, but for axes that are `tokens` long."""

    @abstractmethod
    def step_operations(self, sizes: Sizes, context: int) -> tuple[Operation, ...]:
        """Counted operations of one more token after `context` tokens."""


MIXERS: Registry[Mixer] = Registry(Mixer, "searchspaces.mixers", "mixer", "nas.mixers")
register_mixer = MIXERS.register
parse_mixer = MIXERS.parse


def mixers(sight: Sight | None = None) -> dict[str, type[Mixer]]:
    """Every class by name, or those that have a sight."""
    return {name: cls for name, cls in MIXERS.classes().items() if sight is None or sight in cls.sights}


def obeyed_genes(option: str) -> frozenset[str]:
    """Those of `GENES` that an option's mixer obeys; all of them where there is no such mixer."""
    try:
        return parse_mixer(option).genes
    except (ValueError, AttributeError):  # nothing registered, or no text
        return frozenset(GENES)

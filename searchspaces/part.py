"""What a model is made of: parts, each with the weights that it needs and what it costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any, ClassVar

from searchspaces.form import LANGUAGE, Form
from searchspaces.operations import Operation

__all__ = ["CAUSAL", "Initial", "Part", "Sight", "Sizes", "View", "Weight"]


class Initial(StrEnum):
    """How a fresh weight is drawn."""

    MATRIX = "matrix"
    """Normal, standard deviation 1/√columns; an optimiser may treat it as a matrix."""
    RESIDUAL = "residual"
    """A matrix that writes to the residual stream: divided by √2L more (GPT-2)."""
    KERNEL = "kernel"
    """As a matrix, by the sizes of all axes but the first; of a convolution, and no matrix."""
    EMBEDDING = "embedding"
    """Normal, standard deviation 0.02: tied logits of a fresh model are nearly even."""
    ONES = "ones"
    ZEROS = "zeros"


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor that a part multiplies with.

    Attributes:
        shape: at the sizes that it was asked for.
        axes: what each axis follows, ``"width"``, ``"hidden"`` or ``""`` for neither: a smaller part's
            weight is the first entries of a larger one's along these.
        initial: how it is drawn, and with that what it is.
    """

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    initial: Initial = Initial.MATRIX

    @property
    def is_matrix(self) -> bool:
        """Whether it maps vectors to vectors; not everything with two axes does, depthwise kernels do not."""
        return self.initial in (Initial.MATRIX, Initial.RESIDUAL)


class Sight(StrEnum):
    """Which other tokens a token may see."""

    CAUSAL = "causal"
    """Earlier ones."""
    BIDIRECTIONAL = "bidirectional"
    """All of them."""


@dataclass(frozen=True, slots=True)
class View:
    """How the tokens of a model lie, and which of them one may see.

    Attributes:
        causal: whether a token sees earlier ones only.
        grid: how many there are along each axis, in row-major order: (N,), (H, W); () for a sequence of any
            length.
        padded: whether inputs may be shorter than the grid, so that their last tokens are absent. Which are
            there is then told beside the tokens, (B, N) of bool: `present`.
    """

    causal: bool = True
    grid: tuple[int, ...] = ()
    padded: bool = False

    @property
    def sight(self) -> Sight:
        """What a mixer must have to be used in it."""
        return Sight.CAUSAL if self.causal else Sight.BIDIRECTIONAL

    @property
    def dimensions(self) -> int:
        """Axes along which tokens lie."""
        return max(1, len(self.grid))


CAUSAL = View()
"""That of a language model."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the model and the genes of a layer say to its parts.

    Attributes:
        width: D.
        heads: H; 0 for a part without heads.
        head_size: K.
        groups: G, heads of keys and values, each shared by H/G heads of queries (Ainslie et al., 2023).
        conv: taps of the short convolutions on queries, keys and values; 0 for none.
        hidden: F.
        bias, out_bias, norms: see `searchspaces.projection.Projection`.
        view: how the model's tokens lie.
        form: what goes into the model and comes out.
        tied: whether tokens are told by the embedding.
    """

    width: int
    heads: int = 0
    head_size: int = 0
    groups: int = 0
    conv: int = 0
    hidden: int = 0
    bias: bool = False
    out_bias: bool = False
    norms: bool = False
    view: View = CAUSAL
    form: Form = LANGUAGE
    tied: bool = True

    @property
    def inner(self) -> int:
        """H·K, of the queries of all heads."""
        return self.heads * self.head_size

    @property
    def shared(self) -> int:
        """G·K, of the keys, or the values, of all groups."""
        return self.groups * self.head_size


class Part(ABC):
    """Something with weights and a cost: a frozen dataclass whose fields are its option's whole numbers.

    Attributes:
        name: set by registration.
        example: an option text for the contract suite.
        limits: of every field, the smallest and the largest value that is accepted: options are users' input.
    """

    name: ClassVar[str]
    example: ClassVar[str]
    limits: ClassVar[Mapping[str, tuple[int, int]]] = {}

    def __post_init__(self) -> None:
        own: tuple[Field[Any], ...] = fields(self) if is_dataclass(self) else ()
        for field in own:
            value, (least, most) = getattr(self, field.name), self.limits[field.name]
            if not least <= value <= most:
                raise ValueError(f"{field.name} {value}; accepted: {least} to {most}")

    @abstractmethod
    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """Its weights by name. Parts of one layer that name one weight share it."""

    @abstractmethod
    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Counted operations on one sequence of so many tokens."""

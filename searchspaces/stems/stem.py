"""The interface of a stem: inputs → tokens that lie on a grid."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from searchspaces.form import Form, Input
from searchspaces.part import Part, Sizes, View
from searchspaces.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["STEMS", "PaddedStem", "Stem", "parse_stem", "register_stem", "stems", "view_of"]


class Stem(Part):
    """Inputs → (B, N, D). Its weights belong to no layer, and are named so that no other stem has the name:
    stems do not share them. `Sizes.form` says what goes in."""

    @abstractmethod
    def grid(self, given: Input) -> tuple[int, ...]:
        """How the tokens lie that it makes of an input; () for a sequence of any length.

        Raises:
            ValueError: it takes no such input; what it takes is said.
        """

    @abstractmethod
    def forward(self, inputs: Tensor, weights: Mapping[str, Tensor], sizes: Sizes) -> Tensor:
        """Inputs as the form says → (B, N, D), tokens of a grid in row-major order. Those that are absent are
        numbers, too."""


class PaddedStem(Stem):
    """One whose inputs may be shorter than the longest: what they lack is NaN, and its tokens absent."""

    @abstractmethod
    def present(self, inputs: Tensor) -> Tensor:
        """Which tokens are there, (B, N) of bool."""


STEMS: Registry[Stem] = Registry(Stem, "searchspaces.stems", "stem", "nas.stems")
register_stem = STEMS.register
parse_stem = STEMS.parse
stems = STEMS.classes


def view_of(form: Form, stem: str) -> View:
    """How the tokens lie that a stem makes of what a form says.

    Raises:
        ValueError: the stem does not take it.
    """
    made = parse_stem(stem)
    return View(form.causal, made.grid(form.input), isinstance(made, PaddedStem))

"""The interface of a readout: tokens → what the form asks for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from searchspaces.form import Output
from searchspaces.operations import Operation, OperationKind
from searchspaces.part import Initial, Part, Sizes, Weight
from searchspaces.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["READOUTS", "Readout", "parse_readout", "readouts", "register_readout"]


class Readout(Part):
    """(B, N, D) → answers, behind the final norm ``norm`` (D,). `Sizes.form` says what is asked for.

    Attributes:
        answers: the kind of output that it gives.
    """

    answers: ClassVar[type[Output]]

    @abstractmethod
    def own_shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """Weights beside the norm. Readouts that name one weight share it."""

    @abstractmethod
    def read(
        self, normed: Tensor, weights: Mapping[str, Tensor], sizes: Sizes, present: Tensor | None = None
    ) -> Tensor:
        """Normed tokens (B, N, D) → answers.

        Args:
            present: where the view is padded, which tokens are there, (B, N) of bool; the others count for
                nothing.
        """

    @abstractmethod
    def own_operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """Counted operations of `read`."""

    def shapes(self, sizes: Sizes) -> dict[str, Weight]:
        """See the class."""
        return {"norm": Weight((sizes.width,), ("width",), Initial.ONES), **self.own_shapes(sizes)}

    def forward(
        self, x: Tensor, weights: Mapping[str, Tensor], sizes: Sizes, present: Tensor | None = None
    ) -> Tensor:
        """(B, N, D) → answers; see `read`."""
        from searchspaces.norms import rms_norm

        return self.read(rms_norm(x, weights["norm"]), weights, sizes, present)

    def operations(self, sizes: Sizes, tokens: int) -> tuple[Operation, ...]:
        """The norm, and what is read."""
        norm = Operation(OperationKind.ELEMENTWISE, elements=2 * tokens * sizes.width, calls=4)
        return norm, *self.own_operations(sizes, tokens)


READOUTS: Registry[Readout] = Registry(Readout, "searchspaces.readouts", "readout", "nas.readouts")
register_readout = READOUTS.register
parse_readout = READOUTS.parse
readouts = READOUTS.classes

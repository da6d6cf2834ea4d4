"""The interface of a channel mixer: nested by prefix, so a smaller one is a slice of a larger one.

MatFormer (Devvrit et al., 2023): the first F' of F hidden units form the smaller block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from searchspaces.operations import Operation
from searchspaces.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CHANNELS", "Channel", "channels", "parse_channel", "register_channel"]


class Channel(ABC):
    """A position-wise block D → F → D.

    Attributes:
        name: set by `@register_channel`.
        example: an option text for the contract suite.
    """

    name: ClassVar[str]
    example: ClassVar[str]

    @abstractmethod
    def shapes(self, width: int, hidden: int) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
        """Weights by name: shape at these sizes, and for each axis which size it follows ("width" or
        "hidden"): the axes by which a smaller block is a prefix of a larger one."""

    @abstractmethod
    def forward(self, x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """(…, D) → (…, D) with weights already sliced to D and F."""

    @abstractmethod
    def operations(self, width: int, hidden: int, tokens: int) -> tuple[Operation, ...]:
        """Counted operations on `tokens` tokens."""


CHANNELS: Registry[Channel] = Registry(Channel, "searchspaces.channels", "channel mixer", "nas.channels")
register_channel = CHANNELS.register
parse_channel = CHANNELS.parse
channels = CHANNELS.classes

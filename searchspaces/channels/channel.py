"""The interface of a channel mixer: nested by prefix, so a smaller one is a slice of a larger one.

MatFormer (Devvrit et al., 2023): the first F' of F hidden units form the smaller block.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from searchspaces.part import Part
from searchspaces.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CHANNELS", "Channel", "channels", "parse_channel", "register_channel"]


class Channel(Part):
    """A position-wise block D → F → D. Its weights are its own: a layer has them under its name."""

    @abstractmethod
    def forward(self, x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """(…, D) → (…, D) with weights already sliced to D and F, by the names of `shapes`."""


CHANNELS: Registry[Channel] = Registry(Channel, "searchspaces.channels", "channel mixer", "nas.channels")
register_channel = CHANNELS.register
parse_channel = CHANNELS.parse
channels = CHANNELS.classes

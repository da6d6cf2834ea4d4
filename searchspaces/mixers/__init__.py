"""Token mixers: one file each, registered by `@register_mixer`. Importing this package needs no torch."""

from searchspaces.mixers.heads import BidirectionalHeadMixer, HeadMixer, TwoSightedHeadMixer
from searchspaces.mixers.mixer import (
    MIXERS,
    CausalMixer,
    Kind,
    Mixer,
    mixers,
    obeyed_genes,
    parse_mixer,
    register_mixer,
)

__all__ = [
    "MIXERS",
    "BidirectionalHeadMixer",
    "CausalMixer",
    "HeadMixer",
    "Kind",
    "Mixer",
    "TwoSightedHeadMixer",
    "mixers",
    "obeyed_genes",
    "parse_mixer",
    "register_mixer",
]

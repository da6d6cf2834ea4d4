"""Token mixers: one file each, registered by `@register_mixer`. Importing this package needs no torch."""

from searchspaces.mixers.heads import HeadMixer
from searchspaces.mixers.mixer import MIXERS, Kind, Mixer, mixers, obeyed_genes, parse_mixer, register_mixer

__all__ = ["MIXERS", "HeadMixer", "Kind", "Mixer", "mixers", "obeyed_genes", "parse_mixer", "register_mixer"]

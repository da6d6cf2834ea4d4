"""Token mixers: one file each, registered by `@register_mixer`. Importing this package needs no torch."""

from searchspaces.mixers.mixer import MIXERS, Mixer, mixers, parse_mixer, register_mixer

__all__ = ["MIXERS", "Mixer", "mixers", "parse_mixer", "register_mixer"]

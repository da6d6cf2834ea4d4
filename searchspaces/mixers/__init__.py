"""Token mixers: one file each, registered by `@register_mixer`. Importing this package needs no torch."""

from searchspaces.mixers.mixer import Mixer, mixers, parse_mixer, register_mixer

__all__ = ["Mixer", "mixers", "parse_mixer", "register_mixer"]

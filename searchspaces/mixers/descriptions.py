"""Every mixer as plain data: what the template of token mixing says of it."""

from __future__ import annotations

import math
from dataclasses import Field, fields, is_dataclass
from typing import Any

from searchspaces.mixers.mixer import MIXERS, Mixer, mixers, parse_mixer
from searchspaces.part import Sight, Sizes, View

__all__ = ["mixer_descriptions"]

SHORT, LONG = 1024, 4096
"""Tokens between which states and work are said to grow or not."""


def mixer_descriptions() -> list[dict[str, Any]]:
    """Every registered mixer: name, glyph, kind, option (an example), parameters (name, default or None,
    least and most), sights, dimensions of its grids, kernel, sparsity, state ("none", "fixed" or "grows" with
    the sequence), growth of counted work in each sight as a power of N, source, and the distribution that
    adds it (None where it is ours)."""
    found = []
    for name, cls in mixers().items():
        mixer = parse_mixer(cls.example)
        found.append(
            {
                "name": name,
                "glyph": cls.glyph,
                "kind": str(cls.kind),
                "option": cls.example,
                "parameters": _parameters(mixer),
                "sights": [str(sight) for sight in Sight if sight in cls.sights],
                "dimensions": sorted(cls.dimensions) if Sight.BIDIRECTIONAL in cls.sights else [],
                "kernel": cls.kernel,
                "sparsity": cls.sparsity,
                "state": _state(mixer),
                "growth": {str(sight): _growth(mixer, sight) for sight in Sight if sight in cls.sights},
                "source": cls.source,
                "distribution": MIXERS.origin(name),
            }
        )
    return found


def _parameters(mixer: Mixer) -> list[dict[str, Any]]:
    own: tuple[Field[Any], ...] = fields(mixer) if is_dataclass(mixer) else ()
    return [
        {
            "name": field.name,
            "default": field.default if isinstance(field.default, int) else None,
            "least": mixer.limits[field.name][0],
            "most": mixer.limits[field.name][1],
        }
        for field in own
    ]


def _state(mixer: Mixer) -> str:
    if Sight.CAUSAL not in mixer.sights:
        return "none"
    short, long = (mixer.state_bytes(_sizes(Sight.CAUSAL, tokens), tokens) for tokens in (SHORT, LONG))
    return "none" if not long else "fixed" if short == long else "grows"


def _growth(mixer: Mixer, sight: Sight) -> float:
    """The power of N by which multiply-accumulates grow, or what is written where there are none."""
    work = []
    for tokens in (SHORT, LONG):
        operations = mixer.operations(_sizes(sight, tokens), tokens)
        work.append(sum(each.macs for each in operations) or sum(each.elements for each in operations))
    return math.log(work[1] / work[0], LONG / SHORT) if work[0] else 0.0


def _sizes(sight: Sight, tokens: int) -> Sizes:
    return Sizes(64, 4, 16, 4, view=View(sight is Sight.CAUSAL, (tokens,)))

"""What happens in a step, as functions of its number: nothing here has a state to save."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from searchspaces.architecture import NO_MIXER, Architecture
from searchspaces.declaration import OUTER_GENES
from searchspaces.mixers import parse_mixer
from searchspaces.space import SearchSpace

__all__ = ["learning_rate_factor", "mixer_shares", "sampled_architectures"]

WARMUP_FRACTION = 0.05
"""Of the steps; the rate rises linearly over them."""

FINAL_FACTOR = 0.02
"""Of the peak rate, at the last step."""

SHARED_MIXER_FRACTION = 0.25
"""Of the steps; in them one mixer, drawn from those that mix, is in all layers."""

LARGEST_FRACTION = 0.5
"""Of the steps; in them width, depth and feed-forwards are the largest."""

RANDOM_IN_SANDWICH = 2

SIZES = ("width", "depth", "ratio")
"""Genes whose options are sizes, of which a smaller one is a prefix of a larger one."""


def learning_rate_factor(step: int, steps: int) -> float:
    """What the peak learning rate is multiplied by in step 0, 1, …, steps − 1: linear warm-up, then a
    cosine (Loshchilov & Hutter, 2017) down to `FINAL_FACTOR`."""
    warmup = max(1, round(WARMUP_FRACTION * steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - 1 - warmup)
    return FINAL_FACTOR + (1 - FINAL_FACTOR) * (1 + math.cos(math.pi * progress)) / 2


def mixer_shares(options: Sequence[str]) -> NDArray[np.float64]:
    """(options,) of a layer's draws: a family's mixers share what each other family's share, for the windows
    of softmax attention train each other and the mixers of a small family would be left behind. A layer
    without a mixer has the share of one option."""
    families = [parse_mixer(option).family if option != NO_MIXER else NO_MIXER for option in options]
    sizes = Counter(families)
    whole = 1 - sizes[NO_MIXER] / len(options)
    mixing = len(sizes) - (NO_MIXER in sizes)
    return np.array(
        [1 / len(options) if f == NO_MIXER else whole / mixing / sizes[f] for f in families], float
    )


def sampled_architectures(space: SearchSpace, seed: int, step: int, sandwich: bool) -> list[Architecture]:
    """The architectures that share a step's gradient, a function of (seed, step).

    One, with every gene of every layer drawn on its own (nested sampling, as MatFormer, Devvrit et al.,
    2023, does for widths), and families of mixers equally often, whatever their numbers of options
    (`mixer_shares`). In `SHARED_MIXER_FRACTION` of the steps one mixer is in all layers: models of a single
    mixer, which the published baselines are, would else hardly ever be trained, and a search would compare
    hybrids with them unfairly.

    In `LARGEST_FRACTION` of the steps every size is the largest, as Once-for-All (Cai et al., 2020) begins:
    drawn evenly, the entries that only large models use are trained in few steps, large models look worse
    than they are, and small ones rank too high (`docs/results.md`).

    With `sandwich` (Yu & Huang, 2019) the largest, the smallest and `RANDOM_IN_SANDWICH` random ones; their
    mixers are drawn like the others', for mixers have no order.
    """
    # The leading 1 keeps this stream apart from others that are seeded by (seed, step).
    rng = np.random.default_rng((1, seed, step))
    count = 2 + RANDOM_IN_SANDWICH if sandwich else 1
    rows = (rng.random((count, space.genes)) * space.cardinalities).astype(np.int64)
    mixer_columns = space.layer_genes[:, space.layer_columns.index("mixer")]
    shares = mixer_shares(space.spec.layer.mixer)
    rows[:, mixer_columns] = rng.choice(len(shares), size=(count, space.max_depth), p=shares)
    mixing = shares * [mixer != NO_MIXER for mixer in space.spec.layer.mixer]
    if rng.random() < SHARED_MIXER_FRACTION and mixing.any():
        rows[:, mixer_columns] = rng.choice(len(shares), p=mixing / mixing.sum())
    columns = list(enumerate(zip(space.names, space.options, strict=True)))
    if sandwich:
        for column, (name, options) in columns:
            if not name.startswith(("mixer", "channel", "kv_heads", *OUTER_GENES)):
                rows[:2, column] = options.index(max(options)), options.index(min(options))
    elif rng.random() < LARGEST_FRACTION:
        for column, (name, options) in columns:
            if name.startswith(SIZES):
                rows[:, column] = options.index(max(options))
    return space.decode(rows)

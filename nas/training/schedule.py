"""What happens in a step, as functions of its number: nothing here has a state to save."""

from __future__ import annotations

import math

import numpy as np

from searchspaces.architecture import NO_MIXER, Architecture
from searchspaces.space import SearchSpace

__all__ = ["learning_rate_factor", "sampled_architectures"]

WARMUP_FRACTION = 0.05
"""Of the steps; the rate rises linearly over them."""

FINAL_FACTOR = 0.02
"""Of the peak rate, at the last step."""

SHARED_MIXER_FRACTION = 0.25
"""Of the steps; in them one mixer, drawn from those that mix, is in all layers."""

RANDOM_IN_SANDWICH = 2


def learning_rate_factor(step: int, steps: int) -> float:
    """What the peak learning rate is multiplied by in step 0, 1, …, steps − 1: linear warm-up, then a
    cosine (Loshchilov & Hutter, 2017) down to `FINAL_FACTOR`."""
    warmup = max(1, round(WARMUP_FRACTION * steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - 1 - warmup)
    return FINAL_FACTOR + (1 - FINAL_FACTOR) * (1 + math.cos(math.pi * progress)) / 2


def sampled_architectures(space: SearchSpace, seed: int, step: int, sandwich: bool) -> list[Architecture]:
    """The architectures that share a step's gradient, a function of (seed, step).

    One, with every gene of every layer drawn on its own (nested sampling, as MatFormer, Devvrit et al.,
    2023, does for widths), but in `SHARED_MIXER_FRACTION` of the steps with one mixer in all layers: models
    of a single mixer, which the published baselines are, would else hardly ever be trained, and a search
    would compare hybrids with them unfairly.

    With `sandwich` (Yu & Huang, 2019) the largest, the smallest and `RANDOM_IN_SANDWICH` random ones; their
    mixers are drawn like the others', for mixers have no order.
    """
    # The leading 1 keeps this stream apart from others that are seeded by (seed, step).
    rng = np.random.default_rng((1, seed, step))
    count = 2 + RANDOM_IN_SANDWICH if sandwich else 1
    rows = (rng.random((count, space.genes)) * space.cardinalities).astype(np.int64)
    if rng.random() < SHARED_MIXER_FRACTION:
        mixing = [i for i, mixer in enumerate(space.spec.layer.mixer) if mixer != NO_MIXER]
        if mixing:
            rows[:, [name.startswith("mixer") for name in space.names]] = rng.choice(mixing)
    if sandwich:
        for column, (name, options) in enumerate(zip(space.names, space.options, strict=True)):
            if not name.startswith(("mixer", "channel")):
                rows[:2, column] = options.index(max(options)), options.index(min(options))
    return space.decode(rows)

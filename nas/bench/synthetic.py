"""A made-up space of hybrid transformers with known answers: loss and latency by formulas, in microseconds.

Twelve layers, each with a mixer, a window, heads and a ratio of its feed-forward block, besides a width and a
depth: 50 genes, 2.5e31 codes, of which many are one model (`canonical`). What makes it hard is what makes the
real task hard:

- latency is what a roofline says of each block, so a gene's price depends on the width, and changing the
  layout of activations between neighbouring layers costs extra;
- loss falls with capacity by a power law, but models also need recall (an attention layer that sees
  everything, best in the upper half), reach (windows that add up to the context) and variety;
- neighbours matter in both orders, and a fixed random term of pairs makes the surface rugged.

The module is a benchmark as `nas.bench.load_benchmark` takes any: CARD, NAMES, IDEAL, NADIR, canonical,
evaluate and BEST_HV. All numbers are constants of the formulas: no seed is drawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from searchspaces.encoding import Population

__all__ = ["BEST_HV", "CARD", "IDEAL", "NADIR", "NAMES", "canonical", "evaluate"]

Vector = NDArray[np.float64]

MIXERS = ("softmax", "linear", "window", "sparse", "none")
WINDOWS = (32, 64, 128, 256, 512)
HEADS = (2, 4, 8)
RATIOS = (1.0, 2.0, 3.0, 4.0)
WIDTHS = (128, 192, 256, 384, 512)
DEPTHS = tuple(range(4, 13))
LAYERS, TOKENS = DEPTHS[-1], 1024
SOFTMAX, LINEAR, WINDOW, SPARSE, NONE = range(len(MIXERS))

OF_LAYER = (len(MIXERS), len(WINDOWS), len(HEADS), len(RATIOS))
CARD = np.array([*OF_LAYER * LAYERS, len(WIDTHS), len(DEPTHS)])
NAMES = [f"{gene}_{layer}" for layer in range(LAYERS) for gene in ("mixer", "window", "heads", "ratio")]
NAMES += ["width", "depth"]
IDEAL, NADIR = np.array([2.0, 0.3]), np.array([2.8, 4.0])
"""Loss in nats and latency in ms: the best and the worst corner of the box that hypervolume is counted in."""

BEST_HV = 0.658702
"""Hypervolume of the best front known, in the box: 3,505 members, found by
`benchmarks/search.py best --seeds 4 --generations 100` (evolution for 800,000 evaluations, then changes of
one and two genes, swapped and borrowed layers of every member, until a sweep gained under a millionth)."""

# Of the made-up device.
PEAK = 4.0e6
"""Multiply-adds a microsecond."""
BANDWIDTH = 120.0e3
"""Bytes a microsecond."""
CALL = 4.0
"""Microseconds that starting one kernel takes."""
LAYOUTS = np.array(
    [  # to: softmax linear window sparse none
        [0.0, 2.0, 0.5, 1.5, 0.0],
        [2.0, 0.0, 1.5, 2.5, 0.0],
        [0.5, 1.5, 0.0, 1.0, 0.0],
        [1.5, 2.5, 1.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, -0.5],  # two layers without a mixer fuse
    ]
)
"""Passes over the activations that going from one mixer's layout to the next takes."""

# Of the made-up task.
SYNERGY = np.array(
    [  # lower: softmax linear window sparse none
        [0.012, -0.008, -0.010, -0.004, 0.000],
        [-0.010, 0.008, -0.004, -0.006, 0.002],
        [-0.012, -0.008, 0.006, -0.006, 0.002],
        [-0.006, -0.002, -0.004, 0.006, 0.004],
        [-0.002, 0.000, 0.000, 0.002, 0.020],
    ]
)
"""Nats that a pair of neighbours adds, by the mixers of the lower and the upper one."""
RUGGED = 0.006
"""Nats, at most about twice, of the pair term that follows no rule."""


def canonical(population: ArrayLike) -> Population:
    """(n, 50) with inactive genes at 0: a window where the mixer has none, heads without a mixer, and layers
    beyond the depth."""
    rows = np.array(population, dtype=np.int64, copy=True)
    layers = rows[:, :-2].reshape(len(rows), LAYERS, len(OF_LAYER))
    mixer = layers[..., 0]
    layers[..., 1] *= (mixer == WINDOW) | (mixer == SPARSE)
    layers[..., 2] *= mixer != NONE
    layers *= _active(rows)[..., None]
    rows[:, :-2] = layers.reshape(len(rows), -1)
    return rows


def evaluate(population: ArrayLike) -> Vector:
    """(n, 2) loss in nats and latency in ms; equal for all codes of one model."""
    rows = canonical(population)
    width, depth = rows[:, -2], rows[:, -1]
    active = _active(rows)
    neighbours = active[:, 1:]
    layers = rows[:, :-2].reshape(len(rows), LAYERS, -1)
    mixer, ratio = layers[..., 0], layers[..., 3]
    block = layers @ OF_LAYER_STRIDES
    pair = mixer[:, :-1] * len(MIXERS) + mixer[:, 1:]
    # A mixer and a ratio at each of two neighbours: which suit each other is anybody's guess.
    style = mixer * len(RATIOS) + ratio
    styles = (np.arange(LAYERS - 1) * STYLES + style[:, :-1]) * STYLES + style[:, 1:]

    sized = width[:, None] * len(BLOCK_REACH) + block
    microseconds = (BLOCK_US.take(sized) * active).sum(1)
    microseconds += (LAYOUTS.take(pair) * neighbours).sum(1) * PASS_US[width] + ENDS_US[width]

    capacity = (BLOCK_CAPACITY.take(sized) * DEPTH_WEIGHT[depth] * active).sum(1)
    recall = (BLOCK_RECALL.take(block) * RECALL_PLACE[depth] * active).sum(1)
    reach = (BLOCK_REACH.take(block) * active).sum(1)
    used = np.bitwise_or.reduce((1 << mixer) * active, axis=1)
    loss = 1.95 + 2.2 * (1.0 + capacity) ** -0.5
    loss -= 0.25 * (1.0 - np.exp(-1.1 * recall))
    loss += 0.14 * np.exp(-1.6 * reach)
    loss -= VARIETY[used]
    loss += 0.05 * (mixer[:, 0] == NONE) + SHAPE[width, depth]
    loss += ((SYNERGY.take(pair) + GUESS.take(styles)) * neighbours).sum(1)
    return np.stack([loss, microseconds / 1000.0], axis=1)


def _active(rows: Population) -> NDArray[np.bool_]:
    """(n, layers) which layers a model has."""
    return np.arange(LAYERS) < np.array(DEPTHS)[rows[:, -1]][:, None]


def _blocks() -> tuple[Vector, ...]:
    """Tables over (widths and) every option of a layer: microseconds, capacity, recall, reach."""
    mixer, window, heads, ratio = (
        column.ravel() for column in np.meshgrid(*(np.arange(n) for n in OF_LAYER), indexing="ij")
    )
    seen = np.array(WINDOWS, float)[window]
    many, wide = np.array(HEADS, float)[heads], np.array(RATIOS)[ratio]
    d = np.array(WIDTHS, float)[:, None]
    size = d / many
    per_head = size / (size + 24.0)  # small heads leave the matrix units idle

    def product(macs: Vector, elements: Vector | float, narrow: Vector) -> Vector:
        """Microseconds of a matrix product by the roofline; `narrow` is its smallest dimension."""
        busy = narrow / (narrow + 96.0)
        return np.maximum(macs / (PEAK * busy), 4.0 * elements / BANDWIDTH)

    projections = product(4 * d * d * TOKENS, 8 * TOKENS * d, d) + 2 * CALL
    kernels: dict[int, Vector] = {
        SOFTMAX: 2 * TOKENS * TOKENS * d / (PEAK * per_head) + 1.5 * CALL + 0.8 * many,
        LINEAR: 2 * TOKENS * d * size / (PEAK * per_head) + 4 * CALL + 12 * TOKENS * d / BANDWIDTH,
        WINDOW: 2.4 * TOKENS * seen * d / (PEAK * per_head) + 2 * CALL + 0.6 * many,
        SPARSE: 1.2 * TOKENS * seen * d / (PEAK * per_head) + 5 * CALL + 0.03 * seen * many,
    }
    feed_forward = product(2 * wide * d * d * TOKENS, (2 + wide) * TOKENS * d, d) + 2 * CALL
    mixing = sum((np.where(mixer == kind, us + projections, 0.0) for kind, us in kernels.items()), 0 * d)

    # Each mixer has heads of a size that suits it, and windows help until they see enough.
    suits = np.array([48.0, 64.0, 32.0, 40.0, 64.0])[mixer]
    fit = np.exp(-0.2 * np.log2(size / suits) ** 2)
    sees = 0.4 + 0.6 * seen / (seen + 96.0)
    strength = np.array([1.0, 0.78, 0.85, 0.92, 0.0])[mixer]
    strength = strength * np.where((mixer == WINDOW) | (mixer == SPARSE), sees, 1.0)
    capacity = (0.5 * strength * (0.65 + 0.35 * fit) + 0.42 * wide**0.45) * (d / 256.0) ** 0.6
    recall = np.select([mixer == SOFTMAX, mixer == SPARSE], [np.ones_like(seen), 0.8 * seen / (seen + 192.0)])
    reach = np.select(
        [mixer == SOFTMAX, mixer == LINEAR, mixer == WINDOW, mixer == SPARSE],
        [np.full_like(seen, 1.5), np.full_like(seen, 0.7), seen / TOKENS, 2.0 * seen / TOKENS],
    )
    return mixing + feed_forward, capacity, recall, reach


def _places() -> tuple[Vector, Vector]:
    """(depths, layers) how much a layer counts at its place: for capacity, and for recall."""
    where = (np.arange(LAYERS) + 0.5) / np.array(DEPTHS, float)[:, None]
    return 0.75 + 0.5 * np.sin(np.pi * np.minimum(where, 1.0)), np.exp(-(((where - 0.7) / 0.2) ** 2))


def _guess() -> Vector:
    """(layers - 1, styles, styles) a fixed term in [-2, 2] × `RUGGED` without any order in it: two sines
    whose periods share nothing."""
    place, lower, upper = np.ogrid[: LAYERS - 1, :STYLES, :STYLES]
    first = np.sin(1.7 + 12.9898 * place + 78.233 * lower + 37.719 * upper + 4.581 * lower * upper)
    second = np.sin(0.3 + 93.9898 * place + 67.345 * lower + 11.135 * upper + 7.173 * place * upper)
    return np.asarray(RUGGED * (first + second))


OF_LAYER_STRIDES = np.array([60, 12, 4, 1])
"""A layer's genes times these is the number of its block."""
STYLES = len(MIXERS) * len(RATIOS)
BLOCK_US, BLOCK_CAPACITY, BLOCK_RECALL, BLOCK_REACH = _blocks()
DEPTH_WEIGHT, RECALL_PLACE = _places()
GUESS = _guess()
PASS_US = 8.0 * TOKENS * np.array(WIDTHS, float) / BANDWIDTH
"""Microseconds of reading and writing a layer's activations once, by width."""
ENDS_US = 40.0 + 0.3 * np.array(WIDTHS, float)
"""Microseconds of the embedding and the output, by width."""
SHAPE = 0.015 * np.log(np.array(WIDTHS, float)[:, None] / (32.0 * np.array(DEPTHS))) ** 2
"""(widths, depths) nats that a shape costs which is far from 32 dimensions a layer."""
VARIETY = 0.02 * np.array([min(max(bin(used & 15).count("1") - 1, 0), 2) for used in range(1 << len(MIXERS))])
"""Nats that a second and a third kind of token mixer gain, by the set of mixers that a model has."""

"""Does mixing pay? The front that a search over hybrids finds, against those over one kind of attention.

Each pool of mixers is a space of the same depths and feed-forward widths. The default strategy searches each
with the same budget of models, all trained from fresh weights to the same end; what they cost it is told
beforehand, by a sum over layers. All found are then timed in turns in onnxruntime on one thread. A pool is
worth the hypervolume of its front, between the best and the worst of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from nas.bench.mixers.alone import Key, Scores, Training, process_pool, timed, train_missing
from nas.bench.mixers.placement import Placement, placements
from nas.errors import InvalidSpec
from nas.objectives import Objective, Source
from nas.problem import SearchProblem, Values
from nas.strategies.default import SurrogateStrategy
from searchspaces.architecture import Architecture, Layer
from searchspaces.declaration import LAYER_GENES
from searchspaces.encoding import Population
from searchspaces.errors import Problem
from searchspaces.space import SearchSpace, load_space

__all__ = ["POOLS", "MixingBench", "run_mixing_bench"]

POOLS: dict[str, tuple[str, ...]] = {
    "mixed": ("softmax", "window:64,4", "sparse", "decay", "gateddelta"),
    "softmax": ("softmax",),
    "window": ("window:64", "window:64,4"),
    "sparse": ("sparse", "sparse:32"),
    "linear": ("decay", "gateddelta"),
}
"""Mixers of each front."""

RATIOS = (1.0, 2.0, 4.0)
HEADS = 4
INITIAL, ROUND = 4, 4
"""Models of each pool that are drawn at random, and how many are chosen at a time."""

PLACED = "decay"
"""The mixer of the layers that are not softmax, where placements are compared."""


@dataclass(frozen=True)
class MixingBench:
    """What is compared.

    Attributes:
        training: of each model.
        depths: of the models.
        width: D.
        conv: taps of short convolutions in every layer; 0 for none.
        members: models a pool.
        seeds: repetitions, each with other weights, batches and searches.
        softmax_layers: k, of the deepest models, whose placement is compared.
        processes: that train at once, a thread each.
    """

    training: Training
    depths: tuple[int, ...]
    width: int
    conv: int
    members: int
    seeds: int
    softmax_layers: int
    processes: int

    def __post_init__(self) -> None:
        if not 0 < self.softmax_layers < max(self.depths):
            message = f"{self.softmax_layers} of {max(self.depths)} layers leave nothing to place"
            raise InvalidSpec([Problem("softmax_layers", message)])

    def quick(self) -> MixingBench:
        """The same on so little that it takes a minute or two, and tells nothing."""
        training = replace(self.training, tokens=128, context=128, steps=20, batch=2)
        return replace(self, training=training, depths=(2, 3), width=32, members=2, seeds=1, softmax_layers=1)

    def space(self, mixers: Sequence[str]) -> SearchSpace:
        """All models of these mixers."""
        return self._space(mixers, self.depths, RATIOS)

    def architecture(self, mixers: Sequence[str], ratio: float) -> Architecture:
        """A model with these mixers."""
        layers = (Layer(mixer, HEADS, ratio=ratio, conv=self.conv) for mixer in mixers)
        return Architecture(self.training.make_task().form.vocabulary, self.width, tuple(layers))

    def placed(self, at: Placement) -> Architecture:
        """The deepest model with softmax in these layers."""
        depth = max(self.depths)
        return self.architecture(["softmax" if i in at else PLACED for i in range(depth)], RATIOS[-1])

    def placements(self, seed: int) -> dict[str, Placement]:
        """See `nas.bench.mixers.placement`."""
        space = self._space(("softmax", PLACED), (max(self.depths),), RATIOS[-1:])
        return placements(self.training, space, self.softmax_layers, self.placed, seed)

    def _space(self, mixers: Sequence[str], depths: Sequence[int], ratios: Sequence[float]) -> SearchSpace:
        layer = {"mixer": list(mixers), "heads": [HEADS], "ratio": list(ratios), "conv": [self.conv]}
        return load_space(
            {
                "name": "mixing",
                "vocabulary": self.training.make_task().form.vocabulary,
                "context": self.training.context,
                "width": [self.width],
                "depth": list(depths),
                "layer": layer,
            }
        )


def run_mixing_bench(
    bench: MixingBench, on_progress: Callable[[str], None], kept: Path | None = None
) -> dict[str, Any]:
    """Search, train and time everything; plain data, among it `ratios`: the mixed front's hypervolume over
    each other's.

    Args:
        kept: a file of JSON lines with the scores of models as they are trained; those in it are not trained
            again.
    """
    scores, direction = Scores(bench.training, kept), bench.training.make_task().direction
    on_progress("learning where softmax stands best")
    with process_pool(bench.processes) as pool:
        places = dict(enumerate(pool.map(bench.placements, range(bench.seeds))))
    wanted = {
        (seed, model.digest): model
        for seed, found in places.items()
        for model in map(bench.placed, found.values())
    }

    def train(models: Mapping[Key, Architecture], what: str) -> None:
        train_missing(
            models, scores, bench.processes, lambda n, of: on_progress(f"{what}: {n} of {of} models trained")
        )
        wanted.update(models)

    train(dict(wanted), "placements")
    on_progress("timing layers")
    layers = _layer_times(bench)
    searches = {
        (seed, name): _Search(bench, mixers, layers, seed)
        for seed in range(bench.seeds)
        for name, mixers in POOLS.items()
    }
    for first in range(0, bench.members, ROUND):
        asked = {
            (seed, model.digest): model
            for (seed, _), search in searches.items()
            for model in search.ask(min(ROUND, bench.members - first))
        }
        train(asked, f"models {first + 1} to {min(first + ROUND, bench.members)} of each pool")
        for search in searches.values():
            search.tell(scores.known, direction.sign)
    on_progress(f"timing {len(wanted)} models")
    latency = timed({model.digest: model for model in wanted.values()}, bench.training.tokens)
    loss = {key: direction.sign * scores.known[key] for key in wanted}
    pools = [
        {name: list(searches[seed, name].models.values()) for name in POOLS} for seed in range(bench.seeds)
    ]
    volumes = [_volumes(found, seed, loss, latency) for seed, found in enumerate(pools)]
    return {
        "task": bench.training.task,
        "tokens": bench.training.tokens,
        "context": bench.training.context,
        "metric": bench.training.make_task().metric,
        "volumes": {name: [found[name] for found in volumes] for name in POOLS},
        "ratios": {
            name: _mean_and_error([found["mixed"] / max(found[name], 1e-9) for found in volumes])
            for name in POOLS
            if name != "mixed"
        },
        "placements": {
            name: {
                "layers": [list(places[seed][name]) for seed in range(bench.seeds)],
                "test": _mean_and_error(
                    [
                        scores.known[seed, bench.placed(places[seed][name]).digest]
                        for seed in range(bench.seeds)
                    ]
                ),
            }
            for name in places[0]
        },
        "models": [
            {
                "seed": seed,
                "digest": digest,
                "pools": [name for name in POOLS if digest in searches[seed, name].models],
                "layers": [layer.to_dict() for layer in model.layers],
                "test": scores.known[seed, digest],
                "latency_ms": latency[digest],
            }
            for (seed, digest), model in wanted.items()
        ],
    }


class _Search:
    """One pool's, which stands still while what it asked for is trained.

    Attributes:
        models: that it asked for, by digest.
    """

    def __init__(
        self, bench: MixingBench, mixers: Sequence[str], layers: Mapping[tuple[str, float], float], seed: int
    ) -> None:
        space, self._seed, self._left = bench.space(mixers), seed, bench.members
        table = np.array([[layers[option] for option in product([mixer], RATIOS)] for mixer in mixers])
        mixer, ratio = LAYER_GENES.index("mixer"), LAYER_GENES.index("ratio")

        def known(population: Population) -> Values:
            genes, active = space.layer_view(population)
            return np.log((table[genes[..., mixer], genes[..., ratio]] * active).sum(1, keepdims=True))

        quality = Objective("loss", "1", source=Source.EVALUATED)
        cost = Objective("log_latency", "1", source=Source.PREDICTED)
        self._space, self._strategy = (
            space,
            SurrogateStrategy(SearchProblem(space, (quality, cost), known), seed, initial=INITIAL),
        )
        self._known, self._asked = known, np.empty((0, space.genes), np.int64)
        self.models: dict[str, Architecture] = {}

    def ask(self, count: int) -> list[Architecture]:
        """What to train next; fewer where there are none left that differ."""
        self._asked = self._strategy.ask(count, self._left)
        self._left -= len(self._asked)
        models = self._space.decode(self._asked)
        self.models |= {model.digest: model for model in models}
        return models

    def tell(self, scores: Mapping[Key, float], sign: float) -> None:
        """How those did."""
        models = self._space.decode(self._asked)
        loss = np.array([sign * scores[self._seed, model.digest] for model in models])
        self._strategy.tell(self._asked, np.column_stack([loss, self._known(self._asked)]))


def _layer_times(bench: MixingBench) -> dict[tuple[str, float], float]:
    """Processor ms of a layer, by mixer and ratio: what a second one of its kind adds to a model."""
    options = sorted({*product((mixer for mixers in POOLS.values() for mixer in mixers), RATIOS)})
    pairs = {
        (mixer, ratio): [bench.architecture([mixer] * depth, ratio) for depth in (1, 2)]
        for mixer, ratio in options
    }
    times = timed({model.digest: model for pair in pairs.values() for model in pair}, bench.training.tokens)
    return {
        option: max(times[two.digest] - times[one.digest], 0.05 * times[two.digest])
        for option, (one, two) in pairs.items()
    }


def _volumes(
    pools: Mapping[str, Sequence[Architecture]],
    seed: int,
    loss: Mapping[Key, float],
    latency: Mapping[str, float],
) -> dict[str, float]:
    """Each pool's hypervolume, of losses and logarithms of latencies between the best and worst of all."""
    import moocore

    values = {
        name: np.array([[loss[seed, m.digest], math.log(latency[m.digest])] for m in models])
        for name, models in pools.items()
    }
    together = np.concatenate(list(values.values()))
    low, high = together.min(0), together.max(0)
    span = np.where(high > low, high - low, 1.0)
    return {
        name: float(moocore.hypervolume((rows - low) / span, ref=np.full(2, 1.05)))
        for name, rows in values.items()
    }


def _mean_and_error(values: Sequence[float]) -> dict[str, float | None]:
    """The mean, and its standard error where there are several."""
    error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "standard_error": error}

"""Does mixing pay? Fronts of hybrids against fronts of one kind of attention, every member trained alone.

Each pool of mixers gets as many models, of the same depths and feed-forward widths; a mixer is drawn for each
layer. All are trained from fresh weights to the same end, and timed in turns in onnxruntime on one
thread. A pool is worth the hypervolume of its front, between the best and the worst of all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import combinations, repeat
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.spec import FinalistBudget, TrainBudget
from nas.tasks import Task, make_task
from searchspaces.architecture import Architecture, Layer
from searchspaces.errors import Problem
from searchspaces.space import load_space

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
ROUNDS = 5
"""Of timing all models in turns."""

PLACED = "decay"
"""The mixer of the layers that are not softmax, where placements are compared."""


@dataclass(frozen=True)
class MixingBench:
    """What is compared.

    Attributes:
        task: name of a task.
        options: of the task, where they are not its defaults.
        tokens: N, of a sequence that is scored and timed.
        context: of one that is learned.
        depths: of the models.
        width: D.
        conv: taps of short convolutions in every layer; 0 for none.
        members: models a pool.
        steps, batch: of each training.
        seeds: repetitions, each with other weights, batches and hybrids.
        softmax_layers: k, of the deepest models, whose placement is compared.
        processes: that train at once, a thread each.
    """

    task: str
    options: Mapping[str, int]
    tokens: int
    context: int
    depths: tuple[int, ...]
    width: int
    conv: int
    members: int
    steps: int
    batch: int
    seeds: int
    softmax_layers: int
    processes: int

    def __post_init__(self) -> None:
        if not 0 < self.softmax_layers < max(self.depths):
            message = f"{self.softmax_layers} of {max(self.depths)} layers leave nothing to place"
            raise InvalidSpec([Problem("softmax_layers", message)])

    def quick(self) -> MixingBench:
        """The same on so little that it takes a minute or two, and tells nothing."""
        return replace(
            self,
            tokens=128,
            context=128,
            depths=(2, 3),
            width=32,
            members=2,
            steps=20,
            batch=2,
            seeds=1,
            softmax_layers=1,
        )

    def make_task(self) -> Task:
        """The task that is learned."""
        return make_task(self.task, {"evaluation_context": self.tokens, **self.options})

    def architecture(self, mixers: Sequence[str], ratio: float) -> Architecture:
        """A model with these mixers."""
        layers = (Layer(mixer, HEADS, ratio=ratio, conv=self.conv) for mixer in mixers)
        return Architecture(self.make_task().form.vocabulary, self.width, tuple(layers))

    def shapes(self, seed: int) -> list[tuple[int, float]]:
        """Depth and feed-forward ratio of each member, the same in every pool: all of them once before any
        comes again, so that pools differ in mixers alone."""
        every = [(depth, ratio) for depth in self.depths for ratio in RATIOS]
        rng, drawn = np.random.default_rng((3, seed)), list[tuple[int, float]]()
        while len(drawn) < self.members:
            drawn += [every[i] for i in rng.permutation(len(every))]
        return drawn[: self.members]

    def pool(self, options: Sequence[str], seed: int) -> list[Architecture]:
        """A model of each of these shapes with mixers drawn from the options; fewer where there are none
        left that differ."""
        rng, found = np.random.default_rng(seed), dict[str, Architecture]()
        for depth, ratio in self.shapes(seed):
            for _ in range(20):
                model = self.architecture([options[i] for i in rng.integers(len(options), size=depth)], ratio)
                if model.digest not in found:
                    found[model.digest] = model
                    break
        return list(found.values())

    def placed(self, at: Sequence[int]) -> Architecture:
        """The deepest model with softmax in these layers."""
        depth = max(self.depths)
        return self.architecture(["softmax" if i in at else PLACED for i in range(depth)], RATIOS[-1])


class Scores:
    """Test metrics of models that were trained, by seed and digest; of what follows from the same settings a
    file keeps them, so that a run that was stopped goes on."""

    def __init__(self, bench: MixingBench, path: Path | None) -> None:
        names = ("task", "options", "tokens", "context", "steps", "batch")
        self._settings = {name: getattr(bench, name) for name in names}
        self._path = path
        lines = path.read_text().splitlines() if path is not None and path.is_file() else []
        known = [json.loads(line) for line in lines]
        self.known: dict[tuple[int, str], float] = {
            (row["seed"], row["digest"]): row["test"] for row in known if row["settings"] == self._settings
        }

    def keep(self, seed: int, digest: str, test: float) -> None:
        """Remember one, and write it down."""
        self.known[seed, digest] = test
        if self._path is not None:
            row = {"settings": self._settings, "seed": seed, "digest": digest, "test": test}
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def run_mixing_bench(
    bench: MixingBench, on_progress: Callable[[str], None], kept: Path | None = None
) -> dict[str, Any]:
    """Train and time everything; plain data, among it `ratios`: the mixed front's hypervolume over each
    other's.

    Args:
        kept: a file of JSON lines with the scores of models as they are trained; those in it are not trained
            again.
    """
    pools = {
        seed: {name: bench.pool(mixers, seed) for name, mixers in POOLS.items()}
        for seed in range(bench.seeds)
    }
    on_progress("learning where softmax stands best")
    with _processes(bench) as pool:
        found = pool.map(_placements, repeat(bench), range(bench.seeds))
        placements = dict(enumerate(found))
    wanted = {
        (seed, model.digest): model
        for seed in range(bench.seeds)
        for models in (*pools[seed].values(), [bench.placed(at) for at in placements[seed].values()])
        for model in models
    }
    on_progress(f"training {len(wanted)} models")
    scores = train_missing(bench, wanted, Scores(bench, kept), on_progress)
    latency = _timed({model.digest: model for model in wanted.values()}, bench.tokens)
    direction = bench.make_task().direction
    loss = {key: direction.sign * score for key, score in scores.items()}
    volumes = [_volumes(pools[seed], seed, loss, latency) for seed in range(bench.seeds)]
    return {
        "task": bench.task,
        "tokens": bench.tokens,
        "context": bench.context,
        "metric": bench.make_task().metric,
        "volumes": {name: [found[name] for found in volumes] for name in POOLS},
        "ratios": {
            name: _mean_and_error([found["mixed"] / max(found[name], 1e-9) for found in volumes])
            for name in POOLS
            if name != "mixed"
        },
        "placements": {
            name: {
                "layers": [list(placements[seed][name]) for seed in range(bench.seeds)],
                "test": _mean_and_error(
                    [scores[seed, bench.placed(placements[seed][name]).digest] for seed in range(bench.seeds)]
                ),
            }
            for name in placements[0]
        },
        "models": [
            {
                "seed": seed,
                "digest": digest,
                "layers": [layer.to_dict() for layer in model.layers],
                "test": scores[seed, digest],
                "latency_ms": latency[digest],
            }
            for (seed, digest), model in wanted.items()
        ],
    }


def _processes(bench: MixingBench) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(bench.processes, mp_context=get_context("spawn"))


def _placements(bench: MixingBench, seed: int) -> dict[str, tuple[int, ...]]:
    """Where k layers of softmax stand: evenly, at random, and where a supernet of all placements says."""
    depth, k = max(bench.depths), bench.softmax_layers
    every = list(combinations(range(depth), k))
    even = tuple(math.ceil((i + 1) * depth / k) - 1 for i in range(k))
    rng = np.random.default_rng((7, seed))
    return {"even": even, "random": every[rng.integers(len(every))], "learned": _learned(bench, every, seed)}


def _learned(bench: MixingBench, every: Sequence[tuple[int, ...]], seed: int) -> tuple[int, ...]:
    """The best placement by a supernet that is trained for as many steps as a model."""
    import torch

    from nas.training import load_supernet, train_supernet

    torch.set_num_threads(1)
    layer = {"mixer": ["softmax", PLACED], "heads": [HEADS], "ratio": [RATIOS[-1]], "conv": [bench.conv]}
    task = bench.make_task()
    space = load_space(
        {
            "name": "placements",
            "vocabulary": task.form.vocabulary,
            "context": bench.context,
            "width": [bench.width],
            "depth": [max(bench.depths)],
            "layer": layer,
        }
    )
    budget = TrainBudget(steps=bench.steps, batch=bench.batch)
    with TemporaryDirectory() as folder:
        result = train_supernet(space, task, budget, seed, Path(folder), lambda *_: None, lambda: False)
        supernet = load_supernet(space, result.path)

    def loss(at: tuple[int, ...]) -> float:
        model = bench.placed(at)
        value = task.evaluate(lambda tokens: supernet(tokens, model), Split.VALIDATION, share=0.25)
        return task.direction.sign * value

    return min(every, key=loss)


def train_missing(
    bench: MixingBench,
    wanted: Mapping[tuple[int, str], Architecture],
    scores: Scores,
    on_progress: Callable[[str], None],
) -> Mapping[tuple[int, str], float]:
    """The metric on the test split of each, (seed, digest): those without a score are trained."""
    missing = {key: model for key, model in wanted.items() if key not in scores.known}
    with _processes(bench) as pool:
        asked = {pool.submit(train_alone, bench, model, key[0]): key for key, model in missing.items()}
        for number, answer in enumerate(as_completed(asked), start=1 + len(wanted) - len(missing)):
            scores.keep(*asked[answer], answer.result())
            on_progress(f"{number} of {len(wanted)} models trained")
    return scores.known


def train_alone(bench: MixingBench, architecture: Architecture, seed: int) -> float:
    """The test metric of a model that is trained from fresh weights."""
    import torch

    from nas.training.finetune import FineTuning, finetune
    from searchspaces.submodel import Submodel

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    task = bench.make_task()
    submodel = Submodel(architecture)
    rate = TrainBudget().learning_rate  # as supernets; finalists' is meant for going on from one
    budget = FinalistBudget(start="scratch", steps=bench.steps, batch=bench.batch, learning_rate=rate)
    with TemporaryDirectory() as folder:
        job = FineTuning(task, budget, 0, bench.context, seed, Path(folder))
        finetune(submodel, job, bench.steps, lambda *_: None, lambda _: None, lambda: False)
    return task.evaluate(submodel, Split.TEST)


def _timed(models: Mapping[str, Architecture], tokens: int) -> dict[str, float]:
    """Processor ms of one sequence in onnxruntime, by digest: the least of a few rounds over all models."""
    import time

    import onnxruntime

    from nas.export import BlockLibrary

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    library, ids = BlockLibrary(), np.zeros((1, tokens), np.int64)
    sessions = {
        digest: onnxruntime.InferenceSession(
            library.compose(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for digest, model in models.items()
    }
    least = dict.fromkeys(models, math.inf)
    for _ in range(ROUNDS):
        for digest, session in sessions.items():
            begun = time.thread_time()
            session.run(None, {"tokens": ids})
            least[digest] = min(least[digest], 1e3 * (time.thread_time() - begun))
    return least


def _volumes(
    pools: Mapping[str, Sequence[Architecture]],
    seed: int,
    loss: Mapping[tuple[int, str], float],
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

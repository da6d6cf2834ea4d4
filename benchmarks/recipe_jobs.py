"""Trainings of the recipes' benchmark: which there are, what each gives, and a file that keeps answers."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from recipe_trainer import RECIPES, Recipe, RecipeTrainer

from nas.bench.mixers.alone import process_pool
from nas.spec import FinalistBudget, TrainBudget
from nas.tasks import Task, make_task
from nas.training.finetune import FineTuning, best_weights, finetune
from searchspaces.architecture import Architecture
from searchspaces.costs import CostModel
from searchspaces.presets import presets
from searchspaces.space import SearchSpace, load_space
from searchspaces.submodel import Submodel

RATE = 0.03
TIMED_STEPS = 24
"""By which recipes' processor time is told, at most, and a twentieth of all steps."""

BESIDE = 24
TUNED, TUNING_RATE = 1 / 12, 0.01
"""Of the steps, in which models go on from the plain supernet's weights, and their learning rate."""


@dataclass(frozen=True)
class Setting:
    """What is trained.

    Attributes:
        space: a name, a file or a declaration.
        options: of the task.
        steps: of the plain supernet, and of training alone.
        batch: sequences a step.
    """

    task: str
    space: Any
    steps: int
    batch: int
    architectures: int
    options: dict[str, Any] = field(default_factory=dict)

    def make_task(self) -> Task:
        return make_task(self.task, self.options)

    def load_space(self) -> SearchSpace:
        return load_space(self.space)

    @property
    def digest(self) -> str:
        """Of what a training follows from: not of which architectures are compared."""
        told = json.dumps(asdict(self) | {"architectures": None}, sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:8]


LOOKING_UP = {
    "name": "recall",
    "vocabulary": 256,
    "context": 128,
    "width": [64],
    "depth": [2, 3, 4],
    "layer": {
        "mixer": ["softmax", "window:32", "sparse:32", "decay", "taylor", "gatedconv", "none"],
        "heads": [2, 4],
        "conv": [4],
        "ratio": [0.5, 1, 2],
    },
}
"""With short convolutions, without which nothing is looked up after few steps."""

SETTINGS = {
    "text": Setting("text", "hybrid-lm", 1200, 1, 16, {"evaluation_tokens": 8192}),
    "recall": Setting(
        "recall",
        LOOKING_UP,
        800,
        8,
        16,
        {"pairs": 16, "evaluation_context": 128, "evaluation_tokens": 4096},
    ),
}


@dataclass(frozen=True)
class Job:
    """One training: alone, for a share of the steps, or of a supernet."""

    setting: Setting
    seed: int
    architecture: Architecture | None = None
    share: float = 1.0
    recipe: str | None = None

    @property
    def key(self) -> str:
        what = self.recipe if self.architecture is None else f"{self.architecture.digest} x{self.share:g}"
        return f"{self.setting.task} {self.setting.digest} {what} {self.seed}"


def run(job: Job) -> dict[str, Any]:
    """Train; scores by digest, processor seconds and steps."""
    torch.set_num_threads(1)
    if job.architecture is not None:
        return alone(job, job.architecture)
    return supernet(job, RECIPES[str(job.recipe)])


def alone(job: Job, architecture: Architecture) -> dict[str, Any]:
    """The validation score of an architecture's own weights, trained from scratch."""
    setting, steps = job.setting, round(job.share * job.setting.steps)
    torch.manual_seed(job.seed)
    budget = FinalistBudget(start="scratch", steps=steps, batch=setting.batch, learning_rate=RATE)
    begun = time.process_time()
    scores = {architecture.digest: _trained(job, Submodel(architecture), budget, 0)}
    return {"scores": scores, "seconds": time.process_time() - begun, "steps": steps}


def _trained(job: Job, submodel: Submodel, budget: FinalistBudget, first_batch: int) -> float:
    """The validation score at the end."""
    task, context = job.setting.make_task(), job.setting.load_space().spec.context
    with TemporaryDirectory() as folder:
        training = FineTuning(task, budget, first_batch, context, job.seed, Path(folder))
        finetune(submodel, training, budget.steps, lambda *_: None, lambda _: None, lambda: False)
        best = best_weights(Path(folder))
    assert best is not None
    return best.validation


def supernet(job: Job, recipe: Recipe) -> dict[str, Any]:
    """A supernet by a recipe, in the processor time of the plain one."""
    setting, space, task = job.setting, job.setting.load_space(), job.setting.make_task()
    steps = max(1, round(setting.steps / _cost(setting, space, task, recipe, job.seed)))
    trainer = RecipeTrainer(space, task, _budget(setting, steps), job.seed, recipe)
    begun = time.process_time()
    for number in range(steps):
        trainer.step(number)
    seconds = time.process_time() - begun
    scores = trainer.scores([*chosen(setting), *beside(setting)])
    told = {"scores": scores, "seconds": seconds, "steps": steps}
    if recipe != Recipe():
        return told
    begun = time.process_time()
    tuned = {a.digest: _tuned(job, trainer.supernet.extract(a)) for a in chosen(setting)}
    return told | {"tuned": tuned, "tuning_seconds": time.process_time() - begun}


def _tuned(job: Job, submodel: Submodel) -> float:
    """The validation score after a few steps on from a supernet's weights."""
    steps = max(1, round(TUNED * job.setting.steps))
    budget = FinalistBudget(start="scratch", steps=steps, batch=job.setting.batch, learning_rate=TUNING_RATE)
    return _trained(job, submodel.requires_grad_(True), budget, job.setting.steps)


def _budget(setting: Setting, steps: int) -> TrainBudget:
    return TrainBudget(steps=steps, batch=setting.batch, learning_rate=RATE)


def _cost(setting: Setting, space: SearchSpace, task: Task, recipe: Recipe, seed: int) -> float:
    """A step's processor time over that of the plain one, timed in turns: the load may change."""
    if recipe == Recipe():
        return 1.0
    steps = min(TIMED_STEPS, max(1, setting.steps // 20))
    both = [RecipeTrainer(space, task, _budget(setting, steps), seed, each) for each in (recipe, Recipe())]
    spent = [0.0, 0.0]
    for number in range(-1, steps):
        for at, trainer in enumerate(both):
            begun = time.process_time()
            trainer.step(max(0, number))
            spent[at] += time.process_time() - begun if number >= 0 else 0.0
    return spent[0] / spent[1]


def chosen(setting: Setting) -> list[Architecture]:
    """Half of them presets: the largest, MatFormer's granularities, others over all sizes. The others random,
    spread over all sizes too."""
    space, count = setting.load_space(), setting.architectures
    named = presets(space)
    of_sizes = [p.architecture for name, p in named.items() if name.startswith("matformer")]
    first = named[f"softmax-L{space.max_depth}"].architecture
    others = _spread(space, [p.architecture for p in named.values()], max(0, count // 2 - 1 - len(of_sizes)))
    drawn = space.decode(space.sample(50 * count, np.random.default_rng(0)))
    found = {a.digest: a for a in (first, *of_sizes, *others)}
    fresh = [a for a in drawn if a.digest not in found]
    return [*found.values(), *_spread(space, fresh, count - len(found))]


def beside(setting: Setting) -> list[Architecture]:
    """Others that a supernet scores as well: from how structure explains scores follow predictions."""
    space = setting.load_space()
    return space.decode(space.sample(BESIDE, np.random.default_rng(1)))


def _spread(space: SearchSpace, architectures: Sequence[Architecture], count: int) -> list[Architecture]:
    order = np.argsort(CostModel(space).parameters(space.encode(architectures)), kind="stable")
    return [architectures[order[round(at)]] for at in np.linspace(0, len(order) - 1, count)]


def jobs_of(setting: Setting, seed: int, recipes: Sequence[str]) -> tuple[list[Job], list[Job]]:
    """Trainings alone, the longest first, and of supernets."""
    space, models = setting.load_space(), chosen(setting)
    macs = CostModel(space).macs(space.encode(models), space.spec.context)
    shares = [Job(setting, seed, models[0], 0.5), *(Job(setting, seed, a) for a in models)]
    costs = [macs[0] / 2, *macs]
    longest = [shares[i] for i in np.argsort(costs, kind="stable")[::-1]]
    return longest, [Job(setting, seed, recipe=name) for name in recipes]


def in_order(settings: Sequence[Setting], seeds: int, recipes: Sequence[str]) -> list[Job]:
    """All jobs: a seed after the other, trainings alone first, tasks in turns."""
    found: list[Job] = []
    for seed in range(seeds):
        by_task = [jobs_of(setting, seed, recipes) for setting in settings]
        for kind in range(2):
            turns = zip_longest(*(jobs[kind] for jobs in by_task))
            found += [job for job in chain.from_iterable(turns) if job is not None]
    return found


class Answers:
    """What jobs gave, by key, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.is_file() else []
        self.known: dict[str, dict[str, Any]] = dict(map(json.loads, lines))

    def keep(self, key: str, answer: dict[str, Any]) -> None:
        self.known[key] = answer
        with self._path.open("a") as file:
            file.write(json.dumps([key, answer]) + "\n")

    def scores(self, job: Job, models: Sequence[Architecture]) -> np.ndarray | None:
        """(models,); None where it was not run."""
        answer = self.known.get(job.key)
        return None if answer is None else np.array([answer["scores"][a.digest] for a in models])


def train(jobs: Sequence[Job], answers: Answers, processes: int) -> list[str]:
    """Run what has no answer; what failed is told, and keeps no other answer waiting."""
    missing, failed = [job for job in jobs if job.key not in answers.known], list[str]()
    with process_pool(processes) as pool:
        asked = {pool.submit(run, job): job for job in missing}
        for done, future in enumerate(as_completed(asked), 1):
            key, error = asked[future].key, future.exception()
            if error is not None:
                failed.append(f"{key}: {error!r}")
            else:
                answers.keep(key, future.result())
            told = failed[-1] if error is not None else f"{key} {answers.known[key]['seconds']:.0f} s"
            print(f"{done}/{len(missing)} {told}", flush=True)
    return failed

"""Ways of training a supernet, for `recipes.py` to compare."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from nas.evaluation import Split
from nas.pretrained.streams import divergence
from nas.spec import TrainBudget
from nas.tasks import Task
from nas.training.schedule import SHARED_MIXER_FRACTION, SIZES, learning_rate_factor, mixer_shares
from nas.training.trainer import GRADIENT_NORM, Trainer
from searchspaces.architecture import NO_MIXER, Architecture
from searchspaces.blocks import Weights
from searchspaces.space import SearchSpace
from searchspaces.submodel import layer_shapes
from searchspaces.supernet import Supernet

__all__ = ["RECIPES", "Recipe", "RecipeTrainer"]

Role = Literal["drawn", "even", "largest", "smallest"]

STRATA = 8
"""Steps in a row over which stratified draws are spread evenly."""

RANK = 8
"""Of the differences that a mixer has to weights which all share."""

FASTEST = 3.0
"""The most that a weight's learning rate is raised for being used seldom."""


def _half(progress: float) -> float:
    return 0.5


@dataclass(frozen=True)
class Recipe:
    """How a supernet is trained; by default as it ships.

    Attributes:
        roles: the architectures that share a step's gradient: drawn at random, with even sizes whatever
            `largest` says, or with the largest or smallest sizes.
        largest: share of the steps in which a drawn one has the largest sizes, by progress (0 to 1).
        alike: share of the steps in which all layers have one mixer, by progress.
        first_alone: share of the steps, the first ones, in which that mixer is the space's first.
        sizes_by_size: sizes are drawn in proportion to themselves rather than evenly.
        by_option: mixers are drawn by option rather than by family.
        stratified: every gene's draws are spread evenly over `STRATA` steps in a row.
        distil: those after the first in a step learn half from its predictions (in-place distillation).
        batch: sequences a step, over those of the plain one.
        rate: learning rate over that of the plain one.
        by_use: weights learn faster the less often they are used.
        own: what each mixer and size has of its own, folded into a model that is cut out: gains of norms
            and outputs, or low-rank differences of values and outputs (mixers only).
        average: decay of a running average of the weights, which is what is scored.
    """

    roles: tuple[Role, ...] = ("drawn",)
    largest: Callable[[float], float] = _half
    alike: Callable[[float], float] = lambda progress: SHARED_MIXER_FRACTION
    first_alone: float = 0.0
    sizes_by_size: bool = False
    by_option: bool = False
    stratified: bool = False
    distil: bool = False
    batch: int = 1
    rate: float = 1.0
    by_use: bool = False
    own: Literal["gains", "low rank"] | None = None
    average: float | None = None


SANDWICH: tuple[Role, ...] = ("largest", "smallest", "even", "even")
PAIR: tuple[Role, ...] = ("largest", "even")

RECIPES = {
    "plain": Recipe(),
    "sizes even": Recipe(largest=lambda progress: 0.0),
    "largest in 3/4": Recipe(largest=lambda progress: 0.75),
    "largest first, then even": Recipe(largest=lambda progress: float(progress < 0.5)),
    "largest ever less": Recipe(largest=lambda progress: 1.0 - progress),
    "sizes by size": Recipe(largest=lambda progress: 0.0, sizes_by_size=True),
    "sandwich": Recipe(SANDWICH),
    "sandwich, distilled": Recipe(SANDWICH, distil=True),
    "largest and one": Recipe(PAIR),
    "largest and one, distilled": Recipe(PAIR, distil=True),
    "by option": Recipe(by_option=True),
    "stratified": Recipe(stratified=True),
    "first mixer first": Recipe(first_alone=1 / 3),
    "one mixer a model first": Recipe(alike=lambda progress: 1.0 if progress < 0.4 else 0.25),
    "one mixer in half": Recipe(alike=lambda progress: 0.5),
    "batch 2": Recipe(batch=2),
    "batch 4": Recipe(batch=4),
    "rate 2/3": Recipe(rate=2 / 3),
    "rate 3/2": Recipe(rate=1.5),
    "rates by use": Recipe(by_use=True),
    "own gains": Recipe(own="gains"),
    "own low-rank": Recipe(own="low rank"),
    "averaged .98": Recipe(average=0.98),
    "averaged .995": Recipe(average=0.995),
    "batch 2, averaged": Recipe(batch=2, average=0.98),
    "ever less, gains, averaged": Recipe(largest=lambda progress: 1.0 - progress, own="gains", average=0.98),
    "pair, gains, averaged": Recipe(PAIR, own="gains", average=0.98),
    "stratified, gains, averaged": Recipe(stratified=True, own="gains", average=0.98),
}
"""Those of one line first, then what promises most together."""


class RecipeTrainer(Trainer):
    """A trainer by a recipe."""

    def __init__(self, space: SearchSpace, task: Task, budget: TrainBudget, seed: int, recipe: Recipe):
        budget = budget.model_copy(
            update={
                "batch": budget.batch * recipe.batch,
                "learning_rate": budget.learning_rate * recipe.rate,
            }
        )
        super().__init__(space, task, budget, seed)
        self.recipe = recipe
        if recipe.own is not None:
            self._replace_supernet(OwnedSupernet(space, recipe.own, self.supernet))
        self._rates = self._by_use() if recipe.by_use else {}
        self._averaged = {name: value.clone() for name, value in self.supernet.state_dict().items()}

    def _replace_supernet(self, supernet: Supernet) -> None:
        self.supernet, self.optimizer = supernet, type(self.optimizer)(supernet)

    def step(self, number: int) -> float:
        """See `Trainer.step`."""
        budget, recipe = self.budget, self.recipe
        batch = self.task.batch(number, self.seed, budget.batch, self.space.spec.context)
        architectures = self.architectures(number)
        self.supernet.zero_grad()
        told: Tensor | None = None
        total = 0.0
        for architecture in architectures:
            logits = self.supernet(batch.inputs, architecture)
            loss = self.task.loss(logits, batch.targets)
            total += loss.item() / len(architectures)
            if told is not None:
                loss = (loss + divergence(told, logits)) / 2
            elif recipe.distil:
                told = logits.detach()
            (loss / len(architectures)).backward()
        torch.nn.utils.clip_grad_norm_(self.supernet.parameters(), GRADIENT_NORM)
        named = dict(self.supernet.named_parameters())
        before = {name: named[name].detach().clone() for name in self._rates}
        self.optimizer.step(budget.learning_rate * learning_rate_factor(number, budget.steps))
        with torch.no_grad():
            for name, rate in self._rates.items():
                named[name].copy_(before[name].lerp(named[name], rate))
            if recipe.average is not None:
                # Early on the average is over what there is, rather than over the initial weights.
                decay = min(recipe.average, (1 + number) / (10 + number))
                for name, value in self.supernet.state_dict().items():
                    self._averaged[name].lerp_(value, 1 - decay)
        return total

    def scores(self, architectures: list[Architecture]) -> dict[str, float]:
        """The metric on the validation split by digest, with the averaged weights where the recipe has
        them. Nothing is trained after."""
        if self.recipe.average is not None:
            self.supernet.load_state_dict(self._averaged)
        net = self.supernet.requires_grad_(False).eval()
        return {
            a.digest: self.task.evaluate(lambda tokens, a=a: net(tokens, a), Split.VALIDATION)
            for a in architectures
        }

    def architectures(self, number: int) -> list[Architecture]:
        """Of step `number`."""
        space, recipe, progress = self.space, self.recipe, number / self.budget.steps
        rng = np.random.default_rng((1, self.seed, number))
        rows = np.stack([self._drawn(number, role, rng) for role in range(len(recipe.roles))])
        mixers = space.layer_genes[:, space.layer_columns.index("mixer")]
        shares = self._shares()
        if progress < recipe.first_alone:
            rows[:, mixers] = 0
        elif rng.random() < recipe.alike(progress):
            mixing = shares * [mixer != NO_MIXER for mixer in space.spec.layer.mixer]
            rows[:, mixers] = rng.choice(len(shares), p=mixing / mixing.sum())
        enlarged = rng.random() < recipe.largest(progress)
        for row, role in zip(rows, recipe.roles, strict=True):
            if role in ("largest", "smallest") or (role == "drawn" and enlarged):
                pick = min if role == "smallest" else max
                for column, options in self._sizes():
                    row[column] = options.index(pick(options))
        return space.decode(rows)

    def _drawn(self, number: int, role: int, rng: np.random.Generator) -> np.ndarray:
        """(genes,) of one architecture: uniform numbers through each gene's distribution."""
        space, recipe = self.space, self.recipe
        uniform = rng.random(space.genes)
        if recipe.stratified:
            cycle = np.random.default_rng((2, self.seed, role, number // STRATA))
            strata = cycle.permuted(np.tile(np.arange(STRATA), (space.genes, 1)), axis=1)
            uniform = (strata[:, number % STRATA] + uniform) / STRATA
        row = (uniform * space.cardinalities).astype(np.int64)
        by_gene = {column: self._shares() for column in self._mixers()}
        if recipe.sizes_by_size:
            by_gene |= {column: np.array(options) / sum(options) for column, options in self._sizes()}
        for column, shares in by_gene.items():
            row[column] = min(np.searchsorted(np.cumsum(shares), uniform[column]), len(shares) - 1)
        return row

    def _shares(self) -> np.ndarray:
        options = self.space.spec.layer.mixer
        return np.full(len(options), 1 / len(options)) if self.recipe.by_option else mixer_shares(options)

    def _mixers(self) -> list[int]:
        return [i for i, name in enumerate(self.space.names) if name.startswith("mixer")]

    def _sizes(self) -> list[tuple[int, tuple[float, ...]]]:
        named = enumerate(zip(self.space.names, self.space.options, strict=True))
        return [(i, tuple(options)) for i, (name, options) in named if name.startswith(SIZES)]

    def _by_use(self) -> dict[str, float]:
        """What the learning rate of weights is multiplied with, by name: 1/√(the share of a step's entries
        that is used on average)."""
        named = {name: value.numel() for name, value in self.supernet.named_parameters()}
        used, numbers = dict.fromkeys(named, 0.0), np.linspace(0, self.budget.steps - 1, 100).astype(int)
        for number in numbers.tolist():
            for name in named:
                used[name] += 0.0 if name.startswith("layers.") else 1.0
            for architecture in self.architectures(number)[:1]:
                for at, layer in enumerate(architecture.layers):
                    for weight, shape in layer_shapes(layer, architecture.width, architecture.view).items():
                        name = f"layers.{at}.{weight}"
                        used[name] += math.prod(shape.shape) / named[name]
        return {
            name: min(FASTEST, math.sqrt(len(numbers) / max(share, 1e-9)))
            for name, share in used.items()
            if share < len(numbers)
        }


class OwnedSupernet(Supernet):
    """A supernet whose mixers and sizes have small weights of their own on top of the shared ones, which
    fold into the weights of a model that is cut out."""

    def __init__(self, space: SearchSpace, own: Literal["gains", "low rank"], like: Supernet) -> None:
        super().__init__(space)
        self.load_state_dict(like.state_dict())
        self._own, width, layer = own, max(space.spec.width), space.spec.layer
        found: dict[str, Tensor] = {}
        for at in range(space.max_depth):
            for mixer in layer.mixer:
                if own == "gains":
                    found |= {f"{at}/{mixer}/{name}": torch.ones(width) for name in ("norm", "out")}
                    continue
                for name in ("value", "out"):
                    if name in self._shapes:
                        rows, columns = self._shapes[name].shape
                        found[f"{at}/{mixer}/{name}/left"] = torch.zeros(rows, RANK)
                        found[f"{at}/{mixer}/{name}/right"] = torch.randn(RANK, columns) / math.sqrt(columns)
            if own == "gains":
                for ratio in range(len(layer.ratio)):
                    found |= {f"{at}/ratio{ratio}/{name}": torch.ones(width) for name in ("norm", "down")}
        if own == "gains":
            found |= {f"depth{depth}": torch.ones(width) for depth in space.spec.depth}
        self.own = nn.ParameterDict({name.replace(".", "_"): value for name, value in found.items()})

    def weights(self, architecture: Architecture) -> Weights:
        """See `Supernet.weights`."""
        shared = super().weights(architecture)
        layers = []
        for at, (layer, weights) in enumerate(zip(architecture.layers, shared.layers, strict=True)):
            of, ratio = f"{at}/{layer.mixer}", self.space.spec.layer.ratio.index(layer.ratio)
            changed = dict(weights)
            for name, weight in weights.items():
                if self._own == "low rank":
                    if name in ("value", "out") and f"{of}/{name}/left" in self.own:
                        left, right = self.own[f"{of}/{name}/left"], self.own[f"{of}/{name}/right"]
                        changed[name] = weight + left[: len(weight)] @ right[:, : weight.shape[1]]
                elif name == "mixing_norm":
                    changed[name] = weight * self.own[f"{of}/norm"][: len(weight)]
                elif name == "out":
                    changed[name] = weight * self.own[f"{of}/out"][: len(weight), None]
                elif name == "channel_norm":
                    changed[name] = weight * self.own[f"{at}/ratio{ratio}/norm"][: len(weight)]
                elif name.endswith("_down"):
                    changed[name] = weight * self.own[f"{at}/ratio{ratio}/down"][: len(weight), None]
            layers.append(changed)
        outer = dict(shared.outer)
        if self._own == "gains":
            outer["norm"] = outer["norm"] * self.own[f"depth{architecture.depth}"][: len(outer["norm"])]
        return Weights(outer, layers)

"""How much memory and how many tokens a job takes as a whole: parts within bounds may add up to anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from nas.errors import InvalidSpec
from nas.planning.limits import Limits
from nas.planning.plan import Plan
from nas.spec import StageName
from nas.tasks import SequenceTask
from searchspaces.costs import Block, BlockRole, CostModel, block_parameters, prefill
from searchspaces.errors import Problem
from searchspaces.operations import OperationKind
from workers.target import Phase

__all__ = ["Sizes", "check_sizes", "sizes_of"]

FLOAT, INTEGER = 4, 8
"""Bytes of a weight or an activation, and of a token."""
COPIES = 4
"""Of the supernet while it trains: weights, gradients and an optimiser's two moments at most."""
KEPT = 8
"""Activations a token, in model widths, that a layer keeps for gradients besides its feed-forward part's."""
GATED = 3
"""The same of the feed-forward part, in feed-forward widths."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one job, by plain arithmetic on its spec: nothing of that size is made.

    Attributes:
        supernet: bytes of its weights, of their gradients and of the optimiser's moments.
        activations: bytes that a training batch, or one that is scored or measured, keeps at once.
        mask: bytes of the largest mask of an attention.
        sequences: bytes of the tokens that evaluations read.
        tokens: that training, evaluations and finalists read together.
    """

    supernet: int
    activations: int
    mask: int
    sequences: int
    tokens: int

    @property
    def memory(self) -> int:
        """Bytes in all."""
        return self.supernet + self.activations + self.mask + self.sequences


def sizes_of(plan: Plan) -> Sizes:
    """What the job's largest model and longest sequences take."""
    space, spec = plan.space.spec, plan.spec
    widest, depth = max(space.width), plan.space.max_depth
    every = [block for block in CostModel(plan.space).blocks if block.width == widest]
    stem = sum(block_parameters(block) for block in every if block.role is BlockRole.STEM)
    blocks = [block for block in every if block.role is not BlockRole.STEM]
    layer = _layer_weights(blocks) + 2 * widest
    trains = plan.given_task is not None and StageName.TRAIN in spec.stages
    task = plan.given_task
    # Tokens of one that is scored.
    scores = task.options.evaluation_context if isinstance(task, SequenceTask) else space.context
    # (sequences, tokens of one) that are computed with at once.
    batches = [
        (w.batch, 1 if w.phase is Phase.DECODE else w.tokens) for w in (t.workload for t in plan.targets)
    ]
    begins = spec.start is not None  # with a model that is trained already
    if trains:
        of_training = spec.budget.finalists.batch if begins else spec.budget.train.batch
        batches.append((of_training, space.context))
    if task is not None:
        batches.append((1 if begins else task.scored_at_once, scores))
    a_token = FLOAT * (
        2 * space.vocabulary
        + (depth if trains else 1) * round(KEPT * widest + GATED * max(space.layer.ratio) * widest)
    )
    longest = max(tokens for _, tokens in batches)
    scored = 0 if task is None else task.scored_examples * scores
    budget = spec.budget
    read = 0
    if trains:
        read += budget.calibrate.tokens if begins else budget.train.steps * budget.train.batch * space.context
        read += (budget.search.evaluations + budget.verify.rounds * budget.verify.evaluations) * scored
        finalists = budget.finalists
        members = min(finalists.count + finalists.presets, budget.search.evaluations)
        read += members * finalists.seeds * finalists.steps * finalists.batch * space.context
        if finalists.tuning_steps:  # no more than what is chosen by it, and of all that are trained first
            tuned = finalists.count * finalists.seeds * finalists.steps + members * finalists.tuning_steps
            read += tuned * finalists.batch * space.context
    return Sizes(
        supernet=FLOAT * (COPIES if trains else 1) * (stem + depth * layer),
        activations=max(batch * tokens for batch, tokens in batches) * a_token,
        mask=FLOAT * max((_pairs(block, longest) for block in blocks), default=0),
        sequences=2 * INTEGER * scored,
        tokens=read,
    )


def check_sizes(plan: Plan, limits: Limits) -> None:
    """Refuse a job that is too large as a whole, before anything of it is made or written.

    Raises:
        InvalidSpec: with every sum that is above its limit, and what it is made of.
    """
    problems = list(_size_problems(sizes_of(plan), limits))
    if problems:
        raise InvalidSpec(problems)


def _size_problems(sizes: Sizes, limits: Limits) -> Iterator[Problem]:
    if limits.memory_bytes is not None and sizes.memory > limits.memory_bytes:
        yield Problem(
            "space",
            f"the job takes {_readable(sizes.memory)} of memory: "
            f"{_readable(sizes.supernet)} for the supernet, "
            f"{_readable(sizes.activations)} for the activations of its largest batch, "
            f"{_readable(sizes.mask)} for the largest mask, {_readable(sizes.sequences)} for the tokens that "
            f"evaluations read; accepted: at most {_readable(limits.memory_bytes)}",
        )
    if limits.tokens is not None and sizes.tokens > limits.tokens:
        yield Problem(
            "budget",
            f"training, evaluations and finalists read {sizes.tokens:.3g} tokens; accepted: at most "
            f"{limits.tokens:.3g}",
        )


def _layer_weights(blocks: list[Block]) -> int:
    """Scalars of one layer that holds every option: weights of one name once, at their largest."""
    largest: dict[str, tuple[int, ...]] = {}
    for block in blocks:
        for name, weight in block.weights.items():
            known = largest.get(name, weight.shape)
            largest[name] = tuple(map(max, weight.shape, known))
    return sum(prod(shape) for shape in largest.values())


def _pairs(block: Block, tokens: int) -> int:
    """Queries times keys that an attention over so many tokens has a mask for."""
    if block.role is not BlockRole.MIXER or not block.heads:
        return 0
    operations = prefill(block, tokens)
    scores = (o.elements for o in operations if o.kind is OperationKind.ATTENTION)
    return max(scores, default=0) // block.heads


def _readable(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:.4g} {unit}"
        size /= 1024
    raise AssertionError

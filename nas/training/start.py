"""A supernet out of a pretrained model: nested, with what replaces its parts, trained part by part."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import InvalidSpec, JobFailed
from nas.pretrained import Parent, read_parent
from nas.spec import Budget, StartSpec
from nas.tasks import Task
from nas.training.checkpoint import load_checkpoint, save_checkpoint
from nas.training.trainer import TrainingResult
from searchspaces.architecture import NO_MIXER
from searchspaces.errors import Problem
from searchspaces.mixers import obeyed_genes, parse_mixer
from searchspaces.space import SearchSpace

if TYPE_CHECKING:
    from torch import Tensor

    from nas.pretrained.streams import Divergence, Passage
    from searchspaces.supernet import Supernet

__all__ = ["calibration_tokens", "divergence_from_parent", "scored_tokens", "start_supernet"]

CALIBRATION_STEP = 1 << 30
"""Number of the task's training batch that calibration reads: none that a training gets to."""

DRAWS, RUN = 8, 16
"""How often what is scored is drawn, of which the best is taken; and how many tokens in a row are the same
passage."""


def calibration_tokens(task: Task, budget: Budget, context: int, seed: int) -> Tensor:
    """(rows, N) of the task's training data."""
    rows = max(1, budget.calibrate.tokens // context)
    return task.batch(CALIBRATION_STEP, seed, rows, context).inputs


def scored_tokens(task: Task, budget: Budget, context: int, seed: int) -> Tensor:
    """(rows, N) of the task's training data, whose last ``budget.calibrate.scored`` tokens were not
    calibrated on.

    Sequences begin anywhere in a text, so more are drawn than are wanted, and those that share runs of tokens
    with what was calibrated on come last; of a text that is too short for others, they are taken.
    """
    import torch

    scored = budget.calibrate.scored
    wanted = max(1, scored // context)
    draws = (task.batch(CALIBRATION_STEP + 1 + n, seed, wanted, context).inputs for n in range(DRAWS))
    rows = torch.cat(list(draws))
    run = min(RUN, context, scored)
    # One number tells a run of tokens from any other.
    hashed = torch.tensor([pow(1_000_003, n, 2**31) for n in range(run)])
    known = (calibration_tokens(task, budget, context, seed).unfold(1, run, 1) * hashed).sum(-1)
    runs = (rows[:, -scored:].unfold(1, run, run) * hashed).sum(-1)
    shared = torch.isin(runs, known).sum(1)
    return rows[shared.argsort(stable=True)[:wanted]]


def divergence_from_parent(supernet: Supernet, task: Task, budget: Budget, seed: int) -> Divergence:
    """By which replacements are scored: on other tokens than those that they are trained on, whole sequences
    or, where fewer tokens than one has are to be scored, the last ones of one."""
    from nas.pretrained.streams import Divergence

    parent, context, scored = supernet.space.first, supernet.space.spec.context, budget.calibrate.scored
    tokens = scored_tokens(task, budget, context, seed)
    return Divergence(parent, supernet.weights(parent), tokens, last=min(scored, context))


def start_supernet(
    space: SearchSpace,
    task: Task,
    start: StartSpec,
    budget: Budget,
    seed: int,
    folder: Path,
    progress: Callable[[int, int, dict[str, float]], None],
    stop: Callable[[], bool],
) -> TrainingResult:
    """Read the parent, nest it, and train whatever may replace a token mixer and has weights of its own
    against the mixer's output, one at a time (LoLCATs; Zhang et al., 2025). One whose divergence from the
    parent did not fall keeps the weights that it began with. Then every replacement's projection back to the
    stream is fitted (`nas.pretrained.fitting`).

    Goes on from what an earlier run left: each replacement is kept in a file of its own as soon as it is
    trained.

    Args:
        folder: keeps `library/` while training and `supernet.safetensors` at the end.
        progress: called after each piece of work with pieces done, pieces in all, and where it was a training
            ``before`` and ``after`` (nats) of it. A layer that is nested is one, so is one that is fitted.
        stop: asked before each replacement; where it answers True the call returns.

    Raises:
        InvalidSpec: the parent cannot be read, or has changed since the job was submitted.
        StoreUnavailable: the disk cannot take a file.
    """

    final = folder / "supernet.safetensors"
    context = space.spec.context
    if final.is_file():
        _, facts = load_checkpoint(final)
        return TrainingResult(final, facts["steps"], facts["tokens_per_second"], ())
    begun = time.monotonic()
    parent = _unchanged(start)
    tokens = calibration_tokens(task, budget, context, seed)
    fit = budget.library.fit
    own = list(_with_weights_of_their_own(space)) if budget.library.steps else []
    todo = space.max_depth * (1 + len(own) + fit)
    done = count(1)

    def told(facts: dict[str, float] | None = None) -> None:
        progress(next(done), todo, facts or {})

    supernet = _nested(parent, space, tokens, seed, fit, told)
    trained = 0
    scored = cache(partial(divergence_from_parent, supernet, task, budget, seed))
    for number, rows in _places(supernet, tokens):
        for option in own:
            if stop():
                return TrainingResult(final, trained, 0.0, ())
            path = folder / "library" / f"{number}-{re.sub(r'[^0-9A-Za-z]+', '-', option)}.safetensors"
            if not path.is_file():
                _train(supernet, number, option, rows, budget, scored(), path)
            told(_take(supernet, number, path))
            trained += budget.library.steps
        parameters = dict(supernet.layers[number].named_parameters())
        for fewer, every in _beginnings(space):
            parameters[fewer].copy_(parameters[every][: len(parameters[fewer])])
        if fit:
            _fit_mixers(supernet, number, rows)
            told()
            if stop():
                return TrainingResult(final, trained, 0.0, ())
    seconds = time.monotonic() - begun
    speed = trained * context / seconds
    save_checkpoint(final, supernet.state_dict(), {"steps": trained, "tokens_per_second": speed})
    return TrainingResult(final, trained, speed, ())


def _unchanged(start: StartSpec) -> Parent:
    parent = read_parent(Path(start.model))
    if start.digest not in (None, parent.digest):
        said = f"{start.model} has changed since the job was submitted ({parent.digest}, not {start.digest})"
        raise InvalidSpec([Problem("start.model", f"{said}; accepted: the same files, or a new job")])
    return parent


def _nested(
    parent: Parent, space: SearchSpace, tokens: Tensor, seed: int, fit: bool, told: Callable[[], None]
) -> Supernet:
    """The supernet with the parent's weights; families of mixers begin with its queries and keys, projections
    that replacements have of their own with its."""
    import torch

    from nas.pretrained.fitting import Moments, narrowed
    from nas.pretrained.nesting import nest
    from nas.pretrained.reading import read_model
    from searchspaces.supernet import OF, Supernet

    model = read_model(parent)
    narrow: dict[tuple[int, float], Tensor] = {}

    def nested(number: int, units: Moments) -> None:
        down = dict(model.layers[number].named_parameters())["swiglu_down"]
        for ratio in [ratio for ratio in space.spec.layer.ratio[1:] if ratio and fit]:
            narrow[number, ratio] = narrowed(down, units, round(ratio * space.first.width))
        told()

    nest(model, tokens, nested)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        supernet = Supernet(space, fit)
    theirs = model.state_dict()
    with torch.no_grad():
        for name, parameter in supernet.named_parameters():
            layer, _, own = name.partition(OF)[0].rpartition(".")
            shared = re.sub(r"^[a-z]+_(query|key)(?=$|_bias$|_norm$)", r"\1", own)
            source = theirs.get(f"{layer}.{own}".lstrip("."), theirs.get(f"{layer}.{shared}"))
            if source is not None:
                begins = source[tuple(map(slice, parameter.shape))] if OF in name else source
                if begins.shape != parameter.shape:
                    raise JobFailed(f"{name} is {tuple(parameter.shape)} here, {tuple(source.shape)} there")
                parameter.copy_(begins)
        for (number, ratio), down in narrow.items():
            _weights_of(supernet, number, ratio=ratio)["swiglu_down"].copy_(down)
    return supernet.requires_grad_(False).eval()


def _weights_of(supernet: Supernet, number: int, **genes: Any) -> Mapping[str, Tensor]:
    """A layer's with these genes in place of the parent's: views."""
    return supernet.weights(supernet.space.first.with_layer(number, **genes)).layers[number]


def _fit_mixers(supernet: Supernet, number: int, rows: Sequence[Passage]) -> None:
    """Fit whatever may replace a layer's token mixer."""
    import torch

    from nas.pretrained.fitting import fitted_mixer

    spec, kept = supernet.space.spec.layer, rows[0].layer
    options = {
        replace(kept, mixer=mixer, heads=heads if "heads" in obeyed_genes(mixer) else kept.heads)
        for mixer in spec.mixer
        for heads in spec.heads
        if mixer != NO_MIXER
    }
    for layer in options - {kept}:
        weights = _weights_of(supernet, number, mixer=layer.mixer, heads=layer.heads)
        with torch.no_grad():
            for name, projection in fitted_mixer(rows, layer, weights).items():
                weights[name].copy_(projection)


def _with_weights_of_their_own(space: SearchSpace) -> Iterator[str]:
    """Options of the token mixer that have weights which the parent's has not."""
    parent = space.first
    sizes = parent.layers[0].sizes(parent.width)
    kept = parse_mixer(parent.layers[0].mixer).shapes(sizes)
    for option in space.spec.layer.mixer:
        if parse_mixer(option).shapes(sizes).keys() - kept.keys():
            yield option


def _beginnings(space: SearchSpace) -> Iterator[tuple[str, str]]:
    """Weights that an option has of fewer heads alone, each with that of all heads which it is the beginning
    of."""
    parent = space.first
    layer = parent.layers[0]
    for option in space.spec.layer.mixer:
        every = parse_mixer(option).shapes(layer.sizes(parent.width))
        for heads in space.spec.layer.heads[1:]:
            fewer = parse_mixer(option).shapes(replace(layer, heads=heads).sizes(parent.width))
            yield from zip(
                [name for name in fewer if name not in every],
                [name for name in every if name not in fewer],
                strict=True,
            )


def _places(supernet: Supernet, tokens: Tensor) -> Iterator[tuple[int, tuple[Passage, ...]]]:
    """Every layer, with the parent's stream there."""
    import torch

    from nas.pretrained.streams import passages_of_rows

    parent = supernet.space.first
    with torch.inference_mode(False), torch.no_grad():
        yield from enumerate(passages_of_rows(tokens, parent, supernet.weights(parent)))


def _train(
    supernet: Supernet,
    number: int,
    option: str,
    rows: Sequence[Passage],
    budget: Budget,
    scored: Divergence,
    path: Path,
) -> None:
    """Train one replacement's own weights, and keep the better of what they were and what they are."""
    import torch
    from torch.nn.functional import mse_loss

    from searchspaces.blocks import mix_tokens, positioned

    parent = supernet.space.first
    architecture = parent.with_layer(number, mixer=option)
    layer, before = architecture.layers[number], scored(architecture, supernet.weights(architecture))
    shared = rows[0].weights.keys()
    weights = dict(supernet.weights(architecture).layers[number])
    own = {name: value.clone().requires_grad_() for name, value in weights.items() if name not in shared}
    turns = rows[0].turns if positioned(layer) else None
    optimizer = torch.optim.AdamW(own.values(), lr=budget.library.learning_rate, weight_decay=0.0)
    with torch.enable_grad():
        for step in range(budget.library.steps):
            row = rows[step % len(rows)]
            with torch.no_grad():
                wanted = row.between - row.before
            found = mix_tokens(row.before, layer, {**weights, **own}, turns)
            loss = mse_loss(found, wanted) / wanted.square().mean().clamp_min(1e-12)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    began = {name: weights[name].clone() for name in own}
    trained = {name: value.detach() for name, value in own.items()}
    _put(supernet, number, trained)
    after = scored(architecture, supernet.weights(architecture))
    if not after < before:
        _put(supernet, number, began)
    save_checkpoint(
        path, trained if after < before else began, {"before": before, "after": min(after, before)}
    )


def _take(supernet: Supernet, number: int, path: Path) -> dict[str, float]:
    """Use what a file keeps of a replacement; its facts."""
    weights, facts = load_checkpoint(path)
    _put(supernet, number, weights)
    return facts


def _put(supernet: Supernet, number: int, weights: dict[str, Tensor]) -> None:
    import torch

    parameters = dict(supernet.layers[number].named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            parameters[name].copy_(value)

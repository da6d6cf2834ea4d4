"""Starting from a pretrained model: its folder settled once, and the space of what may replace its parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from nas.errors import InvalidSpec
from nas.pretrained import KEEP, Parent, read_parent
from nas.spec import JobSpec
from searchspaces.architecture import NO_MIXER, Layer
from searchspaces.errors import Problem, SpaceError
from searchspaces.presets import Preset
from searchspaces.space import SearchSpace

__all__ = ["Beginning", "beginning", "context_of", "settle_start", "uniform"]

OPTIONS = {"mixer": (KEEP,), "heads": (1,), "ratio": (1,)}
"""What `space` may say beside a `start`, and what it says where it does not."""


@dataclass(frozen=True)
class Beginning:
    """What a job starts from.

    Attributes:
        space: whose largest member is the parent.
        task_options: of a task that reads text: the parent's tokens.
    """

    parent: Parent
    space: SearchSpace
    task_options: Mapping[str, Any]


def settle_start(spec: JobSpec, relative_to: Path, models: Path) -> JobSpec:
    """The spec with the parent's folder as an absolute path, and its digest; a GGUF file is written out as a
    folder first.

    Args:
        relative_to: folder that the model's path starts from.
        models: where folders made of GGUF files are kept.

    Raises:
        InvalidSpec: the parent cannot be read, or its tokenizer or a tensor is not its own.
    """
    from nas.pretrained.reading import check_tokenizer, check_weights, import_gguf

    if spec.start is None or spec.start.digest is not None:
        return spec
    # A file of Hugging Face's cache is a link, and what it points to has no suffix.
    path = (relative_to / Path(spec.start.model).expanduser()).absolute()
    if path.suffix == ".gguf" and path.is_file():
        with path.open("rb") as file:
            folder = models / f"{path.stem}-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
        parent = read_parent(folder) if folder.is_dir() else import_gguf(path, folder)
    else:
        parent = read_parent(path.resolve())
    check_tokenizer(parent)
    check_weights(parent)
    start = spec.start.model_copy(update={"model": str(parent.folder), "digest": parent.digest})
    return spec.model_copy(update={"start": start})


def context_of(spec: JobSpec) -> int:
    """N, tokens of the sequences that models of a job with a `start` are scored and healed on."""
    assert spec.start is not None
    return spec.start.context or max(item.target().workload.tokens for item in spec.targets)


def uniform(space: SearchSpace, parent: str) -> Iterator[Preset]:
    """The parent, and every replacement in all of its layers at once, but those that leave nothing."""
    first = space.first
    yield Preset("parent", parent, first)
    mixers = [mixer for mixer in space.spec.layer.mixer[1:] if mixer != NO_MIXER]
    ratios = [ratio for ratio in space.spec.layer.ratio[1:] if ratio]
    heads = space.spec.layer.heads
    cuts: dict[str, Callable[[Layer], Layer]] = {
        **{mixer: partial(replace, mixer=mixer) for mixer in mixers},
        **{f"heads-{kept / heads[0]:.3g}": partial(replace, heads=kept) for kept in heads[1:]},
        **{f"x{ratio / space.spec.layer.ratio[0]:.3g}": partial(replace, ratio=ratio) for ratio in ratios},
    }
    for said, cut in cuts.items():
        architecture = replace(first, layers=tuple(map(cut, first.layers)))
        yield Preset(f"all-{said}", f"{said} in every layer of {parent}", architecture)


def beginning(spec: JobSpec, relative_to: Path = Path()) -> Beginning:
    """The space and the tokens of a spec with a `start`.

    Raises:
        InvalidSpec: every problem of the parent's config, of `space` or of the targets at once.
    """
    assert spec.start is not None
    parent = read_parent(relative_to / Path(spec.start.model).expanduser())
    problems = []
    options: dict[str, Any] = dict(OPTIONS)
    if isinstance(spec.space, str):
        problems.append(Problem("space", f"{spec.space!r:.80}; accepted with a start: {', '.join(OPTIONS)}"))
    else:
        for name, value in spec.space.items():
            if name not in OPTIONS:
                problems.append(Problem(f"space.{name}", f"is the parent's; accepted: {', '.join(OPTIONS)}"))
            elif not isinstance(value, list | tuple) or not value:
                problems.append(Problem(f"space.{name}", f"{value!r:.80}; accepted: a list of options"))
            else:
                options[name] = value
    for name in ("heads", "ratio"):
        for number, share in enumerate(options[name]):
            if isinstance(share, bool) or not isinstance(share, int | float):
                said = f"{share!r:.80}; accepted: a share of 0 to 1"
                problems.append(Problem(f"space.{name}.{number}", said))
    lengths = {f"targets.{n}.tokens": item.target().workload.tokens for n, item in enumerate(spec.targets)}
    if spec.start.context is not None:
        lengths["start.context"] = spec.start.context
    for path, tokens in lengths.items():
        if tokens > parent.context:
            said = f"{tokens} are more than the parent was trained for; accepted: 1 to {parent.context}"
            problems.append(Problem(path, said))
    if problems:
        raise InvalidSpec(problems)
    context = context_of(spec)
    try:
        mixers = tuple(map(str, options["mixer"]))
        space = parent.space(mixers, options["ratio"], context, options["heads"])
    except SpaceError as error:
        raise InvalidSpec(error.problems) from error
    options = {"tokenizer": str(parent.folder / "tokenizer.json"), "evaluation_context": context}
    return Beginning(parent, space, options)

"""The search space: genes and their options, declared as data.

A space is a YAML document (see `searchspaces/library/*.yaml` for those that ship):

    name: hybrid-lm
    vocabulary: 256
    context: 512
    width: [128]
    depth: [2, 3, 4]
    layer:
      mixer: [softmax, "window:64", linear, none]
      heads: [2, 4]
      channel: [mlp]
      ratio: [1, 2, 4]
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.channels import parse_channel
from searchspaces.encoding import Encoding, Population
from searchspaces.errors import Problem, SpaceError
from searchspaces.mixers import parse_mixer

__all__ = ["LIBRARY", "SearchSpace", "SpaceSpec", "load_space", "problems_of", "space_names"]

LIBRARY = Path(__file__).parent / "library"
"""The folder of the spaces that ship."""

LAYER_GENES = ("mixer", "heads", "channel", "ratio")
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


def problems_of(error: ValidationError, prefix: str = "") -> list[Problem]:
    """Every problem of a pydantic error, with dotted paths."""
    found = []
    items = error.errors(include_url=False)
    within = {item["loc"][:depth] for item in items for depth in range(len(item["loc"]))}
    for item in items:
        if item["type"] == "too_short" and item["loc"] in within:
            continue  # pydantic counts a sequence's valid items; what is wrong with the others is said
        path = ".".join([*([prefix] if prefix else []), *map(str, item["loc"])])
        found.append(Problem(path, f"{item['msg']} (got {item['input']!r:.80})"))
    return found


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LayerSpec(_Frozen):
    """Options of the genes that every layer has."""

    mixer: tuple[str, ...] = Field(min_length=1)
    heads: tuple[PositiveInt, ...] = Field(min_length=1)
    channel: tuple[str, ...] = Field(default=("mlp",), min_length=1)
    ratio: tuple[PositiveFloat, ...] = Field(min_length=1)

    @field_validator("mixer")
    @classmethod
    def _mixers_exist(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            parse_mixer(option)
        return options

    @field_validator("channel")
    @classmethod
    def _channels_exist(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            parse_channel(option)
        return options

    @field_validator("mixer", "heads", "channel", "ratio")
    @classmethod
    def _unique(cls, options: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(options)) != len(options):
            raise ValueError("an option is listed twice")
        return options


class SpaceSpec(_Frozen):
    """What a user declares. Numbers are the field's letters: see `docs/design.md`.

    Attributes:
        vocabulary: number of token ids.
        context: N, tokens of a training sequence.
        width: options of D.
        depth: options of L; layers are dropped from the end (depth by prefix).
        layer: options of each layer's genes.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    vocabulary: PositiveInt = 256
    context: PositiveInt = 512
    width: tuple[PositiveInt, ...] = Field(min_length=1)
    depth: tuple[PositiveInt, ...] = Field(min_length=1)
    layer: LayerSpec

    @field_validator("width", "depth")
    @classmethod
    def _unique(cls, options: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(options)) != len(options):
            raise ValueError("an option is listed twice")
        return options

    @model_validator(mode="after")
    def _sizes_fit(self) -> SpaceSpec:
        wrong = [
            f"width {d} cannot be split into {h} heads of an even size (rotary positions turn pairs)"
            for d in self.width
            for h in self.layer.heads
            if d % h or (d // h) % 2
        ]
        wrong += [
            f"ratio {r} of width {d} is not a whole number of feed-forward units"
            for d in self.width
            for r in self.layer.ratio
            if not float(r * d).is_integer()
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


class SearchSpace(Encoding):
    """The genes of a `SpaceSpec` in one fixed order: width, depth, then mixer, heads, channel and
    ratio of layer 0, of layer 1, …

    Inactive genes are canonical: those of layers past the depth, and the heads of a layer without
    a token mixer, are 0.

    Args:
        spec: the declaration.
        members: how many of its depths, the first ones, make members; all where None. See
            `with_single_blocks`.
    """

    def __init__(self, spec: SpaceSpec, members: int | None = None) -> None:
        self.spec = spec
        self._members = len(spec.depth) if members is None else members
        self.max_depth = max(spec.depth)
        layer_options = [getattr(spec.layer, gene) for gene in LAYER_GENES]
        names = ["width", "depth"]
        names += [f"{gene}_{i}" for i in range(self.max_depth) for gene in LAYER_GENES]
        self.options: tuple[tuple[Any, ...], ...] = (
            spec.width,
            spec.depth,
            *(layer_options * self.max_depth),
        )
        per_layer = len(LAYER_GENES)
        super().__init__(
            [len(options) for options in self.options],
            names,
            2 + np.arange(self.max_depth * per_layer).reshape(self.max_depth, per_layer),
            self._canonicalise,
        )
        self._depths = np.asarray(spec.depth)
        self._no_mixer = spec.layer.mixer.index(NO_MIXER) if NO_MIXER in spec.layer.mixer else -1

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.spec.name

    @cached_property
    def digest(self) -> str:
        """Identifies the space by what it contains: names and descriptions do not count."""
        content = self.spec.model_dump(mode="json", exclude={"name", "description"})
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def with_single_blocks(self) -> SearchSpace:
        """This space, and the models of one layer over its genes: nobody asks for those, but what they take
        tells what single blocks do. Codes of this space mean the same there. Itself where models of one
        layer are members."""
        if 1 in self.spec.depth:
            return self
        spec = self.spec.model_copy(update={"depth": (*self.spec.depth, 1)})
        return SearchSpace(spec, members=self._members)

    def is_member(self, population: Population) -> NDArray[np.bool_]:
        """(n,) which rows are not single blocks that `with_single_blocks` added."""
        member: NDArray[np.bool_] = population[:, 1] < self._members
        return member

    def _canonicalise(self, population: Population) -> Population:
        layers = population[:, 2:].reshape(len(population), self.max_depth, len(LAYER_GENES))
        heads = layers[:, :, 1]
        heads[layers[:, :, 0] == self._no_mixer] = 0
        layers[np.arange(self.max_depth) >= self._depths[population[:, 1], None]] = 0
        population[:, 2:] = layers.reshape(len(population), self.genes - 2)
        return population

    def layer_view(self, population: Population) -> tuple[Population, np.ndarray[Any, np.dtype[np.bool_]]]:
        """(n, layers, 4) option indices (mixer, heads, channel, ratio) and (n, layers) which are active."""
        layers = population[:, 2:].reshape(len(population), self.max_depth, len(LAYER_GENES))
        return layers, np.arange(self.max_depth) < self._depths[population[:, 1], None]

    def decode(self, population: Population) -> list[Architecture]:
        """The architecture of each row."""
        spec, layer = self.spec, self.spec.layer
        decoded = []
        for row in self.canonical(population).tolist():
            depth = spec.depth[row[1]]
            genes = [row[2 + 4 * i : 6 + 4 * i] for i in range(depth)]
            layers = tuple(
                Layer(layer.mixer[m], layer.heads[h], layer.channel[c], layer.ratio[r])
                for m, h, c, r in genes
            )
            decoded.append(Architecture(spec.vocabulary, spec.width[row[0]], layers))
        return decoded

    def encode(self, architectures: Iterable[Architecture]) -> Population:
        """(n, genes), the inverse of `decode`.

        Raises:
            SpaceError: an architecture uses an option that this space does not have; all are named.
        """
        rows, problems = [], []
        for number, architecture in enumerate(architectures):
            row, wrong = self._encode_one(architecture)
            rows.append(row)
            problems += [Problem(f"architectures.{number}.{p.path}", p.message) for p in wrong]
        if problems:
            raise SpaceError(problems)
        return self.canonical(np.array(rows, dtype=np.int64).reshape(len(rows), self.genes))

    def contains(self, architecture: Architecture) -> bool:
        """Whether `encode` would accept it."""
        return not self._encode_one(architecture)[1]

    def _encode_one(self, architecture: Architecture) -> tuple[list[int], list[Problem]]:
        problems: list[Problem] = []

        def index(options: tuple[Any, ...], value: Any, path: str) -> int:
            if value in options:
                return options.index(value)
            problems.append(
                Problem(path, f"{value!r} is not an option of {self.name}; accepted: {list(options)}")
            )
            return 0

        if architecture.vocabulary != self.spec.vocabulary:
            problems.append(Problem("vocabulary", f"{architecture.vocabulary} is not {self.spec.vocabulary}"))
        row = [
            index(self.spec.width, architecture.width, "width"),
            index(self.spec.depth, architecture.depth, "depth"),
        ]
        for i, layer in enumerate(architecture.layers[: self.max_depth]):
            for gene in LAYER_GENES:
                if gene == "heads" and layer.mixer == NO_MIXER:
                    row.append(0)
                else:
                    options = getattr(self.spec.layer, gene)
                    row.append(index(options, getattr(layer, gene), f"layers.{i}.{gene}"))
        return row + [0] * (self.genes - len(row)), problems


def space_names() -> list[str]:
    """Names of the spaces that ship."""
    return sorted(path.stem for path in LIBRARY.glob("*.yaml"))


def load_space(source: str | Path | Mapping[str, Any]) -> SearchSpace:
    """A space by name, by path to a YAML file, or from plain data.

    Raises:
        SpaceError: every problem of the declaration, each with its path.
    """
    if isinstance(source, Mapping):
        data: Any = source
    else:
        path = LIBRARY / f"{source}.yaml" if str(source) in space_names() else Path(source)
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            accepted = f"accepted: one of {space_names()}, a path to a YAML file, or the declaration itself"
            raise SpaceError([Problem("space", f"no space {str(source)!r:.80}; {accepted}")]) from error
        # Dates and numbers that cannot be raise ValueError, as does what is not text.
        except (yaml.YAMLError, ValueError) as error:
            raise SpaceError([Problem("space", f"{str(path)!r:.80} is not YAML: {error}")]) from error
        except RecursionError as error:
            raise SpaceError([Problem("space", f"{str(path)!r:.80} is nested too deeply")]) from error
    try:
        return SearchSpace(SpaceSpec.model_validate(data))
    except ValidationError as error:
        raise SpaceError(problems_of(error, "space")) from error

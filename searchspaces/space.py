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

One of models that see a whole input at once says its form, stems and readouts in place of a vocabulary:

    form: {input: {grid: [28, 28], channels: 1}, output: {classes: 10}}
    stem: ["patch:4", "conv:3,2"]
    readout: [mean, pool]
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from searchspaces.architecture import EMBEDDING, LOGITS, Architecture, Layer, unfit
from searchspaces.channels import parse_channel
from searchspaces.documents import DocumentError, described, read_document
from searchspaces.encoding import Encoding, Population
from searchspaces.errors import Problem, SpaceError
from searchspaces.form import LANGUAGE, Form, Tokens
from searchspaces.mixers import mixers, obeyed_genes, parse_mixer
from searchspaces.mixers.convolution import MOST_TAPS
from searchspaces.mixers.mixer import GENES
from searchspaces.numbers import NO_TRUTH
from searchspaces.part import View
from searchspaces.projection import PLAIN, Projection
from searchspaces.readouts import parse_readout, readouts
from searchspaces.stems import parse_stem

__all__ = [
    "LAYER_GENES",
    "LIBRARY",
    "OUTER_GENES",
    "SearchSpace",
    "SpaceSpec",
    "load_space",
    "problems_of",
    "space_names",
]

LIBRARY = Path(__file__).parent / "library"
"""The folder of the spaces that ship."""

LAYER_GENES = ("mixer", "heads", "channel", "ratio", "conv", "kv_heads")
"""A layer's genes, in the order of their columns."""

OUTER_GENES = ("stem", "readout")
"""Of the whole model, in the order of their columns behind width and depth; columns only where a space
declares several options."""

LATER_GENES = ("conv", "kv_heads")
"""Columns only where a space declares several options, so that older spaces keep their codes."""

MOST_BLOCKS = 100_000
"""Combinations of what a layer's token mixer may be, each of which is counted."""
MOST_LAYERS = 4096
SHOWN = 8
"""Contradictions of sizes that one message names at most."""

Size = Annotated[int, NO_TRUTH, Field(gt=0, le=2**24)]
PositiveInt = Annotated[int, NO_TRUTH, Field(gt=0, le=2**20)]
Ratio = Annotated[float, NO_TRUTH, Field(ge=0, le=1024)]


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
    """Options of the genes that every layer has.

    Attributes:
        mixer: options of the token mixer.
        heads: H.
        channel: options of the channel mixer.
        ratio: F/D; 0 for no channel mixer.
        conv: taps of short convolutions on queries, keys and values, 0 for none.
        kv_heads: heads of keys and values, each a divisor of every H; 0 for as many.
        projection: what the layers of a pretrained model bring along, the same in all; no gene.
    """

    mixer: tuple[str, ...] = Field(min_length=1)
    heads: tuple[PositiveInt, ...] = Field(min_length=1)
    channel: tuple[str, ...] = Field(default=("mlp",), min_length=1)
    ratio: tuple[Ratio, ...] = Field(min_length=1)
    conv: tuple[Annotated[int, NO_TRUTH, Field(ge=0, le=MOST_TAPS)], ...] = Field(default=(0,), min_length=1)
    kv_heads: tuple[Annotated[int, NO_TRUTH, Field(ge=0, le=2**20)], ...] = Field(default=(0,), min_length=1)
    projection: Projection = PLAIN

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

    @field_validator("ratio")
    @classmethod
    def _one_has_units(cls, options: tuple[float, ...]) -> tuple[float, ...]:
        if not any(options):
            raise ValueError("no option has feed-forward units; accepted: one above 0 at least")
        return options

    @field_validator("projection", mode="before")
    @classmethod
    def _projection_exists(cls, value: Any) -> Any:
        try:
            return Projection(**value) if isinstance(value, Mapping) else value
        except TypeError as error:
            raise ValueError(f"{error}; accepted: the fields of a projection") from error

    @field_serializer("projection")
    def _projection_said(self, projection: Projection) -> dict[str, Any]:
        return projection.to_dict()

    @field_validator("conv")
    @classmethod
    def _reach_back(cls, options: tuple[int, ...]) -> tuple[int, ...]:
        if 1 in options:
            raise ValueError("a convolution of one tap sees no other token; accepted: 0, or 2 and more")
        return options

    @field_validator(*LAYER_GENES)
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
        tied: whether the output projection is the embedding.
        form: what goes in and comes out, where it is no language model; vocabulary and context follow.
        stem: options of what turns inputs into tokens, all on the same grid.
        readout: options of what turns tokens into answers.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    vocabulary: Size = 256
    context: Size = 512
    width: tuple[PositiveInt, ...] = Field(min_length=1)
    depth: tuple[PositiveInt, ...] = Field(min_length=1)
    layer: LayerSpec
    tied: bool = True
    form: Form = LANGUAGE
    stem: tuple[str, ...] = Field(default=(EMBEDDING,), min_length=1)
    readout: tuple[str, ...] = Field(default=(LOGITS,), min_length=1)

    @field_validator("width", "depth", "stem", "readout")
    @classmethod
    def _unique(cls, options: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(options)) != len(options):
            raise ValueError("an option is listed twice")
        return options

    @field_validator("form", mode="before")
    @classmethod
    def _form_exists(cls, value: Any) -> Any:
        return value if isinstance(value, Form) else Form.from_dict(value) if value else LANGUAGE

    @field_serializer("form")
    def _form_said(self, form: Form) -> dict[str, Any]:
        return {} if form.causal else form.to_dict()

    @field_validator("stem")
    @classmethod
    def _stems_exist(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            parse_stem(option)
        return options

    @field_validator("readout")
    @classmethod
    def _readouts_exist(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            parse_readout(option)
        return options

    @model_validator(mode="after")
    def _sizes_fit(self) -> SpaceSpec:
        layer = self.layer
        options = (self.width, layer.mixer, layer.heads, layer.conv, layer.kv_heads)
        blocks = math.prod(map(len, options))
        if blocks > MOST_BLOCKS:
            raise ValueError(
                f"widths × mixers × heads × conv × kv_heads are {blocks} combinations; accepted: at most "
                f"{MOST_BLOCKS}"
            )
        if max(self.depth) > MOST_LAYERS:
            raise ValueError(f"depth {max(self.depth)}; accepted: at most {MOST_LAYERS}")
        wrong = [
            f"width {d} cannot be split into {h} heads of an even size (rotary positions turn pairs)"
            for d in self.width
            for h in self.layer.heads
            if not self.layer.projection.head_size and (d % h or (d // h) % 2)
        ]
        wrong += [
            f"ratio {r} of width {d} is not a whole number of feed-forward units"
            for d in self.width
            for r in self.layer.ratio
            if not math.isclose(r * d, round(r * d))
        ]
        wrong += [
            f"{g} key-value heads do not divide {h} heads"
            for g in self.layer.kv_heads
            for h in self.layer.heads
            if g and h % g
        ]
        wrong += [
            f"a convolution of {taps} taps does not fit a context of {self.context}"
            for taps in self.layer.conv
            if taps > self.context
        ]
        if wrong:
            more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
            raise ValueError("; ".join([*wrong[:SHOWN], *more]))
        return self


class SearchSpace(Encoding):
    """The genes of a `SpaceSpec` in one fixed order: width, depth, stem and readout where there are several,
    then those of layer 0, of layer 1, …, each layer's in the order of `LAYER_GENES`.

    Inactive genes are canonical: those of layers past the depth, and those that a layer's token mixer does
    not obey, are 0.

    Args:
        spec: the declaration.
        members: how many of its depths, the first ones, make members; all where None. See
            `with_single_blocks`.

    Attributes:
        layer_columns: a layer's genes that are columns; the others have one option.
        outer_columns: likewise of `OUTER_GENES`.
    """

    def __init__(self, spec: SpaceSpec, members: int | None = None) -> None:
        self.spec = spec
        self._members = len(spec.depth) if members is None else members
        self.max_depth = max(spec.depth)
        self._layer_options = {gene: getattr(spec.layer, gene) for gene in LAYER_GENES}
        self.layer_columns = tuple(
            gene
            for gene, options in self._layer_options.items()
            if gene not in LATER_GENES or len(options) > 1
        )
        self._outer_options = {gene: getattr(spec, gene) for gene in OUTER_GENES}
        self.outer_columns = tuple(gene for gene, options in self._outer_options.items() if len(options) > 1)
        names = ["width", "depth", *self.outer_columns]
        first = len(names)
        names += [f"{gene}_{i}" for i in range(self.max_depth) for gene in self.layer_columns]
        layer_options = [self._layer_options[gene] for gene in self.layer_columns]
        self.options: tuple[tuple[Any, ...], ...] = (
            spec.width,
            spec.depth,
            *(self._outer_options[gene] for gene in self.outer_columns),
            *(layer_options * self.max_depth),
        )
        per_layer = len(self.layer_columns)
        super().__init__(
            [len(options) for options in self.options],
            names,
            first + np.arange(self.max_depth * per_layer).reshape(self.max_depth, per_layer),
            self._canonicalise,
        )
        self._depths = np.asarray(spec.depth)
        obeyed = [obeyed_genes(option) for option in spec.layer.mixer]
        # (mixers,) of each gene that a mixer may leave inactive, whether it does.
        self._inactive = {gene: np.array([gene not in genes for genes in obeyed]) for gene in GENES}
        # (heads, kv_heads): the first option that says the same of so many heads.
        groups = [[kv or heads for kv in spec.layer.kv_heads] for heads in spec.layer.heads]
        self._same_groups = np.array([[row.index(group) for group in row] for row in groups])
        self._has_units = np.array(spec.layer.ratio) > 0

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.spec.name

    @cached_property
    def form(self) -> Form:
        """What goes in and comes out of every member."""
        return Form(Tokens(self.spec.vocabulary)) if self.spec.form.causal else self.spec.form

    @cached_property
    def view(self) -> View:
        """How the tokens of every member lie."""
        return View(self.form.causal, parse_stem(self.spec.stem[0]).grid(self.form.input))

    @cached_property
    def digest(self) -> str:
        """Identifies the space by what it contains: names and descriptions do not count."""
        content = self.spec.model_dump(mode="json", exclude={"name", "description"})
        for gene in LATER_GENES:  # what says nothing does not count either
            if content["layer"][gene] == [0]:
                del content["layer"][gene]
        if not content["layer"]["projection"]:
            del content["layer"]["projection"]
        if content["tied"]:
            del content["tied"]
        if self.form.causal:
            del content["form"], content["stem"], content["readout"]
        else:
            del content["vocabulary"], content["context"]
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

    @property
    def first(self) -> Architecture:
        """The member of the first option of every gene: of a pretrained model's space, the model itself."""
        return self.decode(np.zeros((1, self.genes), np.int64))[0]

    def _canonicalise(self, population: Population) -> Population:
        layers, active = self.layer_view(population)
        genes = dict(zip(LAYER_GENES, np.moveaxis(layers, 2, 0), strict=True))
        genes["kv_heads"] = self._same_groups[genes["heads"], genes["kv_heads"]]
        genes["channel"] = genes["channel"] * self._has_units[genes["ratio"]]
        for column, gene in enumerate(self.layer_columns):
            kept = active
            if gene in self._inactive:
                kept = kept & ~self._inactive[gene][genes["mixer"]]
            population[:, self.layer_genes[:, column]] = genes[gene] * kept
        return population

    def layer_view(self, population: Population) -> tuple[Population, np.ndarray[Any, np.dtype[np.bool_]]]:
        """(n, layers, 6) option indices in the order of `LAYER_GENES`, 0 of what is no column, and
        (n, layers) which are active."""
        layers = np.zeros((len(population), self.max_depth, len(LAYER_GENES)), np.int64)
        columns = [LAYER_GENES.index(gene) for gene in self.layer_columns]
        layers[:, :, columns] = population[:, self.layer_genes]
        return layers, np.arange(self.max_depth) < self._depths[population[:, 1], None]

    def outer_view(self, population: Population) -> Population:
        """(n, 2) option indices in the order of `OUTER_GENES`, 0 of what is no column."""
        outer = np.zeros((len(population), len(OUTER_GENES)), np.int64)
        for place, gene in enumerate(self.outer_columns):
            outer[:, OUTER_GENES.index(gene)] = population[:, 2 + place]
        return outer

    def decode(self, population: Population) -> list[Architecture]:
        """The architecture of each row."""
        spec, options = self.spec, self._layer_options.items()
        rows = self.canonical(population)
        outer = self.outer_view(rows)
        decoded = []
        for (width, depth), (stem, readout), genes in zip(
            rows[:, :2].tolist(), outer.tolist(), self.layer_view(rows)[0].tolist(), strict=True
        ):
            layers = tuple(
                Layer(
                    **{g: v[i] for (g, v), i in zip(options, layer, strict=True)},
                    projection=spec.layer.projection,
                )
                for layer in genes[: spec.depth[depth]]
            )
            around = self.form, spec.stem[stem], spec.readout[readout]
            decoded.append(Architecture(spec.vocabulary, spec.width[width], layers, spec.tied, *around))
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

        if architecture.form != self.form:
            path = "vocabulary" if architecture.form.causal and self.form.causal else "form"
            problems.append(Problem(path, f"{architecture.form} is not {self.form}"))
        if architecture.tied != self.spec.tied:
            problems.append(Problem("tied", f"{architecture.tied} is not {self.spec.tied}"))
        row = [
            index(self.spec.width, architecture.width, "width"),
            index(self.spec.depth, architecture.depth, "depth"),
        ]
        for gene, options in self._outer_options.items():
            found = index(options, getattr(architecture, gene), gene)
            row += [found] if gene in self.outer_columns else []
        for i, layer in enumerate(architecture.layers[: self.max_depth]):
            obeyed = obeyed_genes(layer.mixer)
            if layer.heads and layer.projection != self.spec.layer.projection:
                said = f"{str(layer.projection)!r} is not {str(self.spec.layer.projection)!r}"
                problems.append(Problem(f"layers.{i}.projection", said))
            for gene, options in self._layer_options.items():
                if gene in GENES and gene not in obeyed:
                    found = 0
                elif gene == "kv_heads" and layer.kv_heads not in options and layer.heads in options:
                    found = options.index(layer.heads)
                else:
                    found = index(options, getattr(layer, gene), f"layers.{i}.{gene}")
                if gene in self.layer_columns:
                    row.append(found)
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
        shipped = str(source) in space_names()
        path = LIBRARY / f"{source}.yaml" if shipped else Path(source)
        try:
            if not (shipped or path.is_file()):
                accepted = (
                    f"accepted: one of {space_names()}, a path to a YAML file, or the declaration itself"
                )
                raise SpaceError([Problem("space", f"no space {str(source)!r:.80}; {accepted}")])
            data = read_document(path)
        except (DocumentError, OSError, ValueError) as error:  # a name too long, or with a NUL
            raise SpaceError([Problem("space", str(error))]) from error
        if not isinstance(data, Mapping):
            message = (
                f"{str(path)!r:.200} holds {described(data)}; accepted: a mapping, as docs/job-file.md says"
            )
            raise SpaceError([Problem("space", message)])
    try:
        spec = SpaceSpec.model_validate(data)
    except ValidationError as error:
        raise SpaceError(problems_of(error, "space")) from error
    if problems := list(_form_problems(spec)):
        raise SpaceError(problems)
    return SearchSpace(_with_sizes_of_form(spec))


def _form_problems(spec: SpaceSpec) -> Iterator[Problem]:
    """Options that do not fit what goes in and comes out, each with its path."""
    grids: dict[str, tuple[int, ...]] = {}
    for number, option in enumerate(spec.stem):
        try:
            grids[option] = parse_stem(option).grid(spec.form.input)
        except ValueError as error:
            yield Problem(f"space.stem.{number}", str(error))
    if len(set(grids.values())) > 1:
        said = ", ".join(f"{stem} {'×'.join(map(str, grid))}" for stem, grid in grids.items())
        yield Problem("space.stem", f"tokens lie on different grids: {said}; accepted: stems of one grid")
    for number, option in enumerate(spec.readout):
        if not isinstance(spec.form.output, parse_readout(option).answers):
            fitting = [name for name, cls in readouts().items() if isinstance(spec.form.output, cls.answers)]
            message = f"readout {option} does not tell {spec.form.output}; accepted: {', '.join(fitting)}"
            yield Problem(f"space.readout.{number}", message)
    if not grids:
        return
    view = View(spec.form.causal, next(iter(grids.values())))
    for number, option in enumerate(spec.layer.mixer):
        if problem := unfit(option, 0, view):
            fitting = [name for name, cls in mixers().items() if not unfit(cls.example, 0, view)]
            yield Problem(f"space.layer.mixer.{number}", f"{problem}; accepted: {', '.join(fitting)}")
    for number, taps in enumerate(spec.layer.conv):
        if taps and not view.causal:
            message = f"short convolutions of {taps} taps are causal; accepted: 0 where tokens see all others"
            yield Problem(f"space.layer.conv.{number}", message)
    tokens = math.prod(view.grid)
    if not view.causal and "context" in spec.model_fields_set and spec.context != tokens:
        message = f"{spec.context} is not what form and stem make of an input; accepted: {tokens}, or nothing"
        yield Problem("space.context", message)


def _with_sizes_of_form(spec: SpaceSpec) -> SpaceSpec:
    """With the vocabulary and the context that follow from a form which is no language model's."""
    if spec.form.causal:
        return spec
    context = math.prod(parse_stem(spec.stem[0]).grid(spec.form.input))
    return spec.model_copy(update={"context": context, "vocabulary": spec.form.vocabulary or 1})

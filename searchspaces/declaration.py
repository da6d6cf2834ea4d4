"""What a space declares: the options of every gene, and what is wrong where they do not fit together.

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

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice, product
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from searchspaces.architecture import EMBEDDING, LOGITS, unfit
from searchspaces.channels import parse_channel
from searchspaces.documents import LONGEST_NAME
from searchspaces.errors import Problem
from searchspaces.form import LANGUAGE, Form
from searchspaces.mixers import mixers, parse_mixer
from searchspaces.mixers.convolution import MOST_TAPS
from searchspaces.numbers import NO_TRUTH
from searchspaces.part import View
from searchspaces.projection import PLAIN, Projection
from searchspaces.readouts import parse_readout, readouts
from searchspaces.stems import parse_stem

__all__ = [
    "LATER_GENES",
    "LAYER_GENES",
    "OUTER_GENES",
    "LayerSpec",
    "SpaceSpec",
    "form_problems",
    "with_sizes_of_form",
]

LAYER_GENES = ("mixer", "heads", "channel", "ratio", "conv", "kv_heads")
"""A layer's genes, in the order of their columns."""

OUTER_GENES = ("stem", "readout")
"""Of the whole model, in the order of their columns behind width and depth; columns only where a space
declares several options."""

OF_OTHERS = ("form", "stem", "readout")
"""Fields of spaces whose models are no language models."""

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


def _parsed_by(parse: Callable[[str], object]) -> AfterValidator:
    """An option's text: each is refused at its own place."""

    def known(option: str) -> str:
        parse(option)
        return option

    return AfterValidator(known)


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

    mixer: tuple[Annotated[str, _parsed_by(parse_mixer)], ...] = Field(min_length=1)
    heads: tuple[PositiveInt, ...] = Field(min_length=1)
    channel: tuple[Annotated[str, _parsed_by(parse_channel)], ...] = Field(default=("mlp",), min_length=1)
    ratio: tuple[Ratio, ...] = Field(min_length=1)
    conv: tuple[Annotated[int, NO_TRUTH, Field(ge=0, le=MOST_TAPS)], ...] = Field(default=(0,), min_length=1)
    kv_heads: tuple[Annotated[int, NO_TRUTH, Field(ge=0, le=2**20)], ...] = Field(default=(0,), min_length=1)
    projection: Projection = PLAIN

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

    name: str = Field(max_length=LONGEST_NAME, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    vocabulary: Size = 256
    context: Size = 512
    width: tuple[PositiveInt, ...] = Field(min_length=1)
    depth: tuple[PositiveInt, ...] = Field(min_length=1)
    layer: LayerSpec
    tied: bool = True
    form: Form = LANGUAGE
    stem: tuple[Annotated[str, _parsed_by(parse_stem)], ...] = Field(default=(EMBEDDING,), min_length=1)
    readout: tuple[Annotated[str, _parsed_by(parse_readout)], ...] = Field(default=(LOGITS,), min_length=1)

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
        return form.to_dict()

    @model_serializer(mode="wrap")
    def _said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Of a language model no word of what makes others: earlier versions read it too."""
        said: dict[str, Any] = handler(self)
        if self.form.causal:
            return {field: value for field, value in said.items() if field not in OF_OTHERS}
        return said

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
        shares = len(self.width) * len(layer.ratio)
        if shares > MOST_BLOCKS:
            raise ValueError(f"widths × ratios are {shares} combinations; accepted: at most {MOST_BLOCKS}")
        wrong = self._contradictions()
        shown = list(islice(wrong, SHOWN))
        if shown:
            more = sum(1 for _ in wrong)
            raise ValueError("; ".join([*shown, *([f"and {more} more"] if more else [])]))
        return self

    def _contradictions(self) -> Iterator[str]:
        """Of sizes, one after another: there may be as many as combinations."""
        layer, sharing = self.layer, self.layer.projection.sharing
        for d, h in product(self.width, layer.heads):
            if not layer.projection.head_size and (d % h or (d // h) % 2):
                why = "rotary positions turn pairs"
                yield f"width {d} cannot be split into {h} heads of an even size ({why})"
        for d, r in product(self.width, layer.ratio):
            if not math.isclose(r * d, round(r * d)):
                yield f"ratio {r} of width {d} is not a whole number of feed-forward units"
        for g, h in product(layer.kv_heads, layer.heads):
            if g and h % g:
                yield f"{g} key-value heads do not divide {h} heads"
        for h in layer.heads:
            if sharing and h % sharing:
                yield f"{h} heads are not shared by {sharing}"
        if sharing and layer.kv_heads != (0,):
            yield "kv_heads beside projection.sharing, which says how many there are"
        for taps in layer.conv:
            if taps > self.context:
                yield f"a convolution of {taps} taps does not fit a context of {self.context}"


def form_problems(spec: SpaceSpec) -> Iterator[Problem]:
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
    view, sharing = View(spec.form.causal, next(iter(grids.values()))), spec.layer.projection.sharing
    for number, option in enumerate(spec.layer.mixer):
        if problem := unfit(option, 0, view, sharing):
            fitting = [name for name, cls in mixers().items() if not unfit(cls.example, 0, view, sharing)]
            yield Problem(f"space.layer.mixer.{number}", f"{problem}; accepted: {', '.join(fitting)}")
    for number, taps in enumerate(spec.layer.conv):
        if taps and not view.causal:
            message = f"short convolutions of {taps} taps are causal; accepted: 0 where tokens see all others"
            yield Problem(f"space.layer.conv.{number}", message)
    tokens = math.prod(view.grid)
    if not view.causal and "context" in spec.model_fields_set and spec.context != tokens:
        message = f"{spec.context} is not what form and stem make of an input; accepted: {tokens}, or nothing"
        yield Problem("space.context", message)


def with_sizes_of_form(spec: SpaceSpec) -> SpaceSpec:
    """With the vocabulary and the context that follow from a form which is no language model's."""
    if spec.form.causal:
        return spec
    context = math.prod(parse_stem(spec.stem[0]).grid(spec.form.input))
    return spec.model_copy(update={"context": context, "vocabulary": spec.form.vocabulary or 1})

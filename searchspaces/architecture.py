"""One frozen choice of every gene: the noun that everything else is keyed by."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from searchspaces.errors import Problem, SpaceError
from searchspaces.form import LANGUAGE, Form, Tokens
from searchspaces.mixers import obeyed_genes, parse_mixer
from searchspaces.mixers.mixer import GENES
from searchspaces.part import CAUSAL, Sizes, View
from searchspaces.projection import PLAIN, Projection
from searchspaces.readouts import parse_readout
from searchspaces.stems import view_of

__all__ = ["EMBEDDING", "LOGITS", "NO_MIXER", "Architecture", "Layer", "unfit"]

EMBEDDING, LOGITS = "embedding", "logits"
"""Stem and readout of a language model."""

NO_MIXER = "none"
"""The mixer option of a layer without a token mixer."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer block: a token mixer and a channel mixer, each behind its norm and residual.

    Attributes:
        mixer: option of the token mixer, `NAME` or `NAME:PARAMETER`, e.g. ``"window:64"``.
        heads: H, attention heads; 0 exactly where the mixer has none (the gene is inactive there).
        channel: option of the channel mixer, e.g. ``"mlp"``.
        ratio: F/D, feed-forward width over model width; 0 without a channel mixer.
        conv: taps of the short convolutions on queries, keys and values; 0 for none.
        kv_heads: heads of keys and values, fewer than `heads` and a divisor of them; 0 for as many.
        projection: what a pretrained model brings along; nothing where the mixer has no heads.
    """

    mixer: str
    heads: int
    channel: str = "mlp"
    ratio: float = 4.0
    conv: int = 0
    kv_heads: int = 0
    projection: Projection = PLAIN

    def __post_init__(self) -> None:
        for gene in set(GENES) - obeyed_genes(self.mixer):
            object.__setattr__(self, gene, 0)
        if not self.heads:
            object.__setattr__(self, "projection", PLAIN)
        if self.kv_heads == self.heads:
            object.__setattr__(self, "kv_heads", 0)
        object.__setattr__(self, "ratio", float(self.ratio))

    def to_dict(self) -> dict[str, Any]:
        """Plain data. A gene that came later is not written where it says nothing: digests of before stay."""
        later: dict[str, Any] = {
            gene: value for gene in ("conv", "kv_heads") if (value := getattr(self, gene))
        }
        if self.projection != PLAIN:
            later["projection"] = self.projection.to_dict()
        return {
            "mixer": self.mixer,
            "heads": self.heads,
            "channel": self.channel,
            "ratio": self.ratio,
        } | later

    def sizes(self, width: int, view: View = CAUSAL) -> Sizes:
        """What the layer's genes say to its parts in a model of width D whose tokens lie so."""
        return Sizes(
            width=width,
            heads=self.heads,
            head_size=self.projection.head_size or (width // self.heads if self.heads else 0),
            groups=self.kv_heads or self.heads // (self.projection.sharing or 1),
            conv=self.conv,
            hidden=round(self.ratio * width),
            bias=self.projection.bias,
            out_bias=self.projection.out_bias,
            norms=self.projection.norms,
            view=view,
            form=LANGUAGE,  # torch.compile does not find the default of a field
        )


@dataclass(frozen=True)
class Architecture:
    """A model without its weights. Equal models have equal digests, whatever space they come from.

    Attributes:
        vocabulary: number of token ids, the embedding's rows.
        width: D, model width.
        layers: one entry a layer, in order; its length is the depth L.
        tied: whether the output projection is the embedding (Press & Wolf, 2017), not one of its own.
        form: what goes in and what comes out; of tokens, `vocabulary` of them.
        stem: option of what turns inputs into tokens.
        readout: option of what turns tokens into answers.
    """

    vocabulary: int
    width: int
    layers: tuple[Layer, ...]
    tied: bool = True
    form: Form = LANGUAGE
    stem: str = EMBEDDING
    readout: str = LOGITS

    def __post_init__(self) -> None:
        if self.form.causal:
            object.__setattr__(self, "form", Form(Tokens(self.vocabulary)))
        else:
            object.__setattr__(self, "vocabulary", self.form.vocabulary)

    @cached_property
    def view(self) -> View:
        """How its tokens lie.

        Raises:
            ValueError: its stem does not take its inputs.
        """
        return view_of(self.form, self.stem)

    @property
    def sizes(self) -> Sizes:
        """What the model says to its stem and its readout."""
        return Sizes(self.width, view=self.view, form=self.form, tied=self.tied)

    @property
    def depth(self) -> int:
        """L, the number of layers."""
        return len(self.layers)

    def with_layer(self, number: int, **genes: Any) -> Architecture:
        """The same but for these genes of one layer."""
        layers = list(self.layers)
        layers[number] = replace(layers[number], **genes)
        return replace(self, layers=tuple(layers))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the form of the JSON documents and of the wire; of a language model no word of what
        makes others."""
        later: dict[str, Any] = {} if self.tied else {"tied": False}
        if not self.form.causal:
            later |= {"form": self.form.to_dict(), "stem": self.stem, "readout": self.readout}
        return {
            "vocabulary": self.vocabulary,
            "width": self.width,
            "layers": [layer.to_dict() for layer in self.layers],
        } | later

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Inverse of `to_dict`.

        Raises:
            SpaceError: where a key is missing, unknown or of the wrong type.
        """
        try:
            layers = tuple(_layer(number, layer) for number, layer in enumerate(data["layers"]))
            said = {"form": Form.from_dict(data["form"])} if "form" in data else {}
            architecture = cls(**{**data, **said, "layers": layers})
            _refuse_other_types(architecture)
            _refuse_other_parts(architecture)
            return architecture
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            layer = "{mixer, heads, channel, ratio, conv, kv_heads, projection}"
            accepted = f"{{vocabulary, width, tied, form, stem, readout, layers: [{layer}]}}"
            raise SpaceError([Problem("architecture", f"{error!s}; accepted: {accepted}")]) from error

    def canonical_json(self) -> str:
        """The one JSON text of this architecture: sorted keys, no white space."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of `canonical_json`."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]


def _layer(number: int, data: Mapping[str, Any]) -> Layer:
    genes = {**data}
    # Before a layer makes a float of it, as of any text of digits.
    if type(genes.get("ratio", 0)) not in (int, float):
        raise TypeError(f"layers.{number}.ratio: {genes['ratio']!r} is no number")
    return Layer(**{**genes, "projection": Projection(**genes.get("projection", {}))})


def _refuse_other_types(architecture: Architecture) -> None:
    """JSON gives `heads: "4"` and `width: 64.5` as readily as numbers that can be."""
    whole = {"vocabulary": architecture.vocabulary, "width": architecture.width}
    for number, layer in enumerate(architecture.layers):
        whole |= {f"layers.{number}.{gene}": getattr(layer, gene) for gene in GENES}
        if not (isinstance(layer.mixer, str) and isinstance(layer.channel, str)):
            raise TypeError(
                f"layers.{number}: {layer.mixer!r} and {layer.channel!r} are not both option texts"
            )
        if not 0 <= layer.ratio < math.inf:
            raise ValueError(f"layers.{number}.ratio: {layer.ratio} is not a size")
    for path in ("stem", "readout"):
        if not isinstance(option := getattr(architecture, path), str):
            raise TypeError(f"{path}: {option!r} is no option text")
    if type(architecture.tied) is not bool:
        raise TypeError(f"tied: {architecture.tied!r} is neither true nor false")
    for path, value in whole.items():
        if type(value) is not int or value < 0:
            raise TypeError(f"{path}: {value!r} is not a count")


def _refuse_other_parts(architecture: Architecture) -> None:
    """Parts that do not fit a form, or each other."""
    causal = architecture.form.causal
    if causal:
        for path, option, own in (
            ("stem", architecture.stem, EMBEDDING),
            ("readout", architecture.readout, LOGITS),
        ):
            # They are no part of its canonical JSON: two models would have one digest.
            if option != own:
                raise ValueError(f"{path}: {option!r} in a language model; accepted there: {own}")
    elif not isinstance(architecture.form.output, parse_readout(architecture.readout).answers):
        raise ValueError(f"readout {architecture.readout} does not tell {architecture.form.output}")
    view = architecture.view
    for number, layer in enumerate(architecture.layers):
        if causal and not _is_known(layer.mixer):
            continue
        if problem := unfit(layer.mixer, layer.conv, view, layer.projection.sharing):
            raise ValueError(f"layers.{number}: {problem}")


def _is_known(mixer: str) -> bool:
    """Whether it is a mixer here: what is stored of one that is not, as of a plug-in, can still be read."""
    try:
        parse_mixer(mixer)
    except ValueError:
        return False
    return True


def unfit(mixer: str, conv: int, view: View, sharing: int = 0) -> str:
    """Why a layer's mixer with so many taps cannot be used where tokens lie so and as many heads share their
    keys and values; empty where it can."""
    known = parse_mixer(mixer)
    if sharing > 1 and not known.shares:
        return f"mixer {mixer} has keys and values of every head, projection.sharing {sharing} has not"
    if view.sight not in known.sights:
        return f"mixer {mixer} is {' and '.join(sorted(known.sights))} only, the model {view.sight}"
    if view.causal:
        return ""
    if view.dimensions not in known.dimensions:
        return f"mixer {mixer} takes grids of {sorted(known.dimensions)} axes, not of {view.dimensions}"
    if 0 < known.most_tokens < math.prod(view.grid):
        return f"mixer {mixer} takes {known.most_tokens} tokens at most, not {math.prod(view.grid)}"
    return f"conv {conv}: short convolutions are causal; accepted: 0" if conv else ""

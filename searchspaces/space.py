"""The search space: genes and their options as integer codes, architectures to codes and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    ValidationError,
)

from searchspaces.architecture import Architecture, Layer
from searchspaces.declaration import (
    LATER_GENES,
    LAYER_GENES,
    OUTER_GENES,
    SpaceSpec,
    form_problems,
    with_sizes_of_form,
)
from searchspaces.documents import DocumentError, described, read_document
from searchspaces.encoding import Encoding, Population
from searchspaces.errors import Problem, SpaceError
from searchspaces.form import Form, Tokens
from searchspaces.mixers import obeyed_genes
from searchspaces.mixers.mixer import GENES
from searchspaces.part import View
from searchspaces.stems import view_of
from searchspaces.validation import problems_of

__all__ = [
    "LIBRARY",
    "SearchSpace",
    "load_space",
    "space_names",
]

LIBRARY = Path(__file__).parent / "library"
"""The folder of the spaces that ship."""


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
        return view_of(self.form, self.spec.stem[0])

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
        if not self.form.causal:
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

    @cached_property
    def depth_tables(self) -> list[tuple[int, NDArray[np.bool_]]]:
        """The depth's, which shows in no code where layers have one option of every gene."""
        kept = np.arange(self.max_depth) < self._depths[:, None]
        return [] if kept.all() else [(1, kept)]

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
                elif (
                    gene == "kv_heads" and not layer.kv_heads and 0 not in options and layer.heads in options
                ):
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
            found = shipped or path.is_file()
            data = read_document(path) if found else None
        except (DocumentError, OSError, ValueError) as error:  # a name too long, or with a NUL
            raise SpaceError([Problem("space", str(error))]) from error
        if not found:
            raise SpaceError([Problem("space", _no_space(path))])
        if not isinstance(data, Mapping):
            message = (
                f"{str(path)!r:.200} holds {described(data)}; accepted: a mapping, as docs/job-file.md says"
            )
            raise SpaceError([Problem("space", message)])
    try:
        spec = SpaceSpec.model_validate(data)
    except ValidationError as error:
        raise SpaceError(problems_of(error, SpaceSpec, "space")) from error
    if problems := list(form_problems(spec)):
        raise SpaceError(problems)
    return SearchSpace(with_sizes_of_form(spec))


def _no_space(path: Path) -> str:
    """That there is none of a name; seen from here, as people write it."""
    here = Path.cwd()
    written = path.relative_to(here) if path.is_relative_to(here) else path
    nearest = get_close_matches(path.name, space_names(), n=1)
    said = f"no space {str(written)!r:.80}; " + "".join(f"did you mean {name}? " for name in nearest)
    return f"{said}accepted: one of {space_names()}, a path to a YAML file, or the declaration itself"

"""Benchmarks of search by name: a table of measured architectures, or any module with the right functions."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import moocore
import numpy as np

from nas.bench import synthetic
from nas.bench.tables import TableProblem, read_scored
from nas.errors import InvalidSpec
from nas.objectives import Objective, Source
from nas.problem import SearchProblem, Values
from searchspaces.encoding import Encoding, Population
from searchspaces.errors import Problem

__all__ = ["Benchmark", "TolerantEvaluation", "load_benchmark"]

INTERFACE = ("CARD", "NAMES", "IDEAL", "NADIR", "canonical", "evaluate")
ACCEPTED = "accepted: synthetic, FILE.csv.gz[:DEVICE], FILE.py, or MODULE[:ATTRIBUTE]"


@dataclass(frozen=True)
class Benchmark:
    """A search problem whose true values are known.

    Attributes:
        problem: what strategies are given.
        evaluate: (n, genes) → (n, objectives) true values.
        ideal, reference: (objectives,) corners of the box in which hypervolume is computed, scaled to volume
            1.
        best: hypervolume of the best known front; None if unknown.
    """

    name: str
    problem: SearchProblem
    evaluate: Callable[[Population], Values]
    ideal: tuple[float, ...]
    reference: tuple[float, ...]
    best: float | None = None

    @property
    def volume(self) -> float:
        """Volume of the box in the objectives' units, by which hypervolumes are divided."""
        return float(np.prod(np.abs(np.subtract(self.reference, self.ideal))))


class TolerantEvaluation:
    """An evaluation in which candidates that raise an error count as failed.

    Attributes:
        error: the first error raised; None so far.

    Args:
        evaluate: (n, genes) → (n, m).
        width: m.
    """

    def __init__(self, evaluate: Callable[[Population], Values], width: int) -> None:
        self._evaluate, self._width = evaluate, width
        self.error: Exception | None = None

    def __call__(self, population: Population) -> Values:
        """(n, m) values; NaN for candidates that raised an error."""
        try:
            return self._evaluate(population)
        except Exception as error:  # noqa: BLE001 (reports whatever foreign code raises)
            self.error = self.error or error
        if len(population) < 2:
            return np.full((len(population), self._width), np.nan)
        half = len(population) // 2
        return np.concatenate([self(population[:half]), self(population[half:])])


def load_benchmark(name: str, known: bool = True, use_reference: bool = True) -> Benchmark:
    """A benchmark by name.

    Args:
        name: ``synthetic``; a table of `read_scored`'s format with the device whose latency counts
            (``gpt_s.csv.gz:a100``; a100 by default); a Python file or an importable module with
            CARD, NAMES, IDEAL, NADIR, canonical and evaluate, and optionally BEST_HV, as in
            `nas.bench.synthetic`, with as many objectives as IDEAL has values; or
            ``module:attribute``, a `Benchmark`.
        known: whether all objectives but the first, the quality, are free.
        use_reference: whether strategies are given the reference point by which hypervolume is computed.

    Raises:
        InvalidSpec: there is no such benchmark, or it lacks something.
    """
    path, _, attribute = name.partition(":")
    try:
        if name == "synthetic":
            found = _from_module(synthetic, name)
        elif re.search(r"\.csv(\.gz)?$", path):
            found = _from_table(Path(path), attribute or "a100")
        elif path.endswith(".py"):
            found = _from_module(_module_of_file(Path(path)), Path(path).stem)
        else:
            module = importlib.import_module(path)
            found = getattr(module, attribute) if attribute else _from_module(module, path)
    except (ImportError, OSError, AttributeError, ValueError) as error:
        raise InvalidSpec([Problem("problem", f"{name!r}: {error}; {ACCEPTED}")]) from error
    if not isinstance(found, Benchmark):
        raise InvalidSpec([Problem("problem", f"{name!r} is a {type(found).__name__}; {ACCEPTED}")])
    problem = found.problem
    asked = TolerantEvaluation(problem.known, len(problem.free)) if problem.known and known else None
    return replace(
        found,
        problem=replace(
            problem,
            known=asked,
            reference=found.reference if use_reference else None,
        ),
    )


def _objectives(quality: str, unit: str, number: int = 2) -> tuple[Objective, ...]:
    return (
        Objective(quality, unit, source=Source.EVALUATED),
        Objective("latency_ms", "ms", source=Source.PREDICTED),
        *(Objective(f"objective_{i}", "1", source=Source.COUNTED) for i in range(2, number)),
    )[:number]


def _from_table(path: Path, device: str) -> Benchmark:
    table = TableProblem(read_scored(path, [device]), device)
    exact = moocore.filter_dominated(table.values)
    ideal, reference = table.values.min(0), table.values.max(0)
    box = float(np.prod(reference - ideal))
    problem = SearchProblem(
        table.encoding, _objectives("perplexity", "perplexity"), lambda rows: table.evaluate(rows)[:, 1:]
    )
    return Benchmark(
        f"{path.name.split('.')[0]}:{device}",
        problem,
        table.evaluate,
        tuple(ideal.tolist()),
        tuple(reference.tolist()),
        float(moocore.hypervolume(exact, ref=reference)) / box,
    )


def _from_module(module: ModuleType, name: str) -> Benchmark:
    missing = [attribute for attribute in INTERFACE if not hasattr(module, attribute)]
    if missing:
        raise AttributeError(f"lacks {', '.join(missing)}")
    evaluate = TolerantEvaluation(module.evaluate, len(module.IDEAL))
    encoding = Encoding(module.CARD, module.NAMES, _layers(module.NAMES), module.canonical)
    probe = np.shape(evaluate(encoding.sample(2, np.random.default_rng(0))))
    if probe != (2, len(module.IDEAL)) or len(module.NADIR) != len(module.IDEAL):
        said = f"evaluate gives {probe} for 2 candidates, IDEAL has {len(module.IDEAL)} values"
        raise ValueError(f"{said} and NADIR {len(module.NADIR)}; accepted: (2, k), k and k")
    return Benchmark(
        name,
        SearchProblem(
            encoding,
            _objectives("loss", "nats", len(module.IDEAL)),
            lambda rows: module.evaluate(rows)[:, 1:],
        ),
        module.evaluate,
        tuple(map(float, module.IDEAL)),
        tuple(map(float, module.NADIR)),
        getattr(module, "BEST_HV", None),
    )


def _layers(names: list[str]) -> list[list[int]] | None:
    """Columns of each layer: genes named ``gene_0``, ``gene_1``, … with every gene in every layer."""
    columns: dict[int, dict[str, int]] = {}
    for column, name in enumerate(names):
        if match := re.fullmatch(r"(.+)_(\d+)", name):
            columns.setdefault(int(match[2]), {})[match[1]] = column
    if not columns or len({tuple(sorted(genes)) for genes in columns.values()}) != 1:
        return None
    genes = list(columns[min(columns)])
    return [[columns[layer][gene] for gene in genes] for layer in sorted(columns)]


def _module_of_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise OSError(f"no Python file {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

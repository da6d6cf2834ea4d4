"""Strategies against each other: hypervolume after so many evaluations, and what it costs to think."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nas.bench.benchmarks import Benchmark, TolerantEvaluation, load_benchmark
from nas.bench.simulation import Simulation
from nas.errors import InvalidSpec
from nas.strategies import get_strategy
from nas.strategies.archive import Archive
from nas.strategies.history import PAID
from searchspaces.errors import Problem

__all__ = ["run_search_bench"]

SHARES = (0.9, 0.95, 0.98, 0.99)
"""Of the best known hypervolume; the evaluations to reach each are told."""


def run_search_bench(
    problem: str | Benchmark,
    strategies: Sequence[str],
    budgets: Sequence[int] = (100, 300, 1000),
    seeds: int = 5,
    batch: int = 5,
    noise: float = 0.0,
    failures: float = 0.0,
    fidelities: Sequence[float] = (1.0,),
    known: bool = True,
    use_reference: bool = True,
    on_run: Callable[[str, int, list[float]], None] | None = None,
) -> dict[str, Any]:
    """Hypervolume curves of strategies on a problem, as plain JSON data.

    Args:
        problem: see `load_benchmark`.
        budgets: evaluations after which the hypervolume is taken; the largest ends a run, or each a run of
            its own where there are several fidelities.
        seeds: runs of each strategy, with seeds 0, 1, ….
        batch: candidates asked, and told, at a time.
        noise: standard deviation added to what strategies are told of expensive objectives; hypervolume is
            always that of the true values of what was evaluated in full. See `Simulation` for cheaper
            evaluations.
        fidelities: what an evaluation may cost, see `nas.problem.SearchProblem`; budgets count whole ones.
        failures: probability that an evaluation fails.
        known, use_reference: see `load_benchmark`.
        on_run: called after each run with the strategy, the seed and its hypervolumes.

    Raises:
        InvalidSpec: every mistake in the arguments at once.
    """
    problems = []
    for name in strategies:
        try:
            get_strategy(name)
        except ValueError as error:
            problems.append(Problem("strategies", str(error)))
    for path, numbers in (("budgets", list(budgets)), ("seeds", [seeds]), ("batch", [batch])):
        if not numbers or min(numbers) < 1:
            problems.append(Problem(path, f"{numbers}; accepted: whole numbers of at least 1"))
    try:
        bench = load_benchmark(problem, known, use_reference) if isinstance(problem, str) else problem
    except InvalidSpec as error:
        problems += error.problems
    if not problems:
        try:
            bench = replace(bench, problem=replace(bench.problem, fidelities=tuple(fidelities)))
        except ValueError as error:
            problems.append(Problem("fidelities", str(error)))
    if problems:
        raise InvalidSpec(problems)
    marks = sorted(set(budgets))
    evaluate = TolerantEvaluation(bench.evaluate, len(bench.reference))
    bench = replace(bench, evaluate=evaluate)
    simulation = Simulation(bench, processes=batch, batch=batch, noise=noise, failures=failures)
    # Whoever knows of an end spends differently before it.
    courses = [marks] if len(fidelities) == 1 else [[mark] for mark in marks]
    results = {}
    for name in strategies:
        runs = []
        for seed in range(seeds):
            parts = [_run(simulation, name, course, seed) for course in courses]
            runs.append(parts[-1] | {"hypervolume": [volume for p in parts for volume in p["hypervolume"]]})
            if on_run is not None:
                on_run(name, seed, runs[-1]["hypervolume"])
        curves = np.array([run["hypervolume"] for run in runs])
        results[name] = {
            "median": np.median(curves, axis=0).tolist(),
            "least": curves.min(0).tolist(),
            "most": curves.max(0).tolist(),
            "runs": runs,
        }
    return {
        "problem": bench.name,
        "best_known": bench.best,
        "reference": list(bench.reference),
        "budgets": marks,
        "batch": batch,
        "noise": noise,
        "failures": failures,
        "fidelities": list(fidelities),
        "latency_known": bench.problem.known is not None,
        "reference_told": bench.problem.reference is not None,
        "error": None if evaluate.error is None else repr(evaluate.error),
        "strategies": results,
    }


def _run(simulation: Simulation, name: str, marks: list[int], seed: int) -> dict[str, Any]:
    bench = simulation.problem
    strategy = get_strategy(name)(bench.problem, seed)
    started = time.process_time()
    trace = simulation.run(strategy, marks[-1], seed)
    seconds = time.process_time() - started
    costs = np.array(bench.problem.fidelities)
    spent, whole = np.cumsum(costs[trace.levels]), costs[trace.levels] == 1.0
    values = bench.evaluate(trace.population)
    values[~(np.isfinite(trace.values).all(1) & whole)] = np.nan
    archive, done = Archive(bench.problem), 0
    hypervolume, reached = [], dict.fromkeys(map(str, SHARES))
    stops = sorted({*marks, *range(simulation.batch, marks[-1], simulation.batch)})
    for stop in stops:
        until = int(np.searchsorted(spent, stop + PAID, "right"))
        archive.add(trace.population[done:until], values[done:until])
        done = until
        volume = archive.hypervolume(bench.reference) / bench.volume
        if stop in marks:
            hypervolume.append(volume)
        for share in SHARES:
            if bench.best is not None and volume >= share * bench.best and reached[str(share)] is None:
                reached[str(share)] = stop
    return {
        "seed": seed,
        "evaluations": len(trace.population),
        "whole": int(whole.sum()),
        "failed": int((~np.isfinite(trace.values).all(1)).sum()),
        "hypervolume": hypervolume,
        "evaluations_to_share": reached,
        "processor_seconds": seconds,
        "processor_ms_per_evaluation": 1e3 * seconds / max(len(trace.population), 1),
    }

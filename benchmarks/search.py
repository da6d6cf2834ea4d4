"""What `docs/results-search.md` states: strategies by hypervolume, and the vectorised core by time.

python benchmarks/search.py curves [PROBLEM] [--strategies a,b] [--budgets 100,300] [--seeds 5] …
python benchmarks/search.py speed
python benchmarks/search.py race          (against pygmo, where it is installed: pip install pygmo)
python benchmarks/search.py overhead
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from nas.bench import BenchProblem, load_problem, run_search_bench
from nas.bench.plot import plot_search_bench
from nas.strategies import Problem
from nas.strategies.evolution import EvolutionStrategy
from nas.strategies.random import RandomStrategy

SHARE = 0.99
GIVE_UP_S = 8.0


def curves(arguments: argparse.Namespace) -> None:
    result = run_search_bench(
        arguments.problem,
        arguments.strategies.split(","),
        [int(b) for b in arguments.budgets.split(",")],
        arguments.seeds,
        arguments.batch,
        arguments.noise,
        use_reference=not arguments.no_reference,
        on_run=lambda name, seed, volumes: print(name, seed, [round(v, 4) for v in volumes], flush=True),
    )
    print(f"\n{result['problem']}, batch {result['batch']}, noise {result['noise']}, {arguments.seeds} seeds")
    for name, found in result["strategies"].items():
        runs = found["runs"]
        cost = np.median([run["processor_ms_per_evaluation"] for run in runs])
        print(f"{name:14s}", "  ".join(f"{v:.3f}" for v in found["median"]), f"  {cost:.2f} ms/evaluation")
        for share in ("0.95", "0.98", "0.99"):
            print(f"{'':14s} evaluations to {share}: {[run['evaluations_to_share'][share] for run in runs]}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
        plot_search_bench(result, arguments.json.with_suffix(".html"))


def speed(_: argparse.Namespace) -> None:
    """Candidates a second end to end: ask, evaluate, tell, population 1,000, duplicates never proposed."""
    bench = load_problem("synthetic", known=False)
    weights = np.random.default_rng(0).random((bench.problem.encoding.genes, 2))
    cheap = ("two weighted sums", lambda rows: rows @ weights)
    for name, evaluate in (cheap, ("the synthetic problem", bench.evaluate)):
        rates = []
        for seed in range(5):
            strategy = EvolutionStrategy(bench.problem, seed, population=1000)
            told, started = 0, time.process_time()
            while told < 200_000:
                rows = strategy.ask(1000)
                strategy.tell(rows, evaluate(rows))
                told += len(rows)
            rates.append(told / (time.process_time() - started))
        print(f"{name}: {np.median(rates):,.0f} candidates/s (best of 5: {max(rates):,.0f})")


def race(_: argparse.Namespace) -> None:
    """Processor time until 99% of the best known hypervolume, evaluations as fast as they go."""
    bench = load_problem("synthetic", known=False)
    for population in (700, 1000):
        _report(
            f"evolution, population {population}", [_evolve(bench, population, seed) for seed in range(5)]
        )
    if importlib.util.find_spec("pygmo") is None:
        print("pygmo is not installed: pip install pygmo")
        return
    for population in (500, 1000):
        _report(f"pygmo NSGA-II, population {population}", [_pygmo(bench, population, s) for s in range(5)])


def _report(name: str, seconds: list[float]) -> None:
    reached = sum(np.isfinite(seconds))
    print(f"{name}: median {np.median(seconds):.2f} s, {reached} of 5, {[round(s, 2) for s in seconds]}")


def _good_enough(bench: BenchProblem, values: np.ndarray) -> bool:
    from nas.strategies.archive import Archive

    archive = Archive(bench.problem)
    archive.add(np.zeros((len(values), bench.problem.encoding.genes), np.int64), values)
    assert bench.best is not None
    return archive.hypervolume(bench.reference) / bench.volume >= SHARE * bench.best


def _evolve(bench: BenchProblem, population: int, seed: int) -> float:
    started = time.process_time()
    strategy = EvolutionStrategy(bench.problem, seed, population)
    generation = 0
    while time.process_time() - started < GIVE_UP_S:
        rows = strategy.ask(population)
        strategy.tell(rows, bench.evaluate(rows))
        generation += 1
        if generation % 5 == 0 and _good_enough(bench, strategy.parents_values()):
            return time.process_time() - started
    return np.inf


def _pygmo(bench: BenchProblem, population: int, seed: int) -> float:
    import pygmo

    upper = (bench.problem.encoding.cardinalities - 1).astype(float).tolist()

    class Genes:
        def fitness(self, x: np.ndarray) -> np.ndarray:
            return bench.evaluate(np.rint(x)[None].astype(np.int64))[0]

        def batch_fitness(self, xs: np.ndarray) -> np.ndarray:
            return bench.evaluate(np.rint(xs).astype(np.int64).reshape(-1, len(upper))).ravel()

        def get_nobj(self) -> int:
            return 2

        def get_nix(self) -> int:
            return len(upper)

        def get_bounds(self) -> tuple[list[float], list[float]]:
            return [0.0] * len(upper), upper

    started = time.process_time()
    nsga2 = pygmo.nsga2(gen=5, seed=seed)
    nsga2.set_bfe(pygmo.bfe())
    algorithm = pygmo.algorithm(nsga2)
    found = pygmo.population(pygmo.problem(Genes()), population, seed=seed, b=pygmo.bfe())
    while time.process_time() - started < GIVE_UP_S:
        found = algorithm.evolve(found)
        if _good_enough(bench, found.get_f()):
            return time.process_time() - started
    return np.inf


def overhead(_: argparse.Namespace) -> None:
    """Ask, tell and the state as JSON, in batches of 1,000, as the number of evaluations grows."""
    bench = load_problem("synthetic", known=False)
    problem: Problem = bench.problem
    for strategy in (EvolutionStrategy(problem, 0), RandomStrategy(problem, 0)):
        told, started = 0, time.process_time()
        for mark in (1_000, 10_000, 100_000):
            before, begun = told, time.process_time()
            while told < mark:
                rows = strategy.ask(1000)
                strategy.tell(rows, bench.evaluate(rows))
                told += len(rows)
            each = 1e3 * (time.process_time() - begun) / (told - before)
            begun = time.process_time()
            size = len(json.dumps(strategy.state()))
            stored = 1e3 * (time.process_time() - begun)
            print(
                f"{type(strategy).__name__} to {mark:,}: {each:.4f} ms/evaluation; "
                f"state {size / 1e6:.2f} MB, {stored:.0f} ms"
            )
        print(f"  {time.process_time() - started:.1f} s in all")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("curves")
    command.add_argument("problem", nargs="?", default="synthetic")
    command.add_argument("--strategies", default="default,evolution,random")
    command.add_argument("--budgets", default="100,300")
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--batch", type=int, default=5)
    command.add_argument("--noise", type=float, default=0.0)
    command.add_argument(
        "--no-reference", action="store_true", help="do not tell strategies the reference point"
    )
    command.add_argument("--json", type=Path, help="write the data here, and a plot beside it")
    command.set_defaults(run=curves)
    for name, run in (("speed", speed), ("race", race), ("overhead", overhead)):
        commands.add_parser(name).set_defaults(run=run)
    arguments: Any = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()

"""What `docs/results-search.md` states: strategies by hypervolume, and the vectorised core by time.

python benchmarks/search.py curves [PROBLEM] [--strategies a,b] [--budgets 100,300] [--seeds 5] …
python benchmarks/search.py speed
python benchmarks/search.py race          (against pygmo, where it is installed: pip install pygmo)
python benchmarks/search.py overhead
python benchmarks/search.py best          (what `nas.bench.synthetic.BEST_HV` states; some ten minutes)
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nas.analysis.candidates import Candidates
from nas.bench import Benchmark, load_benchmark, run_search_bench
from nas.bench.backends import SimulatedComputeBackend, SimulatedMeasurementBackend
from nas.bench.plot import plot_search_bench
from nas.planning.plan import resolve
from nas.spec import StageName, load_job_spec
from nas.stages.search_loop import search
from nas.stages.stage import StageContext
from nas.store import open_store
from nas.store.store import SupernetRecord
from nas.strategies.archive import Archive
from nas.strategies.evolution import EvolutionStrategy
from predictors import make_predictor

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
        arguments.json.with_suffix(".html").write_text(plot_search_bench(result))


def speed(_: argparse.Namespace) -> None:
    """Candidates a second end to end: ask, evaluate, tell, population 1,000, duplicates never proposed."""
    bench = load_benchmark("synthetic", known=False)
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
    bench = load_benchmark("synthetic", known=False)
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


def _good_enough(bench: Benchmark, values: np.ndarray) -> bool:
    archive = Archive(bench.problem)
    archive.add(np.zeros((len(values), bench.problem.encoding.genes), np.int64), values)
    assert bench.best is not None
    return archive.hypervolume(bench.reference) / bench.volume >= SHARE * bench.best


def _evolve(bench: Benchmark, population: int, seed: int) -> float:
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


def _pygmo(bench: Benchmark, population: int, seed: int) -> float:
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
    """What the service adds to an evaluation: a job's own search loop on SQLite, evaluations for nothing.

    Asking, predicting, telling, and every transaction of a real search, in batches of 16.
    """
    with TemporaryDirectory() as folder, closing(open_store(Path(folder))) as store:
        spec = load_job_spec(
            {
                "space": "hybrid-lm",
                "task": "text",
                "targets": [{"device": "simulated"}],
                "budget": {"search": {"strategy": "evolution"}},
            }
        )
        plan, job = resolve(spec), store.create_job(spec)
        rows = plan.space.sample(60, np.random.default_rng(0))
        workload = plan.targets[0].workload
        predictor = make_predictor("additive", plan.space, workload)
        predictor.fit(rows, 1.0 + plan.costs.macs(rows, plan.tokens) / 1e9, np.full(len(rows), 0.01))
        evaluator = SimulatedComputeBackend(
            lambda architecture, split: 1.0 / len(architecture.layers), processes=16
        )
        context = StageContext(
            job.id,
            plan,
            store,
            Path(folder),
            SimulatedMeasurementBackend(store, {}),
            evaluator,
            lambda event: None,
            lambda: False,
        )
        record = SupernetRecord("net", plan.space.digest, plan.task.digest, 0, 0, 0.0, "none")
        done = 0
        for mark in (1_000, 10_000, 100_000):
            with evaluator.evaluations(plan, record, lambda: None) as pool:
                wall, begun = time.perf_counter(), time.process_time()
                candidates = Candidates(context, {plan.targets[0]: predictor})
                search(context, StageName.SEARCH, candidates, pool, "search", mark, {})
                each = 1e3 * (time.process_time() - begun) / (mark - done)
                elapsed = 1e3 * (time.perf_counter() - wall) / (mark - done)
            begun = time.process_time()
            with evaluator.evaluations(plan, record, lambda: None) as pool:
                search(context, StageName.SEARCH, candidates, pool, "search", mark, {})
            again, done = time.process_time() - begun, mark
            size = (Path(folder) / "nas.db").stat().st_size / 1e6
            print(
                f"to {mark:,}: {each:.3f} ms of processor an evaluation, {elapsed:.3f} ms by the clock; "
                f"going on after a restart takes {again:.2f} s; the database has {size:.0f} MB",
                flush=True,
            )


def best(arguments: argparse.Namespace) -> None:
    """The best front known of the synthetic problem: evolution of large populations, then of their union
    every change of one gene, two layers that swap places, layers of other members, and many changes of two
    genes, until a whole sweep gains less than a millionth."""
    bench = load_benchmark("synthetic", known=False)
    archive = Archive(bench.problem)
    for seed in range(arguments.seeds):
        strategy = EvolutionStrategy(bench.problem, seed, population=2000)
        for _ in range(arguments.generations):
            rows = strategy.ask(2000)
            values = bench.evaluate(rows)
            strategy.tell(rows, values)
            archive.add(rows, values)
        print(f"seed {seed}: {archive.hypervolume(bench.reference) / bench.volume:.6f}", flush=True)
    rng, gained = np.random.default_rng(0), np.inf
    while gained > 1e-6:
        before = archive.hypervolume(bench.reference) / bench.volume
        for rows in _neighbours(bench, archive.population, rng):
            rows = bench.problem.encoding.canonical(rows)
            archive.add(rows, bench.evaluate(rows))
        found = archive.hypervolume(bench.reference) / bench.volume
        gained = found - before
        print(f"{len(archive)} members, hypervolume {found!r}", flush=True)


def _neighbours(bench: Benchmark, members: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    encoding = bench.problem.encoding
    for gene, options in enumerate(encoding.cardinalities.tolist()):
        for option in range(options):
            rows = members.copy()
            rows[:, gene] = option
            yield rows
    layers = encoding.layer_genes
    for layer in layers:
        for other in layers:
            rows = members.copy()
            rows[:, layer], rows[:, other] = members[:, other], members[:, layer]
            yield rows
            rows = members.copy()
            rows[:, layer] = members[rng.permutation(len(members))][:, other]
            yield rows
    for _ in range(400):
        rows, every = members.copy(), np.arange(len(members))
        for _ in range(2):
            genes = rng.integers(0, encoding.genes, len(rows))
            rows[every, genes] = (rng.random(len(rows)) * encoding.cardinalities[genes]).astype(np.int64)
        yield rows


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
    command = commands.add_parser("best")
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--generations", type=int, default=150)
    command.set_defaults(run=best)
    for name, run in (("speed", speed), ("race", race), ("overhead", overhead)):
        commands.add_parser(name).set_defaults(run=run)
    arguments: Any = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()

"""How good and how quick the predictors are.

    python benchmarks/latency_predictors.py COMMAND

    tables      published latencies in ../shared/data, some minutes
    speed       architectures a second on one core

Each prints a table; docs/results-predictors.md says what was reached. On this machine's own targets:
`nas bench devices`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from predictors import make_predictor
from predictors.bench import run_table_bench
from searchspaces import load_space
from searchspaces.costs import CostModel
from workers.target import Workload

DATA = Path(__file__).parents[2] / "shared" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("tables")
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--samples", type=int, nargs="+", default=[1, 3, 5, 10, 20, 50, 200])
    command.add_argument("--predictors", nargs="+", default=["macs", "lookup", "additive", "transfer"])
    command.add_argument("--tables", nargs="+", default=["s", "m", "hat"])
    command.set_defaults(run=tables)
    command = commands.add_parser("speed")
    command.set_defaults(run=speed)
    arguments = parser.parse_args()
    arguments.run(arguments)


def tables(arguments: argparse.Namespace) -> None:
    for name in arguments.tables:
        files = (
            sorted((DATA / "hat").glob("*.csv")) if name == "hat" else [DATA / "hwgpt" / f"gpt_{name}.csv.gz"]
        )
        start = time.perf_counter()
        result = run_table_bench(
            files, samples=arguments.samples, seeds=arguments.seeds, predictors=arguments.predictors
        )
        print(f"\n{result['table']}: mean over devices, {result['seeds']} seeds")
        print("drift      predictor  samples  ±10%   ±5%    MAPE   Spearman  coverage  fit ms  predict/s")
        for mean in result["means"]:
            print(
                f"{mean['drift']:10} {mean['predictor']:10} {mean['samples']:7}  {mean['within_10']:6.1%} "
                f"{mean['within_5']:6.1%} {100 * mean['mape']:6.2f} {mean['spearman']:8.3f}  "
                f"{mean['coverage_90']:8.1%} {mean['fit_ms']:7.1f} {mean['predict_per_s']:10,.0f}"
            )
        print("\n".join(f"note: {note}" for note in result["notes"]))
        print(f"{time.perf_counter() - start:.0f} s")


def speed(arguments: argparse.Namespace) -> None:
    del arguments
    space = load_space("hybrid-lm")
    rng = np.random.default_rng(0)
    population, measured = space.sample(100_000, rng), space.sample(48, rng)
    costs = CostModel(space)
    latency = costs.macs(measured, 1024) / 1e8 * np.exp(0.05 * rng.standard_normal(48))
    timed("counts", lambda: costs.counts(population))
    for name in ("macs", "roofline", "lookup", "additive", "transfer", "residual", "auto", "mlp", "lightgbm"):
        predictor = make_predictor(name, space, Workload(tokens=1024)).fit(measured, latency)
        timed(name, lambda predictor=predictor: predictor.predict(population))


def timed(name: str, call: Any) -> None:
    best = min(_seconds(call) for _ in range(3))
    print(f"{name:10} {100_000 / best:12,.0f} architectures/s")


def _seconds(call: Any) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    main()

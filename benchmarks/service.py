"""How quickly the service answers: `python benchmarks/service.py [--small]`.

A real `nas serve` process that runs no job, real sockets. Each call is timed one after another by one
client, then by eight at once; alone, with 200 workers connected (coroutines of another process that speak
the worker's protocol), and while one client floods. The issue's goal: with 200 workers connected and a
client that floods, the p99 of GetJob for others is at most 100 ms. The job whose front is asked for has
100,000 candidates.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from nas.errors import LimitExceeded, ServiceUnavailable
from nas.front import Scope, mark_front
from nas.job import Event, EventKind, JobStatus
from nas.objectives.value import Value
from nas.planning.objectives import compared_by
from nas.point import Point
from nas.service.client.remote import RemoteService
from nas.service.identity import Limits, Role
from nas.service.server.tokens import Tokens
from nas.spec import StageName, load_job_spec
from nas.store import open_store
from searchspaces.space import load_space

USERS, WORKERS = "127.0.0.1:17170", "127.0.0.1:17171"
CANDIDATES, EVENTS = 100_000, 200
SIMULATED = 200
SPEC = {"space": "hybrid-lm", "task": "recall", "targets": [{"device": "somewhere"}]}


def fill(home: Path, jobs: int, candidates: int) -> str:
    """A store with jobs, one of which has so many candidates, a front among them, and events; returns its
    id."""
    store = open_store(home)
    spec = load_job_spec(SPEC)
    for _ in range(jobs - 1):
        store.set_job(store.create_job(spec).id, JobStatus.SUCCEEDED, None)
    job = store.create_job(spec)
    space = load_space("hybrid-lm")
    rng = np.random.default_rng(0)
    population = np.unique(space.sample(2 * candidates, rng), axis=0)[:candidates]
    target = str(spec.targets[0].target())
    counts = {(kind, None): Value(1.0) for kind in ("parameters", "macs", "state_bytes")}
    # A cloud below a curve of accuracy against latency, as searches leave it.
    latencies = rng.uniform(1.0, 50.0, candidates)
    qualities = 1.0 - 0.5 / latencies - np.abs(rng.normal(0.0, 0.01, candidates)) ** 0.5
    points = [
        Point(
            a.digest, a, quality, None, counts | {("latency_ms", target): Value(latency, 0.1, latency, 0.1)}
        )
        for a, quality, latency in zip(
            space.decode(population), qualities.tolist(), latencies.tolist(), strict=True
        )
    ]
    marked = mark_front(points, compared_by(spec))
    for start in range(0, candidates, 10_000):
        store.put_points(job.id, marked[start : start + 10_000])
    for number in range(EVENTS):
        store.append_event(job.id, Event(EventKind.PROGRESS, StageName.TRAIN, "step", number, EVENTS))
    store.set_job(job.id, JobStatus.SUCCEEDED, None)
    store.close()
    return job.id


@contextmanager
def process(*command: str) -> Iterator[None]:
    """Another process for a while, ended in order."""
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        yield
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)


async def simulate_workers(count: int, token: str) -> None:
    """Workers that register, send heartbeats and never get work."""
    import grpc

    from workers.capabilities import Capabilities, RuntimeCapability
    from workers.messages import Heartbeat, Register
    from workers.rpc.convert import service_message_from_wire, worker_message_to_wire
    from workers.rpc.v1 import worker_pb2_grpc
    from workers.target import Phase

    async def work(number: int) -> None:
        here = Capabilities(
            device=f"device-{number}",
            runtimes=(RuntimeCapability("onnxruntime", "1", ("fp32",), (Phase.PREFILL,)),),
            threads=1,
            cpu_model="simulated",
            machine="x86_64",
            system="simulated",
        )
        # A connection each, as real ones have.
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(WORKERS, options=options) as channel:
            stub = worker_pb2_grpc.WorkerServiceStub(channel)
            stream = stub.Session(metadata=(("authorization", f"Bearer {token}"),))
            await stream.write(worker_message_to_wire(Register(here)))
            welcome = service_message_from_wire(await stream.read())
            while True:
                await asyncio.sleep(welcome.heartbeat_seconds)
                await stream.write(worker_message_to_wire(Heartbeat()))

    await asyncio.gather(*(work(number) for number in range(count)))


def percentiles(call: Callable[[], object], times: int) -> tuple[float, float, float]:
    """Calls a second, and the p50 and p99 of one in ms, one after another."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return times / sum(taken), *(1000 * float(np.percentile(taken, q)) for q in (50, 99))


def together(call: Callable[[], object], times: int, threads: int = 8) -> float:
    """Calls a second of several clients at once."""
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for ended in [pool.submit(call) for _ in range(times)]:
            ended.result()
    return times / (time.perf_counter() - start)


def measure(console: Console, title: str, client: RemoteService, job: str, times: int) -> None:
    members = len(client.front(job).points)
    calls: dict[str, tuple[Callable[[], object], int]] = {
        "GetJob": (lambda: client.job(job), times),
        "ListJobs (100)": (lambda: client.jobs(100), times // 4),
        "ListEvents (200)": (lambda: client.events(job), times // 4),
        "GetBest": (lambda: client.best(job), times // 20),
        f"QueryFront ({members} points)": (lambda: client.front(job), times // 20),
        "QueryFront (1,000 of all)": (lambda: client.front(job, Scope.ALL, limit=1000), times // 40),
        "WatchJob (200 events)": (lambda: list(client.watch(job)), times // 10),
        "SubmitJob": (lambda: client.submit(SPEC), times // 10),
        "ListSpaces": (lambda: client.spaces(), times // 10),
    }
    table = Table("call", "calls/s, one client", "p50 ms", "p99 ms", "calls/s, eight at once", title=title)
    for name, (call, count) in calls.items():
        rate, p50, p99 = percentiles(call, max(count, 10))
        both = together(call, max(count, 10))
        table.add_row(name, f"{rate:,.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{both:,.0f}")
    console.print(table)


def flooded(console: Console, title: str, token: str, client: RemoteService, job: str, times: int) -> None:
    """GetJob of one client while another asks as fast as it can, from eight threads."""
    ended = threading.Event()
    asked, refused = [0], [0]

    def flood() -> None:
        with RemoteService(USERS, token) as greedy:
            while not ended.is_set():
                asked[0] += 1
                try:
                    greedy.job(job)
                except (LimitExceeded, ServiceUnavailable):
                    refused[0] += 1

    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    start, before = time.perf_counter(), asked[0]
    _, p50, p99 = percentiles(lambda: (client.job(job), time.sleep(0.01)), times)
    rate = (asked[0] - before) / (time.perf_counter() - start)
    ended.set()
    for thread in threads:
        thread.join()
    console.print(
        f"{title}: GetJob of another client p50 {p50 - 10:.1f} ms, p99 {p99 - 10:.1f} ms (goal ≤ 100)"
        f" while one floods with {rate:,.0f} calls/s, {refused[0] / asked[0]:.0%} refused"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tenth of the calls")
    parser.add_argument("--simulate", type=int, metavar="N", help="only be N workers, token in $NAS_TOKEN")
    options = parser.parse_args()
    if options.simulate:
        asyncio.run(simulate_workers(options.simulate, os.environ["NAS_TOKEN"]))
        return
    console = Console(width=120)
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    times = 200 if options.small else 2000
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        tokens = Tokens(Path(folder) / "tokens.json")
        unlimited = Limits(requests_per_second=1e6, streams=1000)
        user = tokens.add("user", Role.ADMIN, unlimited)
        greedy = tokens.add("greedy", Role.USER)
        os.environ["NAS_TOKEN"] = tokens.add("devices", Role.WORKER)
        job = fill(home, 1_000, CANDIDATES // 20 if options.small else CANDIDATES)
        nas = str(Path(sys.executable).parent / "nas")
        arguments = (
            "serve",
            "--bind",
            USERS,
            "--workers",
            WORKERS,
            "--parallel",
            "0",
            "--log-level",
            "WARNING",
        )
        with (
            process(nas, "--home", str(home), *arguments, "--tokens", f"{folder}/tokens.json"),
            RemoteService(USERS, user) as client,
        ):
            wait(lambda: client.check_health())
            measure(console, "no workers", client, job, times)
            with process(sys.executable, __file__, "--simulate", str(SIMULATED)):
                wait(lambda: all_connected(client))
                measure(console, "200 workers connected", client, job, times)
                flooded(console, "200 workers connected", greedy, client, job, times // 4)


def all_connected(client: RemoteService) -> None:
    connected = len(client.devices())
    if connected < SIMULATED:
        raise ServiceUnavailable(f"{connected} of {SIMULATED} workers are connected")


def wait(ready: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            ready()
            return
        except ServiceUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()

"""How quick the live page is: `python benchmarks/web.py [--small] [--folder DIR]`.

A real `nas web` process, real sockets and Debian's Chromium. Goals: a chart within 1.5 s of 5,000 candidates
and 3 s of 100,000, at most 2 MB of data, a zoom and a hover within 100 ms; with 200 tabs that watch one job
an event reaches each within 0.5 s, for at most 20 MB more; own assets at most 300 KB.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from nas.front import mark_front
from nas.job import Event, EventKind, JobStatus
from nas.objectives.value import Value
from nas.planning.plan import resolve
from nas.point import Point
from nas.spec import StageName, load_job_spec
from nas.store import open_store
from nas.store.store import Store

SPEC = {"name": "bench", "space": "hybrid-lm", "task": "text", "targets": [{"device": "laptop"}]}
BATCH = 10_000
EVENTS = 20
START_SECONDS = 120.0
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

ZOOM = """async () => {
  const plot = document.querySelector(".plot[data-drawn=cloud]"), times = [];
  const [low, high] = plot._fullLayout.xaxis.range;
  for (let n = 1; n <= 8; n++) {
    const began = performance.now();
    const inset = n * (high - low) / 20;
    await Plotly.relayout(plot, { "xaxis.range": [low + inset, high - inset] });
    times.push(performance.now() - began);
  }
  await Plotly.relayout(plot, { "xaxis.range": [low, high] });
  return times;
}"""
HOVER = """async () => {
  const plot = document.querySelector(".plot[data-drawn=cloud]"), times = [];
  const box = plot.cloud.canvas.getBoundingClientRect();
  for (let n = 0; n < 8; n++) {
    const [x, y] = plot.cloud.dots[Math.floor(plot.cloud.dots.length * (n + 1) / 10)];
    const began = performance.now();
    plot.dispatchEvent(new MouseEvent("mousemove", { clientX: box.left + x, clientY: box.top + y }));
    if (plot.cloud.at !== null) times.push(performance.now() - began);
  }
  return times;
}"""
LOADED = """() => performance.getEntriesByType("resource").filter((each) => each.name.includes("/api/jobs/"))
  .reduce((sum, each) => sum + each.encodedBodySize, 0)"""


def fill(store: Store, candidates: int) -> str:
    """The id of a job that has found so many."""
    plan = resolve(load_job_spec(SPEC))
    (target,) = plan.targets
    job = store.create_job(plan.spec)
    drawn = np.random.default_rng(0)
    rows = np.unique(plan.space.sample(round(candidates * 1.2), drawn), axis=0)
    rows = drawn.permutation(rows)[:candidates]
    counts = plan.counts(rows)
    ms = counts["macs", None] / 2.4e7 + 1.5
    quality = 3.4 - 0.28 * np.log10(counts["macs", None]) / 3 + np.abs(drawn.normal(0, 0.1, len(rows)))
    points = []
    for n, architecture in enumerate(plan.space.decode(rows)):
        values = {key: Value(float(column[n])) for key, column in counts.items()}
        values["latency_ms", str(target)] = Value(float(ms[n]), 0.1, float(ms[n]), 0.02)
        points.append(Point(architecture.digest, architecture, float(quality[n]), None, values))
    points = mark_front(points, plan.objectives)
    for start in range(0, len(points), BATCH):
        store.put_points(job.id, points[start : start + BATCH])
    store.set_job(job.id, JobStatus.INTERRUPTED, StageName.SEARCH)
    return job.id


@contextmanager
def page(home: Path) -> Iterator[tuple[str, int]]:
    """The URL and the process id of a `nas web`."""
    nas = Path(sys.executable).with_name("nas")
    command = [nas, "--home", str(home), "web", "--bind", "127.0.0.1:17072"]
    url = "http://127.0.0.1:17072/"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    urllib.request.urlopen(url + "api/jobs", timeout=5).read()
                    break
                except OSError:
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise
                    time.sleep(0.2)
            yield url, process.pid
        finally:
            process.terminate()


def in_browser(url: str, job: str) -> dict[str, float]:
    """Seconds to the chart and to the cloud behind it, the bytes that came, and how long the main thread is
    kept by a zoom and a hover."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(120_000)
        tab.goto(url)
        tab.locator("#view h1").wait_for()
        began = time.perf_counter()
        tab.goto(f"{url}jobs/{job}")
        tab.wait_for_selector(".plot[data-drawn]")
        chart = time.perf_counter() - began
        tab.wait_for_selector(".plot[data-drawn=cloud]")
        cloud = time.perf_counter() - began
        found = {
            "chart, s": chart,
            "chart with every candidate, s": cloud,
            "data, MB": tab.evaluate(LOADED) / 1e6,
            "zoom, ms": statistics.median(tab.evaluate(ZOOM)),
            "hover, ms": statistics.median(tab.evaluate(HOVER)),
        }
        browser.close()
    return found


def resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def watched(store: Store, job: str, process: int, tabs: int) -> dict[str, float]:
    """The slowest arrival of events at so many streams, and what they cost the server."""
    before = resident_mb(process)
    after = store.job(job).last_event
    arrived: list[float] = []
    told: dict[int, float] = {}

    async def watch() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", 17072)
        writer.write(
            f"GET /api/stream?job={job}&after={after} HTTP/1.1\r\nHost: 127.0.0.1:17072\r\n\r\n".encode()
        )
        seen = 0
        while seen < EVENTS:
            line = await reader.readline()
            if line.startswith(b"id: "):
                arrived.append(time.monotonic() - told[int(line[4:])])
                seen += 1
        writer.close()

    watchers = [asyncio.create_task(watch()) for _ in range(tabs)]
    await asyncio.sleep(3)
    for number in range(1, EVENTS + 1):
        told[after + number] = time.monotonic()
        event = Event(EventKind.PROGRESS, StageName.SEARCH, f"step {number}", number, EVENTS)
        await asyncio.to_thread(store.append_event, job, event)
        await asyncio.sleep(0.2)
    await asyncio.gather(*watchers)
    return {
        "event on every tab, s (slowest)": max(arrived),
        "event on a tab, s (median)": statistics.median(arrived),
        "memory for the tabs, MB": resident_mb(process) - before,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="500 and 2,000 candidates, 20 tabs")
    parser.add_argument("--folder", type=Path, help="where to put the database; a temporary one otherwise")
    options = parser.parse_args()
    few, many, tabs = (500, 2_000, 20) if options.small else (5_000, 100_000, 200)
    goals = {"data, MB": 2.0, "zoom, ms": 100.0, "hover, ms": 100.0}
    table = Table("what", "found", "goal")

    def row(name: str, found: float, goal: float | None) -> None:
        said = "" if goal is None else f"≤ {goal:g} {'✔' if found <= goal else '✘'}"
        table.add_row(name, f"{found:.3g}", said)

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        home = Path(folder)
        store = open_store(home)
        jobs = {count: fill(store, count) for count in (few, many)}
        with page(home) as (url, process):
            for name, found in asyncio.run(watched(store, jobs[few], process, tabs)).items():
                goal = {"event on every tab, s (slowest)": 0.5, "memory for the tabs, MB": 20.0}.get(name)
                row(f"{tabs} tabs: {name}", found, goal)
            if CHROMIUM is None:
                print("no Chromium: charts are not timed")
            for count, job in jobs.items() if CHROMIUM else ():
                for name, found in in_browser(url, job).items():
                    goal = goals.get(name, (1.5 if count == few else 3.0) if name == "chart, s" else None)
                    row(f"{count:,} candidates: {name}", found, goal)
        store.close()
    assets = Path(__file__).parents[1] / "nas" / "web" / "static"
    row(
        "own assets, KB",
        sum(p.stat().st_size for p in assets.rglob("*") if p.is_file()) / 1024,
        300.0,
    )
    Console().print(table)


if __name__ == "__main__":
    main()

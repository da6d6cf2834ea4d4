"""Jobs in processes of their own, which are killed where tests want them to be."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nas.job import Event
from nas.store.store import Store

RUN = """
import sys, nas
with nas.connect(home=sys.argv[1]) as client:
    for event in client.watch(client.resume(sys.argv[2]).id):
        pass
"""

PATIENCE = 400.0
"""Seconds until a stage is in its middle, on a machine that does much else."""

MARK = "NAS_TEST_HOME"
"""An environment variable that every process of a run inherits."""


def start(home: Path, job_id: str) -> subprocess.Popen:
    """Go on with a job."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(home), job_id],
        env={**os.environ, MARK: str(home)},
        start_new_session=True,
    )


def killed_at(store: Store, home: Path, job_id: str, after: int, there: Callable[[Event], bool]) -> int:
    """Go on with a job and kill it, and all of its processes, at the first event behind `after` that is
    `there`; the number of that event."""
    process, deadline = start(home, job_id), time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for event in store.events(job_id, after):
            after = event.sequence
            if there(event):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return after
        assert process.poll() is None, "the job ended before"
        time.sleep(0.02)
    raise AssertionError(f"not there within {PATIENCE} s")


def processes_of(home: Path) -> list[str]:
    """Command lines of live processes that were started for this home, by their environment."""
    mark = f"{MARK}={home}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found

"""Several processes on one database, and processes that die in the middle."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from nas.store import open_store
from nas.store.migrate import revisions
from nas.store.store import Store
from nas.testing.stores import examples

START = """
import sys, time
from nas.testing.stores import examples
from nas.job import Event, EventKind
from nas.store import open_store

address, me = {address!r}, {me!r}
def together():
    print("ready", flush=True)
    sys.stdin.readline()
"""


def start(body: str, address: str, me: str) -> subprocess.Popen:
    """A process that waits within `together()` for a line of its input."""
    script = START.format(address=address, me=me) + body
    return subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def answers(processes: list[subprocess.Popen]) -> list[list[str]]:
    """What each says after all have begun together."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return said


def test_a_lease_is_given_to_one_of_two_processes(address: str) -> None:
    with closing(open_store(address)) as store:
        jobs = [store.create_job(examples.spec()).id for _ in range(60)]
        body = """
store = open_store(address)
jobs = [job.id for job in store.jobs()]
together()
print(*(job for job in jobs if store.claim(job, me, 60)))
"""
        mine, other = answers([start(body, address, me) for me in ("first", "second")])
        assert sorted(mine + other) == sorted(jobs)
        assert all(store.lease_owner(job) == "first" for job in mine)
        assert all(store.lease_owner(job) == "second" for job in other)


def test_processes_that_open_a_new_database_together_agree(empty_address: str) -> None:
    body = """
together()
store = open_store(address)
print(store.create_job(examples.spec()).id)
"""
    made = answers([start(body, empty_address, str(number)) for number in range(3)])
    with closing(open_store(empty_address)) as store:
        assert sorted(job.id for job in store.jobs()) == sorted(job for (job,) in made)
        with store._database.read() as connection:
            versions = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    assert versions == [revisions()[-1]]


def test_a_new_file_that_another_is_about_to_write_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "nas.db"
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        end = threading.Timer(0.5, other.execute, ["COMMIT"])
        end.start()
        with closing(open_store(tmp_path)) as store:
            assert store.jobs() == []
        end.join()


WRITE_FOR_EVER = """
store = open_store(address)
(job,) = store.jobs()
for number in range(1_000_000):
    sequence = store.append_event(job.id, Event(EventKind.NOTE)).sequence
    store.put_points(job.id, [examples.point(number), examples.point(number + 1_000_000)])
    print(sequence, flush=True)
"""


@pytest.mark.parametrize("seed", range(2))
def test_what_was_told_survives_a_kill_and_nothing_is_half(tmp_path: Path, seed: int) -> None:
    with closing(open_store(tmp_path)) as store:
        job = store.create_job(examples.spec()).id
        process = start(WRITE_FOR_EVER, str(tmp_path), "writer")
        told = int(process.stdout.readline())
        time.sleep(random.Random(seed).uniform(0.05, 0.5))
        process.send_signal(signal.SIGKILL)
        told = max([told, *map(int, process.communicate()[0].split("\n")[:-1])])
        _holds_at_least(store, job, told)
    with closing(sqlite3.connect(tmp_path / "nas.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def _holds_at_least(store: Store, job: str, told: int) -> None:
    events, points = store.events(job, limit=1_000_000), store.points(job)
    assert told <= len(events) <= told + 1
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert len(points) % 2 == 0
    assert told <= len(points) // 2 <= len(events)

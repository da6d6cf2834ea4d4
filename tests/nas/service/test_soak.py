"""Kills at random points of real jobs, of services, workers, Ray's processes and PostgreSQL: what the jobs
find is what undisturbed ones find."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, Postgres, running

import nas
from nas.evaluation import Split
from nas.job import Event, EventKind, Job, JobStatus
from nas.planning.plan import resolve
from nas.service.client.remote import RemoteService
from nas.store import Store, open_store

pytestmark = pytest.mark.alone


def spec(seed: int) -> dict[str, Any]:
    """Its strategy asks by the seed alone, whatever a device says: so the evaluations are known before."""
    return {
        "name": "soak",
        "space": {
            "name": "soak",
            "context": 32,
            "width": [16],
            "depth": [1, 2],
            "layer": {"mixer": ["none", "softmax", "linear"], "heads": [2], "ratio": [1, 2]},
        },
        "task": {"name": "recall", "evaluation_context": 64, "evaluation_tokens": 8192, "pairs": 4},
        "targets": [{"device": "local-cpu", "tokens": 32 + seed}],
        "budget": {
            "profile": {"measurements": 8, "minimum": 4, "holdout": 4, "tolerance": 0.001},
            "train": {"steps": 300, "batch": 4},
            "search": {"evaluations": 24, "batch": 4, "strategy": "random"},
            "verify": {"rounds": 1, "tolerance": 0.5, "evaluations": 2},
        },
        "seed": seed,
    }


def found(store: Store, job: Job) -> dict[str, float]:
    """Every score of the job's own supernet."""
    scores = store.evaluations(resolve(job.spec).supernet_digest, Split.VALIDATION)
    return {score.digest: score.value for score in scores}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory):
    """What a job of that seed finds where nothing is killed."""
    home = tmp_path_factory.mktemp("undisturbed")
    with nas.connect(home=home) as client:

        def find(seed: int) -> dict[str, float]:
            job = client.submit(spec(seed))
            for _ in client.watch(client.resume(job.id).id):
                pass
            assert client.job(job.id).status is JobStatus.SUCCEEDED, client.job(job.id).error
            return found(client._store, job)

        yield find


class Killer:
    """Kills, and remembers what."""

    def __init__(self, cluster: Cluster, postgres: Postgres, chance: random.Random) -> None:
        self._cluster, self._postgres, self._chance = cluster, postgres, chance
        self._began = time.monotonic()
        self.told: list[str] = []

    def kill(self, what: str, stage: str, runner: str | None) -> bool:
        """False where there is nothing of that kind to kill at the moment.

        Args:
            runner: holder of the job's lease: of services it is the one that is killed.
        """
        if what == "service":
            if runner is None or not self._cluster.kill_service(int(runner.split("/")[1])):
                return False
        elif what == "postgres":
            self._postgres.kill()
            time.sleep(self._chance.uniform(0.0, 1.0))
            self._postgres.start()
        elif not self._cluster.kill_child({"worker": "-m workers", "ray": "ray::"}[what], self._chance):
            return False
        self.told.append(f"  {time.monotonic() - self._began:5.1f} s  {what} killed in {stage}")
        return True

    @property
    def kills(self) -> int:
        return len(self.told)

    def __str__(self) -> str:
        return "\n".join([f"{self.kills} kills:", *self.told])


@dataclass
class Moment:
    """When to kill what: in a stage, or any where that is empty, after so many of its events."""

    what: str
    stage: str
    after: int

    def has_come(self, event: Event) -> bool:
        under_way = event.kind in (EventKind.PROGRESS, EventKind.STAGE) and event.message != "ended"
        fits = under_way and self.stage in ("", str(event.stage))
        self.after -= fits
        return fits and self.after < 0


def disturb(
    client: RemoteService, job: Job, store: Store, killer: Killer, moments: list[Moment]
) -> dict[tuple[str, str], float]:
    """Watch the job to its end, killing on the way; returns when what was measured, as it was last seen."""
    seen, measured = [], dict[tuple[str, str], float]()
    for event in client.watch(job.id):
        seen.append(event)
        if moments and moments[0].has_come(event):
            runner = store.lease_owner(job.id)
            if killer.kill(moments[0].what, str(event.stage), runner):
                moments.pop(0)
                measured = unchanged(store, measured)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1)), "an event was missed"
    return unchanged(store, measured)


def unchanged(store: Store, earlier: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """When every measurement was taken; those seen earlier are there, and were not taken again."""
    now = {
        (str(target), measurement.digest): measurement.measured_at
        for target in store.targets()
        for measurement in store.measurements(target)
    }
    assert earlier.items() <= now.items()
    return now


def soak(folder: Path, undisturbed: Any, seeds: int, chance: random.Random, moments: list[Moment]) -> str:
    """A tally, once all jobs found what undisturbed ones find."""
    planned = len(moments)
    began = time.monotonic()
    with running(folder) as (cluster, postgres), cluster.client() as client:
        store = open_store(postgres.address)
        killer = Killer(cluster, postgres, chance)
        for seed in range(seeds):
            job = client.submit(spec(seed))
            disturb(client, job, store, killer, moments)
            ended = client.job(job.id)
            assert ended.status is JobStatus.SUCCEEDED, f"{ended.error}\n{cluster.log()}"
            assert found(store, ended) == undisturbed(seed)
            state = store.state(job.id, "search")
            assert state is not None
            assert state["told"] == ended.spec.budget.search.evaluations
        store.close()
    assert killer.kills == planned, f"the jobs ended before {planned} kills"
    return f"{seeds} jobs in {time.monotonic() - began:.0f} s, each as undisturbed; {killer}"


@pytest.mark.slow
def test_kills_in_every_stage_change_nothing(tmp_path: Path, undisturbed: Any, capsys: Any) -> None:
    moments = [
        Moment("worker", "profile", 3),
        Moment("postgres", "train", 1),
        Moment("ray", "search", 2),
        Moment("service", "verify", 0),
    ]
    tally = soak(tmp_path, undisturbed, 1, random.Random(0), moments)
    with capsys.disabled():
        print("\n" + tally)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_random_kills_change_nothing(tmp_path: Path, undisturbed: Any, capsys: Any) -> None:
    chance = random.Random(20)
    kinds = ["service", "worker", "ray", "postgres"] * 5
    chance.shuffle(kinds)
    moments = [Moment(kind, "", chance.randrange(2, 12)) for kind in kinds]
    tally = soak(tmp_path, undisturbed, 8, chance, moments)
    with capsys.disabled():
        print("\n" + tally)

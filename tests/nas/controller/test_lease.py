"""A lease joins a job to one holder; one that is seen to be dead is not waited for, one out of sight is."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from nas.controller import lease
from nas.controller.lease import JobLease
from nas.errors import Busy
from nas.spec import load_job_spec
from tests.nas.store.memory_store import MemoryStore

SPEC = load_job_spec({"space": "hybrid-lm", "until": "profile", "targets": [{"device": "somewhere"}]})


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def job(store: MemoryStore) -> str:
    return store.create_job(SPEC).id


def owner_of(store: MemoryStore, job: str) -> str:
    with JobLease(store, job):
        owner = store.lease_owner(job)
    assert owner is not None
    return owner


def dead(owner: str, sight: str | None = None) -> str:
    """The same holder, had its process ended; seen from elsewhere where another sight is given."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host, _, seen, unique = owner.split("/")
    return "/".join((host, str(ended.pid), sight or seen, unique))


def test_two_of_one_process_exclude_each_other(store: MemoryStore, job: str) -> None:
    with JobLease(store, job):
        with pytest.raises(Busy, match="another process"), JobLease(store, job, patience=0.2):
            pass
        assert store.lease_owner(job) is not None
    assert store.lease_owner(job) is None


def test_a_holder_that_is_seen_to_be_dead_is_not_waited_for(store: MemoryStore, job: str) -> None:
    assert store.claim(job, dead(owner_of(store, job)), 60.0)
    with JobLease(store, job, patience=0.0):
        pass


@pytest.mark.parametrize("sight", ["another-boot.4026531836", "no-sight"])
def test_a_holder_out_of_sight_may_live_whatever_its_number(store: MemoryStore, job: str, sight: str) -> None:
    """Of another container of this host, or of another machine of the same name."""
    assert store.claim(job, dead(owner_of(store, job), sight), 60.0)
    with pytest.raises(Busy), JobLease(store, job, patience=0.3):
        pass


def test_where_nothing_tells_what_is_in_sight_every_lease_is_waited_out(
    store: MemoryStore, job: str, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr(lease, "BOOT", tmp_path / "nothing")
    assert store.claim(job, dead(owner_of(store, job), sight=""), 60.0)
    with pytest.raises(Busy), JobLease(store, job, patience=0.3):
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lease_that_cannot_be_renewed_is_lost(
    store: MemoryStore, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.3)
    with JobLease(store, job) as held:
        monkeypatch.setattr(store, "claim", lambda *_: 1 // 0)
        deadline = time.monotonic() + 10
        while not held.lost:
            assert time.monotonic() < deadline
            time.sleep(0.02)

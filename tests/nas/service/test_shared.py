"""Several services on one store: who runs what is told apart by leases alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.controller.stopping import was_asked_to_stop
from nas.errors import InvalidSpec, LimitExceeded, NoSuchJob, NoSuchPoint, NoWorker
from nas.job import Event, EventKind, JobStatus
from nas.service.client.remote import RemoteService
from nas.service.identity import Identity, Limits, Role
from nas.service.running import dispatcher
from nas.service.running.embedded import EmbeddedService
from nas.service.running.owned import OwnedService
from nas.service.running.shared import SharedService
from nas.service.running.worker_endpoint import WorkerEndpoint
from nas.service.server.host import ServiceHost
from nas.service.server.tokens import Tokens
from nas.spec import StageName
from nas.store import Store, open_store
from workers.target import Target

SPEC = {
    "name": "tiny",
    "space": {
        "name": "tiny",
        "context": 32,
        "width": [16],
        "depth": [1],
        "layer": {"mixer": ["none", "softmax"], "heads": [2], "ratio": [1]},
    },
    "task": {"name": "recall", "evaluation_context": 64, "pairs": 4},
    "targets": [{"device": "somewhere", "tokens": 32}],
}


class Runs:
    """Stands for the engine: a run holds the job's lease until it is told to stop or to end, as the
    controller does, without training anything."""

    def __init__(self, store: Store, owner: str) -> None:
        self.store, self.owner = store, owner
        self.started: list[str] = []
        self.connected = {"somewhere"}
        self.outcome: JobStatus | None = None

    def listen(self) -> str:
        return "127.0.0.1:1"

    def warm_up(self) -> None:
        pass

    def devices(self) -> list[dict[str, Any]]:
        return []

    def unserved(self, targets: Iterable[Target]) -> list[Target]:
        return [target for target in targets if target.device not in self.connected]

    def close(self) -> None:
        pass

    def start(self, job_id: str) -> Run:
        return Run(self, job_id)


class Run:
    error: NoWorker | None = None

    def __init__(self, runs: Runs, job_id: str) -> None:
        self._runs, self._job_id = runs, job_id
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def ask_to_stop(self) -> None:
        self._stopped.set()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        runs, store = self._runs, self._runs.store
        if not store.claim(self._job_id, runs.owner, 0.5):
            return
        runs.started.append(self._job_id)
        store.set_job(self._job_id, JobStatus.RUNNING, StageName.TRAIN)
        while runs.outcome is None and not self._stopped.is_set():
            store.claim(self._job_id, runs.owner, 0.5)
            if was_asked_to_stop(store, self._job_id):
                break
            time.sleep(0.02)
        asked = was_asked_to_stop(store, self._job_id)
        status = runs.outcome or (JobStatus.INTERRUPTED if asked else JobStatus.QUEUED)
        cause = self.error = NoWorker("the device burned") if status is JobStatus.FAILED else None
        store.append_event(self._job_id, Event(EventKind.STATUS, StageName.TRAIN, str(status)))
        store.set_job(self._job_id, status, StageName.TRAIN, cause)
        store.release(self._job_id, runs.owner)


def open_service(home: Path, owner: str, parallel: int = 1) -> tuple[SharedService, Runs]:
    service = SharedService(home, parallel=parallel)
    runs = Runs(service._store, owner)
    service.__dict__["_engine"] = runs
    return service, runs


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[tuple[SharedService, Runs], tuple[SharedService, Runs]]]:
    first, second = open_service(tmp_path, "first"), open_service(tmp_path, "second")
    yield first, second
    for service, _ in (first, second):
        service.close()


def until(condition: Any, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_every_queued_job_is_run_by_one_process(two: Any) -> None:
    (first, first_runs), (second, second_runs) = two
    jobs = [first.submit(SPEC).id for _ in range(2)]
    assert first.events(jobs[0]).over is False, "a queued job is waited for"
    first.start()
    second.start()
    until(lambda: len(first_runs.started) + len(second_runs.started) == 2)
    assert sorted(first_runs.started + second_runs.started) == sorted(jobs)
    first_runs.outcome = second_runs.outcome = JobStatus.SUCCEEDED
    until(lambda: all(job.status is JobStatus.SUCCEEDED for job in second.jobs()))
    assert [event.message for event in second.watch(jobs[0])] == ["succeeded"]


def test_a_job_stops_wherever_it_runs(two: Any) -> None:
    (first, runs), (second, _) = two
    job = second.submit(SPEC)
    first.start()
    until(lambda: first.job(job.id).status is JobStatus.RUNNING)
    assert second.interrupt(job.id).status is JobStatus.INTERRUPTED
    assert second.resume(job.id).status in (JobStatus.QUEUED, JobStatus.RUNNING)
    until(lambda: runs.started == [job.id, job.id])
    until(lambda: first.job(job.id).status is JobStatus.RUNNING)
    assert second.cancel(job.id).status is JobStatus.CANCELLED
    assert second.resume(job.id).status is JobStatus.CANCELLED, "for good"


def test_a_job_whose_process_died_is_taken_over(two: Any) -> None:
    (first, runs), _ = two
    job = first.submit(SPEC)
    first._store.claim(job.id, "a process that was killed", 0.5)
    first._store.set_job(job.id, JobStatus.RUNNING, StageName.SEARCH)
    first.start()
    until(lambda: runs.started == [job.id])


def test_a_job_of_a_process_that_died_can_be_stopped(two: Any) -> None:
    (first, _), _ = two
    job = first.submit(SPEC)
    first._store.claim(job.id, "a process that was killed", 0.3)
    first._store.set_job(job.id, JobStatus.RUNNING, StageName.SEARCH)
    assert first.interrupt(job.id).status is JobStatus.INTERRUPTED


def test_closing_leaves_a_job_to_others(tmp_path: Path) -> None:
    first, runs = open_service(tmp_path, "first")
    job = first.submit(SPEC)
    first.start()
    until(lambda: runs.started == [job.id])
    first.close()
    second, runs = open_service(tmp_path, "second")
    assert second.job(job.id).status is JobStatus.QUEUED
    second.start()
    until(lambda: runs.started == [job.id])
    second.close()


def test_who_watches_a_job_of_a_service_that_closes_goes_on_watching(tmp_path: Path) -> None:
    (first, runs), (second, others) = open_service(tmp_path, "first"), open_service(tmp_path, "second")
    job = first.submit(SPEC)
    first.start()
    until(lambda: runs.started == [job.id])
    seen: list[str] = []
    watching = threading.Thread(target=lambda: seen.extend(e.message for e in second.watch(job.id)))
    watching.start()
    first.close()
    others.outcome = JobStatus.SUCCEEDED
    second.start()
    watching.join(15)
    assert seen == ["queued", "succeeded"]
    second.close()


def test_stopping_what_has_ended_does_not_stop_what_comes_of_it_later(two: Any) -> None:
    (first, runs), (second, _) = two
    runs.outcome = JobStatus.SUCCEEDED
    job = first.submit(SPEC)
    first.start()
    until(lambda: first.job(job.id).status is JobStatus.SUCCEEDED)
    for stop in (second.cancel, second.interrupt):
        assert stop(job.id).status is JobStatus.SUCCEEDED
    runs.outcome = None
    second.add_target(job.id, Target("somewhere", threads=2))
    until(lambda: first.job(job.id).status is JobStatus.RUNNING)
    assert not was_asked_to_stop(first._store, job.id)


def test_one_look_for_jobs_that_fails_is_not_the_last(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, runs), _ = two
    job = first.submit(SPEC)
    real, looks = first._store.runnable, []

    def runnable(limit: int) -> Any:
        looks.append(limit)
        if len(looks) == 1:
            raise ValueError("a row that this version cannot read")
        return real(limit)

    monkeypatch.setattr(first._store, "runnable", runnable)
    first.start()
    until(lambda: runs.started == [job.id])


def test_a_failure_is_told_to_whoever_watches_and_to_the_log(
    two: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (first, runs), (second, _) = two
    runs.outcome = JobStatus.FAILED
    job = first.submit(SPEC)
    first.start()
    with pytest.raises(NoWorker, match="the device burned"):
        list(second.watch(job.id))
    until(lambda: "NoWorker: the device burned" in caplog.messages)


def test_a_failure_is_told_by_an_embedded_service_too_that_did_not_run_the_job(tmp_path: Path) -> None:
    with EmbeddedService(tmp_path) as service:
        job = service.submit(SPEC)
        service._store.append_event(job.id, Event(EventKind.STATUS, None, "failed"))
        service._store.set_job(job.id, JobStatus.FAILED, StageName.TRAIN, NoWorker("the device burned"))
        with pytest.raises(NoWorker, match="the device burned"):
            list(service.watch(job.id))


@pytest.mark.parametrize(("until", "does"), [("profile", "profiles"), ("train", "profiles and trains")])
def test_a_job_that_ends_before_its_search_has_nothing_that_a_search_finds(
    tmp_path: Path, until: str, does: str
) -> None:
    with EmbeddedService(tmp_path) as service:
        job = service.submit({**SPEC, "until": until}).id
        for ask in (service.front, service.cloud, service.optimum, service.explain, service.comparisons):
            with pytest.raises(NoSuchPoint, match=f"only {does}; what that left: nas show {job}"):
                ask(job)


def test_no_more_jobs_run_at_once_than_asked(tmp_path: Path) -> None:
    service, runs = open_service(tmp_path, "one", parallel=2)
    jobs = [service.submit(SPEC).id for _ in range(3)]
    service.start()
    until(lambda: len(runs.started) == 2)
    time.sleep(1.5)  # longer than the dispatcher's pause: a third would have started
    assert runs.started == jobs[:2], "the oldest first"
    runs.outcome = JobStatus.SUCCEEDED
    until(lambda: len(runs.started) == 3)
    service.close()


def test_a_job_waits_for_the_process_that_has_its_device(two: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(dispatcher, "DEVICE_SECONDS", 0.2)
    (first, first_runs), (second, second_runs) = two
    first_runs.connected, second_runs.connected = set(), set()
    far, near = first.submit(SPEC), first.submit({**SPEC, "targets": [{"device": "here"}]})
    first_runs.connected.add("here")
    first.start()
    until(lambda: first_runs.started == [near.id])
    first_runs.outcome = JobStatus.SUCCEEDED  # it has room again, and leaves the older job alone
    until(lambda: first.events(far.id).events)
    time.sleep(1.5)  # longer than the dispatcher's pause
    (note,) = first.events(far.id).events
    assert "waits for a worker that serves somewhere/onnxruntime" in note.message
    assert first.job(far.id).status is JobStatus.QUEUED
    second_runs.connected.add("somewhere")
    second.start()
    until(lambda: second_runs.started == [far.id])


@pytest.mark.parametrize("ask", ["cancel", "interrupt"])
def test_a_queued_job_is_stopped_before_it_is_begun(two: Any, ask: str) -> None:
    (first, runs), (second, _) = two
    job = first.submit(SPEC)
    stopped = getattr(second, ask)(job.id)
    assert stopped.status is {"cancel": JobStatus.CANCELLED, "interrupt": JobStatus.INTERRUPTED}[ask]
    assert getattr(second, ask)(job.id).status is stopped.status
    assert [event.message for event in first.events(job.id).events] == [str(stopped.status)]
    first.start()
    time.sleep(1.2)  # longer than the dispatcher's pause
    assert runs.started == []
    if ask == "interrupt":
        second.resume(job.id)
        until(lambda: runs.started == [job.id])


def test_keys_and_quotas_are_each_owners(tmp_path: Path) -> None:
    service, _ = open_service(tmp_path, "one")
    ada = Identity(name="ada", role=Role.USER, limits=Limits(jobs=1))
    bob = Identity(name="bob", role=Role.ADMIN, limits=Limits(jobs=0))
    job = service.submit(SPEC, key="k", by=ada)
    assert service.submit(SPEC, key="k", by=ada) == job, "a repeated submission is no further job"
    with pytest.raises(LimitExceeded, match="ada has 1 jobs"):
        service.submit(SPEC, by=ada)
    assert service.submit(SPEC, key="k", by=bob).id != job.id
    service.cancel(job.id)
    service.submit(SPEC, by=ada)
    with pytest.raises(InvalidSpec):
        service.submit({**SPEC, "task": {"name": "recall", "pairs": -1}}, by=bob)
    assert len(service.jobs()) == 3
    service.close()


def test_no_resumption_and_no_target_goes_beyond_a_quota(tmp_path: Path) -> None:
    service, _ = open_service(tmp_path, "one", parallel=0)
    ada = Identity(name="ada", role=Role.USER, limits=Limits(jobs=1))
    hers = OwnedService(service, ada)
    jobs = []
    for _ in range(4):
        jobs.append(hers.submit(SPEC).id)
        hers.interrupt(jobs[-1])
    assert hers.resume(jobs[0]).status is JobStatus.QUEUED
    assert hers.resume(jobs[0]).status is JobStatus.QUEUED, "it is one job still"
    with pytest.raises(LimitExceeded, match="ada has 1 jobs"):
        hers.resume(jobs[1])
    assert [event.message for event in service.events(jobs[1]).events] == ["interrupted"]
    service._store.set_job(jobs[2], JobStatus.SUCCEEDED, None)
    with pytest.raises(LimitExceeded, match="ada has 1 jobs"):
        hers.add_target(jobs[2], Target("somewhere", threads=2))
    assert service.job(jobs[2]).status is JobStatus.SUCCEEDED
    assert service._store.unfinished("ada") == 1
    admin = OwnedService(service, Identity(name="bob", role=Role.ADMIN, limits=Limits(jobs=0)))
    assert admin.resume(jobs[1]).status is JobStatus.QUEUED
    service.close()


def test_a_real_service_answers_over_the_wire_as_it_does_here(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    token = Tokens(tokens).add("ada", Role.USER)
    with (
        ServiceHost(tmp_path / "home", tokens=tokens, metrics="127.0.0.1:0", parallel=0) as serving,
        RemoteService(serving.address, token) as client,
    ):
        near = serving.service
        job = client.submit(SPEC)
        assert client.job(job.id) == near.job(job.id)
        assert client.jobs(1) == near.jobs(1) == [job]
        assert client.front(job.id) == near.front(job.id)
        assert client.spaces() == near.spaces()
        assert client.tasks() == near.tasks()
        assert client.presets("hybrid-lm") == near.presets("hybrid-lm")
        assert client.presets(SPEC["space"]) == near.presets(SPEC["space"])
        assert client.targets() == near.targets() == []
        assert client.devices() == []
        with pytest.raises(InvalidSpec) as caught:
            client.submit({**SPEC, "task": "nothing", "space": "nowhere"})
        assert [problem.path for problem in caught.value.problems] == ["space", "task.name"]
        with pytest.raises(NoSuchJob):
            client.job("missing")
        assert client.cancel(job.id).status is JobStatus.CANCELLED
        assert [event.message for event in client.watch(job.id)] == ["cancelled"]
    assert open_store(tmp_path / "home").job(job.id).status is JobStatus.CANCELLED


def test_without_tokens_workers_and_users_come_from_this_machine(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec) as caught:
        ServiceHost(tmp_path, bind="0.0.0.0:0", workers="[::]:0")
    assert [problem.path for problem in caught.value.problems] == ["bind", "workers"]


def test_a_worker_endpoint_knows_whom_it_admits(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    shown = {role: f"Bearer {tokens.add(role, role)}" for role in Role}
    endpoint = WorkerEndpoint(secret="own", admits_token=tokens.admits_worker)
    assert {role for role in Role if endpoint.admits(shown[role])} == {Role.WORKER, Role.ADMIN}
    assert endpoint.admits("Bearer own")
    assert not any(map(endpoint.admits, ("", "own", "Bearer ", "Bearer other")))
    assert WorkerEndpoint().admits("")
    assert not WorkerEndpoint(secret="own").admits("")
    with pytest.raises(InvalidSpec, match="NAS_TOKEN"):
        WorkerEndpoint("0.0.0.0:0")
    assert WorkerEndpoint("0.0.0.0:0", secret="own").admits("Bearer own")

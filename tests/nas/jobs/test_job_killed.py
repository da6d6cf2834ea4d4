"""`kill -9` in the middle of every stage, then resume: nothing is lost, nothing is done twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from killing import killed_at, processes_of, start

import nas
from nas.evaluation import Split
from nas.job import Event, EventKind, JobStatus
from nas.planning.plan import resolve
from nas.spec import StageName, load_job_spec
from nas.store import open_store

pytestmark = [pytest.mark.job, pytest.mark.usefixtures("one_processor")]

TINY = Path(__file__).parent / "tiny.yaml"
STAGES = tuple(load_job_spec(TINY).stages)

EVERYWHERE = pytest.param((StageName.VERIFY, STAGES), marks=pytest.mark.slow, id="in every stage")
SOMEWHERE = pytest.param(
    (StageName.SEARCH, (StageName.PROFILE, StageName.SEARCH)), id="while profiling and searching"
)


@pytest.fixture(scope="module", params=[SOMEWHERE, EVERYWHERE])
def killed(make_home, request):
    """A job killed once in each of some stages, then finished; and what the store held at each kill."""
    until, stages = request.param
    home = make_home()
    with nas.connect(home=home) as client:
        job = client.submit({**yaml.safe_load(TINY.read_text()), "until": str(until)})
    store = open_store(home)
    plan = resolve(job.spec)
    snapshots = {}
    after = 0
    for stage in stages:

        def in_the_middle(event: Event, stage: StageName = stage) -> bool:
            return event.stage is stage and event.kind is EventKind.PROGRESS and event.done > 0

        after = killed_at(store, home, job.id, after, in_the_middle)
        snapshots[stage] = (
            {m.digest: (m.reading, m.measured_at) for m in store.measurements(plan.targets[0])},
            {e.digest: e for e in store.evaluations(plan.supernet_digest, Split.VALIDATION)},
        )
        assert store.job(job.id).status is JobStatus.RUNNING
    assert start(home, job.id).wait() == 0
    yield store, plan, store.job(job.id), snapshots, home
    store.close()


def test_the_job_finishes_from_where_it_was(killed):
    store, _, job, *_ = killed
    assert job.status is JobStatus.SUCCEEDED, job.error
    ended = tuple(e.stage for e in store.events(job.id, limit=100_000) if e.message == "ended")
    assert ended == STAGES[: len(ended)]
    assert ended[-1] is job.spec.until


def test_nothing_is_lost_or_taken_twice(killed):
    store, plan, _, snapshots, _ = killed
    now = {m.digest: (m.reading, m.measured_at) for m in store.measurements(plan.targets[0])}
    scores = {e.digest: e for e in store.evaluations(plan.supernet_digest, Split.VALIDATION)}
    for stage, (measurements, evaluations) in snapshots.items():
        assert measurements.items() <= now.items(), stage
        assert evaluations.items() <= scores.items(), stage


def test_the_kills_met_work_in_progress(killed):
    _, plan, _, snapshots, _ = killed
    profile = plan.spec.budget.profile
    assert 0 < len(snapshots[StageName.PROFILE][0]) < profile.holdout + profile.measurements
    if StageName.TRAIN in snapshots:
        assert len(snapshots[StageName.TRAIN][1]) == 0
    assert len(snapshots[StageName.SEARCH][1]) > 0


def test_the_search_spent_exactly_its_budget(killed):
    store, plan, job, *_ = killed
    state = store.state(job.id, "search")
    assert state["told"] == plan.spec.budget.search.evaluations
    assert not state["pending"]


def test_no_process_is_left_running(killed):
    *_, home = killed
    deadline = time.monotonic() + 20
    while left := processes_of(home):
        assert time.monotonic() < deadline, f"left running: {left}"
        time.sleep(0.2)

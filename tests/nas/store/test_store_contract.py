"""What every store promises; see `nas.store.store`."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import store_examples as examples
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import LimitExceeded, NoSuchJob, NoSuchPoint, StoreUnavailable
from nas.evaluation import Evaluation, Split
from nas.front import Scope
from nas.job import Event, EventKind, JobStatus
from nas.spec import JobSpec, StageName
from nas.store.store import Store, SupernetRecord
from searchspaces.architecture import Architecture
from workers.measurement import Correction, Measurement, Reading
from workers.target import Target

ARBITRARY = settings.get_profile("store")


# Jobs
def test_a_new_job_is_queued_at_the_first_stage(store: Store) -> None:
    before = time.time()
    job = store.create_job(examples.spec("demo"))
    assert job.id.startswith("demo-")
    assert len(job.id.removeprefix("demo-")) == 6
    assert (job.status, job.stage, job.error) == (JobStatus.QUEUED, StageName.PROFILE, None)
    assert before <= job.created_at <= time.time()
    assert job.updated_at == job.created_at
    assert store.job(job.id) == job


@ARBITRARY
@given(spec=examples.SPECS)
def test_specs_come_back_as_they_were(store: Store, spec: JobSpec) -> None:
    assert store.job(store.create_job(spec).id).spec == spec


def test_a_job_is_found_by_an_unambiguous_beginning(store: Store) -> None:
    apple, apricot = store.create_job(examples.spec("apple")), store.create_job(examples.spec("apricot"))
    assert store.job("appl") == apple
    assert store.job("apr") == apricot
    with pytest.raises(NoSuchJob, match=r"several") as raised:
        store.job("ap")
    assert apple.id in str(raised.value)
    assert apricot.id in str(raised.value)


def test_an_id_in_full_wins_over_longer_ones_that_begin_with_it(store: Store) -> None:
    short = store.create_job(examples.spec("a"))
    store.create_job(examples.spec(short.id))
    assert store.job(short.id) == short


@pytest.mark.parametrize(
    "asked",
    ["", "apple_", "APPLE", "apple%", "%", "_pple", "apple-zzzzzz", "a\0", "\udcff", "apple é", "é", "'"],
)
def test_other_texts_name_no_job(store: Store, asked: str) -> None:
    job = store.create_job(examples.spec("apple"))
    with pytest.raises(NoSuchJob, match=job.id):
        store.job(asked)


def test_an_unknown_job_names_the_nearest(store: Store) -> None:
    with pytest.raises(NoSuchJob, match="no job yet"):
        store.job("demo")
    job = store.create_job(examples.spec("apple"))
    for _ in range(3):
        store.create_job(examples.spec("zebra"))
    with pytest.raises(NoSuchJob, match=f"did you mean {job.id}"):
        store.job("apples-" + job.id[-6:])


def test_jobs_are_listed_newest_first_in_pages(store: Store) -> None:
    ids = [store.create_job(examples.spec("demo")).id for _ in range(5)][::-1]
    assert [job.id for job in store.jobs()] == ids
    assert [job.id for job in store.jobs(limit=2)] == ids[:2]
    assert [job.id for job in store.jobs(limit=2, before=ids[1])] == ids[2:4]
    assert store.jobs(before=ids[-1]) == []
    with pytest.raises(NoSuchJob):
        store.jobs(before="nobody")


def test_a_key_makes_one_job_of_several_submissions(store: Store) -> None:
    job = store.create_job(examples.spec("demo"), key="k", owner="ada")
    assert store.create_job(examples.spec("other"), key="k", owner="ada") == job
    assert store.create_job(examples.spec("demo"), owner="ada") != job
    assert store.create_job(examples.spec("demo"), key="l", owner="ada") != job
    # A key is its owner's: nobody is given another's job for having guessed it.
    assert store.create_job(examples.spec("demo"), key="k", owner="bob") != job
    assert len(store.jobs()) == 4


def test_an_owner_may_have_so_many_unfinished_jobs(store: Store) -> None:
    job = store.create_job(examples.spec(), owner="ada", key="k", most=2)
    other = store.create_job(examples.spec(), owner="ada", most=2)
    with pytest.raises(LimitExceeded, match="2"):
        store.create_job(examples.spec(), owner="ada", most=2)
    assert store.jobs() == [other, job]
    assert store.create_job(examples.spec(), owner="ada", key="k", most=2) == job
    assert store.create_job(examples.spec(), owner="bob", most=2).status is JobStatus.QUEUED
    store.set_job(other.id, JobStatus.SUCCEEDED, None)
    assert store.create_job(examples.spec(), owner="ada", most=2).status is JobStatus.QUEUED


def test_concurrent_submissions_stay_within_the_limit(store: Store) -> None:
    def submit(_: int) -> int:
        try:
            store.create_job(examples.spec(), owner="ada", most=3)
        except LimitExceeded:
            return 0
        return 1

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(submit, range(8))) == store.unfinished("ada") == 3


def test_concurrent_submissions_of_one_key_make_one_job(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: store.create_job(examples.spec(), key="k"), range(8)))
    assert made == store.jobs() * 8


def test_a_jobs_state_is_recorded(store: Store) -> None:
    job = store.create_job(examples.spec())
    other = store.create_job(examples.spec())
    store.set_job(job.id, JobStatus.FAILED, StageName.TRAIN, StoreUnavailable("the disk \0 is full"))
    stored = store.job(job.id)
    assert (stored.status, stored.stage, stored.error) == (
        JobStatus.FAILED,
        StageName.TRAIN,
        "the disk \ufffd is full",
    )
    assert stored.updated_at >= job.updated_at
    assert isinstance(stored.failure(), StoreUnavailable)
    assert str(stored.failure()) == stored.error
    store.set_job(job.id, JobStatus.SUCCEEDED, None)
    ended = store.job(job.id)
    assert (ended.stage, ended.error, ended.error_kind) == (None, None, None)
    assert store.job(other.id) == other


def test_unfinished_jobs_are_counted_by_owner(store: Store) -> None:
    jobs = [store.create_job(examples.spec(), owner="ada") for _ in range(4)]
    store.create_job(examples.spec(), owner="bob")
    for job, status in zip(jobs, JobStatus, strict=False):
        store.set_job(job.id, status, StageName.SEARCH)
    assert [status.value for status in JobStatus][:4] == ["queued", "running", "interrupted", "succeeded"]
    assert store.unfinished("ada") == 2
    assert store.unfinished("nobody") == 0


def test_deaths_are_counted_until_the_job_gets_further(store: Store) -> None:
    job, other = (store.create_job(examples.spec()).id for _ in range(2))
    store.set_job(job, JobStatus.RUNNING, StageName.TRAIN)
    assert [store.count_death(job), store.count_death(job)] == [1, 2]
    store.note_place(job, "train 10/60")
    assert store.count_death(job) == 1, "the first place is one further than none"
    store.note_place(job, "train 10/60")
    assert store.count_death(job) == 2
    store.set_job(job, JobStatus.RUNNING, StageName.SEARCH)
    assert store.count_death(job) == 3
    store.note_place(job, "search 0/12")
    assert store.count_death(job) == 1
    store.set_job(job, JobStatus.QUEUED, StageName.SEARCH)
    assert store.count_death(job) == 1, "somebody wants it to be tried again"
    assert store.count_death(other) == 1


# Leases
def test_jobs_are_counted_by_status(store: Store) -> None:
    assert store.count_jobs() == {}
    first, *_ = [store.create_job(examples.spec()).id for _ in range(3)]
    store.set_job(first, JobStatus.SUCCEEDED, None)
    assert store.count_jobs() == {JobStatus.QUEUED: 2, JobStatus.SUCCEEDED: 1}


def test_a_lease_has_one_owner(store: Store) -> None:
    job = store.create_job(examples.spec())
    assert store.lease_owner(job.id) is None
    assert store.claim(job.id, "first", 60)
    assert not store.claim(job.id, "second", 60)
    assert store.claim(job.id, "first", 60)
    assert store.lease_owner(job.id) == "first"


def test_only_its_owner_gives_a_lease_back(store: Store) -> None:
    job = store.create_job(examples.spec())
    assert store.claim(job.id, "first", 60)
    store.release(job.id, "second")
    assert not store.claim(job.id, "second", 60)
    store.release(job.id, "first")
    assert store.lease_owner(job.id) is None
    assert store.claim(job.id, "second", 60)


def test_an_expired_lease_is_anybodys(store: Store) -> None:
    job = store.create_job(examples.spec())
    assert store.claim(job.id, "first", 0.05)
    time.sleep(0.1)
    assert store.lease_owner(job.id) is None
    assert store.claim(job.id, "second", 60)
    assert not store.claim(job.id, "first", 60)


def test_leases_of_jobs_are_apart(store: Store) -> None:
    one, other = store.create_job(examples.spec()), store.create_job(examples.spec())
    assert store.claim(one.id, "first", 60)
    assert store.claim(other.id, "second", 60)
    assert (store.lease_owner(one.id), store.lease_owner(other.id)) == ("first", "second")


def test_jobs_that_wait_for_a_process_are_listed_oldest_first(store: Store) -> None:
    jobs = [store.create_job(examples.spec()) for _ in range(6)]
    queued, taken, dead, alive, done, last = (job.id for job in jobs)
    assert store.claim(taken, "a", 60)
    store.set_job(dead, JobStatus.RUNNING, StageName.TRAIN)
    assert store.claim(dead, "a", 0.05)
    store.set_job(alive, JobStatus.RUNNING, StageName.TRAIN)
    assert store.claim(alive, "a", 60)
    store.set_job(done, JobStatus.SUCCEEDED, None)
    time.sleep(0.1)
    assert [job.id for job in store.runnable(10)] == [queued, dead, last]
    assert [job.id for job in store.runnable(2)] == [queued, dead]


# Events
def test_events_are_numbered_and_stamped(store: Store) -> None:
    job, other = store.create_job(examples.spec()), store.create_job(examples.spec())
    before = time.time()
    stored = [store.append_event(job.id, Event(EventKind.NOTE, message=str(n))) for n in range(5)]
    assert [event.sequence for event in stored] == [1, 2, 3, 4, 5]
    assert all(before <= event.time <= time.time() for event in stored)
    assert store.append_event(other.id, Event(EventKind.NOTE)).sequence == 1
    assert store.events(job.id) == stored
    assert store.events(job.id, after=3) == stored[3:]
    assert store.events(job.id, after=1, limit=2) == stored[1:3]
    assert store.events(job.id, after=99) == []
    assert [found.last_event for found in (job, store.job(job.id), store.job(other.id))] == [0, 5, 1]


@ARBITRARY
@given(events=st.lists(examples.EVENTS, max_size=3))
def test_events_come_back_as_they_were(store: Store, events: list[Event]) -> None:
    job = store.create_job(examples.spec())
    stored = [store.append_event(job.id, event) for event in events]
    assert store.events(job.id) == stored
    assert [replace(event, sequence=0, time=0.0) for event in stored] == events


def test_what_no_database_keeps_is_replaced(store: Store) -> None:
    job = store.create_job(examples.spec())
    event = Event(EventKind.NOTE, message="a\0b\udc80c", data={"a": "\0", "b": "\udc80", "c": math.inf})
    stored = store.append_event(job.id, event)
    assert stored.message == "a\ufffdb\ufffdc"
    assert stored.data == event.data
    assert store.events(job.id) == [stored]


def test_concurrent_events_are_numbered_without_a_gap(store: Store) -> None:
    job = store.create_job(examples.spec())
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: store.append_event(job.id, Event(EventKind.NOTE)), range(40)))
    assert [event.sequence for event in store.events(job.id)] == list(range(1, 41))


# Architectures
@ARBITRARY
@given(architectures=st.lists(examples.ARCHITECTURES, max_size=5))
def test_architectures_come_back_by_digest(store: Store, architectures: list[Architecture]) -> None:
    store.put_architectures(iter(architectures))
    store.put_architectures(architectures)
    digests = [architecture.digest for architecture in architectures]
    assert store.architectures(iter([*digests, "unknown"])) == {a.digest: a for a in architectures}


def test_architectures_come_in_the_order_asked_for(store: Store) -> None:
    many = [examples.architecture(number) for number in range(6000)]
    store.put_architectures(many)
    digests = [architecture.digest for architecture in many]
    assert list(store.architectures(digests)) == digests
    assert list(store.architectures(digests[::-1])) == digests[::-1]


# Measurements
@ARBITRARY
@given(measurement=examples.MEASUREMENTS)
def test_measurements_come_back_as_they_were(store: Store, measurement: Measurement) -> None:
    before = time.time()
    assert store.add_measurement(measurement)
    (stored,) = store.measurements(measurement.target, [measurement.digest])
    assert before <= stored.measured_at <= time.time()
    assert replace(stored, measured_at=0.0) == measurement


def test_the_first_measurement_stays(store: Store) -> None:
    assert store.add_measurement(examples.measurement("a", latency_ms=1.0))
    assert not store.add_measurement(examples.measurement("a", latency_ms=2.0))
    assert store.add_measurement(examples.measurement("a", examples.OTHER_TARGET, latency_ms=3.0))
    (kept,) = store.measurements(examples.TARGET)
    assert kept.latency_ms == 1.0


@ARBITRARY
@given(
    measurement=examples.MEASUREMENTS,
    correction=st.builds(Correction, examples.POSITIVE, examples.POSITIVE, st.floats(0.1, 10.0)),
)
def test_a_correction_stands_in_for_what_was_measured_which_stays(
    store: Store, measurement: Measurement, correction: Correction
) -> None:
    def stored() -> Measurement:
        (one,) = store.measurements(measurement.target, [measurement.digest])
        return replace(one, measured_at=0.0)

    measurement = replace(measurement, digest=examples.unique())
    store.add_measurement(measurement)
    assert measurement.corrected == measurement.reading
    for kept in (correction, Correction.of(measurement.reading, 2.0), None):
        store.correct_measurements(measurement.target, {measurement.digest: kept})
        assert stored() == replace(measurement, correction=kept)
    store.correct_measurements(measurement.target, {measurement.digest: correction})
    assert stored().corrected == Reading(correction.latency_ms, correction.error_ms)
    assert (stored().reading, stored().slowdown) == (measurement.reading, correction.slowdown)


def test_corrections_touch_only_what_they_name(store: Store) -> None:
    for digest in "ab":
        store.add_measurement(examples.measurement(digest))
    store.add_measurement(examples.measurement("a", examples.OTHER_TARGET))
    correction = Correction(1.5, 0.1)
    store.correct_measurements(examples.TARGET, {})
    store.correct_measurements(Target("nobody"), {"a": correction})
    store.correct_measurements(examples.TARGET, {"x": correction, "a": correction})
    assert [m.corrected.latency_ms for m in store.measurements(examples.TARGET)] == [1.5, 2.0]
    assert [m.corrected.latency_ms for m in store.measurements(examples.OTHER_TARGET)] == [2.0]
    assert store.targets() == sorted([examples.TARGET, examples.OTHER_TARGET], key=str)


def test_measurements_are_in_the_order_in_which_they_were_taken(store: Store) -> None:
    for digest in "cab":
        store.add_measurement(examples.measurement(digest))
        store.add_measurement(examples.measurement(digest, examples.OTHER_TARGET))
    assert [m.digest for m in store.measurements(examples.TARGET)] == ["c", "a", "b"]
    assert [m.digest for m in store.measurements(examples.TARGET, iter("bcx"))] == ["c", "b"]
    assert [m.digest for m in store.measurements(examples.TARGET, ["a", "a"])] == ["a"]
    assert store.measurements(examples.TARGET, []) == []
    assert store.measurements(Target("nobody")) == []


def test_targets_are_those_with_a_measurement(store: Store) -> None:
    assert store.targets() == []
    store.put_predictor("space", ("latency_ms", str(Target("only-predicted"))), {})
    store.add_measurement(examples.measurement("a", examples.OTHER_TARGET))
    store.add_measurement(examples.measurement("a"))
    store.add_measurement(examples.measurement("b"))
    assert store.targets() == [examples.TARGET, examples.OTHER_TARGET]


# Evaluations
@ARBITRARY
@given(evaluation=examples.EVALUATIONS)
def test_evaluations_come_back_as_they_were(store: Store, evaluation: Evaluation) -> None:
    store.add_evaluations([evaluation])
    (stored,) = store.evaluations(evaluation.supernet, evaluation.split)
    assert math.isnan(stored.value) == math.isnan(evaluation.value)
    comparable = replace(evaluation, value=0.0) if math.isnan(evaluation.value) else evaluation
    assert (replace(stored, value=0.0) if math.isnan(stored.value) else stored) == comparable


def test_the_first_evaluation_stays_and_order_is_kept(store: Store) -> None:
    store.add_evaluations([examples.evaluation("c", value=1.0), examples.evaluation("a", value=2.0)])
    store.add_evaluations([])
    store.add_evaluations([examples.evaluation("a", value=9.0), examples.evaluation("b", value=3.0)])
    store.add_evaluations([examples.evaluation("a", "other net", 4.0)])
    store.add_evaluations([replace(examples.evaluation("a", value=5.0), split=Split.TEST)])
    kept = store.evaluations("net", Split.VALIDATION)
    assert [(e.digest, e.value) for e in kept] == [("c", 1.0), ("a", 2.0), ("b", 3.0)]
    assert [e.digest for e in store.evaluations("net", Split.VALIDATION, iter("bc"))] == ["c", "b"]
    assert [e.value for e in store.evaluations("net", Split.TEST)] == [5.0]
    assert store.evaluations("no net", Split.TEST) == []
    cheap = replace(examples.evaluation("a", value=6.0), share=0.25)
    store.add_evaluations([cheap, replace(cheap, value=7.0)])
    assert store.evaluations("net", Split.VALIDATION, share=0.25) == [cheap]
    assert store.evaluations("net", Split.VALIDATION) == kept


def test_many_evaluations_at_once(store: Store) -> None:
    many = [examples.evaluation(f"{number:06}") for number in range(12_000)]
    store.add_evaluations(many)
    assert store.evaluations("net", Split.VALIDATION) == many
    digests = [evaluation.digest for evaluation in many[::-1]]
    assert store.evaluations("net", Split.VALIDATION, digests) == many


def test_overlapping_batches_at_once_keep_each_evaluation_once(store: Store) -> None:
    many = [examples.evaluation(f"{number:04}") for number in range(500)]

    def write(evaluations: list[Evaluation]) -> None:
        for start in range(0, 500, 50):
            store.add_evaluations(evaluations[start : start + 100])

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(write, [many, many[::-1], many]))
    assert sorted(e.digest for e in store.evaluations("net", Split.VALIDATION)) == [e.digest for e in many]


# Supernets, predictors, states
@ARBITRARY
@given(record=examples.SUPERNETS)
def test_supernets_come_back_as_they_were(store: Store, record: SupernetRecord) -> None:
    assert store.supernet(record.digest) is None
    store.put_supernet(record)
    assert store.supernet(record.digest) == record
    store.put_supernet(replace(record, path="elsewhere"))
    assert store.supernet(record.digest) == replace(record, path="elsewhere")


@ARBITRARY
@given(target=examples.TARGETS, first=examples.JSON, second=examples.JSON)
def test_the_newest_predictor_comes_back(store: Store, target: Target, first: dict, second: dict) -> None:
    space, latency = examples.unique(), ("latency_ms", str(target))
    assert store.predictor(space, latency) is None
    store.put_predictor(space, latency, first)
    assert store.predictor(space, latency) == first
    store.put_predictor(space, latency, second)
    assert store.predictor(space, latency) == second
    assert store.predictor(space, ("peak_memory_bytes", str(target))) is None
    assert store.predictor(space, ("latency_ms", str(Target("nobody")))) is None


@ARBITRARY
@given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), state=examples.JSON)
def test_states_come_back_by_name(store: Store, name: str, state: dict) -> None:
    job, other = store.create_job(examples.spec()), store.create_job(examples.spec())
    assert store.state(job.id, name) is None
    store.put_state(job.id, name, {"earlier": True})
    store.put_state(job.id, name, state)
    store.put_state(job.id, name + "!", {})
    assert store.state(job.id, name) == state
    assert store.state(other.id, name) is None


@ARBITRARY
@given(entries=st.lists(st.none() | examples.JSON, max_size=4))
def test_journal_entries_are_kept_in_order(store: Store, entries: list) -> None:
    job, other = store.create_job(examples.spec()), store.create_job(examples.spec())
    assert store.journal(job.id, "search") == []
    for number, item in enumerate(entries):
        store.put_state(job.id, "search", {"step": number}, item)
        store.put_state(job.id, "verify", {}, {"other": True})
    assert store.journal(job.id, "search") == [item for item in entries if item is not None]
    assert store.journal(other.id, "search") == []


def test_what_was_kept_is_not_changed_from_outside(store: Store) -> None:
    job = store.create_job(examples.spec())
    state = {"inner": [1]}
    store.put_state(job.id, "state", state)
    store.append_event(job.id, Event(EventKind.NOTE, data=state))
    state["inner"].append(2)
    read = store.state(job.id, "state")
    assert read == store.events(job.id)[0].data == {"inner": [1]}
    read["inner"].append(3)
    assert store.state(job.id, "state") == {"inner": [1]}


# Points
@ARBITRARY
@given(points=st.lists(examples.POINTS, max_size=4, unique_by=lambda point: point.digest))
def test_points_come_back_as_they_were(store: Store, points: list) -> None:
    job, other = store.create_job(examples.spec()), store.create_job(examples.spec())
    store.put_points(job.id, points)
    assert store.points(job.id) == points
    assert store.points(job.id, Scope.FRONT) == [point for point in points if point.on_front]
    shown = [point for point in points if point.on_front or point.preset]
    assert store.points(job.id, Scope.SHOWN) == shown
    assert store.points(other.id) == []
    assert store.count_points(job.id) == len(points)
    for point in points:
        assert store.point(job.id, point.digest) == point
    values = [point.validation for point in points if point.validation is not None]
    extent = store.extents(job.id).get(("quality", None))
    assert extent == ((min(values), max(values)) if values else None)


def test_a_cloud_says_what_the_points_do(store: Store) -> None:
    job = store.create_job(examples.spec())
    points = [examples.point(number, measured=None if number % 2 else 0.5 + number) for number in range(5)]
    points[2] = replace(points[2], validation=None)
    points[3] = replace(points[3], values={}, validation=1e300)
    store.put_points(job.id, points)
    store.put_points(store.create_job(examples.spec()).id, [examples.point(7)])
    keys = [("quality", None), *points[0].values, ("latency_ms", "unknown")]
    cloud = store.cloud(job.id, keys)
    assert list(cloud.columns) == keys
    assert [cloud.digest(row) for row in range(len(cloud))] == [point.digest for point in points]
    scores = [np.nan if p.validation is None else p.validation for p in points[:3]]
    np.testing.assert_array_equal(cloud.columns["quality", None][:3], np.array(scores, np.float32))
    assert cloud.columns["quality", None][3] == np.inf
    for key in keys[1:]:
        known = [point.values[key].best_known if key in point.values else np.nan for point in points]
        np.testing.assert_array_equal(cloud.columns[key], np.array(known, np.float32))


def test_points_come_in_pages(store: Store) -> None:
    job = store.create_job(examples.spec())
    points = [examples.point(number, on_front=number % 2 == 0) for number in range(5)]
    points[1] = replace(points[1], preset="plain")
    store.put_points(job.id, points)
    assert store.points(job.id, limit=2) == points[:2]
    assert store.points(job.id, after=points[1].digest, limit=2) == points[2:4]
    assert store.points(job.id, Scope.FRONT, after=points[1].digest) == [points[2], points[4]]
    assert store.points(job.id, Scope.SHOWN, limit=2) == points[:2]
    assert store.points(job.id, after=points[4].digest) == []
    with pytest.raises(NoSuchPoint):
        store.points(job.id, after="0" * 16)


def test_a_point_is_found_by_its_beginning(store: Store) -> None:
    job, other = store.create_job(examples.spec()), store.create_job(examples.spec())
    store.put_points(job.id, [examples.point(number) for number in range(40)])
    assert store.point(job.id, examples.point(3).digest[:12]) == examples.point(3)
    for beginning in ("", "%", "zz", "\0"):
        with pytest.raises(NoSuchPoint):
            store.point(job.id, beginning)
    shared = next(
        c for c in "0123456789abcdef" if sum(examples.point(n).digest[0] == c for n in range(40)) > 1
    )
    with pytest.raises(NoSuchPoint):
        store.point(job.id, shared)
    with pytest.raises(NoSuchPoint):
        store.point(other.id, examples.point(3).digest)


def test_extents_only_widen(store: Store) -> None:
    job, other = store.create_job(examples.spec()), store.create_job(examples.spec())
    store.put_points(job.id, [examples.point(0), examples.point(4)])
    store.put_points(job.id, [examples.point(4, measured=5.5), examples.point(2)])
    store.put_points(other.id, [examples.point(30)])
    assert store.extents(job.id) == {
        ("quality", None): (2.1, 2.5),
        ("parameters", None): (100, 104),
        ("macs", None): (1000, 1000),
        ("state_bytes", None): (10, 10),
        ("latency_ms", str(examples.TARGET)): (2.0, 6.0),
    }
    assert store.count_points(job.id) == 3


def test_points_are_replaced_by_digest_and_keep_their_place(store: Store) -> None:
    job = store.create_job(examples.spec())
    first, second, third = (examples.point(number, on_front=True) for number in range(3))
    store.put_points(job.id, [first, second])
    measured = replace(
        first, test=2.4, on_front=False, values={("latency_ms", str(examples.OTHER_TARGET)): examples.LATENCY}
    )
    store.put_points(job.id, [third, measured])
    assert store.points(job.id) == [measured, second, third]
    assert store.points(job.id, Scope.FRONT) == [second, third]


def test_of_points_with_one_digest_the_last_counts(store: Store) -> None:
    job = store.create_job(examples.spec())
    store.put_points(job.id, [examples.point(1, measured=1.0), examples.point(1, measured=2.0)])
    assert store.points(job.id) == [examples.point(1, measured=2.0)]


def test_jobs_share_architectures_but_not_points(store: Store) -> None:
    one, other = store.create_job(examples.spec()), store.create_job(examples.spec())
    store.put_points(one.id, [examples.point(1, measured=1.0)])
    store.put_points(other.id, [examples.point(1, measured=2.0, on_front=True)])
    assert store.points(one.id) == [examples.point(1, measured=1.0)]
    assert store.points(other.id) == [examples.point(1, measured=2.0, on_front=True)]
    digest = examples.point(1).digest
    assert store.architectures([digest]) == {digest: examples.architecture(1)}


def test_only_a_job_that_has_succeeded_is_reopened(store: Store) -> None:
    job = store.create_job(examples.spec())
    wider = examples.spec(seed=7)
    for status in JobStatus:
        store.set_job(job.id, status, StageName.VERIFY)
        assert store.reopen(job.id, wider) is (status is JobStatus.SUCCEEDED)
        if status is JobStatus.SUCCEEDED:
            found = store.job(job.id)
            assert (found.spec, found.status, found.stage) == (wider, JobStatus.QUEUED, StageName.PROFILE)
            assert found in store.runnable(100)


# Whatever is asked of a job that is not there
@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.set_job("demo", JobStatus.RUNNING, None),
        lambda store: store.reopen("demo", examples.spec()),
        lambda store: store.claim("demo", "me", 1.0),
        lambda store: store.release("demo", "me"),
        lambda store: store.lease_owner("demo"),
        lambda store: store.append_event("demo", Event(EventKind.NOTE)),
        lambda store: store.events("demo"),
        lambda store: store.put_state("demo", "state", {}),
        lambda store: store.state("demo", "state"),
        lambda store: store.journal("demo", "state"),
        lambda store: store.put_points("demo", [examples.point()]),
        lambda store: store.points("demo"),
    ],
)
def test_only_the_id_in_full_is_accepted_elsewhere(store: Store, ask) -> None:
    job = store.create_job(examples.spec("demo"))
    with pytest.raises(NoSuchJob, match=job.id):
        ask(store)
    assert store.job(job.id) == job
    assert store.architectures([examples.point().digest]) == {}

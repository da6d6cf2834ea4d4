"""The contract of stores: jobs and their leases."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given

from nas.errors import LimitExceeded, NoSuchJob, StoreUnavailable
from nas.job import Event, EventKind, JobStatus, Viewer
from nas.spec import JobSpec, StageName
from nas.store.store import Store
from nas.testing.contract import arbitrary
from nas.testing.stores import examples

__all__ = ["JobContract"]


class JobContract:
    """Who has which jobs, where they stand and who runs them."""

    def test_a_new_job_is_queued_at_the_first_stage(self, store: Store) -> None:
        before = time.time()
        job = store.create_job(examples.spec("demo"))
        assert job.id.startswith("demo-")
        assert len(job.id.removeprefix("demo-")) == 6
        assert (job.status, job.stage, job.error) == (JobStatus.QUEUED, StageName.PROFILE, None)
        assert before <= job.created_at <= time.time()
        assert job.updated_at == job.created_at
        assert store.job(job.id) == job

    @arbitrary(15)
    @given(spec=examples.SPECS)
    def test_specs_come_back_as_they_were(self, store: Store, spec: JobSpec) -> None:
        assert store.job(store.create_job(spec).id).spec == spec

    def test_a_job_is_found_by_an_unambiguous_beginning(self, store: Store) -> None:
        apple, apricot = store.create_job(examples.spec("apple")), store.create_job(examples.spec("apricot"))
        assert store.job("appl") == apple
        assert store.job("apr") == apricot
        with pytest.raises(NoSuchJob, match=r"several") as raised:
            store.job("ap")
        assert apple.id in str(raised.value)
        assert apricot.id in str(raised.value)

    def test_an_id_in_full_wins_over_longer_ones_that_begin_with_it(self, store: Store) -> None:
        short = store.create_job(examples.spec("a"))
        store.create_job(examples.spec(short.id))
        assert store.job(short.id) == short

    @pytest.mark.parametrize(
        "asked",
        ["", "apple_", "APPLE", "apple%", "%", "_pple", "apple-zzzzzz", "a\0", "\udcff", "apple é", "é", "'"],
    )
    def test_other_texts_name_no_job(self, store: Store, asked: str) -> None:
        job = store.create_job(examples.spec("apple"))
        with pytest.raises(NoSuchJob, match=job.id):
            store.job(asked)

    def test_an_unknown_job_names_the_nearest(self, store: Store) -> None:
        with pytest.raises(NoSuchJob, match="no job yet"):
            store.job("demo")
        job = store.create_job(examples.spec("apple"))
        for _ in range(3):
            store.create_job(examples.spec("zebra"))
        with pytest.raises(NoSuchJob, match=f"did you mean {job.id}"):
            store.job("apples-" + job.id[-6:])

    def test_jobs_are_listed_newest_first_in_pages(self, store: Store) -> None:
        ids = [store.create_job(examples.spec("demo")).id for _ in range(5)][::-1]
        assert [job.id for job in store.jobs()] == ids
        assert [job.id for job in store.jobs(limit=2)] == ids[:2]
        assert [job.id for job in store.jobs(limit=2, before=ids[1])] == ids[2:4]
        assert store.jobs(before=ids[-1]) == []
        with pytest.raises(NoSuchJob):
            store.jobs(before="nobody")

    def test_a_key_makes_one_job_of_several_submissions(self, store: Store) -> None:
        job = store.create_job(examples.spec("demo"), key="k", owner="ada")
        assert store.create_job(examples.spec("other"), key="k", owner="ada") == job
        assert store.create_job(examples.spec("demo"), owner="ada") != job
        assert store.create_job(examples.spec("demo"), key="l", owner="ada") != job
        # A key is its owner's: nobody is given another's job for having guessed it.
        assert store.create_job(examples.spec("demo"), key="k", owner="bob") != job
        assert len(store.jobs()) == 4

    def test_an_owner_may_have_so_many_unfinished_jobs(self, store: Store) -> None:
        job = store.create_job(examples.spec(), owner="ada", key="k", most=2)
        other = store.create_job(examples.spec(), owner="ada", most=2)
        with pytest.raises(LimitExceeded, match="2"):
            store.create_job(examples.spec(), owner="ada", most=2)
        assert store.jobs() == [other, job]
        assert store.create_job(examples.spec(), owner="ada", key="k", most=2) == job
        assert store.create_job(examples.spec(), owner="bob", most=2).status is JobStatus.QUEUED
        store.set_job(other.id, JobStatus.SUCCEEDED, None)
        assert store.create_job(examples.spec(), owner="ada", most=2).status is JobStatus.QUEUED

    def test_jobs_are_their_owners_their_groups_or_everybodys(self, store: Store) -> None:
        mine = store.create_job(examples.spec("mine"), owner="ada").id
        ours = store.create_job(examples.spec("ours"), owner="bob", group="lab").id
        open_to_all = store.create_job(examples.spec("open"), owner="bob", shared=True).id
        theirs = store.create_job(examples.spec("theirs"), owner="bob").id
        ada, stranger = Viewer("ada", "lab"), Viewer("eve")
        assert [job.id for job in store.jobs(viewer=ada)] == [open_to_all, ours, mine]
        assert [job.id for job in store.jobs(1, open_to_all, ada)] == [ours]
        assert [job.id for job in store.jobs(viewer=stranger)] == [open_to_all]
        assert store.job("our", ada).id == ours
        for hidden in (mine, ours, theirs):
            with pytest.raises(NoSuchJob) as caught:
                store.job(hidden, stranger)
            assert "bob" not in str(caught.value)
            assert theirs not in str(caught.value).removeprefix(f"no job {hidden!r}")
        assert [store.job(i).belongs_to(ada) for i in (mine, ours, open_to_all, theirs)] == [
            True,
            True,
            False,
            False,
        ]

    def test_a_running_job_without_a_lease_is_abandoned(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        assert not job.abandoned
        store.claim(job.id, "one", 60.0)
        store.set_job(job.id, JobStatus.RUNNING, StageName.TRAIN)
        assert not store.job(job.id).abandoned
        store.release(job.id, "one")
        assert store.job(job.id).abandoned
        assert [found.abandoned for found in store.jobs()] == [True]

    def test_concurrent_submissions_stay_within_the_limit(self, store: Store) -> None:
        def submit(_: int) -> int:
            try:
                store.create_job(examples.spec(), owner="ada", most=3)
            except LimitExceeded:
                return 0
            return 1

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(submit, range(8))) == store.unfinished("ada") == 3

    def test_concurrent_submissions_of_one_key_make_one_job(self, store: Store) -> None:
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(lambda _: store.create_job(examples.spec(), key="k"), range(8)))
        assert made == store.jobs() * 8

    def test_a_jobs_state_is_recorded(self, store: Store) -> None:
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

    def test_unfinished_jobs_are_counted_by_owner(self, store: Store) -> None:
        jobs = [store.create_job(examples.spec(), owner="ada") for _ in range(4)]
        store.create_job(examples.spec(), owner="bob")
        for job, status in zip(jobs, JobStatus, strict=False):
            store.set_job(job.id, status, StageName.SEARCH)
        assert [status.value for status in JobStatus][:4] == ["queued", "running", "interrupted", "succeeded"]
        assert store.unfinished("ada") == 2
        assert store.unfinished("nobody") == 0

    def test_deaths_are_counted_until_the_job_gets_further(self, store: Store) -> None:
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

    def test_jobs_are_counted_by_status(self, store: Store) -> None:
        assert store.count_jobs() == {}
        first, *_ = [store.create_job(examples.spec()).id for _ in range(3)]
        store.set_job(first, JobStatus.SUCCEEDED, None)
        assert store.count_jobs() == {JobStatus.QUEUED: 2, JobStatus.SUCCEEDED: 1}

    def test_a_lease_has_one_owner(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        assert store.lease_owner(job.id) is None
        assert store.claim(job.id, "first", 60)
        assert not store.claim(job.id, "second", 60)
        assert store.claim(job.id, "first", 60)
        assert store.lease_owner(job.id) == "first"

    def test_only_its_owner_gives_a_lease_back(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        assert store.claim(job.id, "first", 60)
        store.release(job.id, "second")
        assert not store.claim(job.id, "second", 60)
        store.release(job.id, "first")
        assert store.lease_owner(job.id) is None
        assert store.claim(job.id, "second", 60)

    def test_an_expired_lease_is_anybodys(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        assert store.claim(job.id, "first", 0.05)
        time.sleep(0.1)
        assert store.lease_owner(job.id) is None
        assert store.claim(job.id, "second", 60)
        assert not store.claim(job.id, "first", 60)

    def test_leases_of_jobs_are_apart(self, store: Store) -> None:
        one, other = store.create_job(examples.spec()), store.create_job(examples.spec())
        assert store.claim(one.id, "first", 60)
        assert store.claim(other.id, "second", 60)
        assert (store.lease_owner(one.id), store.lease_owner(other.id)) == ("first", "second")

    def test_jobs_that_wait_for_a_process_are_listed_oldest_first(self, store: Store) -> None:
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

    def test_only_a_job_that_has_succeeded_is_reopened(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        wider = examples.spec(seed=7)
        for status in JobStatus:
            store.set_job(job.id, status, StageName.VERIFY)
            assert store.reopen(job.id, wider) is (status is JobStatus.SUCCEEDED)
            if status is JobStatus.SUCCEEDED:
                found = store.job(job.id)
                assert (found.spec, found.status, found.stage) == (wider, JobStatus.QUEUED, StageName.PROFILE)
                assert found in store.runnable(100)

    def test_only_a_job_that_failed_or_was_interrupted_is_requeued(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        for status in JobStatus:
            store.set_job(job.id, status, StageName.VERIFY, StoreUnavailable("full"))
            before = store.job(job.id)
            resumed = status in (JobStatus.FAILED, JobStatus.INTERRUPTED)
            assert store.requeue(job.id) is resumed
            found = store.job(job.id)
            if resumed:
                assert (found.status, found.stage) == (JobStatus.QUEUED, StageName.VERIFY)
                assert (found.error, found.error_kind) == (None, None)
            else:
                assert found == before

    def test_jobs_that_are_queued_again_count_as_unfinished(self, store: Store) -> None:
        jobs = [store.create_job(examples.spec(), owner="ada").id for _ in range(4)]
        for job, status in zip(jobs, ["interrupted", "failed", "succeeded", "succeeded"], strict=True):
            store.set_job(job, JobStatus(status), StageName.SEARCH)
        stopped, failed, ended, other = jobs
        store.create_job(examples.spec(), owner="bob")
        assert store.requeue(stopped, most=2)
        assert store.reopen(ended, examples.spec(), most=2)
        before = store.jobs()
        with pytest.raises(LimitExceeded, match="ada has 2 jobs"):
            store.requeue(failed, most=2)
        with pytest.raises(LimitExceeded, match="ada has 2 jobs"):
            store.reopen(other, examples.spec(seed=7), most=2)
        assert store.jobs() == before
        assert not store.requeue(stopped, most=2), "it is queued already"
        assert store.requeue(failed)

    def test_jobs_that_are_queued_again_at_once_stay_within_the_limit(self, store: Store) -> None:
        jobs = [store.create_job(examples.spec(), owner="ada").id for _ in range(8)]
        for job in jobs:
            store.set_job(job, JobStatus.INTERRUPTED, StageName.TRAIN)

        def resume(job: str) -> bool:
            try:
                return store.requeue(job, most=3)
            except LimitExceeded:
                return False

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(resume, jobs)) == store.unfinished("ada") == 3

    def test_a_spec_is_amended_and_nothing_else(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        exact = examples.spec(seed=7)
        store.amend(job.id, exact)
        assert replace(store.job(job.id), updated_at=job.updated_at) == replace(job, spec=exact)

    @pytest.mark.parametrize(
        "ask",
        [
            lambda store: store.set_job("demo", JobStatus.RUNNING, None),
            lambda store: store.requeue("demo"),
            lambda store: store.reopen("demo", examples.spec()),
            lambda store: store.amend("demo", examples.spec()),
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
    def test_only_the_id_in_full_is_accepted_elsewhere(self, store: Store, ask) -> None:
        job = store.create_job(examples.spec("demo"))
        with pytest.raises(NoSuchJob, match=job.id):
            ask(store)
        assert store.job(job.id) == job
        assert store.architectures([examples.point().digest]) == {}

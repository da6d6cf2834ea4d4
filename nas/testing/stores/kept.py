"""The contract of stores: what is kept of a job as it runs."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nas.job import Event, EventKind
from nas.store.store import Store
from nas.testing.contract import arbitrary
from nas.testing.stores import examples

__all__ = ["OfJobContract"]


class OfJobContract:
    """Events, the states of stages and their journals."""

    def test_events_are_numbered_and_stamped(self, store: Store) -> None:
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

    @arbitrary(15)
    @given(events=st.lists(examples.EVENTS, max_size=3))
    def test_events_come_back_as_they_were(self, store: Store, events: list[Event]) -> None:
        job = store.create_job(examples.spec())
        stored = [store.append_event(job.id, event) for event in events]
        assert store.events(job.id) == stored
        assert [replace(event, sequence=0, time=0.0) for event in stored] == events

    def test_what_no_database_keeps_is_replaced(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        event = Event(EventKind.NOTE, message="a\0b\udc80c", data={"a": "\0", "b": "\udc80", "c": math.inf})
        stored = store.append_event(job.id, event)
        assert stored.message == "a\ufffdb\ufffdc"
        assert stored.data == event.data
        assert store.events(job.id) == [stored]

    def test_concurrent_events_are_numbered_without_a_gap(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: store.append_event(job.id, Event(EventKind.NOTE)), range(40)))
        assert [event.sequence for event in store.events(job.id)] == list(range(1, 41))

    @arbitrary(15)
    @given(
        name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), state=examples.JSON
    )
    def test_states_come_back_by_name(self, store: Store, name: str, state: dict) -> None:
        job, other = store.create_job(examples.spec()), store.create_job(examples.spec())
        assert store.state(job.id, name) is None
        store.put_state(job.id, name, {"earlier": True})
        store.put_state(job.id, name, state)
        store.put_state(job.id, name + "!", {})
        assert store.state(job.id, name) == state
        assert store.state(other.id, name) is None

    @arbitrary(15)
    @given(entries=st.lists(st.none() | examples.JSON, max_size=4))
    def test_journal_entries_are_kept_in_order(self, store: Store, entries: list) -> None:
        job, other = store.create_job(examples.spec()), store.create_job(examples.spec())
        assert store.journal(job.id, "search") == []
        for number, item in enumerate(entries):
            store.put_state(job.id, "search", {"step": number}, item)
            store.put_state(job.id, "verify", {}, {"other": True})
        assert store.journal(job.id, "search") == [item for item in entries if item is not None]
        assert store.journal(other.id, "search") == []

    def test_what_was_kept_is_not_changed_from_outside(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        state = {"inner": [1]}
        store.put_state(job.id, "state", state)
        store.append_event(job.id, Event(EventKind.NOTE, data=state))
        state["inner"].append(2)
        read = store.state(job.id, "state")
        assert read == store.events(job.id)[0].data == {"inner": [1]}
        read["inner"].append(3)
        assert store.state(job.id, "state") == {"inner": [1]}

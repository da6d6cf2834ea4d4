"""What stages keep is read as it was written, by this version and by those before it."""

from __future__ import annotations

import json

import pytest

from nas.job import TargetProfile
from nas.stages.states import (
    ControlsState,
    FinalistsState,
    OpenBatch,
    ProfileState,
    SearchState,
    StageState,
    VerifyState,
)
from nas.testing.stores import examples
from tests.nas.store.memory_store import MemoryStore
from workers.target import Target

TARGET = Target("phone")
PROFILE = TargetProfile(TARGET, "additive", 40, 16, 0.03, 0.98, 0.8, 0.99, 0.9, single_blocks=3)
STATES = [
    ProfileState({str(TARGET): PROFILE}),
    ControlsState(OpenBatch(("a", "b"), 1.02), uncontrolled=True),
    SearchState(False, {"pool": [1]}, 3.25, [[0, 1], [1, 0]], [1, 0]),
    VerifyState(2, ["a", "b"]),
    FinalistsState({"w": 120}),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: type(state).__name__)
def test_states_come_back_as_they_were(state: StageState) -> None:
    store = MemoryStore()
    job = store.create_job(examples.spec())
    kind = type(state)
    assert kind.load(store, job.id, "here") == kind()
    state.save(store, job.id, "here", {"entry": 1})
    assert kind.load(store, job.id, "here") == state
    assert store.journal(job.id, "here") == [{"entry": 1}]
    kind().save(store, job.id, "here")
    assert kind.load(store, job.id, "here") == kind()


EARLIER = [
    ({str(TARGET): PROFILE.to_dict()}, STATES[0]),
    (
        {"batches": 3, "open": {"digests": ["a", "b"], "before": 1.02}},
        ControlsState(OpenBatch(("a", "b"), 1.02)),
    ),
    ({"batches": 3, "open": None}, ControlsState()),
    (
        {"over": False, "strategy": {"pool": [1]}, "pending": [[0, 1], [1, 0]], "told": 3},
        SearchState(False, {"pool": [1]}, 3, [[0, 1], [1, 0]], [0, 0]),
    ),
    ({"told": 3}, SearchState(told=3)),
    ({"round": 2, "measured": ["a", "b"]}, STATES[3]),
    ({"ended": {"w": 120}}, STATES[4]),
]


@pytest.mark.parametrize(("stored", "state"), EARLIER)
def test_what_version_0_1_kept_is_read(stored: dict[str, object], state: StageState) -> None:
    assert type(state).from_dict(json.loads(json.dumps(stored))) == state

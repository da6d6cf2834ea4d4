"""Whole jobs on a device that takes otherwise long in every session: later ones measure a few models again,
and stated errors cover what sessions differ by."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from nas.analysis.sessions import session_error
from nas.bench.backends import SimulatedMeasurementBackend
from nas.objectives.latency_ms import Latency
from nas.planning.plan import resolve
from nas.spec import JobSpec
from nas.stages.controls import control_architectures
from nas.store import open_store
from searchspaces.architecture import Architecture
from tests.nas.bench import simulated
from workers.target import Target

APART = 0.08
"""Standard deviation of what a model takes from one session to the next, relatively."""
JOBS = 8


class Moody:
    """A device on which every model takes a little more or less in each session, by itself; control models,
    by which slowdowns are told, take what they always take."""

    def __init__(self, controls: set[str]) -> None:
        self.session = 0
        self._controls = controls

    def __call__(self, architecture: Architecture, target: Target) -> float:
        exact = simulated.DEVICES["phone"](architecture, target)
        if architecture.digest in self._controls:
            return exact
        chance = np.random.default_rng([self.session, *architecture.digest.encode()])
        return exact * float(np.exp(APART * chance.standard_normal()))


def spec(seed: int) -> JobSpec:
    """Of a job that measures what others have not: its seed chooses what is held out."""
    profile = {"measurements": 16 * (seed + 1), "minimum": 16 * (seed + 1), "holdout": 6, "tolerance": 1e-6}
    return simulated.spec("phone", budget={"profile": profile}, until="profile", seed=seed)


def test_stated_errors_cover_what_sessions_differ_by(tmp_path: Path) -> None:
    controls = {a.digest for a in control_architectures(resolve(spec(0)))}
    device = Moody(controls)
    with closing(open_store(tmp_path)) as store:
        backend = SimulatedMeasurementBackend(store, {"phone": device})
        repeated = []
        for device.session in range(JOBS):
            simulated.run(store, tmp_path, spec(device.session), devices=backend)
            repeated.append(len(store.repeats()))
        (target,) = store.targets()
        between = session_error(store, target)
        measured = [m for m in store.measurements(target) if m.digest not in controls]
        architectures = store.architectures(m.digest for m in measured)
        pairs = store.repeats()
    per_job = np.diff([0, *repeated])
    assert per_job[0] == 0
    assert (per_job[1:] >= 1).all()
    assert per_job.sum() <= 0.06 * sum(range(22, 22 * JOBS, 22))
    assert not {pair.digest for pair in pairs} & controls
    assert max(np.unique([pair.digest for pair in pairs], return_counts=True)[1]) <= 2
    assert between.pairs == len(pairs)
    assert between.relative == pytest.approx(APART, rel=0.35)
    exact = np.array([simulated.DEVICES["phone"](architectures[m.digest], target) for m in measured])
    stated = [Latency.observed(m).in_any_session(between.relative) for m in measured]
    off = np.abs([o.value for o in stated] - exact)
    assert 0.8 < (off <= 1.645 * np.array([o.std for o in stated])).mean() <= 1.0
    within = np.array([m.corrected.error_ms for m in measured])
    assert (off <= 1.645 * within).mean() < 0.2


def test_what_verification_measures_is_a_session_of_its_own(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        backend = SimulatedMeasurementBackend(store, simulated.DEVICES)
        job = simulated.run(store, tmp_path, simulated.spec("phone"), devices=backend)
        (target,) = store.targets()
        assert 1 <= len(store.repeats()) <= 2
        between = session_error(store, target)
        assert between.relative < 0.01  # the device takes the same in both
        verified = [p for p in store.points(job.id) if p.verified]
        assert verified
        for point in verified:
            known = point.values["latency_ms", str(target)]
            assert known.measured_std is not None
            assert known.measured_std >= between.relative * known.measured
        # A job that finds everything measured asks no device for anything.
        asked = len(backend.measured)
        simulated.run(store, tmp_path, simulated.spec("phone", until="profile"), devices=backend)
        assert len(backend.measured) == asked

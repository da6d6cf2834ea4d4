"""What follows from readings of control models, on drifts that were recorded."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.analysis.drift_log import CHANGE, Batch, DriftLog
from predictors.drift import drift_of
from predictors.posterior import fit_posterior
from predictors.prior import counted_prior
from predictors.tables import read_table
from tests.generated_tables import hat_tables
from workers.measurement import Correction, Reading

TITAN = Path(__file__).parents[4] / "shared" / "data" / "hat" / "wmt14ende_gpu_titanxp_all.csv"

# Readings of control models by a job on a simulated device with 1% of noise, 22% slower for a while.
IN_THE_MIDDLE = (1.0, 1.218, 1.193, 0.987, 1.001)
FROM_THE_BEGINNING = (1.0, 0.999, 1.0, 0.831, 0.819)
TO_THE_END = (1.0, 0.999, 1.0, 1.013, 1.208, 1.203)
STEADY = (1.0, 1.013, 0.994, 1.007, 0.985)


def log_of(readings: tuple[float, ...], calibrated: bool = False, size: int = 3) -> DriftLog:
    """So many measurements, named ``"BATCH.NUMBER"``, between every two readings."""
    batches = (
        Batch(tuple(f"{number}.{each}" for each in range(size)), before, after)
        for number, (before, after) in enumerate(pairwise(readings))
    )
    return DriftLog(tuple(batches), calibrated)


def first_readings(log: DriftLog, latency_ms: float = 2.0) -> dict[str, Reading]:
    return {digest: Reading(latency_ms, 0.02) for digest in log.measured}


def test_nothing_follows_from_nothing() -> None:
    log = DriftLog()
    assert (log.usual, log.speeds, log.measured) == (1.0, (), set())
    assert log.to_measure_again() == []
    assert log.corrections({"a": Reading(1.0, 0.1)}) == {}
    assert log.most_usual([]) == 1.0


def test_a_steady_device_needs_no_correction() -> None:
    log = log_of(STEADY)
    assert all(speed.steady for speed in log.speeds)
    assert log.to_measure_again() == []
    assert set(log.corrections(first_readings(log)).values()) == {None}


def test_what_earlier_sessions_measured_is_repeated_at_the_devices_speed() -> None:
    again = {"early": Reading(3.0, 0.03)}
    steady = Batch(("a",), 1.0, 1.01, repeats=again, stage="verify")
    slow = Batch(("b",), 1.2, 1.2, repeats={"late": Reading(3.6, 0.036)}, stage="verify")
    log = DriftLog((Batch(("early", "late"), 1.0, 1.0, stage="profile"), steady, slow))
    assert log.measured_in("verify") == {"a", "b"}
    assert log.repeated("profile") == {}
    repeated = log.repeated("verify")
    assert repeated["early"] == again["early"]
    assert repeated["late"].latency_ms == pytest.approx(3.0)
    first = {digest: Reading(2.9, 0.03) for digest in ("early", "late")}
    assert log.corrections(first) == dict.fromkeys(first)  # a repeat stands in for nothing


@pytest.mark.parametrize("earlier", [{}, {"repeats": {}, "stage": "profile"}])
def test_batches_of_earlier_journals_are_read(earlier: dict[str, object]) -> None:
    batch = Batch.from_dict({"digests": ["a"], "before": 1.0, "after": 1.0, "again": {}, **earlier})
    assert batch.repeats == {}
    assert Batch.from_dict(batch.to_dict()) == batch


def test_a_slow_stretch_is_told_from_its_edges() -> None:
    log = log_of(IN_THE_MIDDLE)
    assert [(speed.as_usual, speed.changed) for speed in log.speeds] == [
        (False, True),
        (False, False),
        (False, True),
        (True, False),
    ]
    assert log.speeds[1].slowdown == pytest.approx(1.22, rel=0.02)
    assert {digest[0] for digest in log.to_measure_again()} == {"0", "1", "2"}
    corrections = log.corrections(first_readings(log))
    inside = corrections["1.0"]
    assert inside is not None
    assert inside.latency_ms * inside.slowdown == pytest.approx(2.0)
    assert inside.slowdown == log.speeds[1].slowdown
    assert inside.error_ms == pytest.approx(0.02 / inside.slowdown)
    # Nobody knows when within the batch: the error says so.
    edge = corrections["0.0"]
    assert edge is not None
    assert edge.error_ms > 0.1 * edge.latency_ms
    assert corrections["3.0"] is None


def test_a_device_slow_from_the_beginning_is_known_once_it_is_undisturbed() -> None:
    before = log_of(FROM_THE_BEGINNING[:3])
    assert before.to_measure_again() == []
    log = log_of(FROM_THE_BEGINNING)
    assert log.usual == 0.831
    assert {digest[0] for digest in log.to_measure_again()} == {"0", "1", "2"}
    assert log.speeds[0].slowdown == pytest.approx(1.22, rel=0.02)
    assert log.is_usual(0.83)
    assert not log.is_usual(1.0)


def test_what_was_measured_again_counts_as_read_then_and_is_not_tried_a_third_time() -> None:
    log = log_of(IN_THE_MIDDLE)
    again = {digest: Reading(1.65, 0.01) for digest in log.to_measure_again()}
    log = log.after(Batch(tuple(again), 1.001, 1.017, again))
    assert log.to_measure_again() == []
    corrections = log.corrections(first_readings(log))
    assert {corrections[digest] for digest in again} == {Correction(1.65, 0.01)}
    # Of two disturbed readings that nearer to the undisturbed device counts.
    worse = log_of(IN_THE_MIDDLE).after(Batch(tuple(again), 1.5, 1.5, again))
    kept = worse.corrections(first_readings(worse))["1.0"]
    assert kept is not None
    assert kept.latency_ms * kept.slowdown == pytest.approx(2.0)


def test_a_device_that_stays_slow_is_divided_out() -> None:
    log = log_of(TO_THE_END)
    last = log.corrections(first_readings(log))["4.0"]
    assert last is not None
    assert last.slowdown == pytest.approx(1.22, rel=0.02)


def test_calibrated_yardsticks_tell_of_a_device_that_never_was_undisturbed() -> None:
    slow = (1.21, 1.225, 1.216)
    assert all(speed.steady for speed in log_of(slow).speeds)
    calibrated = log_of(slow, calibrated=True)
    assert [speed.slowdown for speed in calibrated.speeds] == pytest.approx([1.22, 1.22], rel=0.02)
    # What is near to them counts by this job's own readings.
    assert log_of((1.03, 1.03), calibrated=True).usual == 1.03


def test_both_controls_must_say_so() -> None:
    log = log_of(STEADY)
    assert log.most_usual([1.3, 1.01]) == 1.01
    assert log.most_usual([1.3]) == 1.3


def test_a_batch_survives_the_journal() -> None:
    batch = Batch(("a", "b"), 1.0, 1.1, {"a": Reading(2.0, 0.1)})
    assert Batch.from_dict(json.loads(json.dumps(batch.to_dict()))) == batch


READINGS = st.lists(st.floats(0.5, 2.0), min_size=2, max_size=12).map(tuple)


@given(readings=READINGS, scale=st.floats(0.1, 10.0))
def test_yardsticks_do_not_matter_unless_they_are_calibrated(
    readings: tuple[float, ...], scale: float
) -> None:
    one, other = log_of(readings), log_of(tuple(scale * reading for reading in readings))
    assert [speed.slowdown for speed in one.speeds] == pytest.approx([s.slowdown for s in other.speeds])
    assert [speed.change for speed in one.speeds] == pytest.approx([s.change for s in other.speeds], abs=1e-9)


@given(readings=READINGS, calibrated=st.booleans())
def test_everything_measured_is_decided_once(readings: tuple[float, ...], calibrated: bool) -> None:
    log = log_of(readings, calibrated)
    first = first_readings(log)
    corrections = log.corrections(first)
    assert corrections.keys() == first.keys()
    again = log.to_measure_again()
    assert len(set(again)) == len(again)
    assert {digest for digest, correction in corrections.items() if correction is None} == (
        first.keys() - set(again)
    )
    for correction in filter(None, corrections.values()):
        assert correction.slowdown == 1.0 or abs(math.log(correction.slowdown)) > CHANGE
        assert correction.latency_ms * correction.slowdown == pytest.approx(2.0)


@pytest.mark.parametrize(
    "published",
    [
        pytest.param(True, marks=pytest.mark.skipif(not TITAN.is_file(), reason="no ../shared/data here")),
        False,
    ],
)
def test_the_recorded_drift_of_a_device(tmp_path: Path, published: bool) -> None:
    """Rows of HAT's Titan Xp (or of a device made up like it) in measured order, 22% slower for 237 of them;
    every tenth stands for a reading of a control model, by what its architecture should take."""
    table = read_table(TITAN if published else hat_tables(tmp_path, ["made"], rows=1700)[0])
    (rows,) = table.devices.values()
    part = slice(1150, 1600)
    counts, latency_ms = table.design.counts(rows.population[part]), rows.latency_ms[part]
    prior = counted_prior(table.design)
    speed = drift_of(counts, latency_ms, np.arange(len(counts), dtype=float), [prior]).factors
    ratio = latency_ms / (counts @ fit_posterior(counts, latency_ms / speed, prior).mean)
    log = DriftLog()
    for start in range(0, len(ratio) - 10, 10):
        digests = tuple(str(row) for row in range(start + 1, start + 10))
        log = log.after(Batch(digests, float(ratio[start]), float(ratio[start + 10])))
    first = {digest: Reading(float(ratio[int(digest)]), 0.01) for digest in log.measured}
    corrections = log.corrections(first)
    corrected = np.array([(corrections[d] or Correction.of(first[d])).latency_ms for d in first]) / log.usual
    raw = np.array([first[d].latency_ms for d in first]) / log.usual
    slow = np.array([113 <= int(d) < 350 for d in first])
    assert np.mean(raw[slow]) > 1.15
    assert np.abs(corrected - 1).mean() < 0.5 * np.abs(raw - 1).mean()
    told = {int(digest) for digest in log.to_measure_again()}
    assert len(told & set(range(113, 350))) > 0.9 * slow.sum()
    assert len(told - set(range(103, 360))) < 0.1 * (~slow).sum()

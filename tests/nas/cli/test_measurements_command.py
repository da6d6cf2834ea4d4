"""`nas measurements`, on a store that holds some."""

from __future__ import annotations

import json
import math
from contextlib import closing
from pathlib import Path

import pytest

from nas.store import open_store
from searchspaces.architecture import Architecture, Layer
from workers.measurement import Correction, Measurement, Reading
from workers.target import Target

TARGET = Target("phone", "openvino")


@pytest.fixture
def measured(tmp_path: Path) -> list[Architecture]:
    architectures = [Architecture(256, 64, (Layer(mixer, 2),)) for mixer in ("softmax", "linear")]
    store = open_store(tmp_path / "home")
    store.put_architectures(architectures)
    for latency, architecture in enumerate(architectures, 3):
        store.add_measurement(
            Measurement(
                architecture.digest, TARGET, latency, 0.1, 0.02, 5.0, 2.0, 1.1, 7_000_000, 10, 0, True
            )
        )
    store.close()
    return architectures


def test_targets_are_listed(nas, measured):
    assert str(TARGET) in nas("measurements").out
    sessions = {"session_error": pytest.approx(0.01), "session_pairs": 0}
    listed = [{"target": str(TARGET), "measurements": 2, **sessions}]
    assert json.loads(nas("measurements", "--json").out) == listed


def test_errors_include_what_sessions_differ_by(nas, measured, tmp_path):
    assert "1.0% between sessions (assumed)" in nas("measurements", str(TARGET)).out
    with closing(open_store(tmp_path / "home")) as store:
        store.put_repeats(TARGET, "later", {measured[0].digest: Reading(3.6, 0.02)})
    shown = nas("measurements", str(TARGET))
    assert "5.8% between sessions (1 pairs)" in shown.out
    rows = json.loads(nas("measurements", str(TARGET), "--json").out)
    assert {row["session_pairs"] for row in rows} == {1}
    for row in rows:
        assert row["error_within_session_ms"] == 0.02
        assert row["error_ms"] == pytest.approx(math.hypot(0.02, row["session_error"] * row["latency_ms"]))


def test_what_was_measured_on_one_is_listed_in_order(nas, measured):
    shown = nas("measurements", str(TARGET))
    assert "3.000" in shown.out
    assert "noisy" in shown.out
    rows = json.loads(nas("measurements", str(TARGET), "--json").out)
    assert [row["latency_ms"] for row in rows] == [3, 4]
    assert [Architecture.from_dict(row["architecture"]) for row in rows] == measured


def test_what_a_disturbed_device_said_first_is_shown_beside_what_stands_in_for_it(nas, measured, tmp_path):
    assert "slowdown" not in nas("measurements", str(TARGET)).out
    with closing(open_store(tmp_path / "home")) as store:
        slow, again = store.measurements(TARGET)
        corrections = {slow.digest: Correction.of(slow.reading, 1.25), again.digest: Correction(3.5, 0.01)}
        store.correct_measurements(TARGET, corrections)
    *shown, below = nas("measurements", str(TARGET)).out.splitlines()
    assert "between sessions" in below
    assert all(part in shown[-2] for part in ("2.400", "3.000", "÷1.25"))
    assert all(part in shown[-1] for part in ("3.500", "4.000"))
    assert "÷" not in shown[-1]
    rows = json.loads(nas("measurements", str(TARGET), "--json").out)
    assert [row["latency_ms"] for row in rows] == [2.4, 3.5]
    assert [row["first"] for row in rows] == [
        {"latency_ms": 3.0, "error_ms": 0.02},
        {"latency_ms": 4.0, "error_ms": 0.02},
    ]
    assert [row["slowdown"] for row in rows] == [1.25, 1.0]


def test_what_is_no_target_is_said(nas):
    answer = nas("measurements", "phone")
    assert (answer.code, answer.out) == (2, "")
    assert "accepted: DEVICE/RUNTIME" in answer.err


def test_what_is_forgotten_is_written_down_and_told(nas, measured):
    digest, target = measured[0].digest, str(TARGET)
    for wrong in ("", "zz"):
        assert nas("measurements", "forget", target, "--digest", wrong).code == 3
    assert "is not a date" in nas("measurements", "forget", target, "--since", "noon").err
    asked = ("--digest", digest[:8], "--why", "absurd", "--json")
    assert [e["digest"] for e in json.loads(nas("measurements", "forget", target, *asked).out)] == [digest]
    left = json.loads(nas("measurements", target, "--json").out)
    assert [row["digest"] for row in left] == [measured[1].digest]
    assert "0 measurements" in nas("measurements", "forget", target, "--since", "2999-01-01").out
    assert "1 measurements" in nas("measurements", "forget", target).out
    assert json.loads(nas("measurements", "--json").out) == []
    journal = json.loads(nas("measurements", "journal", "--json").out)
    told = [(entry["digest"], entry["why"]) for entry in journal]
    assert told == [(digest, "absurd"), (measured[1].digest, "")]
    assert "absurd" in nas("measurements", "journal").out

"""The contract of stores: what jobs share."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nas.evaluation import Evaluation, Split
from nas.store.store import Repeat, Store, SupernetRecord
from nas.testing.contract import arbitrary
from nas.testing.stores import examples
from searchspaces.architecture import Architecture
from workers.measurement import Correction, Measurement, Reading
from workers.target import Target

__all__ = ["SharedContract"]


class SharedContract:
    """Architectures, measurements, evaluations, supernets and predictors, by digest."""

    @arbitrary(15)
    @given(architectures=st.lists(examples.ARCHITECTURES, max_size=5))
    def test_architectures_come_back_by_digest(self, store: Store, architectures: list[Architecture]) -> None:
        store.put_architectures(iter(architectures))
        store.put_architectures(architectures)
        digests = [architecture.digest for architecture in architectures]
        assert store.architectures(iter([*digests, "unknown"])) == {a.digest: a for a in architectures}

    def test_architectures_come_in_the_order_asked_for(self, store: Store) -> None:
        many = [examples.architecture(number) for number in range(6000)]
        store.put_architectures(many)
        digests = [architecture.digest for architecture in many]
        assert list(store.architectures(digests)) == digests
        assert list(store.architectures(digests[::-1])) == digests[::-1]

    @arbitrary(15)
    @given(measurement=examples.MEASUREMENTS)
    def test_measurements_come_back_as_they_were(self, store: Store, measurement: Measurement) -> None:
        before = time.time()
        assert store.add_measurement(measurement)
        (stored,) = store.measurements(measurement.target, [measurement.digest])
        assert before <= stored.measured_at <= time.time()
        assert replace(stored, measured_at=0.0) == measurement

    def test_the_first_measurement_stays(self, store: Store) -> None:
        assert store.add_measurement(examples.measurement("a", latency_ms=1.0))
        assert not store.add_measurement(examples.measurement("a", latency_ms=2.0))
        assert store.add_measurement(examples.measurement("a", examples.OTHER_TARGET, latency_ms=3.0))
        (kept,) = store.measurements(examples.TARGET)
        assert kept.latency_ms == 1.0

    @arbitrary(15)
    @given(
        measurement=examples.MEASUREMENTS,
        correction=st.builds(Correction, examples.POSITIVE, examples.POSITIVE, st.floats(0.1, 10.0)),
    )
    def test_a_correction_stands_in_for_what_was_measured_which_stays(
        self, store: Store, measurement: Measurement, correction: Correction
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

    def test_corrections_touch_only_what_they_name(self, store: Store) -> None:
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

    def test_measurements_are_in_the_order_in_which_they_were_taken(self, store: Store) -> None:
        for digest in "cab":
            store.add_measurement(examples.measurement(digest))
            store.add_measurement(examples.measurement(digest, examples.OTHER_TARGET))
        assert [m.digest for m in store.measurements(examples.TARGET)] == ["c", "a", "b"]
        assert [m.digest for m in store.measurements(examples.TARGET, iter("bcx"))] == ["c", "b"]
        assert [m.digest for m in store.measurements(examples.TARGET, ["a", "a"])] == ["a"]
        assert store.measurements(examples.TARGET, []) == []
        assert store.measurements(Target("nobody")) == []

    def test_what_is_forgotten_is_written_down_and_measured_again(self, store: Store) -> None:
        for digest in "abc":
            store.add_measurement(examples.measurement(digest))
        store.add_measurement(examples.measurement("a", examples.OTHER_TARGET))
        since = store.measurements(examples.TARGET, ["b"])[0].measured_at
        (one,) = store.forget_measurements(examples.TARGET, ["a"], by="ada", why="absurd")
        assert (one.digest, one.latency_ms, one.by, one.why) == ("a", 2.0, "ada", "absurd")
        assert [m.digest for m in store.measurements(examples.TARGET)] == ["b", "c"]
        assert [e.digest for e in store.forget_measurements(examples.TARGET, ["a"])] == []
        assert [e.digest for e in store.forget_measurements(examples.TARGET, since=since)] == ["b", "c"]
        assert store.targets() == [examples.OTHER_TARGET]
        assert store.add_measurement(examples.measurement("a"))
        assert [e.digest for e in store.forgotten(examples.TARGET)] == ["a", "b", "c"]
        assert store.forgotten()[0] == one
        assert store.forgotten(examples.OTHER_TARGET) == []

    def test_repeats_are_pairs_with_what_stands_in_the_store(self, store: Store) -> None:
        for digest in "ab":
            store.add_measurement(examples.measurement(digest))
        store.add_measurement(examples.measurement("a", examples.OTHER_TARGET))
        store.put_repeats(examples.TARGET, "one", {"b": Reading(2.2, 0.1), "a": Reading(9.0, 0.1)})
        store.put_repeats(examples.TARGET, "one", {"a": Reading(1.9, 0.2)})
        store.put_repeats(
            examples.TARGET, "two", {"a": Reading(2.1, 0.3), "never measured": Reading(1.0, 0.1)}
        )
        store.put_repeats(examples.OTHER_TARGET, "one", {"a": Reading(4.0, 0.4)})
        store.put_repeats(examples.TARGET, "three", {})
        first, again = Reading(2.0, 0.01), [Reading(1.9, 0.2), Reading(2.2, 0.1), Reading(2.1, 0.3)]
        pairs = [Repeat(examples.TARGET, digest, first, it) for digest, it in zip("aba", again, strict=True)]
        other = Repeat(examples.OTHER_TARGET, "a", first, Reading(4.0, 0.4))
        assert store.repeats() == [*pairs, other]
        store.correct_measurements(examples.TARGET, {"b": Correction(1.5, 0.5)})
        assert store.repeats()[1].first == Reading(1.5, 0.5)

    def test_what_repeats_a_forgotten_measurement_goes_with_it(self, store: Store) -> None:
        for target in (examples.TARGET, examples.OTHER_TARGET):
            store.add_measurement(examples.measurement("a", target))
            store.put_repeats(target, "one", {"a": Reading(2.1, 0.1)})
        store.forget_measurements(examples.TARGET)
        assert [pair.target for pair in store.repeats()] == [examples.OTHER_TARGET]
        store.add_measurement(examples.measurement("a"))
        assert [pair.target for pair in store.repeats()] == [examples.OTHER_TARGET]

    def test_a_files_checksum_is_that_of_its_last_writing(self, store: Store) -> None:
        assert store.checksum("supernets/a") is None
        store.put_checksum("supernets/a", "0f")
        store.put_checksum("supernets/a", "1e")
        assert store.checksum("supernets/a") == "1e"

    def test_targets_are_those_with_a_measurement(self, store: Store) -> None:
        assert store.targets() == []
        store.put_predictor("space", ("latency_ms", str(Target("only-predicted"))), {})
        store.add_measurement(examples.measurement("a", examples.OTHER_TARGET))
        store.add_measurement(examples.measurement("a"))
        store.add_measurement(examples.measurement("b"))
        assert store.targets() == [examples.TARGET, examples.OTHER_TARGET]

    @arbitrary(15)
    @given(evaluation=examples.EVALUATIONS)
    def test_evaluations_come_back_as_they_were(self, store: Store, evaluation: Evaluation) -> None:
        store.add_evaluations([evaluation])
        (stored,) = store.evaluations(evaluation.supernet, evaluation.split)
        assert math.isnan(stored.value) == math.isnan(evaluation.value)
        comparable = replace(evaluation, value=0.0) if math.isnan(evaluation.value) else evaluation
        assert (replace(stored, value=0.0) if math.isnan(stored.value) else stored) == comparable

    def test_the_first_evaluation_stays_and_order_is_kept(self, store: Store) -> None:
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

    def test_many_evaluations_at_once(self, store: Store) -> None:
        many = [examples.evaluation(f"{number:06}") for number in range(12_000)]
        store.add_evaluations(many)
        assert store.evaluations("net", Split.VALIDATION) == many
        digests = [evaluation.digest for evaluation in many[::-1]]
        assert store.evaluations("net", Split.VALIDATION, digests) == many

    def test_overlapping_batches_at_once_keep_each_evaluation_once(self, store: Store) -> None:
        many = [examples.evaluation(f"{number:04}") for number in range(500)]

        def write(evaluations: list[Evaluation]) -> None:
            for start in range(0, 500, 50):
                store.add_evaluations(evaluations[start : start + 100])

        with ThreadPoolExecutor(3) as threads:
            list(threads.map(write, [many, many[::-1], many]))
        assert sorted(e.digest for e in store.evaluations("net", Split.VALIDATION)) == [
            e.digest for e in many
        ]

    @arbitrary(15)
    @given(record=examples.SUPERNETS)
    def test_supernets_come_back_as_they_were(self, store: Store, record: SupernetRecord) -> None:
        assert store.supernet(record.digest) is None
        store.put_supernet(record)
        assert store.supernet(record.digest) == record
        store.put_supernet(replace(record, path="elsewhere"))
        assert store.supernet(record.digest) == replace(record, path="elsewhere")

    @arbitrary(15)
    @given(target=examples.TARGETS, first=examples.JSON, second=examples.JSON)
    def test_the_newest_predictor_comes_back(
        self, store: Store, target: Target, first: dict, second: dict
    ) -> None:
        space, latency = examples.unique(), ("latency_ms", str(target))
        assert store.predictor(space, latency) is None
        store.put_predictor(space, latency, first)
        assert store.predictor(space, latency) == first
        store.put_predictor(space, latency, second)
        assert store.predictor(space, latency) == second
        assert store.predictor(space, ("peak_memory_bytes", str(target))) is None
        assert store.predictor(space, ("latency_ms", str(Target("nobody")))) is None

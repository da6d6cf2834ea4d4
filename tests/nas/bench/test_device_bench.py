"""`nas bench devices`: on targets that are made up, and once on this machine's own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nas.bench.devices import DEFAULT_TARGETS, DeviceBench, targets_here
from nas.errors import InvalidSpec
from nas.service.api import Service
from nas.stages.profile import holdout
from predictors import make_predictor
from predictors.design import SpaceDesign
from predictors.predictor import Vector
from predictors.prior import counted_prior
from searchspaces import Architecture, Population, load_space
from workers.measurement import Correction, Measurement
from workers.target import Target

SPACE = load_space("hybrid-lm")
TARGETS = [
    Target.parse(f"lab/{text}")
    for text in (
        "onnxruntime/fp32/1t/prefill/b1/n1024",
        "onnxruntime/fp32/2t/prefill/b1/n1024",
        "openvino/fp32/1t/prefill/b1/n1024",
        "onnxruntime/fp32/1t/prefill/b1/n256",
        "onnxruntime/fp32/1t/prefill/b8/n256",
        "onnxruntime/fp32/1t/decode/b1/n1024",
    )
]


class Laboratory:
    """Stands for a service that has measured targets of one device: each block takes a factor of its own
    over its counted work, most of which all targets share, and each measurement is 1% off. `single` are
    further rows, of single blocks."""

    def __init__(self, learn: int, held_out: int, single: Population | None = None) -> None:
        rng = np.random.default_rng(0)
        shared = np.exp(0.4 * rng.standard_normal(len(SpaceDesign(SPACE, TARGETS[0].workload).names)))
        space = SPACE.with_single_blocks
        rows = np.concatenate([SPACE.sample(learn, rng), holdout(SPACE, held_out, 0)])
        rows = rows if single is None else np.concatenate([rows, single])
        self.measured = {}
        for number, target in enumerate(TARGETS):
            design = SpaceDesign(space, target.workload)
            own = np.exp(0.05 * rng.standard_normal(len(shared)))
            latency = design.counts(rows) @ (counted_prior(design).mean * shared * own) * (number + 1) / 1e6
            latency *= np.exp(0.01 * rng.standard_normal(len(rows)))
            taken = Measurement("", target, 1.0, 0.1, 0.01, 1.0, 2.0, 1.0, 0, 10, 0, False)
            self.measured[target] = [
                (
                    a,
                    dataclasses.replace(
                        taken, digest=a.digest, latency_ms=float(ms), error_ms=0.01 * float(ms)
                    ),
                )
                for a, ms in zip(space.decode(rows), latency, strict=True)
            ]

    def measurements(self, target: Target) -> list[tuple[Architecture, Measurement]]:
        return self.measured.get(target, [])


def test_length_batch_threads_and_runtime_of_one_device_teach_each_other() -> None:
    """Leave-one-target-out: five measurements of a new target and what the others know do what five alone
    cannot. The one decode target has no other to learn from."""
    bench = DeviceBench("hybrid-lm", TARGETS, learn=30, holdout=40, samples=(5, 30), seeds=3)
    laboratory: Service = Laboratory(30, 40)  # type: ignore[assignment]
    result = bench.run(laboratory)
    by_key = {(row["predictor"], row["samples"], row["device"]): row for row in result["rows"]}
    assert len(by_key) == 2 * 2 * len(TARGETS)
    for target in TARGETS[:-1]:
        transfer, alone = (by_key[name, 5, str(target)] for name in ("transfer", "additive"))
        assert transfer["mape"] < min(0.06, 0.6 * alone["mape"]), target
        assert transfer["within_10"] > alone["within_10"] + 0.1
    decode = str(TARGETS[-1])
    assert by_key["transfer", 5, decode]["mape"] == by_key["additive", 5, decode]["mape"]
    assert any(note.startswith(decode) for note in result["notes"])
    assert {mean["devices"] for mean in result["means"]} == {len(TARGETS)}
    assert [facts["held_out"] for facts in result["targets"]] == [40] * len(TARGETS)


def test_single_blocks_teach_those_that_learn_from_them_and_score_nobody() -> None:
    """Of 30 learned measurements 20 are of one layer, where members have two and more."""
    beside = SPACE.with_single_blocks
    single = beside.sample(400, np.random.default_rng(5))
    single = np.unique(single[~beside.is_member(single)], axis=0)[:20]
    laboratory = Laboratory(10, 40, single)
    bench = DeviceBench("hybrid-lm", TARGETS[:1], 30, 40, (10, 30), ("additive", "macs"), seeds=2)
    result = bench.run(laboratory)  # type: ignore[arg-type]
    (facts,) = result["targets"]
    assert (facts["learned"], facts["single_blocks"], facts["held_out"]) == (30, 20, 40)
    assert {(row["predictor"], row["samples"]) for row in result["rows"]} == {
        ("additive", 10),
        ("additive", 30),
        ("macs", 10),
    }
    assert any("macs: 30 samples left out, 10 that teach it were measured" in n for n in result["notes"])


def test_corrected_numbers_teach_and_score() -> None:
    """Half of the measurements are of a device 30% slower, which control models told: nothing is lost."""
    bench = DeviceBench("hybrid-lm", TARGETS[:2], learn=30, holdout=40, samples=(30,), seeds=1)
    laboratory = Laboratory(30, 40)
    steady = bench.run(laboratory)  # type: ignore[arg-type]
    for target in TARGETS[:2]:
        slow = [
            (
                a,
                dataclasses.replace(
                    m, latency_ms=1.3 * m.latency_ms, correction=Correction(m.latency_ms, m.error_ms, 1.3)
                ),
            )
            for a, m in laboratory.measured[target][::2]
        ]
        laboratory.measured[target][::2] = slow
    disturbed = bench.run(laboratory)  # type: ignore[arg-type]
    for before, after in zip(steady["rows"], disturbed["rows"], strict=True):
        assert after["mape"] == pytest.approx(before["mape"], rel=1e-6)
    assert [facts["corrected"] for facts in steady["targets"]] == [0, 0]
    assert [facts["corrected"] for facts in disturbed["targets"]] == [35, 35]


def test_what_measurements_state_of_their_errors_counts_as_while_profiling() -> None:
    """Every other measurement that teaches is up to 50% off, and says so."""
    laboratory, (target, *_) = Laboratory(30, 40), TARGETS
    measured = laboratory.measured[target]
    off = np.exp(np.random.default_rng(1).uniform(-0.4, 0.4, 30))
    for number in range(0, 30, 2):
        a, m = measured[number]
        latency_ms = m.latency_ms * float(off[number])
        measured[number] = a, dataclasses.replace(m, latency_ms=latency_ms, error_ms=0.4 * latency_ms)
    bench = DeviceBench("hybrid-lm", [target], 30, 40, (30,), ("additive",), seeds=1)
    (row,) = bench.run(laboratory)["rows"]  # type: ignore[arg-type]

    space = SPACE.with_single_blocks
    population = space.encode(a for a, _ in measured)
    latency, error = (np.array([getattr(m, of) for _, m in measured]) for of in ("latency_ms", "error_ms"))
    predictor = make_predictor("additive", space, target.workload)

    def mape(error_ms: Vector | None) -> float:
        predictor.fit(population[:30], latency[:30], error_ms)
        return float(np.abs(predictor.predict(population[30:]).mean / latency[30:] - 1).mean())

    assert row["mape"] == pytest.approx(mape(error[:30]), rel=1e-6)
    assert row["mape"] != pytest.approx(mape(None), rel=0.01)


def test_what_was_not_measured_is_left_out_and_said() -> None:
    bench = DeviceBench("hybrid-lm", [TARGETS[0], Target("nobody")], learn=6, samples=(3, 6), seeds=1)
    laboratory: Service = Laboratory(5, 40)  # type: ignore[assignment]
    result = bench.run(laboratory)
    assert {row["device"] for row in result["rows"]} == {str(TARGETS[0])}
    assert {row["samples"] for row in result["rows"]} == {3}
    assert any("nobody" in note and "nothing was measured" in note for note in result["notes"])
    assert any("6 samples left out, 5 that teach it were measured" in note for note in result["notes"])


def test_this_machine_is_asked_what_it_can() -> None:
    here, lacking = targets_here()
    assert set(here) | set(lacking) == set(DEFAULT_TARGETS)
    assert not set(here) & set(lacking)
    assert all(lacking.values())


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"predictors": ["crystal"]}, "crystal.*accepted"),
        ({"samples": [3, 50]}, "accepted: 1 to learn, 48"),
        ({"samples": []}, "accepted: 1 to learn, 48"),
    ],
)
def test_mistakes_are_named_before_anything_is_measured(fields: dict[str, list[object]], told: str) -> None:
    with pytest.raises(InvalidSpec, match=told):
        DeviceBench("hybrid-lm", TARGETS, **fields)  # type: ignore[arg-type]

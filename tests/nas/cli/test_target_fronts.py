"""Fronts of one target and robust fronts, as the command line answers."""

import json

import pytest

from nas.job import JobStatus
from nas.objectives.value import Value
from nas.point import Point
from nas.spec import load_job_spec
from nas.store import open_store
from searchspaces.architecture import Architecture, Layer

SPEC = {
    "name": "two",
    "space": "hybrid-lm",
    "task": "text",
    "targets": [{"device": "phone"}, {"device": "server"}],
}
FACTS = {16: (3.0, 1.0, 4.0), 32: (2.5, 2.0, 5.0), 64: (2.6, 6.0, 2.0), 128: (2.7, 7.0, 9.0)}
"""Width: quality, ms on the phone, ms on the server. The widest is beaten everywhere."""


@pytest.fixture
def job(nas, tmp_path) -> str:
    spec = load_job_spec(SPEC)
    phone, server = (str(item.target()) for item in spec.targets)
    points = []
    for width, (quality, on_phone, on_server) in FACTS.items():
        layers = Architecture(256, width, (Layer("softmax", 2),))
        latencies = {
            ("latency_ms", phone): Value(on_phone, 0.1, on_phone, 0.1),
            ("latency_ms", server): Value(on_server, 0.1, on_server, 0.1),
        }
        points.append(Point(layers.digest, layers, quality, quality, latencies, on_front=width < 128))
    store = open_store(tmp_path / "home")
    stored = store.create_job(spec)
    store.put_points(stored.id, points)
    store.set_job(stored.id, JobStatus.SUCCEEDED, None)
    store.close()
    return stored.id


def widths(document: dict) -> set[int]:
    return {p["architecture"]["width"] for p in document["points"] if p["on_front"]}


def test_a_front_for_each_target_and_one_for_all(nas, job):
    def front(*options: str) -> dict:
        return json.loads(nas("front", job, "--json", *options).out)

    assert widths(front()) == {16, 32, 64}
    assert widths(front("--target", "phone")) == {16, 32}
    assert widths(front("--target", "server")) == {32, 64}
    robust = front("--robust")
    assert list(robust["robust"]["best_ms"].values()) == [1.0, 2.0]
    ratios = {
        p["architecture"]["width"]: robust["robust"]["worst_ratio"][p["digest"]] for p in robust["points"]
    }
    assert ratios == {16: 2.0, 32: 2.5, 64: 6.0, 128: 7.0}
    assert widths(robust) == {16, 32}


@pytest.mark.parametrize("format", ["table", "csv", "html", "svg"])
def test_a_front_of_one_target_in_every_form(nas, job, format):
    answer = nas("front", job, "--target", "server", "--format", format)
    assert answer.code == 0
    assert "server" in answer.out
    assert format == "csv" or "phone/" not in answer.out


def test_bounds_hold_for_all_targets_of_a_robust_front(nas, job):
    answer = json.loads(nas("front", job, "--robust", "--json", "--max", "latency_ms@server=4.5").out)
    assert widths(answer) == {16, 64}


def test_bounds_narrow_a_robust_front_and_leave_each_targets_best_as_it_is(nas, job):
    answer = json.loads(nas("front", job, "--robust", "--json", "--max", "latency_ms@phone=2.5").out)
    ratio = answer["robust"]["worst_ratio"]
    assert list(answer["robust"]["best_ms"].values()) == [1.0, 2.0]
    assert {p["architecture"]["width"]: ratio[p["digest"]] for p in answer["points"]} == {16: 2.0, 32: 2.5}
    assert widths(answer) == {16, 32}


def test_of_a_robust_front_what_only_points_outside_the_bounds_beat_is_a_member(nas, job):
    """Width 64 is beaten by 32, which is too slow on the server."""
    answer = json.loads(nas("front", job, "--robust", "--json", "--max", "latency_ms@server=2").out)
    assert widths(answer) == {64}
    assert nas("front", job, "--robust", "--max", "latency_ms@server=1").code == 4
    assert "--max latency_ms" in nas("front", job, "--robust", "--min", "latency_ms=9").err


def test_a_robust_front_is_shown_by_its_worst_ratio(nas, job):
    out = nas("front", job, "--robust").out
    assert "each target's best" in out
    assert out.index("2.00") < out.index("2.50")


@pytest.mark.parametrize(
    "options", [("--robust", "--target", "phone"), ("--robust", "--format", "csv"), ("--target", "fridge")]
)
def test_what_does_not_go_together_is_said(nas, job, options):
    answer = nas("front", job, *options)
    assert answer.code == 2
    assert "accepted" in answer.err


def test_a_target_that_cannot_be_is_refused(nas, job):
    answer = nas("add-target", job, "board/abacus/fp32/1t/prefill/b1/n64")
    assert answer.code == 2
    assert "abacus" in answer.err


def test_all_jobs_of_a_space_and_a_task_as_one_front(nas, job):
    phone = str(load_job_spec(SPEC).targets[0].target())
    document = json.loads(nas("front", "--across", "hybrid-lm/text", "--target", phone, "--json").out)
    assert widths(document) == {16, 32}
    assert set(document["jobs"].values()) == {job}
    table = nas("front", "--across", "hybrid-lm/text", "--target", phone)
    assert table.code == 0
    assert job in table.out
    for options in (
        ("front",),
        ("front", "--across", "hybrid-lm/text"),
        ("front", job, "--across", "hybrid-lm/text", "--target", phone),
        ("front", "--across", "text", "--target", phone),
    ):
        assert nas(*options).code == 2
    missing = nas("front", "--across", "hybrid-lm/digits", "--target", phone)
    assert missing.code == 3
    assert f"hybrid-lm/text on {phone}" in " ".join(missing.err.split())

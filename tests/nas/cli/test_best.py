"""`nas best`: what is stored and what the models prove, on a real service and a real store."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from known_job import store_known_job

from nas.objectives.value import Value
from nas.point import Point
from nas.store import open_store
from searchspaces.architecture import Architecture


@pytest.fixture
def job(nas, tmp_path) -> str:
    return store_known_job(tmp_path / "home")


def test_the_best_point_comes_with_the_proved_optimum(nas, job):
    answer = json.loads(nas("best", job, "--max", "latency_ms=3", "--json").out)
    optimum = answer["optimum"]
    (latency,) = optimum["point"]["latency_ms"].values()
    assert (optimum["gap"], optimum["exact"], optimum["evaluations"]) == (0, True, 40)
    assert latency["predicted"] <= 3
    assert optimum["quality"]["predicted"] <= answer["quality"]["validation"] + 0.1
    assert optimum["quality"]["predicted_std"] > 0
    assert optimum["seconds"] < 60
    shown = nas("best", job, "--max", "latency_ms=3").out
    assert optimum["point"]["digest"] in shown
    assert "proved; quality learned from 40 evaluations" in shown


def test_bounds_on_what_is_no_objective_count_too(nas, job):
    free = json.loads(nas("best", job, "--json").out)["optimum"]["point"]
    bound = free["parameters"] - 1
    within = json.loads(nas("best", job, "--max", f"params={bound}", "--json").out)["optimum"]["point"]
    assert within["parameters"] <= bound


def test_what_nothing_stored_meets_but_the_models_do_is_said(nas, job):
    points = json.loads(nas("front", job, "--json").out)["points"]
    fastest = min(latency["predicted"] for point in points for latency in point["latency_ms"].values())
    answer = nas("best", job, "--max", f"latency_ms={fastest - 0.05}")
    assert answer.code == 4
    assert "by the job's models" in answer.err
    assert "--verify" in answer.err


def test_what_no_architecture_meets_names_the_nearest_of_all(nas, job):
    answer = nas("best", job, "--max", "params=10", "--max", "latency_ms=1", "--verify")
    assert answer.code == 4
    assert "according to its models nothing in hybrid-lm-tiny meets the bounds; the nearest has" in answer.err


def test_a_job_of_which_too_little_is_known_still_has_its_best_point(nas, tmp_path):
    job = store_known_job(tmp_path / "home", scored=4)
    answer = json.loads(nas("best", job, "--json").out)
    assert answer["optimum"] is None
    assert "too few to model quality" in nas("best", job).out
    assert nas("best", job, "--verify").code == 3


def test_a_job_is_shown_with_why_its_front_looks_so(nas, job, tmp_path):
    explanation = json.loads(nas("show", job, "--json").out)["explanation"]
    assert explanation["evaluations"] == 40
    assert next(iter(explanation["importance"]["latency_ms"])) in ("depth", "mixer")
    assert sum(explanation["importance"]["quality"].values()) == pytest.approx(1)
    assert {m["digest"] for m in explanation["members"]}
    assert {name for m in explanation["members"] for name in m["best_in"]} == {"quality", "latency_ms"}
    for item in explanation["shared"]:
        assert item["on_front"] > item["elsewhere"]
    shown = nas("show", job).out
    assert "what matters" in shown
    assert explanation["members"][0]["digest"][:8] in shown
    assert nas("front", job, "--format", "html", "--out", "front.html").code == 0
    assert "What matters" in (tmp_path / "front.html").read_text()


def test_a_job_of_which_too_little_is_known_is_shown_without_an_explanation(nas, tmp_path):
    job = store_known_job(tmp_path / "home", scored=4)
    assert json.loads(nas("show", job, "--json").out)["explanation"] is None


def test_a_front_within_a_part_of_a_targets_name_says_what_was_asked(nas, job):
    document = json.loads(nas("front", job, "--max", "latency_ms@onnxrun=2", "--json").out)
    assert [o["bound"] for o in document["objectives"]] == [None, 2]


def test_the_tighter_of_two_bounds_on_one_thing_counts(nas, job):
    bounds = ["--max", "latency_ms=3", "--max", "latency_ms@local-cpu=2"]
    (latency,) = json.loads(nas("best", job, *bounds, "--json").out)["optimum"]["point"][
        "latency_ms"
    ].values()
    assert latency["predicted"] <= 2


def measured(home: Path, optimum: dict[str, Any], ms: float) -> Architecture:
    """An optimum that was measured, in its job's points."""
    architecture = Architecture.from_dict(optimum["point"]["architecture"])
    with closing(open_store(home)) as store:
        (target,) = (item.target() for item in store.jobs()[0].spec.targets)
        told = Value(optimum["point"]["latency_ms"][str(target)]["predicted"], 0.1, ms, 0.01)
        values = {("latency_ms", str(target)): told}
        store.put_points(store.jobs()[0].id, [Point(architecture.digest, architecture, 0.1, None, values)])
    return architecture


def test_what_is_left_where_better_ones_may_be_is_not_called_proved(nas, job, tmp_path, monkeypatch):
    """The better one is the only one that was cut off before giving up."""
    asked = ("best", job, "--max", "latency_ms=3", "--json")
    measured(tmp_path / "home", json.loads(nas(*asked).out)["optimum"], 3.4)
    second = json.loads(nas(*asked).out)["optimum"]
    assert second["gap"] == 0
    architecture = measured(tmp_path / "home", second, 2.9)
    monkeypatch.setattr("nas.analysis.optimum.MOST_CUTS", 1)
    left = json.loads(nas(*asked).out)["optimum"]
    assert left["point"]["digest"] == architecture.digest
    assert left["gap"] > 0


def test_an_optimum_that_measurement_refuted_is_not_offered(nas, job, tmp_path):
    """It was predicted under 3 ms, and measured above."""
    asked = ("best", job, "--max", "latency_ms=3", "--json")
    first = json.loads(nas(*asked).out)["optimum"]
    assert (first["refuted"], first["bounds_met_by"]) == (0, "predicted")
    architecture = measured(tmp_path / "home", first, 3.4)
    second = json.loads(nas(*asked).out)["optimum"]
    assert second["point"]["digest"] != architecture.digest
    assert second["refuted"] == 1
    assert "1 point is left out" in nas(*asked[:-1]).out

"""A whole job with real parts: SQLite, a worker process over gRPC, Ray actors, ONNX files that run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml

import nas
from nas.bench.export import ExportBench, run_export_bench
from nas.errors import InvalidSpec, NoSuchJob, NoSuchPoint, NothingMeetsBounds
from nas.export import attention_for, load_model_folder
from nas.front import Scope
from nas.job import EventKind, JobStatus
from nas.planning.plan import resolve
from nas.spec import StageName, load_job_spec
from nas.stages.profile import holdout
from nas.store import open_store

pytestmark = [pytest.mark.job, pytest.mark.usefixtures("one_processor")]

TINY = Path(__file__).parent / "tiny.yaml"


@pytest.fixture(scope="module")
def finished(make_home):
    """A finished job: (client, job, events)."""
    with nas.connect(home=make_home()) as client:
        job = client.submit(TINY)
        assert job.status is JobStatus.QUEUED
        client.resume(job.id)
        events = list(client.watch(job.id))
        yield client, client.job(job.id), events


def test_every_stage_ends_and_tells_its_progress(finished):
    _, job, events = finished
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert job.stage is None
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))
    stages = [(e.stage, e.message) for e in events if e.kind is EventKind.STAGE]
    assert stages == [(stage, word) for stage in job.spec.stages for word in ("started", "ended")]
    for stage in job.spec.stages:
        progress = [e for e in events if e.stage is stage and e.kind is EventKind.PROGRESS]
        assert progress, stage
        assert all(0 <= e.done <= e.total for e in progress)


def test_every_point_of_the_front_is_measured_and_tested(finished):
    client, job, _ = finished
    front = client.front(job.id)
    members = front.members()
    assert members
    for point in members:
        assert point.test is not None
        assert point.validation is not None
        assert all(latency.measured is not None for latency in point.values.values() if not latency.exact)
        assert point.digest == point.architecture.digest
    assert {p.preset for p in front.points} >= {"softmax-L1", "softmax-L2"}
    assert json.loads(json.dumps(front.to_dict()))["points"]


def test_no_front_member_is_dominated_by_any_measured_point(finished):
    client, job, _ = finished
    front = client.front(job.id, Scope.ALL)
    values = {p.digest: v for p, v in zip(front.points, front.values(), strict=True)}
    for member in front.members():
        for other in front.points:
            if all(latency.measured is not None for latency in other.values.values() if not latency.exact):
                better = (values[other.digest] <= values[member.digest]).all()
                assert not (better and (values[other.digest] < values[member.digest]).any())


def test_the_extracted_model_runs_and_is_what_it_says(finished, tmp_path):
    client, job, _ = finished
    best = client.best(job.id)
    out = tmp_path / "model"
    manifest = client.extract(job.id, best.digest[:8], out)
    assert {p.name for p in out.iterdir()} >= {
        "model.onnx",
        "model.safetensors",
        "config.json",
        "manifest.json",
    }
    assert json.loads((out / "manifest.json").read_text()) == json.loads(json.dumps(manifest))
    session = onnxruntime.InferenceSession(out / "model.onnx")
    model = load_model_folder(out)
    for shape in [(1, 7), (3, 64), (2, 130)]:
        tokens = np.random.default_rng(0).integers(0, 256, shape)
        (logits,) = session.run(None, {"tokens": tokens})
        with torch.inference_mode():
            expected = model(torch.from_numpy(tokens)).numpy()
        np.testing.assert_allclose(logits, expected, atol=1e-3)


def test_a_second_job_measures_and_trains_nothing_again(finished):
    """It is told so by the stages up to its training."""
    client, job, _ = finished
    store = open_store(client.home)
    target = resolve(job.spec).targets[0]
    before = {m.digest: m for m in store.measurements(target)}
    supernet = store.supernet(resolve(job.spec).supernet_digest)
    spec = job.spec.model_dump(mode="json") | {"until": "train"}
    again = client.submit(spec)
    client.resume(again.id)
    events = list(client.watch(again.id))
    assert client.job(again.id).status is JobStatus.SUCCEEDED
    after = {m.digest: m for m in store.measurements(target)}
    assert before.items() <= after.items()
    assert store.supernet(supernet.digest) == supernet
    assert any("trained already" in e.message for e in events)
    store.close()


def test_measurements_are_unique_and_held_out_models_are_among_them(finished):
    client, job, _ = finished
    store = open_store(client.home)
    plan = resolve(job.spec)
    measured = store.measurements(plan.targets[0])
    digests = [m.digest for m in measured]
    assert {m.attention for m in measured} == {attention_for(plan.targets).name}
    assert max(Counter(digests).values()) == 1
    held_out = plan.space.decode(holdout(plan.space, 6, plan.spec.seed))
    assert {a.digest for a in held_out} <= set(digests)
    store.close()


def test_a_budget_is_answered_by_a_proved_optimum_that_can_be_verified(finished):
    client, job, _ = finished
    front = client.front(job.id)
    fastest = min(point.value(front.objectives[1]) for point in front.points)
    bounds = {"latency_ms": 1.5 * fastest, "params": 60_000}
    found = client.optimum(job.id, bounds)
    assert found.gap == 0
    assert found.quality_std > 0
    assert found.evaluations >= 24
    assert found.point.values["parameters", None].best_known <= 60_000
    latencies = [value for (kind, _), value in found.point.values.items() if kind == "latency_ms"]
    assert latencies
    for latency in latencies:
        assert latency.best_known <= 1.5 * fastest * 1.05
    verified = client.optimum(job.id, bounds, verify=True).point
    assert verified.verified
    assert verified.test is not None
    assert verified.digest == found.point.digest
    assert verified in client.front(job.id, Scope.ALL).points
    assert client.optimum(job.id, bounds, verify=True).point == verified
    with pytest.raises(NothingMeetsBounds, match=r"parameters .* \(asked ≤ 100"):
        client.optimum(job.id, {"parameters": 100.0})
    with pytest.raises(InvalidSpec, match=r"accepted: .*quality"):
        client.optimum(job.id, {"price": 1.0})


def test_unknown_jobs_and_points_are_named(finished, tmp_path):
    client, job, _ = finished
    with pytest.raises(NoSuchJob, match=job.id):
        client.job(job.id[:-1] + "zz")
    with pytest.raises(NoSuchPoint, match="nas front"):
        client.extract(job.id, "zzzz", tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_spec_with_several_mistakes_gets_all_of_them_and_writes_nothing(tmp_path):
    data = yaml.safe_load(TINY.read_text())
    data["task"] = {"name": "texts"}
    data["space"]["layer"]["mixer"] = ["softmaxx"]
    data["objectives"] = ["quality", "speed"]
    data["bounds"] = {"energy": 3.0}
    data["budget"]["search"]["strategy"] = "magic"
    data["targets"][0]["runtime"] = "abacus"
    with nas.connect(home=tmp_path / "home") as client:
        with pytest.raises(InvalidSpec) as caught:
            client.submit(data)
        assert client.jobs() == []
    paths = {problem.path for problem in caught.value.problems}
    assert paths >= {
        "task.name",
        "space.layer.mixer.0",
        "objectives.1",
        "bounds.energy",
        "budget.search.strategy",
        "targets.0.runtime",
    }


def test_the_form_of_a_spec_is_checked_at_every_path_at_once():
    with pytest.raises(InvalidSpec) as caught:
        load_job_spec(
            {"name": "a b", "space": "hybrid-lm", "targets": [], "budget": {"train": {"steps": 0}}, "x": 1}
        )
    assert {p.path for p in caught.value.problems} == {"name", "task", "targets", "budget.train.steps", "x"}


def test_a_profiled_target_serves_later_jobs(finished):
    """A job that only profiles needs no task; what an earlier job measured is not measured again."""
    client, job, _ = finished
    (of_search,) = client.profile(job.id)
    spec = {**yaml.safe_load(TINY.read_text()), "until": "profile"}
    for name in ("task", "objectives"):
        del spec[name]
    only = client.submit(spec)
    client.resume(only.id)
    events = list(client.watch(only.id))
    ended = client.job(only.id)
    assert (ended.status, ended.stage) == (JobStatus.SUCCEEDED, None)
    assert {event.stage for event in events if event.kind is EventKind.STAGE} == {StageName.PROFILE}
    (profile,) = client.profile(only.id)
    assert profile.target == of_search.target
    assert profile.held_out == of_search.held_out == 6
    assert profile.measured >= of_search.measured
    assert 0.0 < profile.mape < 1.0
    with pytest.raises(NoSuchPoint, match="only profiles"):
        client.front(only.id)


def test_models_of_the_job_run_in_engines_as_the_front_says(finished):
    """A row for each engine and number format; loss changes where weights are quantised, and nowhere else."""
    client, job, _ = finished
    bench = ExportBench(engines=("onnxruntime",), formats=("genai",)).quick()
    told = []
    result = run_export_bench(bench, client, job, lambda done, total, what: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    members = {point.digest for point in client.front(job.id).members()}
    rows = {row["dtype"]: row for row in result["engines"]}
    assert set(rows) == {"fp32", "int8", "int4"}
    assert {row["digest"] for row in result["engines"]} <= members
    for row in result["engines"]:
        assert "failed" not in row
        assert row["prefill_ms"] > 0
        assert set(row["decode_ms"]) == {"64", "512"}
        assert min(row["decode_ms"].values()) > 0
        assert row["loss"] == pytest.approx(row["loss_before"], abs=1e-4 if row["dtype"] == "fp32" else 0.1)
    assert rows["int8"]["bytes"] < rows["fp32"]["bytes"]
    assert rows["int4"]["difference"] > rows["fp32"]["difference"]
    assert all(row["difference"] < 1e-3 or "failed" in row for row in result["formats"])
    assert [row["asked_ms"] for row in result["budgets"]] == sorted(
        row["asked_ms"] for row in result["budgets"]
    )
    assert all(row["said_ms"] <= row["asked_ms"] * (1 + 1e-9) for row in result["budgets"])
    goals = {goal["name"]: goal for goal in result["goals"]}
    assert goals["difference to torch in fp32"]["met"]
    with pytest.raises(InvalidSpec, match=r"--engines: abacus: not here; accepted: .*onnxruntime/int8"):
        run_export_bench(ExportBench(engines=("abacus",)), client, job, lambda *_: None)

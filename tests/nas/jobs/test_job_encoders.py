"""A whole job of models that see all of their input: images told apart, timed, searched, shipped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import nas
from nas.client import Client
from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.export import load_model_folder
from nas.export.convert import convert_model_folder
from nas.export.verify import verify_model_folder
from nas.job import Job, JobStatus
from nas.planning.plan import resolve
from nas.spec import load_job_spec
from workers.target import Phase

pytestmark = [pytest.mark.job, pytest.mark.usefixtures("one_processor")]

DIGITS = Path(__file__).parent / "encoder.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Job]]:
    with nas.connect(home=tmp_path_factory.mktemp("home")) as client:
        job = client.submit(DIGITS)
        client.resume(job.id)
        for _ in client.watch(job.id):
            pass
        yield client, client.job(job.id)


def test_it_ends_with_a_measured_front(finished: tuple[Client, Job]) -> None:
    client, job = finished
    assert job.status is JobStatus.SUCCEEDED, job.error
    (target,) = (item.target() for item in job.spec.targets)
    assert (target.workload.phase, target.workload.tokens) == (Phase.ENCODE, 16)
    members = client.front(job.id).members()
    assert all(point.test is not None and 0.1 < point.test <= 1 for point in members)
    assert all(
        value.measured is not None for point in members for value in point.values.values() if not value.exact
    )
    assert {name.rpartition("-L")[0] for p in client.front(job.id).points if (name := p.preset)} >= {
        "vit",
        "poolformer",
    }
    told = json.loads(json.dumps(client.front(job.id).to_dict()))
    assert told["points"][0]["architecture"]["stem"] == "patch:2"


def test_what_is_extracted_tells_digits_as_the_supernet_did(
    finished: tuple[Client, Job], tmp_path: Path
) -> None:
    client, job = finished
    best, out = client.best(job.id), tmp_path / "model"
    manifest = client.extract(job.id, best.digest, out)
    assert manifest["onnx"]["inputs"] == {"pixels": ["float32", "batch", 1, 8, 8]}
    assert manifest["onnx"]["outputs"] == {"logits": ["float32", "batch", 10]}
    model, task = load_model_folder(out), resolve(job.spec).task
    assert task.evaluate(model, Split.TEST) == pytest.approx(best.test, abs=1e-3)
    session = onnxruntime.InferenceSession(out / "model.onnx")
    images = next(iter(task.evaluation_batches(Split.TEST))).inputs
    (logits,) = session.run(None, {"pixels": images.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(logits, model(images).numpy(), atol=1e-3)
    assert all(check.agrees for check in verify_model_folder(out))
    with pytest.raises(InvalidSpec, match=r"--format: hf is a format of language models.*accepted: onnx"):
        convert_model_folder(out, tmp_path / "hf", "hf")
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"task": "mnist"}, "space.form", r"8 × 8.*task mnist is a grid of 28 × 28.*accepted: "),
        ({"task": "text"}, "space.form", r"8 × 8.*task text is any number of tokens"),
        (
            {"space": "hybrid-lm"},
            "space.form",
            "hybrid-lm are any number of tokens below 256.*digits is a grid",
        ),
        ({"targets": [{"phase": "decode"}]}, "targets.0.phase", "no phase decode; accepted: encode"),
        ({"targets": [{"tokens": 17}]}, "targets.0.tokens", "17 are not what.*accepted: 16"),
        (
            {"targets": [{"runtime": "executorch"}]},
            "targets.0.phase",
            "executorch has no phase encode; accepted: prefill",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(change: dict[str, Any], path: str, said: str) -> None:
    spec = load_job_spec(DIGITS).model_dump(mode="json")
    named = {"task": {"name": change["task"]}} if "task" in change else {}
    assert not {"phase", "tokens"} & spec["targets"][0].keys()
    with pytest.raises(InvalidSpec, match=said) as refused:
        resolve(load_job_spec({**spec, **change, **named}))
    assert [problem.path for problem in refused.value.problems] == [path]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("space", "task"), [("image-28", "mnist"), ("hybrid-encoder", "vowels")])
def test_the_spaces_that_ship_learn_their_tasks(space: str, task: str, tmp_path: Path) -> None:
    """Far from done: what chance would give is a tenth."""
    budget = {
        "profile": {"measurements": 12, "minimum": 12, "holdout": 4},
        "train": {"steps": 400, "batch": 32},
        "search": {"evaluations": 12, "batch": 4},
        "verify": {"rounds": 1, "evaluations": 2},
    }
    spec = {"space": space, "task": task, "targets": [{"threads": 1}], "budget": budget}
    with nas.connect(home=tmp_path) as client:
        job = client.submit(load_job_spec(spec))
        client.resume(job.id)
        for _ in client.watch(job.id):
            pass
        assert client.job(job.id).status is JobStatus.SUCCEEDED, client.job(job.id).error
        members = client.front(job.id).members()
        assert max(point.test or 0.0 for point in members) > 0.3
        assert len({layer.mixer for point in members for layer in point.architecture.layers}) > 1

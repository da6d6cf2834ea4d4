"""Extraction scores what it cut out, and compares with what the store has of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.errors import ModelRejected
from nas.evaluation import Evaluation, Split
from nas.job import Job
from nas.objectives.value import Value
from nas.planning.plan import Plan, resolve
from nas.point import Point
from nas.service.running.extract import extract_point
from nas.spec import load_job_spec
from nas.store import open_store
from nas.store.files import keep_checksum
from nas.store.store import Store, SupernetRecord
from nas.training.checkpoint import load_checkpoint, save_checkpoint
from searchspaces.architecture import Architecture
from searchspaces.supernet import Supernet

SPEC: dict[str, Any] = {
    "space": {
        "name": "tiny",
        "vocabulary": 256,
        "context": 32,
        "width": [16],
        "depth": [1, 2],
        "layer": {"mixer": ["softmax", "linear"], "heads": [2], "ratio": [1, 2]},
    },
    "task": {"name": "text", "evaluation_tokens": 512, "evaluation_context": 32},
    "targets": [{"device": "laptop", "tokens": 32}],
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(tmp_path)) as store:
        yield store


def evaluated(store: Store, home: Path) -> tuple[Job, Plan, Architecture]:
    """A job with one point, whose scores on the test split are those of an untrained supernet."""
    job = store.create_job(load_job_spec(SPEC))
    plan = resolve(job.spec)
    torch.manual_seed(0)
    supernet = Supernet(plan.space)
    path = home / "supernets" / "net.safetensors"
    path.parent.mkdir()
    save_checkpoint(path, supernet.state_dict(), {})
    keep_checksum(store, home, path)
    digests = plan.supernet_digest, plan.space.digest, plan.task.digest
    store.put_supernet(SupernetRecord(*digests, 0, 1, 0.0, str(path.relative_to(home))))
    (architecture,) = plan.space.decode(plan.space.sample(1, np.random.default_rng(0)))
    with torch.inference_mode():
        value, sequences = plan.task.evaluate_sequences(
            lambda tokens: supernet(tokens, architecture), Split.TEST
        )
    store.put_architectures([architecture])
    store.add_evaluations(
        [Evaluation(plan.supernet_digest, architecture.digest, Split.TEST, value, 0.1, sequences=sequences)]
    )
    latency = {("latency_ms", str(plan.targets[0])): Value(1.0, 0.1)}
    counts = {key: Value(float(of[0])) for key, of in plan.counts(plan.space.encode([architecture])).items()}
    store.put_points(job.id, [Point(architecture.digest, architecture, value, value, {**counts, **latency})])
    return job, plan, architecture


def test_the_score_is_the_stored_one(store: Store, tmp_path: Path) -> None:
    job, _, architecture = evaluated(store, tmp_path)
    manifest = extract_point(store, tmp_path, job, architecture.digest, tmp_path / "out")
    assert manifest["scored"]["sequences"] > 1
    assert manifest["scored"]["largest_difference"] < 1e-4


@pytest.mark.parametrize("known", [True, False], ids=["with a checksum", "of a version without checksums"])
def test_other_weights_of_the_same_shapes_are_refused(store: Store, tmp_path: Path, known: bool) -> None:
    """What the checksum of the file does not tell the scores do."""
    job, plan, architecture = evaluated(store, tmp_path)
    record = store.supernet(plan.supernet_digest)
    assert record is not None
    path = tmp_path / record.path
    tensors, facts = load_checkpoint(path)
    torch.manual_seed(1)
    changed = {name: tensor + 0.3 * torch.randn_like(tensor) for name, tensor in tensors.items()}
    save_checkpoint(path, changed, facts)
    message = "is not the file that was written: its SHA-256"
    if not known:
        keep_checksum(store, tmp_path, path)
        message = r"the model scores [\d.]+ bits_per_byte on the first test sequence, the store has [\d.]+: "
    with pytest.raises(ModelRejected, match=message):
        extract_point(store, tmp_path, job, architecture.digest, tmp_path / "out")
    assert not (tmp_path / "out").exists()

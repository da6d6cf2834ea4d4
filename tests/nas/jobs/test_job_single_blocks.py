"""Single blocks measured by a real worker: SQLite, a process over gRPC, ONNX files that run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

import nas
from nas.client import Client
from nas.job import EventKind, JobStatus, TargetProfile
from nas.spec import StageName

pytestmark = [pytest.mark.job, pytest.mark.usefixtures("one_processor")]

TINY = Path(__file__).parent / "tiny.yaml"


def profiled(client: Client, depth: Sequence[int], **budget: float) -> TargetProfile:
    """What a job says that ends once it has profiled the tiny space of other depths."""
    spec = yaml.safe_load(TINY.read_text())
    for name in ("task", "objectives"):
        del spec[name]
    space = {**spec["space"], "depth": list(depth)}
    space["layer"] = {**space["layer"], "heads": [2, 4]}
    spec |= {"until": "profile", "space": space}
    spec["budget"] = {"profile": {"holdout": 4, **budget}}
    job = client.submit(spec)
    client.resume(job.id)
    events = list(client.watch(job.id))
    stages = [(event.stage, event.message) for event in events if event.kind is EventKind.STAGE]
    assert stages == [(StageName.PROFILE, "started"), (StageName.PROFILE, "ended")]
    for _ in range(2):
        ended = client.job(job.id)
        assert (ended.status, ended.stage) == (JobStatus.SUCCEEDED, None), ended.error
        client.resume(job.id)  # there is nothing to go on with
    (profile,) = client.profile(job.id)
    return profile


def test_what_is_a_member_here_is_a_single_block_there(make_home):
    """Models of one layer are members of the first job's space, and single blocks to one that begins at
    four layers; its own held-out models are members."""
    with nas.connect(home=make_home()) as client:
        of_one = profiled(client, [1], measurements=6, minimum=6, tolerance=1e-6)
        assert of_one.single_blocks == 0
        (target,) = client.targets()
        listed = client.measurements(target)
        assert all(architecture.digest == found.digest for architecture, found in listed)
        known = {found.digest for _, found in listed}
        of_four = profiled(client, [4], measurements=18, minimum=8, tolerance=0.2)
        assert of_four.single_blocks >= len(known) == 10
        assert of_four.measured > of_four.single_blocks
        assert of_four.held_out == 4
        assert 0.0 < of_four.mape < 0.3
        measured = [m.digest for _, m in client.measurements(target)]
        assert len(measured) == len(set(measured))

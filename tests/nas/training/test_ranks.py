"""Training in several processes over gloo: the steps of one process, to the order of sums."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from nas.errors import InvalidSpec
from nas.spec import TrainBudget, load_job_spec
from nas.tasks import make_task
from nas.training import TrainingResult, train_supernet
from searchspaces.space import load_space

pytestmark = pytest.mark.job

SPACE = {
    "name": "tiny",
    "context": 16,
    "width": [16],
    "depth": [1, 2],
    "layer": {"mixer": ["softmax", "window:8", "linear", "none"], "heads": [2], "ratio": [1, 2]},
}
TASK = {"evaluation_tokens": 1024, "evaluation_context": 16}
BUDGET = {"steps": 12, "batch": 5, "learning_rate": 5e-3, "sandwich": True}
RANK = f"""
    import json, pathlib, sys, torch
    from torch import distributed
    from nas.errors import JobFailed
    from nas.spec import TrainBudget
    from nas.tasks import make_task
    from nas.training import ProcessGroup, train_supernet
    from searchspaces.space import load_space
    rank, home = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(str(home / "store"), 2), rank=rank, world_size=2
    )

    def losses(folder, stop_at=1000):
        asked = iter(range(1001))
        return train_supernet(
            load_space({SPACE!r}), make_task("text", {TASK!r}), TrainBudget(**{BUDGET!r}), 0, folder,
            lambda *_: None, lambda: rank == 0 and next(asked) >= stop_at, ProcessGroup(),
        ).losses

    answer = {{"whole": losses(home / "whole"), "part": losses(home / "part", 5)}}
    distributed.barrier()  # rank 0 has written
    try:
        losses(home / ("part" if rank else "elsewhere"))
    except JobFailed as error:
        answer["apart"] = str(error)
    print(json.dumps(answer))
"""


def train(folder: Path) -> TrainingResult:
    """In this process."""
    task = make_task("text", TASK)
    return train_supernet(
        load_space(SPACE), task, TrainBudget(**BUDGET), 0, folder, lambda *_: None, lambda: False
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """What two processes wrote and answered."""
    home, code = tmp_path_factory.mktemp("together"), textwrap.dedent(RANK)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank), str(home)], stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    answers = [process.communicate(timeout=90)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    return home, [json.loads(answer) for answer in answers]


def test_two_processes_take_the_steps_of_one(together: Any, tmp_path: Path) -> None:
    """Five sequences a step: unequal shares."""
    home, answers = together
    alone = train(tmp_path)
    assert answers[0]["whole"] == answers[1]["whole"]
    np.testing.assert_allclose(answers[0]["whole"], alone.losses, rtol=1e-5)
    found = load_file(home / "whole" / "supernet.safetensors")
    for name, weight in load_file(alone.path).items():
        assert (found[name] - weight).norm() < 1e-3 * weight.norm(), name


def test_one_process_goes_on_from_where_two_were_stopped(together: Any) -> None:
    home, answers = together
    assert answers[1]["part"] == answers[1]["whole"][:5], "rank 0 was asked to stop, and rank 1 with it"
    gone_on = train(home / "part")
    assert list(gone_on.losses[:5]) == answers[0]["part"]
    np.testing.assert_allclose(gone_on.losses, answers[0]["whole"], rtol=1e-5)


def test_processes_that_see_other_files_do_not_train(together: Any) -> None:
    _, answers = together
    assert all("put it where all of them do" in answer["apart"] for answer in answers)


def test_no_more_processes_than_sequences() -> None:
    spec = {"space": "hybrid-lm", "task": "text", "targets": [{}]}
    with pytest.raises(InvalidSpec, match=r"budget.train.processes: .*6 processes cannot share a batch of 5"):
        load_job_spec({**spec, "budget": {"train": {"batch": 5, "processes": 6}}})
    budget = load_job_spec({**spec, "budget": {"train": {"batch": 5, "processes": 5}}}).budget.train
    assert budget.identity() == TrainBudget(batch=5).identity()
    earlier = load_job_spec({**spec, "budget": {"train": {"batch": 5, "workers": 5}}}).budget.train
    assert earlier == budget
    assert TrainBudget.model_validate_json(earlier.model_dump_json()) == budget

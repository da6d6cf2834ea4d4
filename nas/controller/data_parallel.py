"""Training one supernet in several processes by Ray Train: gloo on processors, nccl on GPUs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.controller.cluster import Mailbox, RayCluster
from nas.errors import JobFailed, NasError
from nas.planning.plan import Plan, resolve
from nas.spec import JobSpec
from nas.stages.backends import TrainingProgress
from nas.training import ProcessGroup, TrainingResult, train_supernet

__all__ = ["train_together"]

DEATHS_ALLOWED = 3
"""How often one of the processes may die; each time all of them go on from the last checkpoint."""

PROGRESS, FAILURE, RESULT = "progress", "failure", "result"
"""What a message to the mailbox begins with."""


def train_together(
    cluster: RayCluster,
    plan: Plan,
    folder: Path,
    progress: TrainingProgress,
    stopped: Callable[[], bool],
) -> TrainingResult:
    """Train the plan's supernet with the processes of its budget, or go on with it, in the cluster.

    All state is in the checkpoint that `nas.training.train_supernet` keeps in `folder`, so that what ends
    them, or this process, costs what came after the last one. Ray Train writes nothing that is
    read again.

    Args:
        folder: of the supernet, on storage that all nodes share.

    Raises:
        JobFailed: the cluster has fewer processors than that, one of them died again and again, or one
            raised: its message.
    """
    processes = plan.spec.budget.train.processes
    capacity = cluster.require(processes, f"budget.train.processes: {processes}")
    result: list[TrainingResult] = []
    failures: list[str] = []

    def receive(message: tuple[str, Any]) -> None:
        kind, content = message
        if kind == PROGRESS:
            progress(*content)
        elif kind == RESULT:
            result.append(content)
        else:
            failures.append(content)

    loop = {"spec": plan.spec.model_dump_json(), "folder": str(folder), "gpus": capacity.gpus >= processes}
    cluster.run(_fit, processes, loop, on_message=receive, stopped=lambda: bool(failures) or stopped())
    if failures:
        raise JobFailed(failures[0])
    return result[-1]


def _fit(mailbox: Mailbox, processes: int, loop: dict[str, Any]) -> None:
    """Runs in the cluster: starts the training processes and sees that they end."""
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # a task's relative paths are relative to where it was started
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    scratch = Path(loop["folder"]) / "ray-train"
    trainer = TorchTrainer(
        _work,
        train_loop_config={**loop, "mailbox": mailbox},
        scaling_config=ScalingConfig(num_workers=processes, use_gpu=loop["gpus"]),
        torch_config=TorchConfig(backend="nccl" if loop["gpus"] else "gloo"),
        run_config=RunConfig(
            name="supernet",
            storage_path=str(scratch),
            failure_config=FailureConfig(max_failures=DEATHS_ALLOWED),
        ),
    )
    try:
        trainer.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _work(loop: dict[str, Any]) -> None:
    """Runs in each training process."""
    import torch
    from ray.train.torch import get_device

    if not loop["gpus"]:
        torch.set_num_threads(1)  # Ray counts one processor for each
    mailbox: Mailbox = loop["mailbox"]
    plan = resolve(JobSpec.model_validate_json(loop["spec"]))
    ranks = ProcessGroup(str(get_device()))
    leads = ranks.rank == 0

    def progress(*content: Any) -> None:
        mailbox.post((PROGRESS, content))

    try:
        result = train_supernet(
            plan.space,
            plan.task,
            plan.spec.budget.train,
            plan.train_seed,
            Path(loop["folder"]),
            progress,
            mailbox.stopped if leads else lambda: False,
            ranks,
        )
    except NasError as error:
        # Trying again will not help: this ends the job, and thereby those that are started again.
        mailbox.post((FAILURE, str(error)))
        raise
    if leads:
        mailbox.post((RESULT, result))

"""Training finalists by Ray Tune, each a trial; ASHA stops early those that start from a supernet."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from nas.controller.cluster import Mailbox, RayCluster
from nas.errors import JobFailed, NasError
from nas.planning.plan import Plan, resolve
from nas.spec import FinalistBudget, JobSpec
from nas.stages.backends import Finalist, FinalistProgress
from nas.training import load_supernet
from nas.training.finetune import REDUCTION, Diverged, FineTuning, finetune, rungs

if TYPE_CHECKING:
    from searchspaces.submodel import Submodel

__all__ = ["starting_point", "tune_finalists"]

DEATHS_ALLOWED = 3
"""How often the process of a trial may die; each time it goes on from its checkpoint."""


def tune_finalists(
    cluster: RayCluster,
    plan: Plan,
    supernet: Path,
    finalists: Sequence[Finalist],
    on_progress: Callable[[FinalistProgress], None],
    stopped: Callable[[], bool],
) -> None:
    """Train each finalist on one processor, or on several where there are more than finalists.

    Those that go on from the supernet are compared by their gain: how much better their quality is than with
    its weights, with which each is the best known at its own latency. So a small model does not lose to a
    large one for being small, and those stop early that would move the front least (ASHA, Li et al., 2020).
    Those that start from scratch all go to the end, and so do all of a budget that stops none early.

    All state is in the checkpoints of `nas.training.finetune.finetune`: after a kill trials report their
    earlier rungs at once and go on. What Ray Tune writes is thrown away, and never read (it is pickled).

    Args:
        supernet: its file, on storage that all nodes share, as the finalists' folders must be.

    Raises:
        JobFailed: the cluster has no processor, or a trial failed: its message.
    """
    cluster.require(1, "training a finalist")
    failures: list[str] = []

    def listen(message: FinalistProgress | str) -> None:
        if isinstance(message, str):
            failures.append(message)
        else:
            on_progress(message)

    cluster.run(
        _tune,
        plan.spec.model_dump_json(),
        str(supernet),
        list(finalists),
        on_message=listen,
        stopped=lambda: bool(failures) or stopped(),
    )
    if failures:
        raise JobFailed(failures[0])


def _tune(mailbox: Mailbox, spec: str, supernet: str, finalists: list[Finalist]) -> None:
    """Runs in the cluster: starts the trials and sees that they end."""
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # a task's relative paths are relative to where it was started
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"  # who is stopped before its first rung has none
    from ray import tune

    class _Ends(tune.Callback):
        """Tells of each trial that it has ended, however it did."""

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            weights = trial.config["finalist"].weights
            steps = (trial.last_result or {}).get("steps", 0)
            # One that diverged has reported nothing here, and has told so itself.
            if steps and not mailbox.stopped():
                mailbox.post(
                    FinalistProgress(weights, steps, True, f"{weights[:8]} ended after {steps} steps")
                )

    budget = JobSpec.model_validate_json(spec).budget.finalists
    threads = _threads(len(finalists))
    with tempfile.TemporaryDirectory(prefix="nas-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(_trial, {"cpu": threads}),
            param_space={
                "threads": threads,
                "mailbox": mailbox,
                "spec": spec,
                "supernet": supernet,
                "finalist": tune.grid_search(finalists),
            },
            tune_config=tune.TuneConfig(
                metric="gain",
                mode="max",
                scheduler=_scheduler(budget),
            ),
            run_config=tune.RunConfig(
                name="finalists",
                storage_path=scratch,
                failure_config=tune.FailureConfig(max_failures=DEATHS_ALLOWED),
                callbacks=[_Ends()],
                verbose=0,
            ),
        )
        tuner.fit()


def _threads(trials: int) -> int:
    """Of each trial: the cluster's processors shared out, as far as one node has them. Where trials are many
    one thread each is fastest."""
    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return max(1, min(max(nodes), sum(nodes) // trials))


def _scheduler(budget: FinalistBudget) -> Any:
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    if budget.start == "scratch" or not budget.stop_early:
        return FIFOScheduler()
    first, *_ = rungs(budget)
    return ASHAScheduler(
        time_attr="steps", max_t=budget.steps, grace_period=first, reduction_factor=REDUCTION
    )


def starting_point(plan: Plan, supernet: Path, finalist: Finalist) -> tuple[Submodel, FineTuning]:
    """The model of a finalist as its training begins, and what it is trained on."""
    import torch

    from nas.pretrained.teacher import Teacher, has_bfloat16
    from searchspaces.submodel import Submodel

    budget, teacher = plan.spec.budget.finalists, None
    if budget.start == "scratch":
        learned_from = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(finalist.seed)
            submodel = Submodel(finalist.architecture)
    else:
        learned_from = plan.spec.budget.train.steps if plan.spec.start is None else 0
        whole = load_supernet(plan.space, supernet)
        submodel = whole.extract(finalist.architecture)
        if plan.spec.start is not None:
            teacher = Teacher(plan.space.first, whole.weights(plan.space.first), has_bfloat16())
    context = plan.space.spec.context
    training = FineTuning(plan.task, budget, learned_from, context, finalist.seed, finalist.folder, teacher)
    return submodel.requires_grad_(True).train(), training


def _trial(config: dict[str, Any]) -> None:
    """Runs in a process of its own."""
    import torch
    from ray import tune

    torch.set_num_threads(config["threads"])  # as many as Ray counts processors
    mailbox: Mailbox = config["mailbox"]
    finalist: Finalist = config["finalist"]
    plan = resolve(JobSpec.model_validate_json(config["spec"]))
    sign = plan.task.direction.sign

    def report(steps: int, value: float) -> None:
        tune.report({"steps": steps, "gain": sign * (finalist.validation - value)})

    def progress(steps: int) -> None:
        mailbox.post(FinalistProgress(finalist.weights, steps, False, finalist.architecture.digest[:8]))

    try:
        submodel, training = starting_point(plan, Path(config["supernet"]), finalist)
        finetune(submodel, training, finalist.limit, report, progress, mailbox.stopped)
    except Diverged as error:
        mailbox.post(FinalistProgress(finalist.weights, 0, True, str(error), diverged=True))
    except NasError as error:
        # Trying again will not help: this ends the job, and thereby those that are started again.
        mailbox.post(f"finalist {finalist.architecture.digest}: {error}")
        raise

"""The processors that train and score, all of them Ray's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from nas.controller.cluster import RayCluster
from nas.controller.data_parallel import train_together
from nas.controller.evaluator import RayEvaluator
from nas.controller.tuning import tune_finalists
from nas.export import TimedModels
from nas.planning.plan import Plan
from nas.stages.backends import EvaluationPool, Finalist, FinalistProgress, TrainingProgress
from nas.store.store import SupernetRecord
from nas.training import TrainingResult, train_supernet
from nas.training.start import start_supernet

__all__ = ["RayComputeBackend"]


class RayComputeBackend:
    """See `nas.stages.backends.ComputeBackend`.

    Args:
        home: folder that supernet paths are relative to; of a cluster of several machines on storage that
            all of them share, where several processes train a supernet or finalists are fine-tuned.
        address: of a Ray cluster, see `RayCluster`; None for a local Ray.
    """

    def __init__(self, home: Path, address: str | None = None) -> None:
        self.cluster = RayCluster(address)
        self._home = home
        self._evaluator = RayEvaluator(self.cluster, home)

    def start(self) -> None:
        """Start Ray now rather than with the first work, see `RayCluster.start`."""
        self.cluster.start()

    def close(self) -> None:
        """Stop what was started."""
        self._evaluator.close()
        self.cluster.close()

    def model_files(self, folder: Path) -> TimedModels:
        """See `nas.stages.backends.ComputeBackend.model_files`."""
        return TimedModels(folder)

    def evaluations(
        self,
        plan: Plan,
        supernet: SupernetRecord,
        check_stop: Callable[[], None],
        note: Callable[[str], None],
    ) -> AbstractContextManager[EvaluationPool]:
        """See `nas.stages.backends.ComputeBackend.evaluations`."""
        return self._evaluator.open(plan, supernet, check_stop, note)

    def train(
        self, plan: Plan, folder: Path, progress: TrainingProgress, stopped: Callable[[], bool]
    ) -> TrainingResult:
        """See `nas.stages.backends.ComputeBackend.train`."""
        if plan.spec.start is not None:
            start, budgets = plan.spec.start, plan.spec.budget
            return start_supernet(
                plan.space, plan.task, start, budgets, plan.train_seed, folder, progress, stopped
            )
        budget = plan.spec.budget.train
        if budget.processes > 1:
            return train_together(self.cluster, plan, folder, progress, stopped)
        return train_supernet(plan.space, plan.task, budget, plan.train_seed, folder, progress, stopped)

    def finetune(
        self,
        plan: Plan,
        supernet: SupernetRecord,
        finalists: Sequence[Finalist],
        on_progress: Callable[[FinalistProgress], None],
        stopped: Callable[[], bool],
    ) -> None:
        """See `nas.stages.backends.ComputeBackend.finetune`."""
        tune_finalists(self.cluster, plan, self._home / supernet.path, finalists, on_progress, stopped)

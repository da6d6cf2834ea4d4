"""The backends that do the work of stages: devices that measure, processors that train and evaluate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nas.evaluation import Conversion, Evaluation, Split
from nas.planning.plan import Plan
from nas.store.store import SupernetRecord
from nas.training import TrainingResult
from searchspaces.architecture import Architecture
from workers.request import MeasurementRequest, Outcome
from workers.target import Target

__all__ = [
    "ComputeBackend",
    "EvaluationPool",
    "Finalist",
    "FinalistProgress",
    "MeasurementBackend",
    "ModelFiles",
    "TrainingProgress",
]

TrainingProgress = Callable[[int, int, dict[str, float]], None]
"""Steps done, steps in all, and facts by name."""


class MeasurementBackend(Protocol):
    """The devices that measure (`nas.service.running.measurement.WorkerMeasurementBackend`)."""

    def wait_for(self, target: Target, timeout: float) -> None:
        """Return once a connected worker serves the target."""

    def measure(
        self, requests: Iterable[MeasurementRequest], cancelled: Callable[[], bool] | None = None
    ) -> Iterator[Outcome]:
        """Outcomes as they complete, in any order; requests are drawn as workers become free."""


class ModelFiles(Protocol):
    """The files that targets are timed with (`nas.export.TimedModels`)."""

    def model(self, architecture: Architecture, target: Target) -> bytes:
        """The file that does the target's workload."""

    def reference(self, target: Target) -> bytes:
        """The fixed reference model that is timed in between, the same for every architecture."""


class EvaluationPool(Protocol):
    """Processes that hold one supernet and score architectures with it."""

    def submit(
        self,
        architecture: Architecture,
        split: Split,
        share: float = 1.0,
        conversion: Conversion | None = None,
    ) -> None:
        """Queue one evaluation, on a share of the split's sequences; of the converted file where a conversion
        is given, by its engine: then the evaluation is of `Conversion.weights`."""

    def next(self) -> Evaluation:
        """Wait for any queued evaluation to end; a failed one has the value NaN."""

    def drain(self) -> list[Evaluation]:
        """Those that have ended besides; does not wait."""


@dataclass(frozen=True, slots=True)
class Finalist:
    """One architecture to train on its own.

    Attributes:
        validation: its quality with the supernet's weights.
        weights: digest that names its own.
        folder: where they and their checkpoint lie.
        limit: steps that it may take: fewer than the budget's where it was stopped early before.
        seed: of its batches, and of its first weights where they are its own.
    """

    architecture: Architecture
    validation: float
    weights: str
    folder: Path
    limit: int
    seed: int


@dataclass(frozen=True, slots=True)
class FinalistProgress:
    """How far one finalist is.

    Attributes:
        ended: it took all its steps, was stopped early, or diverged.
        diverged: its training has no end: the loss is no finite number.
    """

    weights: str
    steps: int
    ended: bool
    message: str
    diverged: bool = False


class ComputeBackend(Protocol):
    """The processors that train, score and export (`nas.controller.backend.RayComputeBackend`)."""

    def model_files(self, folder: Path) -> ModelFiles:
        """Makes the files that targets are timed with; what models share is kept in `folder`."""

    def evaluations(
        self,
        plan: Plan,
        supernet: SupernetRecord,
        check_stop: Callable[[], None],
        note: Callable[[str], None],
    ) -> AbstractContextManager[EvaluationPool]:
        """A pool for one supernet; its processes end with the context.

        Args:
            check_stop: called while waiting for an evaluation; raises where the job was stopped.
            note: told what is waited for where that takes long, and which processes had to be ended.
        """

    def train(
        self, plan: Plan, folder: Path, progress: TrainingProgress, stopped: Callable[[], bool]
    ) -> TrainingResult:
        """Train the plan's supernet, or go on with it, as `nas.training.train_supernet` does, with the
        processes of its budget."""

    def finetune(
        self,
        plan: Plan,
        supernet: SupernetRecord,
        finalists: Sequence[Finalist],
        on_progress: Callable[[FinalistProgress], None],
        stopped: Callable[[], bool],
    ) -> None:
        """Train finalists from where their budget says, or go on with them, as `nas.training.finetune` does.
        Of those that start from the supernet, at each rung those that gained least stop. Returns once all
        have ended, or `stopped` answers True."""

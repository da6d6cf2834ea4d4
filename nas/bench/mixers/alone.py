"""Models that are trained alone, from fresh weights to one end, and timed in turns."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from nas.evaluation import Split
from nas.spec import FinalistBudget, TrainBudget
from nas.tasks import Task, make_task
from searchspaces.architecture import Architecture

__all__ = ["Key", "Scores", "Training", "process_pool", "timed", "train_missing"]

Key = tuple[int, str]
"""Seed and digest."""

ROUNDS = 5
"""Of timing all models in turns."""


@dataclass(frozen=True)
class Training:
    """What a model learns, and for how long.

    Attributes:
        task: name of a task.
        options: of the task, where they are not its defaults.
        tokens: N, of a sequence that is scored.
        context: of one that is learned.
        steps, batch: how much of it.
    """

    task: str
    options: Mapping[str, int]
    tokens: int
    context: int
    steps: int
    batch: int

    def make_task(self) -> Task:
        """The task that is learned."""
        return make_task(self.task, {"evaluation_context": self.tokens, **self.options})


class Scores:
    """Test metrics of models that were trained, by seed and digest; of what follows from the same training a
    file keeps them, so that a run that was stopped goes on."""

    def __init__(self, training: Training, path: Path | None) -> None:
        self.training, self._path = training, path
        lines = path.read_text().splitlines() if path is not None and path.is_file() else []
        rows = [json.loads(line) for line in lines]
        self.known: dict[Key, float] = {
            (row["seed"], row["digest"]): row["test"] for row in rows if row["settings"] == asdict(training)
        }

    def keep(self, key: Key, test: float) -> None:
        """Remember one, and write it down."""
        self.known[key] = test
        if self._path is not None:
            seed, digest = key
            row = {"settings": asdict(self.training), "seed": seed, "digest": digest, "test": test}
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")


@contextmanager
def process_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes, since torch does not survive a fork. Where the caller is interrupted they are ended
    in the middle of what they do."""
    others = set(active_children())
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        left = set(active_children()) - others
        for process in left:
            process.terminate()
        for process in left:
            process.join()
        raise
    pool.shutdown()


def train_missing(
    wanted: Mapping[Key, Architecture], scores: Scores, processes: int, on_trained: Callable[[int, int], None]
) -> None:
    """Train those that have no score yet, so many at once.

    Args:
        on_trained: called with how many of those that are wanted have a score, and how many are wanted.
    """
    missing = {key: model for key, model in wanted.items() if key not in scores.known}
    if not missing:
        return
    with process_pool(processes) as pool:
        asked = {
            pool.submit(_train_alone, scores.training, model, key[0]): key for key, model in missing.items()
        }
        for number, answer in enumerate(as_completed(asked), start=1 + len(wanted) - len(missing)):
            scores.keep(asked[answer], answer.result())
            on_trained(number, len(wanted))


def _train_alone(training: Training, architecture: Architecture, seed: int) -> float:
    """The test metric of a model that is trained from fresh weights."""
    import torch

    from nas.training.finetune import FineTuning, finetune
    from searchspaces.submodel import Submodel

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    task = training.make_task()
    submodel = Submodel(architecture)
    rate = TrainBudget().learning_rate  # as supernets; finalists' is meant for going on from one
    budget = FinalistBudget(start="scratch", steps=training.steps, batch=training.batch, learning_rate=rate)
    with TemporaryDirectory() as folder:
        job = FineTuning(task, budget, 0, training.context, seed, Path(folder))
        finetune(submodel, job, training.steps, lambda *_: None, lambda _: None, lambda: False)
    return task.evaluate(submodel, Split.TEST)


def timed(models: Mapping[str, Architecture], tokens: int) -> dict[str, float]:
    """Processor ms of one sequence in onnxruntime on one thread, by digest: the least of a few rounds over
    all models."""
    import onnxruntime

    from nas.export import BlockLibrary

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    library, ids = BlockLibrary(), np.zeros((1, tokens), np.int64)
    sessions = {
        digest: onnxruntime.InferenceSession(
            library.compose(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for digest, model in models.items()
    }
    least = dict.fromkeys(models, math.inf)
    for _ in range(ROUNDS):
        for digest, session in sessions.items():
            begun = time.thread_time()
            session.run(None, {"tokens": ids})
            least[digest] = min(least[digest], 1e3 * (time.thread_time() - begun))
    return least

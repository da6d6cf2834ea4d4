"""Evaluations in parallel on Ray actors that share one copy of the supernet's weights."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from nas.errors import JobFailed
from nas.evaluation import Evaluation, Split
from nas.stages.plan import Plan
from nas.store.store import SupernetRecord
from searchspaces.architecture import Architecture

__all__ = ["RayEvaluator"]

START_SECONDS = 120.0
"""How long the first actor may take to answer before Ray is taken to be out of processors."""

EVALUATION_SECONDS = 600.0
"""How long one evaluation may take."""


class _Scorer:
    """One process with the supernet: its weights are views into Ray's object store."""

    def __init__(self, space: dict[str, Any], task: dict[str, Any], weights: list[Any]) -> None:
        import torch

        from nas.tasks import make_task
        from searchspaces.space import load_space
        from searchspaces.supernet import Supernet

        torch.set_num_threads(1)  # two busy processes with two threads each are far slower than with one
        self.task = make_task(task.pop("name"), task)
        self.supernet = Supernet(load_space(space))
        tensors = {name: torch.from_numpy(array) for name, array in ray.get(weights[0]).items()}
        self.supernet.load_state_dict(tensors, assign=True)
        self.supernet.requires_grad_(False).eval()

    def ready(self) -> bool:
        return True

    def score(self, architecture: dict[str, Any], split: str) -> tuple[float, float]:
        """The task's metric and the seconds that it took."""
        import torch

        chosen = Architecture.from_dict(architecture)
        start = time.perf_counter()
        with torch.inference_mode():
            value = self.task.evaluate(lambda tokens: self.supernet(tokens, chosen), Split(split))
        return float(value), time.perf_counter() - start


class _Pool:
    """Hands queued evaluations to actors as they come free."""

    def __init__(self, actors: list[Any], supernet: str) -> None:
        self._idle = deque(actors)
        self._supernet = supernet
        self._queue: deque[tuple[Architecture, Split]] = deque()
        self._running: dict[Any, tuple[Any, Architecture, Split]] = {}

    def submit(self, architecture: Architecture, split: Split) -> None:
        self._queue.append((architecture, split))
        self._dispatch()

    def next(self) -> Evaluation:
        if not self._running:
            raise RuntimeError("no evaluation is queued")
        ended, _ = ray.wait(list(self._running), num_returns=1, timeout=EVALUATION_SECONDS)
        if not ended:
            raise JobFailed(f"no evaluation ended within {EVALUATION_SECONDS:.0f} s")
        actor, architecture, split = self._running.pop(ended[0])
        self._idle.append(actor)
        try:
            value, seconds = ray.get(ended[0])
        except RayError:
            value, seconds = math.nan, 0.0
        self._dispatch()
        return Evaluation(self._supernet, architecture.digest, split, value, seconds)

    def _dispatch(self) -> None:
        while self._idle and self._queue:
            actor = self._idle.popleft()
            architecture, split = self._queue.popleft()
            reference = actor.score.remote(architecture.to_dict(), str(split))
            self._running[reference] = (actor, architecture, split)


class RayEvaluator:
    """Starts Ray on first use and keeps it until `close`.

    Args:
        home: folder that supernet paths are relative to.
        address: of a Ray cluster; a local Ray in this machine's processors where None.
        processors: of a local Ray; all of them where None.
    """

    def __init__(self, home: Path, address: str | None = None, processors: int | None = None) -> None:
        self._home = home
        self._address = address
        self._processors = processors
        self._started = False

    @contextmanager
    def open(self, plan: Plan, supernet: SupernetRecord) -> Iterator[_Pool]:
        """A pool with one actor a processor."""
        self._start()
        from safetensors.numpy import load_file

        # In a list, so that actors which Ray restarts fetch the weights themselves.
        weights = [ray.put(load_file(self._home / supernet.path))]
        space = plan.space.spec.model_dump(mode="json")
        task = plan.spec.task.model_dump(mode="json")
        actor = ray.remote(num_cpus=1, max_restarts=3, max_task_retries=3)(_Scorer)
        count = max(1, int(ray.cluster_resources().get("CPU", 1)))
        actors = [actor.remote(space, task, weights) for _ in range(count)]
        try:
            self._wait_until_ready(actors)
            yield _Pool(actors, supernet.digest)
        finally:
            for each in actors:
                ray.kill(each)

    def _start(self) -> None:
        if self._started or ray.is_initialized():
            return
        ray.init(
            address=self._address,
            num_cpus=None if self._address else self._processors,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        self._started = True

    def _wait_until_ready(self, actors: list[Any]) -> None:
        pending = [actor.ready.remote() for actor in actors]
        try:
            ready, _ = ray.wait(pending, num_returns=1, timeout=START_SECONDS)
            ray.get(ready)
        except RayError as error:
            cause = str(error).strip().splitlines()[-1]
            raise JobFailed(f"an evaluation process could not start: {cause}") from error
        if not ready:
            raise JobFailed(f"Ray gave no processor for evaluations within {START_SECONDS:.0f} s")

    def close(self) -> None:
        """Stop the local Ray, where this object started it."""
        if self._started:
            ray.shutdown()
            self._started = False

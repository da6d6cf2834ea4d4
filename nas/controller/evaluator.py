"""Evaluations in parallel on Ray actors that share one copy of the supernet's weights."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from nas.errors import JobFailed
from nas.evaluation import Evaluation, Split
from nas.stages.plan import Plan
from nas.store.store import SupernetRecord
from searchspaces.architecture import Architecture

__all__ = ["RayEvaluator"]

START_SECONDS = 120.0
"""How long the first actor may take to answer before Ray is taken to be out of processors."""

START_ATTEMPTS = 2
"""Ray's own processes are sometimes not up within Ray's own patience; a second start then is."""

EVALUATION_SECONDS = 600.0
"""How long one evaluation may take."""


DEATHS_ALLOWED = 3
"""How often processes may die of one architecture before it counts as failed."""


class _Scorer:
    """One process with the supernet: its weights are views into Ray's object store."""

    def __init__(self, space: dict[str, Any], task: dict[str, Any], weights: dict[str, Any]) -> None:
        import torch

        from nas.tasks import make_task
        from searchspaces.space import load_space
        from searchspaces.supernet import Supernet

        torch.set_num_threads(1)  # two busy processes with two threads each are far slower than with one
        self.task = make_task(task.pop("name"), task)
        self.supernet = Supernet(load_space(space))
        tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
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


@dataclass
class _Request:
    """One evaluation to do, and how often its process died of it."""

    architecture: Architecture
    split: Split
    deaths: int = 0


class _Pool:
    """Hands queued evaluations to actors as they come free, and replaces actors that die.

    Args:
        start: starts one actor.
        count: of actors.
        supernet: digest of the supernet whose weights they hold.
    """

    def __init__(self, start: Callable[[], Any], count: int, supernet: str) -> None:
        self._start = start
        self._supernet = supernet
        self._idle = deque(start() for _ in range(count))
        self._queue: deque[_Request] = deque()
        self._running: dict[Any, tuple[Any, _Request]] = {}

    def wait_until_ready(self) -> None:
        """Return once one actor answers.

        Raises:
            JobFailed: it could not start, or Ray has no processor for it.
        """
        first = self._idle[0].ready.remote()
        try:
            ready, _ = ray.wait([first], timeout=START_SECONDS)
            ray.get(ready)
        except RayError as error:
            cause = str(error).strip().splitlines()[-1]
            raise JobFailed(f"an evaluation process could not start: {cause}") from error
        if not ready:
            raise JobFailed(f"Ray gave no processor for evaluations within {START_SECONDS:.0f} s")

    def submit(self, architecture: Architecture, split: Split) -> None:
        """See `nas.stages.stage.EvaluationPool`."""
        self._queue.append(_Request(architecture, split))
        self._dispatch()

    def next(self) -> Evaluation:
        """See `nas.stages.stage.EvaluationPool`."""
        while True:
            if not self._running:
                raise RuntimeError("no evaluation is queued")
            ended, _ = ray.wait(list(self._running), num_returns=1, timeout=EVALUATION_SECONDS)
            if not ended:
                raise JobFailed(f"no evaluation ended within {EVALUATION_SECONDS:.0f} s")
            evaluation = self._take(ended[0])
            self._dispatch()
            if evaluation is not None:
                return evaluation

    def drain(self) -> list[Evaluation]:
        """See `nas.stages.stage.EvaluationPool`."""
        if not self._running:
            return []
        ended, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        evaluations = [self._take(reference) for reference in ended]
        self._dispatch()
        return [evaluation for evaluation in evaluations if evaluation is not None]

    def close(self) -> None:
        """End the actors."""
        for actor in [*self._idle, *(actor for actor, _ in self._running.values())]:
            ray.kill(actor)

    def _take(self, reference: Any) -> Evaluation | None:
        """The result, or None where its process died and another will do it again."""
        actor, request = self._running.pop(reference)
        value, seconds = math.nan, 0.0
        try:
            value, seconds = ray.get(reference)
        except RayActorError:
            actor = self._start()
            request.deaths += 1
            if request.deaths < DEATHS_ALLOWED:
                self._queue.appendleft(request)
                self._idle.append(actor)
                return None
        except RayTaskError:
            pass  # this architecture cannot be scored: NaN says so
        self._idle.append(actor)
        return Evaluation(self._supernet, request.architecture.digest, request.split, value, seconds)

    def _dispatch(self) -> None:
        while self._idle and self._queue:
            actor, request = self._idle.popleft(), self._queue.popleft()
            reference = actor.score.remote(request.architecture.to_dict(), str(request.split))
            self._running[reference] = (actor, request)


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
        # Linux kills Ray's own processes when the thread that started them ends (PR_SET_PDEATHSIG, which
        # Ray sets, goes by threads), and then Ray exits this process: a job's thread must not start them.
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="ray")

    def start(self) -> None:
        """Start Ray now rather than with the first evaluation. It takes over SIGTERM: whoever handles that
        must do so afterwards, or be aborted three seconds into its handling."""
        self._keeper.submit(self._start).result()

    @contextmanager
    def open(self, plan: Plan, supernet: SupernetRecord) -> Iterator[_Pool]:
        """A pool with one actor a processor."""
        self.start()
        from safetensors.numpy import load_file

        weights = ray.put(load_file(self._home / supernet.path))
        space = plan.space.spec.model_dump(mode="json")
        task = {"name": plan.task.name, **plan.task.options.model_dump(mode="json")}
        scorer = ray.remote(num_cpus=1)(_Scorer)
        count = max(1, int(ray.cluster_resources().get("CPU", 1)))
        pool = _Pool(lambda: scorer.remote(space, task, weights), count, supernet.digest)
        try:
            pool.wait_until_ready()
            yield pool
        finally:
            pool.close()

    def _start(self) -> None:
        for attempt in range(START_ATTEMPTS):
            if self._started or ray.is_initialized():
                return
            try:
                ray.init(
                    address=self._address,
                    num_cpus=None if self._address else self._processors,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (RuntimeError, ConnectionError) as error:
                ray.shutdown()
                if attempt + 1 == START_ATTEMPTS:
                    raise JobFailed(f"Ray did not start: {error}") from error
            else:
                self._started = True

    def close(self) -> None:
        """Stop the local Ray, where this object started it."""
        if self._started:
            ray.shutdown()
            self._started = False
        self._keeper.shutdown()

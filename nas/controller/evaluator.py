"""Evaluations in parallel, in processes of Ray that share one copy of the supernet's weights."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from nas.controller.cluster import RayCluster, last_line
from nas.controller.scorer import ScorerProcess
from nas.errors import JobFailed
from nas.evaluation import Conversion, Evaluation, Split
from nas.planning.plan import Plan
from nas.store.store import SupernetRecord
from searchspaces.architecture import Architecture

__all__ = ["RayEvaluator"]

START_SECONDS = 120.0
"""How long a process that has its processor may take to come up, and then be seen to do nothing before it has
loaded the supernet; twice as long after each that hung."""

HUNG_STARTS_ALLOWED = 2
"""How many such processes are ended and replaced, one after another, before the job fails."""

TOLD_SECONDS = 10.0
"""After how long it is told that there is no processor."""

EVALUATION_SECONDS = 600.0
"""How long one evaluation may take."""

LOOK_SECONDS = 1.0
"""How often whoever waits looks whether the job was stopped, and whether there is still hope."""

DEATHS_ALLOWED = 3
"""How often processes may die of one architecture before it counts as failed."""

LOST_STARTS_ALLOWED = 16
"""How many processes may be lost before they answer, one after another, before the cluster is at fault."""


@dataclass
class _Request:
    """One evaluation to do, and how often its process died of it."""

    architecture: Architecture
    split: Split
    share: float
    conversion: Conversion | None = None
    deaths: int = 0


class _Pool:
    """Hands queued evaluations to processes that have loaded the supernet, and replaces those that die.

    One that waits for a processor (another job has it, or its node is gone) keeps nothing waiting: work goes
    to those that are there. One that has its processor and does not answer is ended, and another is started.

    Args:
        cluster: that they run in.
        start: starts one process.
        count: of processes.
        supernet: digest of the supernet whose weights they hold.
        check_stop: raises where the job was stopped.
        note: told what takes long, and what was ended.
    """

    def __init__(
        self,
        cluster: RayCluster,
        start: Callable[[], ScorerProcess],
        count: int,
        supernet: str,
        check_stop: Callable[[], None],
        note: Callable[[str], None],
    ) -> None:
        self._cluster, self._start, self._supernet = cluster, start, supernet
        self._check_stop, self._note = check_stop, note
        self._queue: deque[_Request] = deque()
        self._starting: dict[Any, ScorerProcess] = {}
        self._idle: deque[ScorerProcess] = deque()
        self._running: dict[Any, tuple[ScorerProcess, _Request]] = {}
        self._lost_starts, self._hung_starts, self._starts = 0, 0, cluster.starts
        self._heard_at = self._looked_at = time.monotonic()
        self._told_waiting = False
        for _ in range(count):
            self._start_one()

    def wait_until_ready(self) -> None:
        """Return once one process can score.

        Raises:
            JobFailed: none could start, or Ray has no processor for any.
        """
        while not self._idle:
            self._wait()

    def submit(
        self,
        architecture: Architecture,
        split: Split,
        share: float = 1.0,
        conversion: Conversion | None = None,
    ) -> None:
        """See `nas.stages.backends.EvaluationPool`."""
        self._queue.append(_Request(architecture, split, share, conversion))
        self._dispatch()

    def next(self) -> Evaluation:
        """See `nas.stages.backends.EvaluationPool`."""
        while True:
            if not self._queue and not self._running:
                raise RuntimeError("no evaluation is queued")
            evaluation = self._wait()
            if evaluation is not None:
                return evaluation

    def drain(self) -> list[Evaluation]:
        """See `nas.stages.backends.EvaluationPool`."""
        if not self._running:
            return []
        ended, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        evaluations = [self._take(reference) for reference in ended]
        self._dispatch()
        return [evaluation for evaluation in evaluations if evaluation is not None]

    def close(self) -> None:
        """End the processes; those of a Ray that died have ended with it."""
        if self._starts != self._cluster.starts:
            return
        running = (process for process, _ in self._running.values())
        for process in [*self._starting.values(), *self._idle, *running]:
            process.end()

    def _wait(self) -> Evaluation | None:
        """Take in one thing that happened, if anything does soon: an evaluation ended, a process answered."""
        ended, _ = ray.wait([*self._running, *self._starting], num_returns=1, timeout=LOOK_SECONDS)
        self._check_stop()
        evaluation = None
        if ended:
            self._heard_at = time.monotonic()
            if ended[0] in self._starting:
                self._welcome(ended[0])
            else:
                evaluation = self._take(ended[0])
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._check_hope()
            self._looked_at = time.monotonic()
        self._dispatch()
        return evaluation

    def _check_hope(self) -> None:
        silent = time.monotonic() - self._heard_at
        if self._running and silent > EVALUATION_SECONDS:
            raise JobFailed(f"no evaluation ended within {EVALUATION_SECONDS:.0f} s")
        patience = START_SECONDS * 2**self._hung_starts
        waiting = []
        for reference, process in list(self._starting.items()):
            seconds = process.silent_seconds()
            if seconds is None:
                waiting.append(process)
            elif seconds > patience:
                self._replace_hung(reference, patience)
        if len(waiting) == len(self._starting) and not self._running and silent > TOLD_SECONDS:
            if not self._told_waiting:
                self._note("evaluations wait for a processor: others have all that the Ray cluster has")
                self._told_waiting = True
            if silent > START_SECONDS:  # is there still one that could become free?
                self._cluster.require(1, "an evaluation", self._check_stop)
                self._heard_at = time.monotonic()

    def _replace_hung(self, reference: Any, patience: float) -> None:
        """End a process that has its processor and does not answer, and start another with more patience: on
        a busy machine the first may only have been slow."""
        process = self._starting.pop(reference)
        process.end()
        missed = "load the supernet" if process.loading else "answer"
        said = f"an evaluation process did not {missed} within {patience:.0f} s of having its processor"
        self._hung_starts += 1
        if self._hung_starts > HUNG_STARTS_ALLOWED:
            raise JobFailed(
                f"{said}, as {HUNG_STARTS_ALLOWED} before it; the logs of Ray on their nodes may say why "
                "(session_latest/logs in Ray's folder)"
            )
        self._note(f"{said}: it is ended, and another started ({self._hung_starts} of {HUNG_STARTS_ALLOWED})")
        self._start_one()

    def _start_one(self) -> None:
        process = self._start()
        self._starting[process.awaited] = process

    def _welcome(self, reference: Any) -> None:
        process = self._starting.pop(reference)
        try:
            ray.get(reference)
        except RayActorError as error:
            process.end()
            self._lost_starts += 1
            if error.actor_init_failed or self._lost_starts > LOST_STARTS_ALLOWED:
                raise JobFailed(f"an evaluation process could not start: {last_line(error)}") from error
            self._start_one()  # its node is gone
        except RayError as error:
            process.end()
            raise JobFailed(f"an evaluation process could not start: {last_line(error)}") from error
        else:
            if process.loading:
                self._lost_starts = self._hung_starts = 0
                self._idle.append(process)
            else:
                process.load()
                self._starting[process.awaited] = process

    def _take(self, reference: Any) -> Evaluation | None:
        """The result, or None where its process died and another will do it again."""
        process, request = self._running.pop(reference)
        value, seconds, sequences = math.nan, 0.0, ()
        try:
            value, seconds, sequences = ray.get(reference)
        except RayActorError:
            process.end()
            self._start_one()
            request.deaths += 1
            if request.deaths < DEATHS_ALLOWED:
                self._queue.appendleft(request)
                return None
        except RayTaskError:
            self._idle.append(process)  # this architecture cannot be scored: NaN says so
        else:
            self._idle.append(process)
        digest, conversion = request.architecture.digest, request.conversion
        weights = self._supernet if conversion is None else conversion.weights(self._supernet)
        return Evaluation(weights, digest, request.split, value, seconds, request.share, sequences)

    def _dispatch(self) -> None:
        while self._idle and self._queue:
            process, request = self._idle.popleft(), self._queue.popleft()
            reference = process.score(request.architecture, request.split, request.share, request.conversion)
            self._running[reference] = (process, request)


class RayEvaluator:
    """Evaluation pools in a cluster.

    Args:
        home: folder that supernet paths are relative to.
    """

    def __init__(self, cluster: RayCluster, home: Path) -> None:
        self._cluster, self._home = cluster, home
        self._lock = Lock()
        self._weights: tuple[tuple[str, int], Any] | None = None

    @contextmanager
    def open(
        self,
        plan: Plan,
        supernet: SupernetRecord,
        check_stop: Callable[[], None],
        note: Callable[[str], None],
    ) -> Iterator[_Pool]:
        """See `nas.stages.backends.ComputeBackend.evaluations`: one process a processor, but no more of them
        than evaluations that the search has out at once.

        Raises:
            JobFailed: the cluster has no processor, or a process cannot start.
        """
        capacity = self._cluster.require(1, "an evaluation", check_stop)
        weights = self._put(supernet)
        space = plan.space.spec.model_dump(mode="json")
        task = {"name": plan.task.name, **plan.task.options.model_dump(mode="json")}
        scored = plan.spec.budget, plan.train_seed
        count = min(capacity.possible, plan.spec.budget.search.batch)
        pool = _Pool(
            self._cluster,
            lambda: ScorerProcess(space, task, weights, scored),
            count,
            supernet.digest,
            check_stop,
            note,
        )
        try:
            pool.wait_until_ready()
            yield pool
        finally:
            pool.close()

    def close(self) -> None:
        """Let go of weights in the object store; before the cluster is closed."""
        self._weights = None

    def _put(self, supernet: SupernetRecord) -> Any:
        """The weights in the object store: put there once, however many pools of a supernet follow one
        another; each node fetches one copy, which its actors share."""
        from safetensors.numpy import load_file

        with self._lock:
            place = supernet.digest, self._cluster.starts
            if self._weights is None or self._weights[0] != place:
                self._weights = place, ray.put(load_file(self._home / supernet.path))
            return self._weights[1]

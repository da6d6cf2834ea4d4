"""Evaluations in parallel on Ray actors that share one copy of the supernet's weights."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from nas.controller.cluster import RayCluster, last_line
from nas.errors import JobFailed
from nas.evaluation import Conversion, Evaluation, Split
from nas.export import BlockLibrary
from nas.export.converted import ConvertedModel
from nas.planning.plan import Plan
from nas.store.store import SupernetRecord
from nas.training.start import scored_tokens
from searchspaces.architecture import Architecture

__all__ = ["RayEvaluator"]

START_SECONDS = 120.0
"""How long an actor may take to answer while Ray has a processor for it."""

EVALUATION_SECONDS = 600.0
"""How long one evaluation may take."""

LOOK_SECONDS = 1.0
"""How often whoever waits looks whether the job was stopped, and whether there is still hope."""

DEATHS_ALLOWED = 3
"""How often processes may die of one architecture before it counts as failed."""

LOST_STARTS_ALLOWED = 16
"""How many actors may be lost before they answer, one after another, before the cluster is at fault."""


class _Scorer:
    """One process with the supernet: its weights are views into Ray's object store."""

    def __init__(
        self, space: dict[str, Any], task: dict[str, Any], weights: dict[str, Any], scored: Any = None
    ) -> None:
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
        self.scored = scored
        self.blocks = BlockLibrary()

    @cached_property
    def divergence(self) -> Any:
        """From the parent, on the job's calibration data; made with the first replacement that is scored."""
        from nas.pretrained.streams import Divergence

        budget, seed = self.scored
        space = self.supernet.space
        tokens = scored_tokens(self.task, budget, space.spec.context, seed)
        return Divergence(space.first, self.supernet.weights(space.first), tokens)

    def ready(self) -> bool:
        return True

    def score(
        self, architecture: dict[str, Any], split: str, share: float, conversion: tuple[str, str] | None
    ) -> tuple[float, float, tuple[float, ...]]:
        """The split's value, the seconds that it took, and of the test split the metric on each sequence."""
        chosen = Architecture.from_dict(architecture)
        sequences: tuple[float, ...] = ()
        start = time.perf_counter()
        model = self._model(chosen, conversion)
        if Split(split) is Split.CALIBRATION:
            value = self.divergence(chosen, self.supernet.weights(chosen))
        elif Split(split) is Split.TEST:
            value, sequences = self.task.evaluate_sequences(model, Split.TEST)
        else:
            value = self.task.evaluate(model, Split(split), share)
        return float(value), time.perf_counter() - start, sequences

    def _model(self, chosen: Architecture, conversion: tuple[str, str] | None) -> Callable[[Any], Any]:
        if conversion is None:
            return lambda tokens: self.supernet(tokens, chosen)
        weights = self.supernet.extract(chosen).state_dict()
        return ConvertedModel(chosen, weights, Conversion(*conversion), self.blocks)


@dataclass
class _Request:
    """One evaluation to do, and how often its process died of it."""

    architecture: Architecture
    split: Split
    share: float
    conversion: Conversion | None = None
    deaths: int = 0


class _Pool:
    """Hands queued evaluations to actors that have answered, and replaces actors that die.

    An actor that waits for a processor (another job has it, or its node is gone) keeps nothing waiting:
    work goes to those that are there.

    Args:
        cluster: that they run in.
        start: starts one actor.
        count: of actors.
        supernet: digest of the supernet whose weights they hold.
        check_stop: raises where the job was stopped.
    """

    def __init__(
        self,
        cluster: RayCluster,
        start: Callable[[], Any],
        count: int,
        supernet: str,
        check_stop: Callable[[], None],
    ) -> None:
        self._cluster, self._start, self._supernet, self._check_stop = cluster, start, supernet, check_stop
        self._queue: deque[_Request] = deque()
        self._starting: dict[Any, Any] = {}
        self._idle: deque[Any] = deque()
        self._running: dict[Any, tuple[Any, _Request]] = {}
        self._lost_starts, self._starts = 0, cluster.starts
        self._heard_at = time.monotonic()
        for _ in range(count):
            self._start_one()

    def wait_until_ready(self) -> None:
        """Return once one actor answers.

        Raises:
            JobFailed: it could not start, or Ray has no processor for it.
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
        """End the actors; those of a Ray that died have ended with it."""
        if self._starts != self._cluster.starts:
            return
        for actor in [*self._starting.values(), *self._idle, *(actor for actor, _ in self._running.values())]:
            ray.kill(actor)

    def _wait(self) -> Evaluation | None:
        """Take in one thing that happened, if anything does soon: an evaluation ended, an actor answered."""
        ended, _ = ray.wait([*self._running, *self._starting], num_returns=1, timeout=LOOK_SECONDS)
        self._check_stop()
        evaluation = None
        if ended:
            self._heard_at = time.monotonic()
            if ended[0] in self._starting:
                self._welcome(ended[0])
            else:
                evaluation = self._take(ended[0])
        else:
            self._check_hope()
        self._dispatch()
        return evaluation

    def _check_hope(self) -> None:
        silent = time.monotonic() - self._heard_at
        if self._running and silent > EVALUATION_SECONDS:
            raise JobFailed(f"no evaluation ended within {EVALUATION_SECONDS:.0f} s")
        if not self._running and silent > START_SECONDS:
            self._cluster.require(1, "an evaluation")
            free = ray.available_resources().get("CPU", 0)
            if free >= 1:  # else other jobs have them all: wait for one of them to end
                raise JobFailed(
                    f"no evaluation process answered within {START_SECONDS:.0f} s, though Ray has "
                    f"{free:g} free processors"
                )

    def _start_one(self) -> None:
        actor = self._start()
        self._starting[actor.ready.remote()] = actor

    def _welcome(self, reference: Any) -> None:
        actor = self._starting.pop(reference)
        try:
            ray.get(reference)
        except RayError as error:
            self._lost_starts += 1
            own_fault = not isinstance(error, RayActorError) or error.actor_init_failed
            if own_fault or self._lost_starts > LOST_STARTS_ALLOWED:
                raise JobFailed(f"an evaluation process could not start: {last_line(error)}") from error
            self._start_one()  # its node is gone
        else:
            self._lost_starts = 0
            self._idle.append(actor)

    def _take(self, reference: Any) -> Evaluation | None:
        """The result, or None where its process died and another will do it again."""
        actor, request = self._running.pop(reference)
        value, seconds, sequences = math.nan, 0.0, ()
        try:
            value, seconds, sequences = ray.get(reference)
        except RayActorError:
            self._start_one()
            request.deaths += 1
            if request.deaths < DEATHS_ALLOWED:
                self._queue.appendleft(request)
                return None
        except RayTaskError:
            self._idle.append(actor)  # this architecture cannot be scored: NaN says so
        else:
            self._idle.append(actor)
        digest, conversion = request.architecture.digest, request.conversion
        weights = self._supernet if conversion is None else conversion.weights(self._supernet)
        return Evaluation(weights, digest, request.split, value, seconds, request.share, sequences)

    def _dispatch(self) -> None:
        while self._idle and self._queue:
            actor, request = self._idle.popleft(), self._queue.popleft()
            architecture, conversion = request.architecture.to_dict(), request.conversion
            engine = None if conversion is None else (conversion.runtime, conversion.dtype)
            reference = actor.score.remote(architecture, str(request.split), request.share, engine)
            self._running[reference] = (actor, request)


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
    def open(self, plan: Plan, supernet: SupernetRecord, check_stop: Callable[[], None]) -> Iterator[_Pool]:
        """See `nas.stages.backends.ComputeBackend.evaluations`: one actor a processor, but no more of them
        than evaluations that the search has out at once.

        Raises:
            JobFailed: the cluster has no processor, or an actor cannot start.
        """
        capacity = self._cluster.require(1, "an evaluation")
        weights = self._put(supernet)
        space = plan.space.spec.model_dump(mode="json")
        task = {"name": plan.task.name, **plan.task.options.model_dump(mode="json")}
        scored = plan.spec.budget, plan.train_seed
        scorer = ray.remote(num_cpus=1)(_Scorer)
        count = min(capacity.possible, plan.spec.budget.search.batch)
        pool = _Pool(
            self._cluster,
            lambda: scorer.remote(space, task, weights, scored),
            count,
            supernet.digest,
            check_stop,
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

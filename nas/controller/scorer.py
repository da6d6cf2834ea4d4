"""One process that scores architectures with a supernet, from the processor that it waits for to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from nas.evaluation import Conversion, Split
from searchspaces.architecture import Architecture

__all__ = ["ScorerProcess"]


PULSE = "pulse"
"""Concurrency group of what is answered while the process does something else."""

LEAST_WORK = 0.05
"""Seconds of processor time that count as work since the last answer: to answer takes less."""

MOST_WORK = 900.0
"""Seconds of processor time after which loading is not believed to end."""


class _Scorer:
    """The actor. It comes up with nothing loaded, so that whether its process is there can be asked apart."""

    def ready(self) -> bool:
        return True

    @ray.method(concurrency_group=PULSE)
    def worked_seconds(self) -> float:
        """Processor time so far."""
        return time.process_time()

    def load(
        self, space: dict[str, Any], task: dict[str, Any], weights: dict[str, Any], scored: Any = None
    ) -> None:
        """Build the supernet; its weights are views into Ray's object store."""
        import torch

        from nas.tasks import make_task
        from searchspaces.space import load_space
        from searchspaces.supernet import Supernet

        torch.set_num_threads(1)  # two busy processes with two threads each are far slower than with one
        self.task = make_task(task.pop("name"), task)
        tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
        self.supernet = Supernet.holding(load_space(space), tensors)
        self.supernet.load_state_dict(tensors, assign=True)
        self.supernet.requires_grad_(False).eval()
        self.scored = scored

    @cached_property
    def divergence(self) -> Any:
        """From the parent, on the job's calibration data; made with the first replacement that is scored."""
        from nas.training.start import divergence_from_parent

        budget, seed = self.scored
        return divergence_from_parent(self.supernet, self.task, budget, seed)

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

    @cached_property
    def blocks(self) -> Any:
        """What converted models share; made with the first."""
        from nas.export import BlockLibrary

        return BlockLibrary()

    def _model(self, chosen: Architecture, conversion: tuple[str, str] | None) -> Callable[[Any], Any]:
        if conversion is None:
            return lambda tokens: self.supernet(tokens, chosen)
        from nas.export.converted import ConvertedModel

        weights = self.supernet.extract(chosen).state_dict()
        return ConvertedModel(chosen, weights, Conversion(*conversion), self.blocks)


class ScorerProcess:
    """An evaluation process and the processor that is reserved for it.

    What takes long is told apart. The reservation is a placement group of its own: so one that waits for a
    processor, which takes as long as others keep theirs, is known from one that has it and does not come up.
    One that loads the supernet on a busy machine says how much it has worked, which one that hangs does not.

    Args:
        loaded: arguments of `_Scorer.load`.

    Attributes:
        awaited: reference to what it does before it can score.
        loading: it is up, and loads the supernet.
    """

    def __init__(self, *loaded: Any) -> None:
        self._loaded = loaded
        self._group = placement_group([{"CPU": 1}])
        here = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=0)
        remote: Any = ray.remote  # whose types know no concurrency groups
        scorer = remote(num_cpus=1, scheduling_strategy=here, concurrency_groups={PULSE: 1})(_Scorer)
        self._actor: Any = scorer.remote()
        self.awaited = self._actor.ready.remote()
        self.loading = False
        self._since: float | None = None
        self._pulse: Any = None
        self._worked = 0.0

    def load(self) -> None:
        """Load the supernet, once it has answered: `awaited` is then that."""
        self.awaited, self.loading = self._actor.load.remote(*self._loaded), True
        self._since = time.monotonic()

    def silent_seconds(self) -> float | None:
        """Since when it could have done what is awaited and has not been seen to work on it; None where it
        waits for a processor."""
        if self.loading:
            self._feel_pulse()
        else:
            reserved = placement_group_table(self._group).get("state") == "CREATED"
            self._since = (self._since or time.monotonic()) if reserved else None
        return None if self._since is None else time.monotonic() - self._since

    def _feel_pulse(self) -> None:
        if self._pulse is not None and ray.wait([self._pulse], timeout=0)[0]:
            with suppress(RayError):  # its end is seen by what is awaited
                worked = ray.get(self._pulse)
                if self._worked + LEAST_WORK < worked < MOST_WORK:
                    self._worked, self._since = worked, time.monotonic()
            self._pulse = None
        if self._pulse is None:
            self._pulse = self._actor.worked_seconds.remote()

    def score(
        self, architecture: Architecture, split: Split, share: float, conversion: Conversion | None
    ) -> Any:
        """Begin one evaluation; a reference to what `_Scorer.score` returns."""
        engine = None if conversion is None else (conversion.runtime, conversion.dtype)
        return self._actor.score.remote(architecture.to_dict(), str(split), share, engine)

    def end(self) -> None:
        """End the process, whatever it does, and let go of its processor."""
        ray.kill(self._actor)
        remove_placement_group(self._group)

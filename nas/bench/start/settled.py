"""`nas bench start` settled: its model and text have been read, so that a run is known by what they hold."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nas.bench.start.settings import StartBench
from nas.planning.plan import Plan, resolve
from nas.planning.start import settle_start
from nas.spec import JobSpec

__all__ = ["SettledBench", "settle"]


@dataclass(frozen=True)
class SettledBench:
    """What is compared, with what it names.

    Attributes:
        bench: its model and its text as absolute paths.
        plan: of the first level's job; at others only the bounds are others.
    """

    bench: StartBench
    plan: Plan

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Plain data that every number follows from: what files hold, not where they lie. How far a run goes
        is not among it, so that it can go on with other levels, evaluations or steps of healing."""
        spec, budget = self.plan.spec, self.plan.spec.budget
        assert spec.start is not None
        heal = {name: value for name, value in budget.finalists.identity().items() if name != "steps"}
        return {
            "model": spec.start.digest,
            "task": {"name": self.plan.task.name, **self.plan.task.identity()},
            "target": str(self.plan.targets[0]),
            "mixers": list(self.bench.mixers),
            "ratios": list(map(float, self.bench.ratios)),
            "calibrate": budget.calibrate.model_dump(mode="json"),
            "library": budget.library.identity(),
            "heal": heal,
            "seed": spec.seed,
        }

    @property
    def key(self) -> str:
        """Names the folder of runs of this identity."""
        return f"start-{_digest(self.identity)}"

    def spec(self, level: int) -> JobSpec:
        """The job that finds a model for a level, in the model as it was when it was read."""
        return self.bench.spec(level).model_copy(update={"start": self.plan.spec.start})

    def job_key(self, level: int) -> str:
        """That a level's job is submitted under: another spec or another text makes another job."""
        asked = {"spec": self.spec(level).model_dump(mode="json"), "task": self.plan.task.digest}
        return f"start-{level}-{_digest(asked)}"


def settle(bench: StartBench, models: Path) -> SettledBench:
    """Read what is named.

    Args:
        models: keeps a folder made of a GGUF file.

    Raises:
        InvalidSpec: the model or the text cannot be read, or a setting does not fit them.
    """
    # A job outlives the folder that it was submitted from.
    text = tuple(str(Path(pattern).expanduser().absolute()) for pattern in bench.text)
    bench = replace(bench, text=text)
    plan = resolve(settle_start(bench.spec(bench.levels[0]), Path(), models))
    assert plan.spec.start is not None
    return SettledBench(replace(bench, model=plan.spec.start.model), plan)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

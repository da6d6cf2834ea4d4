"""What `nas bench start` compares, and the job that it runs at each level."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nas.errors import InvalidSpec
from nas.objectives.latency_ms import LATENCY
from nas.pretrained import KEEP
from nas.spec import JobSpec, load_job_spec
from searchspaces.errors import Problem
from workers.target import Workload

__all__ = ["StartBench"]


@dataclass(frozen=True)
class StartBench:
    """What is compared.

    Attributes:
        model: a Hugging Face folder, or a GGUF file.
        text: files or patterns of the text that is learned and scored; Python's documentation where empty.
        tokens: N, of a prompt that is timed and of a sequence that is learned and scored.
        also: other workloads (`workers.target.Workload`) that every model is timed at.
        levels: percentages of the parent's latency.
        mixers, ratios: what may stand in the place of its parts, see `nas.planning.start`.
        calibrate, scored: tokens by which units are ranked, and on which single replacements are.
        library: training steps of each replacement with weights of its own.
        measured: architectures that are profiled.
        evaluations: candidates that a search evaluates.
        evaluated: tokens of each split that models are scored on.
        heal: steps of each model's training against the parent's predictions; 0 leaves them as they are.
        seed: of everything random.
    """

    model: str
    text: tuple[str, ...] = ()
    tokens: int = 2048
    also: tuple[str, ...] = ()
    levels: tuple[int, ...] = (85, 70, 55)
    mixers: tuple[str, ...] = (KEEP, "window:64,4", "window:256,4", "none")
    ratios: tuple[float, ...] = (1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0)
    calibrate: int = 32768
    scored: int = 2048
    library: int = 40
    measured: int = 24
    evaluations: int = 32
    evaluated: int = 16384
    heal: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [level for level in self.levels if not 0 < level < 100]
        if wrong or not self.levels:
            said = f"{wrong or 'none'}; accepted: percentages of the parent's latency, 1 to 99"
            raise InvalidSpec([Problem("--levels", said)])
        try:
            _ = self.workloads
        except ValueError as error:
            raise InvalidSpec([Problem("--also", str(error))]) from error

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """Those of `also`."""
        return tuple(map(Workload.parse, self.also))

    def quick(self) -> StartBench:
        """The same on so little that a model of a few layers takes a minute, and nothing is told."""
        return replace(
            self,
            tokens=min(self.tokens, 64),
            levels=self.levels[:1],
            calibrate=128,
            scored=64,
            library=2,
            measured=6,
            evaluations=6,
            evaluated=128,
            heal=3,
        )

    def spec(self, level: int) -> JobSpec:
        """The job that finds a model for a level."""
        held_out = max(2, self.measured // 4)
        # What is compared with it is cut and measured here: no published design is for the job to verify, nor
        # what is far below the bound.
        verify = {"rounds": 2, "evaluations": max(1, self.evaluations // 4), "members": 4, "presets": 0}
        budget = {
            "calibrate": {"tokens": self.calibrate, "scored": self.scored},
            "library": {"steps": self.library},
            "profile": {"measurements": self.measured, "holdout": held_out, "tolerance": 0.03},
            "search": {"evaluations": self.evaluations, "batch": min(4, self.evaluations)},
            "verify": verify,
            "heal": {"count": 0},
        }
        task = {"name": "text", "evaluation_tokens": self.evaluated}
        return load_job_spec(
            {
                "name": f"start-{level}",
                "start": {"model": self.model},
                "space": {"mixer": list(self.mixers), "ratio": list(self.ratios)},
                "task": task | ({"path": list(self.text)} if self.text else {}),
                "targets": [{"tokens": self.tokens}],
                "bounds": {LATENCY: f"{level}%"},
                "budget": budget,
                "seed": self.seed,
            }
        )

"""What the recipes' benchmark tells of the answers that there are: plain data, and a table of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from recipe_jobs import TUNED, Answers, Job, Setting, beside, chosen
from rich.console import Console
from rich.table import Table

from nas.bench.ranking import FEWEST, MIXED
from nas.bench.ranking.agreement import agreement, upper_half
from nas.bench.ranking.calibration import calibrate
from nas.planning.plan import Plan, resolve
from nas.point import Point
from nas.spec import load_job_spec
from searchspaces.architecture import Architecture
from searchspaces.costs import CostModel
from searchspaces.presets import presets

COLUMNS = (
    "score",
    "tau",
    "better half",
    "of each seed",
    "spread",
    "largest",
    "at twice",
    "nested",
    "mean",
    "predicted",
    "within 2",
    "steps",
    "s",
)


@dataclass(frozen=True)
class Alone:
    """What training alone says of a setting's models.

    Attributes:
        models: those that the first seed has trained.
        scores: (seeds, models) of the seeds that have trained all of these.
    """

    setting: Setting
    models: list[Architecture]
    scores: np.ndarray

    @classmethod
    def of(cls, setting: Setting, seeds: int, answers: Answers) -> Alone:
        """What was run; the rest is left out, be it a model or a seed."""
        by_seed = [
            {
                a.digest: told[0]
                for a in chosen(setting)
                if (told := answers.scores(Job(setting, seed, a), [a])) is not None
            }
            for seed in range(seeds)
        ]
        models = [a for a in chosen(setting) if a.digest in by_seed[0]]
        complete = [by for by in by_seed if len(by) == len(by_seed[0])]
        return cls(setting, models, np.array([[by[a.digest] for a in models] for by in complete]))

    @cached_property
    def sign(self) -> int:
        """By which scores are minimised."""
        return self.setting.make_task().direction.sign

    @cached_property
    def truth(self) -> np.ndarray:
        """(models,): the mean over seeds."""
        return self.scores.mean(0)

    @cached_property
    def upper(self) -> np.ndarray:
        """Rows of the better half."""
        return upper_half(self.sign * self.truth)

    @cached_property
    def named(self) -> dict[str, str]:
        """Presets' names by digest."""
        found = presets(self.setting.load_space()).items()
        return {preset.architecture.digest: name for name, preset in found}

    @cached_property
    def nested(self) -> dict[str, int]:
        """Rows of MatFormer's granularities, by name, those of mixed widths among them."""
        names = {self.named.get(a.digest, ""): row for row, a in enumerate(self.models)}
        return {name: row for name, row in names.items() if name.startswith("matformer")}

    def agreement(self, scores: np.ndarray) -> dict[str, float | None]:
        """Of (models,) scores in the task's metric with the truth."""
        return self.rank(self.sign * scores)

    def rank(self, minimised: np.ndarray) -> dict[str, float | None]:
        """Of (models,) numbers, the smaller the better, with the truth."""
        return agreement(minimised, self.sign * self.truth, self.upper)

    def worse(self, scores: np.ndarray, than: np.ndarray | float) -> np.ndarray:
        """By what share scores are worse than others."""
        return self.sign * (scores - than) / np.abs(than)

    def mixed_better(self, scores: np.ndarray) -> dict[str, float]:
        """By how much models of mixed widths beat uniform ones, as large; of (…, models) scores."""
        pairs = {name: name.removesuffix(MIXED) for name in self.nested if name.endswith(MIXED)}
        return {
            mixed: float(
                np.mean(self.sign * (scores[..., self.nested[uniform]] - scores[..., self.nested[mixed]]))
            )
            for mixed, uniform in pairs.items()
            if uniform in self.nested
        }


def report(setting: Setting, seeds: int, recipes: Sequence[str], answers: Answers) -> dict[str, Any]:
    """Of a task: plain data. What was not run is left out, be it a model, a seed or a recipe."""
    alone = Alone.of(setting, seeds, answers)
    if len(alone.models) < FEWEST:
        return {"task": setting.task, "alone": len(alone.models)}
    several = len(alone.scores) > 1
    halves = [
        told[0]
        for seed in range(len(alone.scores))
        if (told := answers.scores(Job(setting, seed, alone.models[0], 0.5), alone.models[:1])) is not None
    ]
    ran = {name: _ran(setting, seeds, name, answers) for name in recipes}
    plan, half = _plan(setting), float(np.mean(halves)) if halves else np.nan
    return {
        "task": setting.task,
        "metric": setting.make_task().metric,
        "steps": setting.steps,
        "alone": len(alone.models),
        "alone_seeds": len(alone.scores),
        "spread": float(np.ptp(alone.truth)),
        "spread_upper": float(np.ptp(alone.truth[alone.upper])),
        "seed_deviation": float(np.sqrt(alone.scores.var(0, ddof=1).mean())) if several else None,
        "mixed_better_alone": alone.mixed_better(alone.truth),
        "proxies": _proxies(alone) + _tuned(alone, _ran(setting, seeds, "plain", answers)),
        "recipes": [_recipe(name, alone, told, half, plan) for name, told in ran.items() if told],
        "models": [
            {"name": alone.named.get(a.digest, a.digest), "alone": alone.scores[:, row].tolist()}
            for row, a in enumerate(alone.models)
        ],
    }


def _ran(setting: Setting, seeds: int, recipe: str, answers: Answers) -> list[dict[str, Any]]:
    """A recipe's answers, of the seeds that were run."""
    told = (answers.known.get(Job(setting, seed, recipe=recipe).key) for seed in range(seeds))
    return [answer for answer in told if answer is not None]


def _proxies(alone: Alone) -> list[dict[str, Any]]:
    """What is free, and what one seed of training alone tells of the other."""
    space = alone.setting.load_space()
    population, costs = space.encode(alone.models), CostModel(space)
    free = {
        "parameters": costs.parameters(population),
        "MACs": costs.macs(population, space.spec.context),
        "layers": space.count_layers(population),
    }
    rows = [{"score": name, **alone.rank(-values.astype(float))} for name, values in free.items()]
    if len(alone.scores) > 1:
        again = agreement(*(alone.sign * alone.scores[:2]), alone.upper)
        rows.append({"score": "alone, one seed with the other", **again})
    return rows


def _tuned(alone: Alone, plain: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a few steps on from the plain supernet's weights tell."""
    each = [
        alone.agreement(np.array([answer["tuned"][a.digest] for a in alone.models]))
        for answer in plain
        if "tuned" in answer
    ]
    name = f"plain, on for {TUNED * alone.setting.steps:.0f} steps"
    return [{"score": name, **_of_seeds(each)}] if each else []


def _recipe(
    name: str, alone: Alone, ran: Sequence[Mapping[str, Any]], half: float, plan: Plan
) -> dict[str, Any]:
    """A recipe's row.

    Args:
        ran: its answers, a seed each.
        half: what the largest model scores alone, after half as many steps.
    """
    scores = np.array([[answer["scores"][a.digest] for a in alone.models] for answer in ran])
    gaps = alone.worse(scores, alone.truth).mean(0)
    return {
        "recipe": name,
        "seeds": len(ran),
        **_of_seeds([alone.agreement(of) for of in scores]),
        "tau_of_mean": alone.agreement(scores.mean(0)),
        "spread_upper": float(np.ptp(scores[:, alone.upper], axis=1).mean()),
        "largest_worse": float(gaps[0]),
        "largest_worse_at_twice": float(alone.worse(scores[:, 0], half).mean()),
        "granularities_worse": {
            name: float(gaps[row]) for name, row in alone.nested.items() if not name.endswith(MIXED)
        },
        "mixed_better": alone.mixed_better(scores),
        "predicted": _predicted(plan, alone, ran[0]["scores"]),
        "mean_score": float(scores.mean()),
        "steps": float(np.mean([answer["steps"] for answer in ran])),
        "seconds": float(np.mean([answer["seconds"] for answer in ran])),
    }


def _plan(setting: Setting) -> Plan:
    """Of a job that would search the setting's space."""
    tokens = setting.load_space().spec.context
    target = {"device": "local-cpu", "runtime": "onnxruntime", "threads": 1, "tokens": tokens}
    task = {"name": setting.task, **setting.options}
    return resolve(load_job_spec({"space": setting.space, "task": task, "targets": [target]}))


def _predicted(plan: Plan, alone: Alone, scores: Mapping[str, float]) -> dict[str, Any] | None:
    """How well models are predicted from others that were trained alone, of one supernet."""
    models = [*alone.models, *beside(alone.setting)]
    points = [Point(a.digest, a, scores[a.digest], None) for a in models]
    truth = {a.digest: value for a, value in zip(alone.models, alone.truth.tolist(), strict=True)}
    found = calibrate(plan, points, truth)
    return None if found is None else asdict(found)


def _of_seeds(each: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    """What seeds agree with the truth, each and on average; nothing where scores are all the same."""
    mean = {name: float(np.mean([row[name] or 0.0 for row in each])) for name in each[0]}
    return {**mean, "each": [[row["tau"] or 0.0, row["tau_upper"] or 0.0] for row in each]}


def show(told: Mapping[str, Any], console: Console) -> None:
    """One task's table."""
    if "recipes" not in told:
        console.print(f"{told['task']}: {told['alone']} models alone are too few")
        return
    noise = "" if told["seed_deviation"] is None else f", seeds {told['seed_deviation']:.3f}"
    title = (
        f"{told['task']}: {told['alone']} models alone ({told['alone_seeds']} seeds, {told['steps']} steps) "
        f"span {told['spread']:.3f}, the better half {told['spread_upper']:.3f} {told['metric']}{noise}"
    )
    table = Table(*COLUMNS, title=title)
    for row in told["proxies"]:
        table.add_row(row["score"], *_taus(row), *[""] * (len(COLUMNS) - 4))
    for row in sorted(told["recipes"], key=lambda row: -row["tau"] - row["tau_upper"]):
        table.add_row(
            row["recipe"],
            *_taus(row),
            f"{row['spread_upper']:.3f}",
            f"{row['largest_worse']:.0%}",
            f"{row['largest_worse_at_twice']:.0%}",
            f"{max(row['granularities_worse'].values()):.0%}",
            f"{row['mean_score']:.3f}",
            *_calibrated(row["predicted"]),
            f"{row['steps']:.0f}",
            f"{row['seconds']:.0f}",
        )
    console.print(table)


def _taus(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Over all, over the better half, and both of each seed."""
    tau, upper = (row[key] or 0.0 for key in ("tau", "tau_upper"))
    return (
        f"{tau:.2f}",
        f"{upper:.2f}",
        " ".join(f"{one:.2f}/{half:.2f}" for one, half in row.get("each", [])),
    )


def _calibrated(told: Mapping[str, Any] | None) -> tuple[str, str]:
    """The prediction's agreement over all and the better half, and how often it is within two deviations."""
    if told is None:
        return "", ""
    tau, upper = (told["predicted"][key] or 0.0 for key in ("tau", "tau_upper"))
    return f"{tau:.2f}/{upper:.2f}", f"{told['within_two']:.0%}"

"""Which way of training a supernet ranks best, and misleads least, at equal processor time?

    python benchmarks/recipes.py --tasks text recall --processes 16
    python benchmarks/recipes.py --tasks text recall --report          # of what there is, training nothing

Presets, MatFormer's granularities among them, and random architectures of all sizes are trained alone to one
end. Then a supernet is trained by each recipe (`recipe_trainer.py`) for as much processor time as the plain
one takes for its steps, and scores all of them. Told is, by recipe and task: Kendall's tau with training
alone over all and over the better half, how far apart the better half's scores lie, how much worse the
largest model is in the supernet than alone after as many steps and after half of them (a supernet at twice
the steps), how much worse MatFormer's granularities are than alone, and how well others are predicted from
eight models trained alone. Beside them stands what free proxies tell, and one seed of training alone of the
other: nothing can be expected to tell more.

Answers are kept in a folder as they come: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from recipe_trainer import RECIPES, Recipe, RecipeTrainer
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau

from nas.bench.alone import process_pool
from nas.bench.calibration import calibrate
from nas.bench.ranking import MIXED
from nas.planning.plan import Plan, resolve
from nas.point import Point
from nas.spec import FinalistBudget, TrainBudget, load_job_spec
from nas.tasks import Task, make_task
from nas.training.finetune import FineTuning, best_weights, finetune
from searchspaces.architecture import Architecture
from searchspaces.costs import CostModel
from searchspaces.presets import presets
from searchspaces.space import SearchSpace, load_space
from searchspaces.submodel import Submodel

RATE = 0.03
TIMED_STEPS = 24
"""By which recipes' processor time is told, at most, and a twentieth of all steps."""

BESIDE = 24
TUNED, TUNING_RATE = 1 / 12, 0.01
"""Of the steps, in which models go on from the plain supernet's weights, and their learning rate."""


@dataclass(frozen=True)
class Setting:
    """What is trained.

    Attributes:
        space: a name, a file or a declaration.
        options: of the task.
        steps: of the plain supernet, and of training alone.
        batch: sequences a step.
    """

    task: str
    space: Any
    steps: int
    batch: int
    architectures: int
    options: dict[str, Any] = field(default_factory=dict)

    def make_task(self) -> Task:
        return make_task(self.task, self.options)

    def load_space(self) -> SearchSpace:
        return load_space(self.space)

    @property
    def digest(self) -> str:
        """Of what a training follows from: not of which architectures are compared."""
        told = json.dumps(asdict(self) | {"architectures": None}, sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:8]


LOOKING_UP = {
    "name": "recall",
    "vocabulary": 256,
    "context": 128,
    "width": [64],
    "depth": [2, 3, 4],
    "layer": {
        "mixer": ["softmax", "window:32", "sparse:32", "decay", "taylor", "gatedconv", "none"],
        "heads": [2, 4],
        "conv": [4],
        "ratio": [0.5, 1, 2],
    },
}
"""With short convolutions, without which nothing is looked up after few steps."""

SETTINGS = {
    "text": Setting("text", "hybrid-lm", 1200, 1, 16, {"evaluation_tokens": 8192}),
    "recall": Setting(
        "recall",
        LOOKING_UP,
        800,
        8,
        16,
        {"pairs": 16, "evaluation_context": 128, "evaluation_tokens": 4096},
    ),
}


@dataclass(frozen=True)
class Job:
    """One training: alone, for a share of the steps, or of a supernet."""

    setting: Setting
    seed: int
    architecture: Architecture | None = None
    share: float = 1.0
    recipe: str | None = None

    @property
    def key(self) -> str:
        what = self.recipe if self.architecture is None else f"{self.architecture.digest} x{self.share:g}"
        return f"{self.setting.task} {self.setting.digest} {what} {self.seed}"


def run(job: Job) -> dict[str, Any]:
    """Train; scores by digest, processor seconds and steps."""
    torch.set_num_threads(1)
    if job.architecture is not None:
        return alone(job, job.architecture)
    return supernet(job, RECIPES[str(job.recipe)])


def alone(job: Job, architecture: Architecture) -> dict[str, Any]:
    """The validation score of an architecture's own weights, trained from scratch."""
    setting, steps = job.setting, round(job.share * job.setting.steps)
    torch.manual_seed(job.seed)
    budget = FinalistBudget(start="scratch", steps=steps, batch=setting.batch, learning_rate=RATE)
    begun = time.process_time()
    scores = {architecture.digest: _trained(job, Submodel(architecture), budget, 0)}
    return {"scores": scores, "seconds": time.process_time() - begun, "steps": steps}


def _trained(job: Job, submodel: Submodel, budget: FinalistBudget, first_batch: int) -> float:
    """The validation score at the end."""
    task, context = job.setting.make_task(), job.setting.load_space().spec.context
    with TemporaryDirectory() as folder:
        training = FineTuning(task, budget, first_batch, context, job.seed, Path(folder))
        finetune(submodel, training, budget.steps, lambda *_: None, lambda _: None, lambda: False)
        best = best_weights(Path(folder))
    assert best is not None
    return best.validation


def supernet(job: Job, recipe: Recipe) -> dict[str, Any]:
    """A supernet by a recipe, in the processor time of the plain one."""
    setting, space, task = job.setting, job.setting.load_space(), job.setting.make_task()
    steps = max(1, round(setting.steps / _cost(setting, space, task, recipe, job.seed)))
    trainer = RecipeTrainer(space, task, _budget(setting, steps), job.seed, recipe)
    begun = time.process_time()
    for number in range(steps):
        trainer.step(number)
    seconds = time.process_time() - begun
    scores = trainer.scores([*chosen(setting), *beside(setting)])
    told = {"scores": scores, "seconds": seconds, "steps": steps}
    if recipe != Recipe():
        return told
    begun = time.process_time()
    tuned = {a.digest: _tuned(job, trainer.supernet.extract(a)) for a in chosen(setting)}
    return told | {"tuned": tuned, "tuning_seconds": time.process_time() - begun}


def _tuned(job: Job, submodel: Submodel) -> float:
    """The validation score after a few steps on from a supernet's weights."""
    steps = max(1, round(TUNED * job.setting.steps))
    budget = FinalistBudget(start="scratch", steps=steps, batch=job.setting.batch, learning_rate=TUNING_RATE)
    return _trained(job, submodel.requires_grad_(True), budget, job.setting.steps)


def _budget(setting: Setting, steps: int) -> TrainBudget:
    return TrainBudget(steps=steps, batch=setting.batch, learning_rate=RATE)


def _cost(setting: Setting, space: SearchSpace, task: Task, recipe: Recipe, seed: int) -> float:
    """A step's processor time over that of the plain one, timed in turns: the load may change."""
    if recipe == Recipe():
        return 1.0
    steps = min(TIMED_STEPS, max(1, setting.steps // 20))
    both = [RecipeTrainer(space, task, _budget(setting, steps), seed, each) for each in (recipe, Recipe())]
    spent = [0.0, 0.0]
    for number in range(-1, steps):
        for at, trainer in enumerate(both):
            begun = time.process_time()
            trainer.step(max(0, number))
            spent[at] += time.process_time() - begun if number >= 0 else 0.0
    return spent[0] / spent[1]


def chosen(setting: Setting) -> list[Architecture]:
    """Half of them presets: the largest, MatFormer's granularities, others over all sizes. The others random,
    spread over all sizes too."""
    space, count = setting.load_space(), setting.architectures
    named = presets(space)
    of_sizes = [p.architecture for name, p in named.items() if name.startswith("matformer")]
    first = named[f"softmax-L{space.max_depth}"].architecture
    others = _spread(space, [p.architecture for p in named.values()], max(0, count // 2 - 1 - len(of_sizes)))
    drawn = space.decode(space.sample(50 * count, np.random.default_rng(0)))
    found = {a.digest: a for a in (first, *of_sizes, *others)}
    fresh = [a for a in drawn if a.digest not in found]
    return [*found.values(), *_spread(space, fresh, count - len(found))]


def beside(setting: Setting) -> list[Architecture]:
    """Others that a supernet scores as well: from how structure explains scores follow predictions."""
    space = setting.load_space()
    return space.decode(space.sample(BESIDE, np.random.default_rng(1)))


def _spread(space: SearchSpace, architectures: Sequence[Architecture], count: int) -> list[Architecture]:
    order = np.argsort(CostModel(space).parameters(space.encode(architectures)), kind="stable")
    return [architectures[order[round(at)]] for at in np.linspace(0, len(order) - 1, count)]


def jobs_of(setting: Setting, seed: int, recipes: Sequence[str]) -> tuple[list[Job], list[Job]]:
    """Trainings alone, the longest first, and of supernets."""
    space, models = setting.load_space(), chosen(setting)
    macs = CostModel(space).macs(space.encode(models), space.spec.context)
    shares = [Job(setting, seed, models[0], 0.5), *(Job(setting, seed, a) for a in models)]
    costs = [macs[0] / 2, *macs]
    longest = [shares[i] for i in np.argsort(costs, kind="stable")[::-1]]
    return longest, [Job(setting, seed, recipe=name) for name in recipes]


def in_order(settings: Sequence[Setting], seeds: int, recipes: Sequence[str]) -> list[Job]:
    """All jobs: a seed after the other, trainings alone first, tasks in turns."""
    found: list[Job] = []
    for seed in range(seeds):
        by_task = [jobs_of(setting, seed, recipes) for setting in settings]
        for kind in range(2):
            turns = zip_longest(*(jobs[kind] for jobs in by_task))
            found += [job for job in chain.from_iterable(turns) if job is not None]
    return found


class Answers:
    """What jobs gave, by key, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.is_file() else []
        self.known: dict[str, dict[str, Any]] = dict(map(json.loads, lines))

    def keep(self, key: str, answer: dict[str, Any]) -> None:
        self.known[key] = answer
        with self._path.open("a") as file:
            file.write(json.dumps([key, answer]) + "\n")

    def scores(self, job: Job, models: Sequence[Architecture]) -> np.ndarray | None:
        """(models,); None where it was not run."""
        answer = self.known.get(job.key)
        return None if answer is None else np.array([answer["scores"][a.digest] for a in models])


def train(jobs: Sequence[Job], answers: Answers, processes: int) -> list[str]:
    """Run what has no answer; what failed is told, and keeps no other answer waiting."""
    missing, failed = [job for job in jobs if job.key not in answers.known], list[str]()
    with process_pool(processes) as pool:
        asked = {pool.submit(run, job): job for job in missing}
        for done, future in enumerate(as_completed(asked), 1):
            key, error = asked[future].key, future.exception()
            if error is not None:
                failed.append(f"{key}: {error!r}")
            else:
                answers.keep(key, future.result())
            told = failed[-1] if error is not None else f"{key} {answers.known[key]['seconds']:.0f} s"
            print(f"{done}/{len(missing)} {told}", flush=True)
    return failed


def report(setting: Setting, seeds: int, recipes: Sequence[str], answers: Answers) -> dict[str, Any]:
    """Of a task: plain data. What was not run is left out, be it a model, a seed or a recipe."""
    space, task, models = setting.load_space(), setting.make_task(), chosen(setting)
    alone_by_seed = [
        {a.digest: told[0] for a in models if (told := answers.scores(Job(setting, s, a), [a])) is not None}
        for s in range(seeds)
    ]
    complete = [by for by in alone_by_seed if len(by) == len(alone_by_seed[0])]
    models = [a for a in models if a.digest in alone_by_seed[0]]
    if len(models) < 4:
        return {"task": setting.task, "alone": len(models)}
    sign = task.direction.sign
    each = np.array([[by[a.digest] for a in models] for by in complete])
    truth = each.mean(0)
    upper = np.argsort(sign * truth, kind="stable")[: (len(truth) + 1) // 2]
    population = space.encode(models)
    costs = CostModel(space)
    free = {
        "parameters": costs.parameters(population),
        "MACs": costs.macs(population, space.spec.context),
        "layers": space.count_layers(population),
    }
    rows = [
        {"score": name, **_agreement(-values.astype(float), sign * truth, upper)}
        for name, values in free.items()
    ]
    if len(complete) > 1:
        rows.append({"score": "alone, one seed with the other", **_agreement(*(sign * each[:2]), upper)})
    tuned = [
        [answer["tuned"][a.digest] for a in models]
        for s in range(seeds)
        if (answer := answers.known.get(Job(setting, s, recipe="plain").key)) is not None
        and "tuned" in answer
    ]
    if tuned:
        name = f"plain, on for {TUNED * setting.steps:.0f} steps"
        each_tuned = [_agreement(sign * np.array(of), sign * truth, upper) for of in tuned]
        rows.append(
            {"score": name, "each": [[r["tau"], r["tau_upper"]] for r in each_tuned], **_mean_of(each_tuned)}
        )
    halves = [
        told[0]
        for s in range(len(complete))
        if (told := answers.scores(Job(setting, s, models[0], 0.5), models[:1])) is not None
    ]
    named = {p.architecture.digest: name for name, p in presets(space).items()}
    nested = {named[a.digest]: i for i, a in enumerate(models) if _nested(named.get(a.digest, ""))}
    pairs = [(name, name.removesuffix(MIXED)) for name in nested if name.endswith(MIXED)]
    pairs = [(mixed, uniform) for mixed, uniform in pairs if uniform in nested]
    target = {"device": "local-cpu", "runtime": "onnxruntime", "threads": 1, "tokens": space.spec.context}
    plan = resolve(
        load_job_spec(
            {
                "space": setting.space,
                "task": {"name": setting.task, **setting.options},
                "targets": [target],
            }
        )
    )
    alone = {a.digest: value for a, value in zip(models, truth.tolist(), strict=True)}
    found = []
    for name in recipes:
        told = [answers.known.get(Job(setting, s, recipe=name).key) for s in range(seeds)]
        ran = [answer for answer in told if answer is not None]
        if not ran:
            continue
        by_seed = [np.array([answer["scores"][a.digest] for a in models]) for answer in ran]
        ranked = [_agreement(sign * scores, sign * truth, upper) for scores in by_seed]
        gaps = np.array([sign * (scores - truth) / abs(truth) for scores in by_seed]).mean(0)
        half = float(np.mean(halves)) if halves else np.nan
        found.append(
            {
                "recipe": name,
                "seeds": len(ran),
                **_mean_of(ranked),
                "each": [[r["tau"], r["tau_upper"]] for r in ranked],
                "tau_of_mean": _agreement(sign * np.mean(by_seed, axis=0), sign * truth, upper),
                "spread_upper": float(np.mean([np.ptp(scores[upper]) for scores in by_seed])),
                "largest_worse": float(gaps[0]),
                "largest_worse_at_twice": float(
                    np.mean([sign * (scores[0] - half) / abs(half) for scores in by_seed])
                ),
                "granularities_worse": {
                    name: float(gaps[i]) for name, i in nested.items() if not name.endswith(MIXED)
                },
                "mixed_better": {
                    mixed: float(
                        np.mean([sign * (of[nested[uniform]] - of[nested[mixed]]) for of in by_seed])
                    )
                    for mixed, uniform in pairs
                },
                "predicted": _predicted(plan, [*models, *beside(setting)], ran[0]["scores"], alone),
                "mean_score": float(np.mean(by_seed)),
                "steps": float(np.mean([answer["steps"] for answer in ran])),
                "seconds": float(np.mean([answer["seconds"] for answer in ran])),
            }
        )
    return {
        "task": setting.task,
        "metric": task.metric,
        "steps": setting.steps,
        "alone": len(models),
        "alone_seeds": len(complete),
        "spread": float(np.ptp(truth)),
        "spread_upper": float(np.ptp(truth[upper])),
        "seed_deviation": float(np.sqrt(each.var(0, ddof=1).mean())) if len(complete) > 1 else None,
        "mixed_better_alone": {
            mixed: float(sign * (truth[nested[uniform]] - truth[nested[mixed]])) for mixed, uniform in pairs
        },
        "proxies": rows,
        "recipes": found,
        "models": [
            {"name": named.get(a.digest, a.digest), "alone": each[:, i].tolist()}
            for i, a in enumerate(models)
        ],
    }


def _nested(name: str) -> bool:
    return name.startswith("matformer")


def _predicted(
    plan: Plan, models: Sequence[Architecture], scores: Mapping[str, float], alone: Mapping[str, float]
) -> dict[str, Any] | None:
    """How well models are predicted from others that were trained alone, of one supernet."""
    points = [Point(a.digest, a, scores[a.digest], None) for a in models]
    found = calibrate(plan, points, alone)
    return None if found is None else asdict(found)


def _mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _agreement(score: np.ndarray, truth: np.ndarray, upper: np.ndarray) -> dict[str, float]:
    def tau(rows: Any) -> float:
        return float(np.nan_to_num(kendalltau(score[rows], truth[rows])[0]))

    return {"tau": tau(slice(None)), "tau_upper": tau(upper)}


def _calibrated(told: Mapping[str, Any] | None) -> tuple[str, str]:
    if told is None:
        return "", ""
    tau, upper = (told["predicted"][key] or 0.0 for key in ("tau", "tau_upper"))
    return f"{tau:.2f}/{upper:.2f}", f"{told['within_two']:.0%}"


def show(told: dict[str, Any], console: Console) -> None:
    """One task's tables."""
    if "recipes" not in told:
        console.print(f"{told['task']}: {told['alone']} models alone are too few")
        return
    noise = "" if told["seed_deviation"] is None else f", seeds {told['seed_deviation']:.3f}"
    title = (
        f"{told['task']}: {told['alone']} models alone ({told['alone_seeds']} seeds, {told['steps']} steps) "
        f"span {told['spread']:.3f}, the better half {told['spread_upper']:.3f} {told['metric']}{noise}"
    )
    columns = (
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
    )
    table = Table(*columns, "steps", "s", title=title)
    for row in told["proxies"]:
        each = " ".join(f"{tau:.2f}/{half:.2f}" for tau, half in row.get("each", []))
        table.add_row(row["score"], f"{row['tau']:.2f}", f"{row['tau_upper']:.2f}", each, *[""] * 9)
    for row in sorted(told["recipes"], key=lambda row: -row["tau"] - row["tau_upper"]):
        nested = max(row["granularities_worse"].values())
        table.add_row(
            row["recipe"],
            f"{row['tau']:.2f}",
            f"{row['tau_upper']:.2f}",
            " ".join(f"{tau:.2f}/{half:.2f}" for tau, half in row["each"]),
            f"{row['spread_upper']:.3f}",
            f"{row['largest_worse']:.0%}",
            f"{row['largest_worse_at_twice']:.0%}",
            f"{nested:.0%}",
            f"{row['mean_score']:.3f}",
            *_calibrated(row["predicted"]),
            f"{row['steps']:.0f}",
            f"{row['seconds']:.0f}",
        )
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["text"], choices=SETTINGS)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=RECIPES, metavar="RECIPE")
    parser.add_argument("--architectures", type=int, help="trained alone; 16 unless said")
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps of everything")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--processes", type=int, default=1, help="trainings at once, one thread each")
    parser.add_argument("--out", type=Path, default=Path("recipes"), help="folder of answers; goes on")
    parser.add_argument("--report", action="store_true", help="of what there is; train nothing")
    asked = parser.parse_args(arguments)
    settings = [_asked(SETTINGS[task], asked) for task in asked.tasks]
    asked.out.mkdir(parents=True, exist_ok=True)
    answers = Answers(asked.out / "answers.jsonl")
    failed = []
    if not asked.report:
        failed = train(in_order(settings, asked.seeds, asked.recipes), answers, asked.processes)
    told = [report(setting, asked.seeds, asked.recipes, answers) for setting in settings]
    (asked.out / "report.json").write_text(json.dumps(told, indent=1))
    console = Console(width=200)
    for each in told:
        show(each, console)
    for failure in failed:
        console.print(f"[red]failed[/red] {failure}")
    return 1 if failed else 0


def _asked(setting: Setting, asked: argparse.Namespace) -> Setting:
    count = asked.architectures or setting.architectures
    return replace(setting, steps=max(2, round(asked.scale * setting.steps)), architectures=count)


if __name__ == "__main__":
    sys.exit(main())

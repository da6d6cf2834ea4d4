"""How well each token mixer learns, trained alone: equal steps, equal batches, one thread.

On `text` every layer has the same mixer. On `recall` one layer of four is softmax, and every layer has short
convolutions; sequences of 128 tokens are learned, and of 512 scored. On `pixels` (784 tokens) and `listops`
(2,000) tokens all see each other, and what is asked is a class. Weights start fresh; the metric of both
splits is appended to `answers.jsonl` in the folder as models end, and a run that was stopped goes on, in the
middle of a training too.

    python benchmarks/learning.py text              # 16 models, about a minute each on one core
    python benchmarks/learning.py recall            # 9 models, about a minute each
    python benchmarks/learning.py listops           # 4 models, about five minutes each; pixels likewise
    python benchmarks/learning.py text --quick      # a minute, and tells nothing

Exits with 1 where a goal is missed, with 2 where `--models` leaves out some that goals ask for. On `text`
the best recurrent mixer is no worse than softmax, and none worse by more than 10%; on `recall` hybrids answer
within a point of softmax; of classes the best model tells more than the plain baseline of `nas tasks`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nas.evaluation import Split
from nas.spec import FinalistBudget
from nas.tasks import Task, make_task
from nas.training.finetune import FineTuning, finetune
from searchspaces import Architecture, Layer
from searchspaces.submodel import Submodel

RECURRENT = (
    "decay",
    "gateddelta",
    "gated",
    "delta",
    "taylor",
    "hedgehog",
    "cosine",
    "performer",
    "linear",
)
"""Those whose state does not grow with the sequence, and that look at all of it."""

OTHERS = ("gatedconv", "window:64,4")
HYBRID = ("decay", "gateddelta", "taylor", "window:64", "gatedconv")
BOTH_WAYS = (
    ("conv", "window:64", "linear"),
    ("conv", "conv", "conv"),
    ("window:64", "window:64", "window:64"),
    ("linear", "linear", "linear"),
)
"""Of the three layers of those that see all of their input."""
PLACE = 2
"""The layer of a hybrid that is softmax, of four."""

WORST, POINT, LEARNING_RATE = 1.10, 0.01, 0.03


@dataclass(frozen=True)
class Model:
    """Mixers of the layers, and taps of the convolutions before each."""

    mixers: tuple[str, ...]
    conv: int

    @property
    def name(self) -> str:
        """E.g. ``"decay"``, ``"decay+conv"``, ``"decay decay softmax decay+conv"``."""
        mixers = self.mixers[:1] if len(set(self.mixers)) == 1 else self.mixers
        return " ".join(mixers) + ("+conv" if self.conv else "")


@dataclass(frozen=True)
class Plan:
    """What all trainings of a task share.

    Attributes:
        context: N, of a sequence that is learned.
        baseline: what a plain method reaches; 0 where models are compared with each other.
    """

    task: str
    options: Mapping[str, int]
    width: int
    depth: int
    heads: int
    ratio: float
    context: int
    steps: int
    batch: int
    baseline: float = 0.0

    def make_task(self) -> Task:
        return make_task(self.task, dict(self.options))

    def quick(self) -> Plan:
        options = {name: min(number, 160) for name, number in self.options.items()}
        return replace(self, options=options, width=32, heads=2, context=96, steps=2, batch=1)

    def models(self) -> list[Model]:
        """The most telling first."""

        def alike(mixer: str, conv: int) -> Model:
            return Model((mixer,) * self.depth, conv)

        if self.task == "text":
            plain = [alike(mixer, 0) for mixer in ("softmax", *RECURRENT[:4])]
            convolved = [alike(mixer, 4) for mixer in ("softmax", "decay", "gateddelta", "taylor", "linear")]
            return [*plain, *convolved, *(alike(mixer, 0) for mixer in (*RECURRENT[4:], *OTHERS))]
        if self.baseline:
            return [Model(mixers, 0) for mixers in BOTH_WAYS]
        layers = range(self.depth)
        hybrids = [Model(tuple("softmax" if i == PLACE else m for i in layers), 4) for m in HYBRID]
        return [alike("softmax", 4), *hybrids, *(alike(mixer, 4) for mixer in HYBRID[:3])]

    def architecture(self, model: Model) -> Architecture:
        layers = tuple(Layer(mixer, self.heads, ratio=self.ratio, conv=model.conv) for mixer in model.mixers)
        form = self.make_task().form
        if self.baseline:
            return Architecture(0, self.width, layers, form=form, stem="embedding", readout="pool")
        return Architecture(form.vocabulary, self.width, layers)


PLANS = {
    "text": Plan("text", {"evaluation_context": 512}, 128, 4, 4, 4.0, 512, 300, 1),
    "recall": Plan("recall", {"evaluation_context": 512, "pairs": 16}, 64, 4, 4, 2.0, 128, 300, 8),
    "pixels": Plan("pixels", {}, 64, 3, 4, 2.0, 784, 500, 16, baseline=0.951),
    "listops": Plan("listops", {"examples": 500}, 64, 3, 4, 2.0, 2000, 400, 8, baseline=0.18),
}
"""Of recall many short sequences are learned: how many different ones there are decides when a model begins
to look up, not how long they are."""


def train(plan: Plan, model: Model, seed: int, folder: Path) -> dict[str, float]:
    """Train from fresh weights, or go on from the folder's checkpoint; the metric by split, and processor
    seconds of what was trained now."""
    import torch

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    submodel, task, found = Submodel(plan.architecture(model)), plan.make_task(), {}
    budget = FinalistBudget(start="scratch", steps=plan.steps, batch=plan.batch, learning_rate=LEARNING_RATE)
    job = FineTuning(task, budget, 0, plan.context, seed, folder)

    def report(_: int, value: float) -> None:
        found["validation"] = value

    begun = time.process_time()
    finetune(submodel, job, plan.steps, report, lambda _: None, lambda: False)
    found["seconds"] = time.process_time() - begun
    with torch.inference_mode():
        found["test"] = task.evaluate(submodel, Split.TEST)
    return found


def missed(plan: Plan, test: Mapping[str, float]) -> list[str]:
    """Goals that are not met."""
    if plan.task == "text":
        softmax = test["softmax"]
        family = {mixer: test[mixer] for mixer in RECURRENT}
        best = min(family, key=family.__getitem__)
        found = [f"{best}, the best, is worse than softmax"] if family[best] > softmax else []
        worst = {mixer: value / softmax - 1 for mixer, value in family.items() if value > WORST * softmax}
        return found + [f"{mixer} is {share:.0%} worse than softmax" for mixer, share in worst.items()]
    if plan.baseline:
        best = max(test, key=test.__getitem__)
        known = test[best] > plan.baseline
        return [] if known else [f"{best}, the best, tells {test[best]:.3f}, plainly {plan.baseline}"]
    softmax = test["softmax+conv"]
    hybrids = {name: value for name, value in test.items() if " " in name}
    return [
        f"{name} answers {value:.3f}, softmax {softmax:.3f}"
        for name, value in hybrids.items()
        if value < softmax - POINT
    ]


def main(arguments: list[str] | None = None) -> int:
    import torch

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=PLANS)
    parser.add_argument("--models", type=int, help="the first so many only")
    parser.add_argument("--steps", type=int, help="of each training; default the plan's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("learning"))
    parser.add_argument("--quick", action="store_true", help="small models, two steps")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    plan = PLANS[asked.task].quick() if asked.quick else PLANS[asked.task]
    plan = replace(plan, steps=asked.steps or plan.steps)
    asked.folder.mkdir(parents=True, exist_ok=True)
    kept = asked.folder / "answers.jsonl"
    known = [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []
    table = Table("layers", "validation", "test", "processor s", title=f"{asked.task}, {plan.steps} steps")
    test, models = {}, plan.models()
    for model in models[: asked.models]:
        key = {"plan": asdict(plan), "model": model.name, "seed": asked.seed}
        answer = next((answer for told, answer in known if told == key), None)
        if answer is None:
            name = f"{asked.task}-{plan.steps}-{asked.seed}-{model.name.replace(' ', '_').replace(':', '')}"
            answer = train(plan, model, asked.seed, asked.folder / name)
            with kept.open("a") as file:
                file.write(json.dumps([key, answer]) + "\n")
            print(model.name, json.dumps(answer), flush=True)
        test[model.name] = answer["test"]
        table.add_row(model.name, *(f"{answer[x]:.3f}" for x in ("validation", "test", "seconds")))
    console = Console()
    console.print(table)
    if len(test) < len(models):
        return 2
    misses = missed(plan, test)
    for miss in misses:
        console.print(f"[red]missed[/red] {miss}")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())

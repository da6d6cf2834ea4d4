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
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recipe_jobs import SETTINGS, Answers, Setting, in_order, train
from recipe_report import report, show
from recipe_trainer import RECIPES
from rich.console import Console


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

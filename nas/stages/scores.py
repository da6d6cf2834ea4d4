"""What models score before they are trusted: on the test split, and as their targets run them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nas.analysis.converted import conversions
from nas.evaluation import SPLITS, Conversion, Split
from nas.export.converted import converted_obstacle
from nas.spec import StageName
from nas.stages.backends import EvaluationPool
from nas.stages.stage import StageContext
from searchspaces.architecture import Architecture

__all__ = ["Unscored", "conversions_here", "note_conversions_elsewhere", "score", "unscored"]

WITHOUT = "what its files score is not evaluated, so its latencies stand beside scores of fp32"


@dataclass(frozen=True, slots=True)
class Unscored:
    """An evaluation that is missing; with the supernet's weights as they are where nothing converts them."""

    architecture: Architecture
    split: Split
    conversion: Conversion | None


def conversions_here(context: StageContext) -> list[Conversion]:
    """Those of the job's targets that this machine's engines can be asked about."""
    return [each for each in conversions(context) if converted_obstacle(each) is None]


def note_conversions_elsewhere(context: StageContext, stage: StageName) -> None:
    """Say of which of the job's targets nobody here can tell what their files score."""
    for conversion in conversions(context):
        obstacle = converted_obstacle(conversion)
        if obstacle is not None:
            context.note(stage, f"{conversion}: {WITHOUT}: {obstacle}")


def unscored(
    context: StageContext,
    architectures: Iterable[Architecture],
    splits: Sequence[Split],
    usable: Sequence[Conversion],
) -> list[Unscored]:
    """What is not known of architectures: on the splits with the supernet's weights, and on all splits as
    converted files.

    Args:
        usable: `conversions_here`.
    """
    supernet, by_digest = context.plan.supernet_digest, {each.digest: each for each in architectures}
    asked: list[tuple[Split, Conversion | None]] = [(split, None) for split in splits]
    asked += [(split, conversion) for conversion in usable for split in SPLITS]
    missing = []
    for split, conversion in asked:
        weights = supernet if conversion is None else conversion.weights(supernet)
        known = {e.digest for e in context.store.evaluations(weights, split, by_digest)}
        missing += [Unscored(by_digest[d], split, conversion) for d in by_digest if d not in known]
    return missing


def score(context: StageContext, stage: StageName, pool: EvaluationPool, asked: Sequence[Unscored]) -> None:
    """Evaluate what is asked, and store it."""
    supernet = context.plan.supernet_digest
    of = {each.conversion.weights(supernet): each.conversion for each in asked if each.conversion}
    for each in asked:
        pool.submit(each.architecture, each.split, conversion=each.conversion)
    for done in range(1, len(asked) + 1):
        evaluation = pool.next()
        context.store.add_evaluations([evaluation])
        conversion = of.get(evaluation.supernet)
        if conversion is not None and math.isnan(evaluation.value):
            context.note(stage, f"{conversion}: {evaluation.digest} could not be scored")
        what = f"{evaluation.split} split" + (f" in {conversion}" if conversion else "")
        context.progress(stage, done, len(asked), what)
        context.check_stop()

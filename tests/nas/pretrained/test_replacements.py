"""What single replacements tell of assemblies, and where a search begins by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from nas.analysis.candidates import Candidates
from nas.analysis.choice import published
from nas.analysis.known import KnownJob
from nas.analysis.replacements import (
    ReplacementScores,
    beginning,
    ladder,
    proved_optima,
    single_replacements,
)
from nas.objectives.value import Value
from nas.planning.plan import Plan, resolve
from nas.planning.start import settle_start
from nas.point import Point
from nas.spec import load_job_spec
from nas.store import open_store
from searchspaces.architecture import Layer
from searchspaces.space import SearchSpace


def plan_of(llama: Path, folder: Path, **more: object) -> Plan:
    spec = {
        "start": {"model": str(llama)},
        "space": {"mixer": ["keep", "window:8,2", "none"], "ratio": [n / 8 for n in range(8, 0, -1)]},
        "task": {"name": "text", "path": [str(folder / "text.txt")]},
        "targets": [{"tokens": 64}],
        "objectives": ["quality", "parameters"],
    }
    (folder / "text.txt").write_text("all work and no play " * 500)
    return resolve(settle_start(load_job_spec(spec | more), Path(), folder))


def scores_of(space: SearchSpace) -> ReplacementScores:
    """Each cut costs chance's multiple of what is cut."""
    chance, parent = np.random.default_rng(0), space.first
    table = {
        (gene, option): chance.random() * (1 - option_left(model.layers, parent.layers))
        for gene, option, model in single_replacements(space)
    }
    return ReplacementScores(space, table)


def candidates_of(plan: Plan, folder: Path) -> Candidates:
    """Of a job that bounds and compares what is counted, and measures nothing."""
    with closing(open_store(folder)) as store:
        return Candidates(KnownJob("job", plan, store), {})


def optima_of(plan: Plan, folder: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of so many proved optima, and their sums of scores."""
    candidates, scores = candidates_of(plan, folder), scores_of(plan.space)
    found = proved_optima(candidates, scores, count)
    return candidates.known(found)[:, 0], scores(found)


def option_left(layers: Sequence[Layer], of: Sequence[Layer]) -> float:
    """Share of the feed-forwards that is left."""
    return sum(layer.ratio for layer in layers) / sum(layer.ratio for layer in of)


def test_what_is_proved_best_is_all_over_the_front(llama: Path, tmp_path: Path) -> None:
    parameters, sums = optima_of(plan_of(llama, tmp_path), tmp_path, 8)
    order = parameters.argsort()
    assert (np.diff(sums[order]) < 0).all(), "fewer parameters, more divergence"
    assert np.diff(parameters[order]).max() < 0.5 * np.ptp(parameters)


def test_what_is_proved_best_is_within_the_jobs_bound(llama: Path, tmp_path: Path) -> None:
    plan = plan_of(llama, tmp_path, bounds={"parameters": "80%"}).settled({})
    bound, parent = plan.objectives[1].bound, plan.space.encode([plan.space.first])
    assert bound is not None
    parameters, _ = optima_of(plan, tmp_path, 8)
    assert 0.9 * bound < parameters.max() <= bound
    assert bound < plan.count(plan.objectives[1], parent)[0]


@pytest.mark.parametrize("evaluations", [1, 6, 18])
def test_uniform_cuts_take_a_quarter_of_a_search_however_many_there_are(
    llama: Path, tmp_path: Path, evaluations: int
) -> None:
    plan = plan_of(llama, tmp_path, bounds={"parameters": "80%"}).settled({})
    candidates, scores = candidates_of(plan, tmp_path), scores_of(plan.space)
    first = beginning(candidates, scores, evaluations)
    optima = proved_optima(candidates, scores, max(1, evaluations // 2))
    cuts, bound = first[1 + len(optima) :], plan.objectives[1].bound
    assert bound is not None
    assert np.array_equal(first[: 1 + len(optima)], [*plan.space.encode([plan.space.first]), *optima])
    assert len(cuts) == max(1, evaluations // 4) < len(plan.preset_population)
    assert {tuple(cut) for cut in cuts.tolist()} < {tuple(cut) for cut in plan.preset_population.tolist()}
    assert (candidates.known(cuts) <= bound).all(), "what one would cut it to for that bound"
    assert (np.diff(scores(cuts)) >= 0).all()


@pytest.mark.parametrize("count", [1, 2, 9])
def test_bounds_lie_closest_together_beside_a_jobs_own(count: int) -> None:
    bounds = ladder(10.0, 100.0, 70.0, count)
    assert bounds[0] == 70
    assert (bounds > 10).all()
    assert (np.diff(bounds, 2) < 0).all()
    even = ladder(10.0, 100.0, math.inf, count)
    assert np.allclose(np.diff(even, 2), 0)
    assert (even > 10).all()
    assert (even < 100).all()


def test_the_parent_is_compared_with_before_any_cut_though_it_misses_the_bound(
    llama: Path, tmp_path: Path
) -> None:
    plan = plan_of(llama, tmp_path, bounds={"parameters": "80%"}).settled({})
    known = plan.count(plan.objectives[1], plan.preset_population)
    points = [
        Point(p.architecture.digest, p.architecture, 1.0, None, {("parameters", None): Value(n)}, preset=name)
        for (name, p), n in zip(plan.presets.items(), known.tolist(), strict=True)
    ]
    with closing(open_store(tmp_path)) as store:
        first, second = published(KnownJob("job", plan, store), points, 2)
    assert (first.preset, first.architecture) == ("parent", plan.space.first)
    bound = plan.objectives[1].bound
    assert bound is not None
    assert second.values["parameters", None].predicted <= bound < first.values["parameters", None].predicted

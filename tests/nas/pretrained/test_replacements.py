"""What single replacements tell of assemblies, and where a search begins by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nas.analysis.candidates import Candidates
from nas.analysis.known import KnownJob
from nas.analysis.replacements import ReplacementScores, proved_optima, single_replacements
from nas.planning.plan import Plan, resolve
from nas.planning.start import settle_start
from nas.spec import load_job_spec
from nas.store import open_store
from searchspaces.architecture import Layer


def plan_of(llama: Path, folder: Path, **more: object) -> Plan:
    spec = {
        "start": {"model": str(llama)},
        "space": {"mixer": ["keep", "window:8,2", "none"], "ratio": [1, 0.75, 0.5, 0.25]},
        "task": {"name": "text", "path": [str(folder / "text.txt")]},
        "targets": [{"tokens": 64}],
        "objectives": ["quality", "parameters"],
    }
    (folder / "text.txt").write_text("all work and no play " * 500)
    return resolve(settle_start(load_job_spec(spec | more), Path(), folder))


def optima_of(plan: Plan, folder: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of what a search begins with, and their sums of scores: each cut costs chance's multiple of
    what is cut."""
    space, chance, parent = plan.space, np.random.default_rng(0), plan.space.first
    table = {
        (gene, option): chance.random() * (1 - option_left(model.layers, parent.layers))
        for gene, option, model in single_replacements(space)
    }
    scores = ReplacementScores(space, table)
    store = open_store(folder)
    candidates = Candidates(KnownJob("job", plan, store), {})
    found = proved_optima(candidates, scores, count)
    store.close()
    return candidates.known(found)[:, 0], scores(found)


def option_left(layers: Sequence[Layer], of: Sequence[Layer]) -> float:
    """Share of the feed-forwards that is left."""
    return sum(layer.ratio for layer in layers) / sum(layer.ratio for layer in of)


def test_a_search_begins_all_over_the_front_where_nothing_bounds_it(llama: Path, tmp_path: Path) -> None:
    parameters, sums = optima_of(plan_of(llama, tmp_path), tmp_path, 8)
    order = parameters.argsort()
    assert (np.diff(sums[order]) < 0).all(), "fewer parameters, more divergence"
    steps = np.diff(parameters[order])
    assert steps.max() < 0.5 * np.ptp(parameters)


def test_a_search_begins_beside_its_bound(llama: Path, tmp_path: Path) -> None:
    free = plan_of(llama, tmp_path)
    plan = plan_of(llama, tmp_path, bounds={"parameters": "80%"}).settled({})
    bound = plan.objectives[1].bound
    assert bound is not None
    everywhere, _ = optima_of(free, tmp_path, 8)
    parameters, _ = optima_of(plan, tmp_path, 8)
    assert parameters.max() <= bound
    near = bound - (bound - everywhere.min()) / 4
    assert (parameters > near).sum() >= 3 > ((everywhere > near) & (everywhere <= bound)).sum()

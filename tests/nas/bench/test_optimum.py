"""`nas best` on whole jobs whose predictor is no sum over layers."""

from __future__ import annotations

import json
import math
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import simulated

from nas.analysis.candidates import Candidates
from nas.analysis.known import KnownJob, stored_predictors
from nas.analysis.optimum import find_optimum
from nas.bench.backends import SimulatedMeasurementBackend
from nas.cli.main import main
from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.front import Scope
from nas.planning.plan import resolve
from nas.service.running.embedded import EmbeddedService
from nas.store import open_store
from searchspaces.architecture import Architecture
from workers.target import Target


def cached(architecture: Architecture, target: Target) -> float:
    """Milliseconds of a device whose cache holds three units of work: beyond it, each costs threefold."""
    work = sum(simulated.WORTH[layer.mixer] + 0.5 * layer.ratio for layer in architecture.layers)
    return 0.5 + work + 2.0 * max(0.0, work - 3.0) * architecture.width / 16


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("cached")
    budget = simulated.spec("phone").budget.model_dump()
    budget["profile"] |= {"predictor": "mlp", "measurements": 40, "minimum": 40}
    with closing(open_store(home)) as store:
        backend = SimulatedMeasurementBackend(store, {"phone": cached})
        simulated.run(store, home, simulated.spec("phone", budget=budget), devices=backend)
    return home


@pytest.mark.parametrize("bound", [2.5, 4.0, 8.0])
def test_the_optimum_meets_its_bounds_by_the_predictor_itself(home, bound):
    with closing(EmbeddedService(home)) as service:
        found = service.optimum("latest", {"latency_ms": bound})
        assert not found.exact
        (latency,) = (v for v in found.point.values.values() if not v.exact)
        assert latency.predicted <= bound
        points = service.front("latest", Scope.ALL).points
    known = [p for p in points if all(of.predicted <= bound for of in p.values.values() if not of.exact)]
    assert found.quality <= min(p.validation for p in known) + 0.3


@pytest.mark.parametrize("bound", [math.inf, math.nan])
def test_what_is_no_bound_is_refused_before_anything_is_solved(home, bound):
    with closing(EmbeddedService(home)) as service:
        for answer in (service.best, service.optimum):
            with pytest.raises(InvalidSpec, match=rf"latency_ms: {bound} is not a bound; accepted: a finite"):
                answer("latest", {"latency_ms": bound})


def test_what_is_found_loses_to_nothing_that_the_predictor_allows(home):
    """The space is small enough to see."""
    with closing(open_store(home)) as store:
        (job,) = store.jobs()
        known = KnownJob(job.id, resolve(job.spec), store)
        found = find_optimum(known, {"latency_ms": 2.5})
        candidates = Candidates(known, stored_predictors(known))
        rows = known.plan.space.enumerate(10_000)
        inside = rows[candidates.known(rows)[:, 0] <= 2.5]
        qualities = [simulated.quality(a, Split.VALIDATION) for a in known.plan.space.decode(inside)]
        assert simulated.quality(found.point.architecture, Split.VALIDATION) <= np.quantile(qualities, 0.05)


def test_the_command_says_that_nothing_is_proved_of_the_predictor_itself(home, monkeypatch, capsys):
    monkeypatch.setenv("NAS_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "160")

    def best(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["nas", "best", "latest", "--max", "latency_ms=4", *options])
        with pytest.raises(SystemExit):
            main()
        return capsys.readouterr().out

    assert json.loads(best("--json"))["optimum"]["exact"] is False
    assert "latency by the nearest sum over layers" in best()

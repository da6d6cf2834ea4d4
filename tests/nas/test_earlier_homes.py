"""Homes that earlier versions wrote are opened, and say what they said then.

`homes/VERSION.sql.gz` is the database of a finished job of two targets (every stage, a slowdown that was
divided out, a finalist), as `iterdump` tells it; `homes/VERSION.json` is what that version answered about it.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nas.client import Client, connect
from nas.front import Front, Scope
from nas.spec import RECIPE, TrainBudget

HOMES = Path(__file__).parent / "homes"
VERSIONS = sorted(path.name.removesuffix(".sql.gz") for path in HOMES.glob("*.sql.gz"))


@pytest.fixture(scope="module", params=VERSIONS)
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Client, dict[str, Any]]]:
    """The home as this version opens it, and what its own version answered."""
    home = tmp_path_factory.mktemp("home")
    with closing(sqlite3.connect(home / "nas.db")) as database:
        database.executescript(gzip.decompress((HOMES / f"{request.param}.sql.gz").read_bytes()).decode())
    with connect(home=home) as client:
        yield client, json.loads((HOMES / f"{request.param}.json").read_text())


def assert_within(said: Any, now: Any, path: str = "") -> None:
    """All that was said is said now; more may be."""
    if isinstance(said, Mapping):
        for key, value in said.items():
            assert key in now, f"{path} lost {key}"
            assert_within(value, now[key], f"{path}.{key}")
    elif isinstance(said, list):
        assert len(said) == len(now), path
        for number, (old, new) in enumerate(zip(said, now, strict=True)):
            assert_within(old, new, f"{path}[{number}]")
    elif isinstance(said, float):
        assert now == pytest.approx(said, rel=1e-9), path
    else:
        assert now == said, path
        assert type(now) is type(said), path


def test_the_front_is_what_it_was(opened: tuple[Client, dict[str, Any]]) -> None:
    client, said = opened
    front = client.front("latest", Scope.ALL)
    assert_within(said["front"], front.to_dict())
    assert [point.architecture.digest for point in front.points] == [
        point["digest"] for point in said["front"]["points"]
    ]


def test_a_front_that_was_saved_is_read(opened: tuple[Client, dict[str, Any]]) -> None:
    _, said = opened
    assert_within(said["front"], Front.from_dict(said["front"]).to_dict())


def test_the_best_and_the_profiles_are_what_they_were(opened: tuple[Client, dict[str, Any]]) -> None:
    client, said = opened
    assert_within(said["best"], client.best("latest", {"latency_ms": 0.8}).to_dict())
    assert_within(said["profiles"], [profile.to_dict() for profile in client.profile("latest")])


def test_the_stored_predictors_still_answer(opened: tuple[Client, dict[str, Any]]) -> None:
    client, said = opened
    optimum = client.optimum("latest", {"params": 30_000})
    assert optimum.exact
    document = optimum.point.to_dict()
    assert document["parameters"] <= 30_000
    assert document["latency_ms"].keys() == set(said["front"]["targets"])
    assert client.explain("latest")["importance"].keys() == {o["name"] for o in said["front"]["objectives"]}


def test_supernets_of_before_keep_their_digests_and_are_no_longer_trained(
    opened: tuple[Client, dict[str, Any]],
) -> None:
    client, _ = opened
    job = client.job("latest")
    assert job.spec.budget.train.recipe == 1
    assert "recipe" not in job.spec.budget.train.identity()
    assert TrainBudget().identity()["recipe"] == RECIPE != 1

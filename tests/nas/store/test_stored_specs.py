"""Specs that were stored before something in them was refused are still read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nas.errors import InvalidSpec
from nas.spec import StartSpec, load_job_spec
from nas.store import open_store
from nas.testing.stores import examples


@pytest.mark.parametrize(
    ("stage", "said", "name", "value"),
    [
        ("profile", {"minimum": 16, "measurements": 9}, "minimum", 9),
        ("finalists", {"start": "scratch", "steps": 9, "tuning_steps": 3}, "tuning_steps", 0),
    ],
)
def test_what_is_refused_since_is_read_as_what_it_did(
    tmp_path: Path, stage: str, said: dict[str, Any], name: str, value: int
) -> None:
    with closing(open_store(tmp_path)) as store:
        job = store.create_job(examples.spec(), key="k")
        (database,) = tmp_path.glob("*.db")
        with closing(sqlite3.connect(database)) as connection, connection:
            (text,) = connection.execute("SELECT spec FROM jobs").fetchone()
            spec = json.loads(text)
            spec["budget"][stage] |= said
            connection.execute("UPDATE jobs SET spec = ?", [json.dumps(spec)])
        assert getattr(getattr(store.job(job.id).spec.budget, stage), name) == value
    with pytest.raises(InvalidSpec, match=name):
        load_job_spec(spec)


def test_replacements_of_jobs_of_before_are_not_fitted(tmp_path: Path) -> None:
    """Their supernets have none that are, and are used as they are."""
    started = examples.spec().model_copy(update={"start": StartSpec(model="tiny", digest="0" * 16)})
    with closing(open_store(tmp_path)) as store:
        old, new = (store.create_job(started, key=key) for key in ("old", "new"))
        (database,) = tmp_path.glob("*.db")
        with closing(sqlite3.connect(database)) as connection, connection:
            spec = started.model_dump(mode="json")
            del spec["budget"]["library"]["fit"]
            connection.execute("UPDATE jobs SET spec = ? WHERE id = ?", [json.dumps(spec), old.id])
        fitted = [store.job(job.id).spec.budget.library for job in (old, new)]
    assert [library.fit for library in fitted] == [False, True]
    assert "fit" not in fitted[0].identity()

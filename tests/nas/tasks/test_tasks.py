"""Every registered task keeps the contract: registering one enrols it here."""

import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from nas.errors import InvalidSpec
from nas.tasks import Task, make_task, task_descriptions, tasks
from nas.testing.tasks import TaskContract


class TestEveryTask(TaskContract):
    subjects = tuple(sorted(set(tasks()) - {"classify", "listops"}))

    def _make(self, name: str, **options: Any) -> Task:
        try:
            return super()._make(name, **options)
        except InvalidSpec as error:
            if "not installed" not in str(error):
                raise
            pytest.skip(str(error))


class TestShortLists(TaskContract):
    subjects = ("listops",)
    options = MappingProxyType({"arguments": 5, "depth": 3, "shortest": 6, "longest": 60, "examples": 500})


class TestOnesOwnExamples(TaskContract):
    subjects = ("classify",)

    @pytest.fixture(autouse=True)
    def _of_a_table(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(200, 2, 6)), np.arange(200) % 4
        np.savez(tmp_path / "own.npz", x=x, y=y)
        self.options = MappingProxyType({"path": str(tmp_path / "own.npz")})  # type: ignore[misc]


def test_ones_own_examples_are_the_same_wherever_they_lie(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(12, 2, 6)), np.arange(12) % 2
    digests = []
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
        digests.append(make_task("classify", {"path": [str(tmp_path / f"{name}.npz")]}).digest)
        x = np.array(x)
    assert digests[0] == digests[1]
    np.savez(tmp_path / "b.npz", x=x + 1, y=y)
    assert make_task("classify", {"path": str(tmp_path / "b.npz")}).digest != digests[0]


def test_lists_of_a_length_that_there_is_not_are_named() -> None:
    wrong = {"arguments": 2, "depth": 1, "shortest": 100, "longest": 200}
    with pytest.raises(InvalidSpec, match=r"task.shortest: no list of at most 2 .* accepted: a shorter"):
        make_task("listops", wrong)
    with pytest.raises(InvalidSpec, match=r"shortest 100; accepted: at most longest, 50"):
        make_task("listops", {"shortest": 100, "longest": 50})


@pytest.mark.parametrize(("name", "impossible"), [("text", 10**8), ("recall", 3)])
def test_batch_refuses_a_context_that_the_data_cannot_fill(name: str, impossible: int) -> None:
    with pytest.raises(InvalidSpec, match=r"^task\."):
        make_task(name).batch(0, 0, 1, impossible)


def test_every_wrong_option_is_named_with_its_path() -> None:
    with pytest.raises(InvalidSpec) as caught:
        make_task("text", {"evaluation_tokens": 0, "colour": "red", "test_fraction": 2})
    assert {p.path for p in caught.value.problems} == {
        "task.evaluation_tokens",
        "task.colour",
        "task.test_fraction",
    }


def test_an_unknown_task_names_those_known() -> None:
    with pytest.raises(InvalidSpec, match=r"task.name: no task 'texts'; accepted: .*recall.*text"):
        make_task("texts")


def test_descriptions_are_complete() -> None:
    described = {item["name"]: item for item in task_descriptions()}
    assert set(described) == set(tasks())
    assert described["text"]["options"]["evaluation_tokens"]["default"] == 16384


def test_listing_tasks_imports_no_torch() -> None:
    code = "import sys, nas.tasks; nas.tasks.task_descriptions(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

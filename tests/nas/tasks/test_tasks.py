"""Every registered task keeps the contract: registering one enrols it here."""

import subprocess
import sys

import pytest

from nas.errors import InvalidSpec
from nas.tasks import make_task, task_descriptions, tasks
from nas.testing.tasks import TaskContract


class TestEveryTask(TaskContract):
    subjects = tuple(tasks())


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

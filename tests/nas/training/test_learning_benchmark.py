"""`benchmarks/learning.py` on almost nothing."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "learning.py"


@pytest.fixture(scope="module")
def learning() -> ModuleType:
    found = importlib.util.spec_from_file_location("learning", BENCHMARK)
    module = importlib.util.module_from_spec(found)
    sys.modules["learning"] = module  # dataclasses look their modules up
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("task", "last"), [("text", "decay"), ("recall", "decay decay softmax decay+conv")])
def test_models_are_trained_once_and_told(learning, task: str, last: str, tmp_path: Path, capsys) -> None:
    command = [task, "--quick", "--models", "2", "--folder", str(tmp_path)]
    assert [learning.main(command) for _ in range(2)] == [2, 2]  # goals need all models
    kept = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [told["model"] for told, _ in kept] == [kept[0][0]["model"], last]
    assert all({"validation", "test"} < set(answer) for _, answer in kept)
    assert capsys.readouterr().out.count(f"{kept[1][1]['test']:.3f}") >= 2


def test_goals_are_of_softmax(learning) -> None:
    text, recall = learning.PLANS["text"], learning.PLANS["recall"]
    assert len({model.name for model in text.models()}) == len(text.models())
    family = dict.fromkeys(learning.RECURRENT, 2.1)
    assert learning.missed(text, family | {"softmax": 2.0}) == ["decay, the best, is worse than softmax"]
    assert learning.missed(text, family | {"softmax": 2.2}) == []
    assert learning.missed(text, family | {"softmax": 2.2, "linear": 2.5}) == [
        "linear is 14% worse than softmax"
    ]
    assert learning.missed(recall, {"softmax+conv": 1.0, "a b+conv": 0.991, "a+conv": 0.1}) == []
    assert learning.missed(recall, {"softmax+conv": 1.0, "a b+conv": 0.98}) == [
        "a b+conv answers 0.980, softmax 1.000"
    ]

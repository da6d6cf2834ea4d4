"""Bounds from a command line: upper ones on what should be small, lower ones on what should be large."""

from __future__ import annotations

import pytest

from nas.cli.options import parse_bounds
from nas.errors import InvalidSpec
from nas.front import Front
from nas.objectives import Direction, Objective, Source
from workers.target import Target

TARGET = Target("phone")


@pytest.fixture
def front() -> Front:
    """Of a task whose metric should be large."""
    accuracy = Objective("quality", "accuracy", Direction.MAX, Source.EVALUATED)
    latency = Objective("latency_ms", "ms", Direction.MIN, Source.PREDICTED, target=TARGET)
    return Front(
        job="job-1",
        space="tiny",
        task="recall",
        metric="accuracy",
        direction=Direction.MAX,
        targets=(TARGET,),
        objectives=(accuracy, latency),
        points=(),
        evaluated=0,
        extent=(None, None),
    )


def test_what_should_be_large_has_a_lower_bound(front: Front) -> None:
    bounds = parse_bounds(["latency_ms=8", "params=3e6"], ["accuracy=0.9"])
    assert bounds.values == {"latency_ms": 8.0, "params": 3e6, "accuracy": 0.9}
    bounds.check(front)
    (asked,) = front.bounded({"accuracy": 0.9})
    assert (asked.key, asked.bound) == (("quality", None), 0.9)


def test_the_wrong_side_is_told_with_the_right_one(front: Front) -> None:
    bounds = parse_bounds(["accuracy=0.9", "quality=0.8", "macs=1e6"], ["latency_ms@phone=8"])
    with pytest.raises(InvalidSpec) as caught:
        bounds.check(front)
    assert [(problem.path, problem.message.split("; ")[1]) for problem in caught.value.problems] == [
        ("--max", "accepted: --min accuracy=0.9"),
        ("--max", "accepted: --min quality=0.8"),
        ("--min", "accepted: --max latency_ms@phone=8"),
    ]


def test_every_text_of_another_form_is_told() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_bounds(["latency_ms", "params=3e6", "params=4e6"], ["accuracy=much", "params=1"])
    assert [problem.path for problem in caught.value.problems] == ["--max", "--max", "--min", "--min"]

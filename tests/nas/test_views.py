"""What several jobs found, as one front."""

from __future__ import annotations

from dataclasses import replace

from nas.front import Front, extent_of
from nas.objectives import Direction
from nas.objectives.latency_ms import Latency
from nas.objectives.quality import quality_objective
from nas.objectives.value import Value
from nas.point import Point
from nas.views import joint_front
from searchspaces.architecture import Architecture, Layer
from workers.target import Target

TARGET = Target("phone")
KEY = "latency_ms", str(TARGET)
OBJECTIVES = (quality_objective("bits", Direction.MIN), *Latency.axes([TARGET]))


def point(width: int, quality: float, ms: float, measured: bool = True) -> Point:
    architecture = Architecture(256, width, (Layer("softmax", 2),))
    value = Value(ms * 1.1, 0.1, ms if measured else None, 0.1 if measured else None)
    return Point(architecture.digest, architecture, quality, None, {KEY: value}, on_front=True)


def front(job: str, *points: Point) -> Front:
    extent = extent_of(points, OBJECTIVES)
    return Front(
        job, "space", "task", "bits", Direction.MIN, (TARGET,), OBJECTIVES, points, len(points) + 5, extent
    )


def test_the_front_of_several_jobs_says_where_each_point_came_from() -> None:
    fast, beaten, good = point(16, 3.0, 1.0), point(32, 2.9, 5.0), point(64, 2.0, 4.0)
    joint = joint_front([front("one", fast, beaten), front("other", good)], TARGET, ["elsewhere"])
    assert [p.digest for p in joint.front.members()] == [good.digest, fast.digest]
    assert joint.jobs == {fast.digest: "one", beaten.digest: "one", good.digest: "other"}
    assert joint.front.job == "space/task"
    assert joint.front.evaluated == 13
    assert joint.to_dict()["left_out"] == ["elsewhere"]


def test_what_is_delivered_is_no_jobs_but_its_own() -> None:
    """Jobs train their finalists for as long as each likes: across jobs the supernets' scores count."""
    fast, good = point(16, 3.0, 1.0), point(64, 2.0, 4.0)
    trained = replace(fast, values={**fast.values, ("quality", None): Value(1.5, 0.1, 1.4)})
    joint = joint_front([front("one", trained), front("other", good)], TARGET)
    assert [p.quality for p in joint.front.members()] == [2.0, 3.0]


def test_of_one_architecture_the_better_quality_is_taken_with_what_any_job_measured() -> None:
    poor, better = point(16, 3.0, 1.0), replace(point(16, 2.5, 1.0, measured=False), on_front=False)
    other = point(32, 2.0, 2.0)
    joint = joint_front([front("one", poor, other), front("other", better)], TARGET)
    (found,) = (p for p in joint.front.points if p.digest == poor.digest)
    assert found.validation == 2.5
    assert found.values[KEY].measured == 1.0
    assert found.on_front
    assert joint.jobs[poor.digest] == "other"

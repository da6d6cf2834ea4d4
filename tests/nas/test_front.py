"""Fronts: which points are on them, how much they dominate, and what meets a bound."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nas.errors import InvalidSpec, NoSuchPoint, NothingMeetsBounds
from nas.front import Front, extent_of, mark_front
from nas.objectives import Direction, Objective, Source
from nas.objectives.value import Value
from nas.point import Point
from nas.report.csv_table import csv_table
from searchspaces.architecture import Architecture, Layer
from workers.target import Target

LAPTOP, PHONE = Target("laptop"), Target("phone")
QUALITY = Objective("quality", "bits_per_byte", Direction.MIN, Source.EVALUATED)
LATENCY = Objective("latency_ms", "ms", Direction.MIN, Source.PREDICTED, None, LAPTOP)
SIZE = Objective("parameters", "parameters")


def point(
    number: int,
    validation: float | None,
    predicted: float,
    measured: float | None = None,
    parameters: int = 1000,
    target: Target = LAPTOP,
) -> Point:
    architecture = Architecture(256, 64 + number, (Layer("linear", 4),))
    counts = {"parameters": parameters, "macs": 10, "state_bytes": 20}
    latency = Value(predicted, 0.1, measured, None if measured is None else 0.01)
    values = {(name, None): Value(float(count)) for name, count in counts.items()}
    values["latency_ms", str(target)] = latency
    return Point(architecture.digest, architecture, validation, None, values)


def timed(candidate: Point, predicted: dict[Target, float]) -> Point:
    counts = {key: value for key, value in candidate.values.items() if value.exact}
    latencies = {("latency_ms", str(target)): Value(latency, 0.1) for target, latency in predicted.items()}
    return replace(candidate, values=counts | latencies)


def front_of(
    points: Sequence[Point],
    objectives: Sequence[Objective] = (QUALITY, LATENCY),
    targets: Sequence[Target] = (LAPTOP,),
) -> Front:
    quality = objectives[0]
    marked = mark_front(points, objectives)
    return Front(
        job="demo-3f9a1c",
        space="hybrid-lm",
        task="text",
        metric=quality.unit,
        direction=quality.direction,
        targets=tuple(targets),
        objectives=tuple(objectives),
        points=tuple(marked),
        evaluated=len(marked),
        extent=extent_of(marked, objectives),
    )


def on_front(points: Sequence[Point], *objectives: Objective) -> list[bool]:
    return [marked.on_front for marked in mark_front(points, objectives or (QUALITY, LATENCY))]


# Which points are on a front
def test_a_dominated_point_is_off() -> None:
    assert on_front([point(0, 2.0, 3.0), point(1, 2.1, 3.1), point(2, 1.9, 3.5)]) == [True, False, True]


def test_equal_points_are_on_together() -> None:
    assert on_front([point(0, 2.0, 3.0), point(1, 2.0, 3.0), point(2, 2.0, 3.5)]) == [True, True, False]


def test_a_measurement_beats_a_prediction() -> None:
    promised = [point(0, 2.0, 1.0), point(1, 2.1, 2.0)]
    assert on_front(promised) == [True, False]
    measured = [point(0, 2.0, 1.0, measured=4.0), point(1, 2.1, 2.0)]
    assert on_front(measured) == [True, True]


def delivered(candidate: Point, value: Value) -> Point:
    return replace(candidate, values={**candidate.values, ("quality", None): value})


def test_what_is_delivered_counts_where_it_is_known_predicted_or_trained() -> None:
    """The supernet likes the first best; trained alone it is beaten by both, which one of them is only
    predicted to be."""
    points = [
        delivered(point(0, 2.0, 3.0, 3.0), Value(1.8, 0.1, 1.95)),
        delivered(point(1, 2.1, 3.0, 3.0), Value(1.9, 0.1, 1.85)),
        delivered(point(2, 2.2, 2.0, 2.0), Value(1.9, 0.1)),
    ]
    assert [p.quality for p in points] == [1.95, 1.85, 1.9]
    assert all(p.verified for p in points)
    assert on_front(points) == [False, True, True]
    front = front_of(points)
    assert front.best().digest == points[1].digest
    assert front.best({"latency_ms": 2.5}).digest == points[2].digest
    with pytest.raises(NothingMeetsBounds, match=r"quality 1\.85"):
        front.best({"quality": 1.8})
    document = json.loads(json.dumps(front.to_dict()))
    assert document["points"][2]["quality"]["delivered"]["predicted_std"] == 0.1
    assert Front.from_dict(document) == front
    heads, *rows = csv.reader(io.StringIO(csv_table(front)))
    told = [row[heads.index("delivered:measured")] for row in rows]
    assert told == ["1.85", "", "1.95"]


def test_a_point_with_an_unknown_value_is_off() -> None:
    unknown = replace(point(1, 1.0, 1.0), values={})
    assert on_front([point(0, 2.0, 3.0), unknown, point(2, None, 1.0)]) == [True, False, False]
    assert on_front([unknown]) == [False]


def test_a_bound_is_a_constraint() -> None:
    """The best point beyond a bound neither is on the front nor dominates one that is."""
    points = [point(0, 1.0, 1.0, parameters=999), point(1, 2.0, 2.0, parameters=10)]
    bounded = replace(SIZE, bound=100.0)
    assert on_front(points, QUALITY, LATENCY, bounded) == [False, True]
    assert on_front(points, QUALITY, LATENCY, replace(SIZE, bound=5.0)) == [False, False]
    assert on_front(points, QUALITY, LATENCY, replace(SIZE, bound=10.0)) == [False, True]


def test_a_score_that_should_be_high_is_turned_round() -> None:
    accuracy = replace(QUALITY, unit="accuracy", direction=Direction.MAX)
    points = [point(0, 0.9, 3.0), point(1, 0.8, 3.0), point(2, 0.7, 2.0)]
    assert on_front(points, accuracy, LATENCY) == [True, False, True]
    assert on_front(points, replace(accuracy, bound=0.8), LATENCY) == [True, False, False]


def test_marks_of_earlier_are_renewed() -> None:
    stale = replace(point(0, 2.0, 3.0), on_front=True)
    assert on_front([stale, point(1, 1.0, 1.0)]) == [False, True]


def test_no_points_no_front() -> None:
    assert mark_front([], (QUALITY, LATENCY)) == []


FEW = st.integers(0, 4).map(float)
"""Few values, so that points meet in them."""
POINTS = st.lists(st.tuples(st.none() | FEW, FEW, st.none() | FEW, st.integers(0, 4)), max_size=12).map(
    lambda rows: [point(n, v, p, m, parameters=s) for n, (v, p, m, s) in enumerate(rows)]
)
OBJECTIVES = st.tuples(
    st.builds(replace, st.just(QUALITY), direction=st.sampled_from(Direction), bound=st.none() | FEW),
    st.builds(replace, st.just(LATENCY), bound=st.none() | FEW),
    st.builds(replace, st.just(SIZE), bound=st.none() | FEW),
)


def signed(candidate: Point, objectives: Sequence[Objective]) -> list[float]:
    return [objective.direction.sign * candidate.value(objective) for objective in objectives]


def by_definition(points: Sequence[Point], objectives: Sequence[Objective]) -> list[bool]:
    """Pareto dominance among the points that meet every bound, pair by pair."""

    def meets(candidate: Point) -> bool:
        values = signed(candidate, objectives)
        limits = [math.inf if o.bound is None else o.direction.sign * o.bound for o in objectives]
        return not any(math.isnan(v) for v in values) and all(
            v <= limit for v, limit in zip(values, limits, strict=True)
        )

    def dominates(one: Point, other: Point) -> bool:
        a, b = signed(one, objectives), signed(other, objectives)
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    usable = [candidate for candidate in points if meets(candidate)]
    return [
        candidate in usable and not any(dominates(other, candidate) for other in usable)
        for candidate in points
    ]


@settings(max_examples=200, deadline=None)
@given(POINTS, OBJECTIVES, st.integers(1, 3))
def test_a_front_is_what_its_definition_says(
    points: list[Point], objectives: tuple[Objective, ...], count: int
) -> None:
    assert on_front(points, *objectives[:count]) == by_definition(points, objectives[:count])


# How much of the box it dominates
@settings(max_examples=100, deadline=None)
@given(POINTS)
def test_hypervolume_is_the_area_below_the_staircase(points: list[Point]) -> None:
    front = front_of(points)
    members = front.members()
    assume(members)
    best, worst = front.box()
    spread = np.where(worst > best, worst - best, 1.0)
    steps = sorted({tuple((front.values([member])[0] - best) / spread) for member in members})
    edges = [quality for quality, _ in steps] + [1.0]
    area = sum((edges[n + 1] - edges[n]) * (1.0 - latency) for n, (_, latency) in enumerate(steps))
    assert front.hypervolume() == pytest.approx(area)
    assert 0.0 <= front.hypervolume() <= 1.0


def test_hypervolume_of_nothing_is_nothing() -> None:
    assert front_of([]).hypervolume() == 0.0
    assert front_of([point(0, None, 1.0)]).hypervolume() == 0.0


def test_a_better_point_makes_it_larger() -> None:
    points = [point(0, 4.0, 1.0), point(1, 1.0, 4.0), point(2, 4.0, 4.0)]
    assert front_of([*points, point(3, 2.0, 2.0)]).hypervolume() > front_of(points).hypervolume()


# What meets a bound
@pytest.fixture
def front() -> Front:
    return front_of(
        [
            point(0, 2.9, 2.1, measured=2.0, parameters=100),
            point(1, 2.4, 3.8, measured=4.0, parameters=300),
            point(2, 2.0, 9.0, measured=9.5, parameters=900),
            point(3, 2.5, 9.9),
        ]
    )


def test_members_come_best_quality_first(front: Front) -> None:
    assert [member.validation for member in front.members()] == [2.0, 2.4, 2.9]


def test_the_best_has_the_best_quality_within_the_bounds(front: Front) -> None:
    assert front.best().validation == 2.0
    assert front.best({"latency_ms": 9.5}).validation == 2.0
    assert front.best({"latency_ms": 9.4}).validation == 2.4
    assert front.best({"latency_ms": 9.4, "parameters": 299}).validation == 2.9
    assert front.best({"quality": 2.95, "latency_ms": 3.0}).validation == 2.9


def test_best_is_what_the_direction_says() -> None:
    accuracy = replace(QUALITY, unit="accuracy", direction=Direction.MAX)
    front = front_of([point(0, 0.9, 5.0), point(1, 0.8, 3.0)], (accuracy, LATENCY))
    assert front.best().validation == 0.9
    assert front.best({"latency_ms": 4.0}).validation == 0.8
    with pytest.raises(NothingMeetsBounds, match=r"quality 0.9 \(asked ≥ 0.95, 5.26% under\)"):
        front.best({"quality": 0.95})


def test_nothing_within_the_bounds_names_the_nearest_and_its_miss(front: Front) -> None:
    with pytest.raises(NothingMeetsBounds) as raised:
        front.best({"latency_ms": 1.6, "parameters": 200})
    said = str(raised.value)
    assert front.members()[-1].digest in said
    assert "latency_ms 2 (asked ≤ 1.6, 25.00% over)" in said
    assert "parameters 100 (asked ≤ 200)" in said


def test_an_unknown_bound_is_refused_with_those_accepted(front: Front) -> None:
    with pytest.raises(InvalidSpec) as raised:
        front.best({"speed": 8.0, "size": 1.0, "macs": 1.0})
    assert [problem.path for problem in raised.value.problems] == ["bounds.speed", "bounds.size"]
    for name in ("quality", "latency_ms", "latency_ms@laptop", "parameters", "macs", "state_bytes"):
        assert name in raised.value.problems[0].message


@pytest.mark.parametrize("bound", [math.inf, -math.inf, math.nan, 0.0, -8.0])
def test_a_bound_that_is_no_finite_number_above_0_is_refused(front: Front, bound: float) -> None:
    """As the command line and a remote service refuse it: no point comes any nearer to such a bound."""
    with pytest.raises(InvalidSpec, match=rf"{bound} is not a bound; accepted: a finite number") as raised:
        front.best({"latency_ms": bound, "parameters": 300, "quality": bound})
    assert [problem.path for problem in raised.value.problems] == ["bounds.latency_ms", "bounds.quality"]


def test_a_front_without_members_says_how_to_go_on() -> None:
    with pytest.raises(NoSuchPoint, match=r"nas show demo-3f9a1c; .* was stopped: nas resume demo-3f9a1c"):
        front_of([]).best({"latency_ms": 1.0})


def test_a_job_of_which_nothing_is_within_its_own_bounds_says_so_and_what_came_nearest() -> None:
    bounded = replace(LATENCY, bound=1.6)
    front = front_of([point(0, 2.0, 2.0), point(1, 1.0, 4.0)], (QUALITY, bounded))
    said = r"none of the 2 .* latency_ms 2 \(asked ≤ 1.6, 25.00% over\)"
    with pytest.raises(NothingMeetsBounds, match=said):
        front.best()


def test_with_several_targets_a_latency_is_bounded_everywhere_or_on_one() -> None:
    both = [
        timed(point(n, 2.0 + n / 10, 1.0), {LAPTOP: a, PHONE: b})
        for n, (a, b) in enumerate([(1.0, 9.0), (3.0, 3.0), (9.0, 1.0)])
    ]
    on_phone = replace(LATENCY, name="latency_ms@phone", target=PHONE)
    on_laptop = replace(LATENCY, name="latency_ms@laptop")
    front = front_of(both, (QUALITY, on_laptop, on_phone), (LAPTOP, PHONE))
    assert front.best({"latency_ms": 4.0}) == front.points[1]
    assert front.best({"latency_ms@phone": 4.0}) == front.points[1]
    assert front.best({"latency_ms@phone": 2.0}) == front.points[2]
    assert front.best({f"latency_ms@{LAPTOP}": 2.0}) == front.points[0]
    with pytest.raises(NothingMeetsBounds, match=r"latency_ms@laptop 3 .*latency_ms@phone 3 "):
        front.best({"latency_ms": 2.0})


def test_two_targets_of_one_device_are_both_bounded_by_its_name() -> None:
    more = replace(LAPTOP, threads=4)
    only = timed(point(0, 2.0, 1.0), {LAPTOP: 5.0, more: 1.0})
    objectives = [replace(LATENCY, name=f"latency_ms@{t}", target=t) for t in (LAPTOP, more)]
    front = front_of([only], (QUALITY, *objectives), (LAPTOP, more))
    assert front.best({f"latency_ms@{more}": 2.0}) == front.points[0]
    with pytest.raises(NothingMeetsBounds):
        front.best({"latency_ms@laptop": 2.0})


@settings(max_examples=100, deadline=None)
@given(POINTS, st.dictionaries(st.sampled_from(["quality", "latency_ms", "parameters"]), FEW.filter(bool)))
def test_select_keeps_exactly_what_meets_every_bound(points: list[Point], bounds: dict[str, float]) -> None:
    front = front_of(points)
    objectives = {"quality": QUALITY, "latency_ms": LATENCY, "parameters": SIZE}

    def meets(candidate: Point) -> bool:
        return all(candidate.value(objectives[name]) <= bound for name, bound in bounds.items())

    assert front.select(bounds, front.points) == [p for p in front.points if meets(p)]
    within = [p for p in front.members() if meets(p)]
    assert front.select(bounds) == within
    if within and "parameters" not in bounds:
        assert front.best(bounds) == within[0]


def test_a_bound_on_what_is_no_objective_may_be_met_by_a_verified_point_off_the_front() -> None:
    points = [
        point(0, 2.0, 4.0, measured=4.0, parameters=900),
        point(1, 2.1, 5.0, measured=5.0, parameters=300),
        point(2, 2.2, 3.0, measured=3.0, parameters=300),
        point(3, 2.05, 5.0, parameters=300),
    ]
    front = front_of(points)
    assert not front.points[1].on_front
    assert front.best({"parameters": 400}) == front.points[1]
    assert front.best({"params": 400, "latency_ms": 4.5}) == front.points[2]


def test_a_part_of_a_targets_text_is_enough_where_only_one_has_it() -> None:
    both = [timed(point(n, 2.0 + n, 1.0), {LAPTOP: 9.0 - 8 * n, PHONE: 1.0}) for n in range(2)]
    objectives = [replace(LATENCY, name=f"latency_ms@{t.device}", target=t) for t in (LAPTOP, PHONE)]
    front = front_of(both, (QUALITY, *objectives), (LAPTOP, PHONE))
    assert front.best({"latency_ms@lap": 2.0}) == front.points[1]
    with pytest.raises(InvalidSpec, match="part of several targets"):
        front.best({"latency_ms@prefill": 2.0})
    with pytest.raises(InvalidSpec, match="not known; accepted"):
        front.best({"latency_ms@tablet": 2.0})


# What programs read
def test_the_document_is_the_designs(front: Front) -> None:
    document = json.loads(json.dumps(front.to_dict(), allow_nan=False))
    assert {"job", "space", "task", "quality", "targets", "points", "hypervolume"} <= set(document)
    assert document["quality"] == {"metric": "bits_per_byte", "direction": "min"}
    assert document["targets"] == [str(LAPTOP)]
    first = document["points"][0]
    assert first["quality"] == {
        "validation": 2.9,
        "test": None,
        "delivered": None,
        "fine_tuned": None,
        "converted": {},
        "fidelities": ["supernet"],
    }
    assert first["latency_ms"][str(LAPTOP)] == {
        "predicted": 2.1,
        "predicted_std": 0.1,
        "measured": 2.0,
        "measured_std": 0.01,
        "slowdown": 1.0,
    }
    assert first["architecture"] == front.points[0].architecture.to_dict()
    assert (first["preset"], first["on_front"]) == (None, True)
    assert document["hypervolume"]["value"] == front.hypervolume()
    assert document["hypervolume"]["reference"] == {"quality": 2.9, "latency_ms": 9.9}


def test_an_empty_front_is_a_document_too() -> None:
    front = front_of([])
    assert json.loads(json.dumps(front.to_dict(), allow_nan=False))["points"] == []
    assert Front.from_dict(front.to_dict()) == front


@settings(max_examples=100, deadline=None)
@given(POINTS, OBJECTIVES)
def test_fronts_come_back_from_their_document(points: list[Point], objectives: tuple[Objective, ...]) -> None:
    front = front_of(points, objectives)
    assert Front.from_dict(json.loads(json.dumps(front.to_dict()))) == front


def test_csv_has_a_row_for_every_point_the_front_first(front: Front) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table(front))))
    assert [row["validation"] for row in rows] == ["2.0", "2.4", "2.9", "2.5"]
    assert [row["on_front"] for row in rows] == ["True", "True", "True", "False"]
    assert rows[0][f"{LAPTOP}:latency_ms:measured"] == "9.5"
    assert rows[3][f"{LAPTOP}:latency_ms:measured"] == ""
    assert Architecture.from_dict(json.loads(rows[0]["architecture"])) == front.members()[0].architecture


@pytest.mark.parametrize(
    "make",
    [
        lambda: Value(math.nan, 0.1),
        lambda: Value(1.0, math.nan),
        lambda: Value(1.0, 0.1, math.nan),
        lambda: point(0, math.nan, 1.0),
        lambda: replace(point(0, 1.0, 1.0), test=math.nan),
    ],
)
def test_what_is_not_known_is_none_and_never_nan(make) -> None:
    with pytest.raises(ValueError, match="NaN"):
        make()

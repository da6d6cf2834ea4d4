from __future__ import annotations

import json
from dataclasses import fields, replace
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service import SPEC

from nas.errors import Incompatible
from nas.front import Front, Scope
from nas.job import Event, EventKind, Job, JobStatus, TargetProfile
from nas.objectives import Direction, Objective, Source
from nas.objectives.value import Value
from nas.optimum import Optimum
from nas.planning.limits import Limits
from nas.point import FineTuned, Point
from nas.rpc.v1 import service_pb2 as pb
from nas.service.wire import convert
from nas.spec import JobSpec, StageName
from searchspaces.architecture import NO_MIXER, Architecture, Layer
from workers.measurement import Correction, Measurement
from workers.target import Phase, Target, Workload

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True)
COUNTS = st.integers(0, 2**63 - 1)
SIZES = st.integers(1, 2**31 - 1)
NUMBERS = st.floats(allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)

WORKLOADS = st.builds(Workload, st.sampled_from(Phase), SIZES, SIZES)
TARGETS = st.builds(Target, NAMES, NAMES, NAMES, SIZES, WORKLOADS)
POSITIVE, NOT_NEGATIVE = st.floats(1e-300, 1e300), st.floats(0, 1e300)
LAYERS = st.builds(Layer, TEXT | st.just(NO_MIXER), COUNTS, TEXT, POSITIVE)
ARCHITECTURES = st.builds(Architecture, SIZES, SIZES, st.lists(LAYERS, max_size=4).map(tuple))
COUNTED = st.builds(Value, NUMBERS)
ESTIMATED = st.builds(Value, NUMBERS, NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS, POSITIVE)
VALUES = st.builds(
    lambda alike, delivered, of_targets: alike | delivered | of_targets,
    st.dictionaries(st.tuples(st.sampled_from(["parameters", "macs"]), st.none()), COUNTED, min_size=1),
    st.dictionaries(st.just(("quality", None)), ESTIMATED, max_size=1),
    st.dictionaries(st.tuples(st.sampled_from(["latency_ms", "joules"]), TEXT), ESTIMATED, max_size=3)
    | st.dictionaries(st.tuples(st.just("weight_bytes"), TEXT), COUNTED, max_size=3),
)
POINTS = st.builds(
    Point,
    digest=TEXT,
    architecture=ARCHITECTURES,
    validation=st.none() | NUMBERS,
    test=st.none() | NUMBERS,
    values=VALUES,
    preset=st.none() | TEXT,
    on_front=st.booleans(),
    tuned=st.none() | st.builds(FineTuned, TEXT, COUNTS, NUMBERS, st.none() | NUMBERS),
)
OBJECTIVES = st.builds(
    Objective,
    TEXT,
    TEXT,
    st.sampled_from(Direction),
    st.sampled_from(Source),
    st.none() | NUMBERS,
    st.none() | TARGETS,
)
SPECS = st.builds(
    lambda name, space, extra, seed, bounds: JobSpec.model_validate(
        {
            **SPEC,
            "name": name,
            "space": space,
            "task": {"name": "text", **extra},
            "seed": seed,
            "bounds": bounds,
        }
    ),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True),
    TEXT | st.dictionaries(TEXT, JSON, max_size=3),
    st.dictionaries(TEXT.filter(lambda key: key not in ("name", "model_config")), JSON, max_size=3),
    st.integers(0, 2**63 - 1),
    st.dictionaries(TEXT, st.floats(1e-300, 1e300), max_size=2),
)
JOBS = st.builds(
    Job,
    TEXT,
    SPECS,
    st.sampled_from(JobStatus),
    st.none() | st.sampled_from(StageName),
    st.none() | TEXT,
    NUMBERS,
    NUMBERS,
    last_event=st.integers(0, 2**62),
    owner=TEXT,
    group=TEXT,
    shared=st.booleans(),
)
MEASUREMENTS = st.builds(
    Measurement,
    digest=st.just(""),
    target=TARGETS,
    latency_ms=POSITIVE,
    spread_ms=NOT_NEGATIVE,
    error_ms=NOT_NEGATIVE,
    wall_ms=POSITIVE,
    reference_ms=POSITIVE,
    drift=POSITIVE,
    peak_memory_bytes=COUNTS,
    repeats=SIZES,
    rejected=COUNTS,
    noisy=st.booleans(),
    measured_at=NOT_NEGATIVE,
    correction=st.none() | st.builds(Correction, POSITIVE, NOT_NEGATIVE, POSITIVE),
)
EVENTS = st.builds(
    Event,
    st.sampled_from(EventKind),
    st.none() | st.sampled_from(StageName),
    TEXT,
    NUMBERS,
    NUMBERS,
    st.dictionaries(TEXT, JSON, max_size=3),
    COUNTS,
    NUMBERS,
)


def over_the_wire(message: Any) -> Any:
    return type(message).FromString(message.SerializeToString())


@given(JOBS)
def test_job_round_trip(job: Job) -> None:
    assert convert.job_from_message(over_the_wire(convert.job_to_message(job))) == job


@given(EVENTS)
def test_event_round_trip(event: Event) -> None:
    assert convert.event_from_message(over_the_wire(convert.event_to_message(event))) == event


@given(TARGETS)
def test_target_round_trip(target: Target) -> None:
    assert convert.target_from_message(over_the_wire(convert.target_to_message(target))) == target


@given(ARCHITECTURES)
def test_architecture_round_trip_keeps_the_digest(architecture: Architecture) -> None:
    back = convert.architecture_from_message(over_the_wire(convert.architecture_to_message(architecture)))
    assert back == architecture
    assert back.digest == architecture.digest


@given(ARCHITECTURES, MEASUREMENTS)
def test_measurement_round_trip(architecture: Architecture, measurement: Measurement) -> None:
    measurement = replace(measurement, digest=architecture.digest)
    message = over_the_wire(convert.measurement_to_message(architecture, measurement))
    assert convert.measurement_from_message(message, measurement.target) == (architecture, measurement)


def test_a_measurement_that_cannot_be_is_not_believed() -> None:
    message = pb.Measurement(architecture=pb.Architecture(vocabulary=2, width=2), latency_ms=-1.0)
    with pytest.raises(Incompatible, match="latency_ms is -1"):
        convert.measurement_from_message(message, Target("phone"))


@given(
    st.lists(POINTS, max_size=4),
    st.lists(TARGETS, max_size=2),
    st.lists(OBJECTIVES, max_size=3),
    st.lists(st.none() | st.tuples(NUMBERS, NUMBERS), max_size=3),
    st.sampled_from(Direction),
    TEXT,
)
def test_front_round_trip(
    points: list[Point],
    targets: list[Target],
    objectives: list[Objective],
    extent: list[tuple[float, float] | None],
    direction: Direction,
    name: str,
) -> None:
    front = Front(
        job=name,
        space=name,
        task=name,
        metric=name,
        direction=direction,
        targets=tuple(targets),
        objectives=tuple(objectives),
        points=tuple(points),
        evaluated=3 * len(points),
        extent=tuple(extent),
    )
    header = over_the_wire(convert.front_header_to_message(front))
    messages = [over_the_wire(convert.point_to_message(point)) for point in points]
    assert convert.front_from_messages(header, messages) == front


@given(st.builds(Optimum, POINTS, NUMBERS, NUMBERS, NUMBERS, st.booleans(), COUNTS, NUMBERS))
def test_optimum_round_trip(optimum: Optimum) -> None:
    assert convert.optimum_from_message(over_the_wire(convert.optimum_to_message(optimum))) == optimum
    assert Optimum.from_dict(json.loads(json.dumps(optimum.to_dict()))) == optimum


@given(st.builds(TargetProfile, TARGETS, TEXT, COUNTS, COUNTS, *[NUMBERS] * 5, COUNTS))
def test_profile_round_trip(profile: TargetProfile) -> None:
    assert convert.profile_from_message(over_the_wire(convert.profile_to_message(profile))) == profile
    assert TargetProfile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile


def test_a_point_of_an_earlier_form_is_not_read_as_one_without_numbers() -> None:
    with pytest.raises(Incompatible, match=r"form 1 and is older than this client.*update the service"):
        convert.point_from_message(pb.Point(digest="a"))


@pytest.mark.parametrize("kind", [JobStatus, StageName, EventKind, Phase, Direction, Source, Scope])
def test_every_member_has_its_own_number_and_every_number_its_member(kind: type[StrEnum]) -> None:
    wrapper, prefix = convert.ENUMS[kind]
    numbers = {convert.number_of(member) for member in kind}
    assert len(numbers) == len(kind)
    assert numbers == set(wrapper.values()) - {0}
    for member in kind:
        assert convert.member_of(kind, convert.number_of(member)) is member
        assert wrapper.Name(convert.number_of(member)) == prefix + member.name


@pytest.mark.parametrize(
    ("noun", "message"),
    [
        (Job, pb.Job),
        (Event, pb.Event),
        (Target, pb.Target),
        (Workload, pb.Workload),
        (Architecture, pb.Architecture),
        (Layer, pb.Layer),
        (Point, pb.Point),
        (Objective, pb.Objective),
        (TargetProfile, pb.TargetProfile),
    ],
)
def test_every_field_of_a_noun_has_one_of_its_message(noun: Any, message: Any) -> None:
    """A field added to a noun must travel, or fail here."""
    named = {field.name for field in message.DESCRIPTOR.fields}
    sent = {name.removesuffix("_json") for name in named}
    own = {"abandoned"}  # said by the status that a service shows
    opposite = {"tied": "untied"}  # so that what older peers do not send means what it meant
    assert {opposite.get(field.name, field.name) for field in fields(noun)} - own == sent


@pytest.mark.parametrize(
    "read",
    [
        lambda: convert.job_from_message(pb.Job(spec_json='{"space": 1}')),
        lambda: convert.job_from_message(pb.Job(spec_json="{")),
        lambda: convert.event_from_message(pb.Event(kind=99, data_json="{}")),  # type: ignore[arg-type]
        lambda: convert.event_from_message(pb.Event(kind=pb.EVENT_KIND_NOTE, data_json="[" * 100_000)),
        lambda: convert.target_from_message(pb.Target(device="a b", threads=1)),
        lambda: convert.target_from_message(pb.Target(device="a")),
    ],
)
def test_what_cannot_be_a_value_is_refused(read: Any) -> None:
    with pytest.raises(Incompatible):
        read()


@pytest.mark.parametrize("limits", [Limits(), Limits(0, 0), Limits(1 << 40, None), Limits(None, 7)])
def test_limits_come_back(limits: Limits) -> None:
    assert convert.limits_from_message(over_the_wire(convert.limits_to_message(limits))) == limits

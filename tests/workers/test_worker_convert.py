"""Every message crosses the wire unharmed, and nothing that cannot be comes in from it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from workers.capabilities import Accelerator, Capabilities, RuntimeCapability
from workers.errors import ProtocolViolation
from workers.measurement import Measurement
from workers.messages import (
    Cancel,
    Drain,
    Failure,
    Heartbeat,
    Lease,
    Leave,
    ModelFile,
    Register,
    Result,
    ServiceMessage,
    Welcome,
    WorkerMessage,
)
from workers.rpc.convert import (
    service_message_from_wire,
    service_message_to_wire,
    worker_message_from_wire,
    worker_message_to_wire,
)
from workers.rpc.v1 import worker_pb2 as wire
from workers.target import Phase, Target, Workload
from workers.timing import TimingProtocol

UINT32 = 2**32 - 1
names = st.from_regex(r"[A-Za-z0-9_.\-]{1,12}", fullmatch=True)
words = st.text(max_size=20)
counts = st.integers(0, UINT32)
positive_counts = st.integers(1, 2**31 - 1)
sizes = st.integers(0, 2**63)
times = st.floats(0, 1e9, allow_nan=False)
positive_times = st.floats(1e-9, 1e9, allow_nan=False)
phases = st.sampled_from(Phase)
targets = st.builds(
    Target,
    device=names,
    runtime=names,
    dtype=names,
    threads=positive_counts,
    workload=st.builds(Workload, phase=phases, batch=positive_counts, tokens=positive_counts),
)
measurements = st.builds(
    Measurement,
    digest=words,
    target=targets,
    latency_ms=positive_times,
    spread_ms=times,
    error_ms=times,
    wall_ms=positive_times,
    reference_ms=positive_times,
    drift=positive_times,
    peak_memory_bytes=sizes,
    repeats=positive_counts,
    rejected=counts,
    noisy=st.booleans(),
    calls=positive_counts,
    conditions=words,
    measured_at=st.just(0.0),  # the service's to say, so not on the wire
)
capabilities = st.builds(
    Capabilities,
    device=names,
    runtimes=st.lists(
        st.builds(
            RuntimeCapability,
            name=names,
            version=words,
            dtypes=st.lists(names, max_size=3).map(tuple),
            phases=st.lists(phases, max_size=2).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    threads=positive_counts,
    cpu_model=words,
    machine=words,
    system=words,
    memory_bytes=sizes,
    versions=st.dictionaries(words, words, max_size=3),
    accelerators=st.lists(
        st.builds(Accelerator, name=words, memory_bytes=sizes, driver=words, part=words), max_size=2
    ).map(tuple),
)
files = st.builds(ModelFile, sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True), size_bytes=sizes)
protocols = st.builds(
    TimingProtocol,
    warm_up=counts,
    min_repeats=st.integers(2, 1000),
    max_repeats=st.integers(1000, UINT32),
    goal_error=positive_times,
    max_seconds=positive_times,
    row_ms=positive_times,
)
leases = st.builds(
    Lease,
    lease_id=words,
    digest=words,
    target=targets,
    model=files,
    reference=files,
    vocabulary=positive_counts,
    reference_ms=st.none() | positive_times,
    protocol=protocols,
)
worker_messages = (
    st.builds(Register, capabilities=capabilities, protocol_version=counts)
    | st.just(Heartbeat())
    | st.builds(Result, lease_id=words, measurement=measurements)
    | st.builds(Failure, lease_id=words, reason=words, retryable=st.booleans())
    | st.builds(Leave, reason=words)
)
service_messages = (
    st.builds(Welcome, session_id=words, heartbeat_seconds=positive_times)
    | leases
    | st.builds(Cancel, lease_id=words, reason=words)
    | st.builds(Drain, reason=words)
)


@given(worker_messages)
def test_what_a_worker_says_arrives(message: WorkerMessage) -> None:
    data = worker_message_to_wire(message).SerializeToString()
    assert worker_message_from_wire(wire.WorkerMessage.FromString(data)) == message


@given(service_messages)
def test_what_the_service_says_arrives(message: ServiceMessage) -> None:
    data = service_message_to_wire(message).SerializeToString()
    assert service_message_from_wire(wire.ServiceMessage.FromString(data)) == message


TARGET = Target("d", "r", "t", 2, Workload(Phase.DECODE, 3, 4))
MEASUREMENT = Measurement("a", TARGET, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7, 8, 9, True, 10, "hot")
RUNTIME = RuntimeCapability("r", "1", ("t",), (Phase.DECODE,))
SPECIMENS = [
    worker_message_to_wire(
        Register(
            Capabilities(
                "d",
                (RUNTIME,),
                2,
                "cpu",
                "x",
                "linux",
                5,
                {"python": "3"},
                (Accelerator("gpu", 6, "580", "1g.5gb"),),
            ),
            7,
        )
    ).register,
    worker_message_to_wire(Result("l", MEASUREMENT)).result,
    worker_message_to_wire(Failure("l", "because", True)).failure,
    worker_message_to_wire(Leave("because")).leave,
    service_message_to_wire(Welcome("s", 1.0)).welcome,
    service_message_to_wire(
        Lease("l", "a", TARGET, ModelFile("0" * 64, 1), ModelFile("1" * 64, 2), 3, 4.0, TimingProtocol())
    ).lease,
    service_message_to_wire(Cancel("l", "because")).cancel,
    service_message_to_wire(Drain("because")).drain,
]


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda message: type(message).__name__)
def test_no_field_of_the_wire_is_forgotten(specimen: Message) -> None:
    """A field added to worker.proto must be converted: here each has a value that is not the default."""

    def check(message: Message) -> None:
        set_fields = {field.name: value for field, value in message.ListFields()}
        assert set(set_fields) == {field.name for field in message.DESCRIPTOR.fields}
        for value in set_fields.values():
            if isinstance(value, Message):
                check(value)

    check(specimen)


def test_every_phase_of_the_wire_has_a_meaning() -> None:
    assert {
        v.name.removeprefix("PHASE_").lower() for v in wire.DESCRIPTOR.enum_types_by_name["Phase"].values
    } == {"unspecified", *Phase}


@pytest.mark.parametrize("later", [{"phase": 9}, {}])
def test_what_a_later_version_says_names_the_older_side(later: dict[str, int]) -> None:
    """A phase, or a kind of message."""
    told, leased = wire.WorkerMessage(), wire.ServiceMessage()
    if later:
        told.CopyFrom(worker_message_to_wire(Result("l", MEASUREMENT)))
        told.result.measurement.target.workload.MergeFrom(wire.Workload(**later))  # type: ignore[arg-type]
        leased.lease.CopyFrom(wire.Lease(vocabulary=1, target=told.result.measurement.target))
    with pytest.raises(ProtocolViolation, match=r"the worker is of a later version, .* update the service"):
        worker_message_from_wire(told)
    with pytest.raises(ProtocolViolation, match=r"the service is of a later version, .* update the worker"):
        service_message_from_wire(leased)


@pytest.mark.parametrize("field", ["latency_ms", "wall_ms", "reference_ms", "drift", "spread_ms", "error_ms"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_a_measurement_that_cannot_be_is_refused(field: str, value: float) -> None:
    message = worker_message_to_wire(Result("l", MEASUREMENT))
    setattr(message.result.measurement, field, value)
    with pytest.raises(ProtocolViolation, match=field):
        worker_message_from_wire(message)


def test_a_measurement_without_repeats_or_target_is_refused() -> None:
    message = worker_message_to_wire(Result("l", MEASUREMENT))
    message.result.measurement.repeats = 0
    with pytest.raises(ProtocolViolation, match="repeats"):
        worker_message_from_wire(message)
    message.result.measurement.ClearField("target")
    with pytest.raises(ProtocolViolation, match="phase 0"):
        worker_message_from_wire(message)


@pytest.mark.parametrize("device", ["", "a/b", "a b"])
def test_a_device_without_a_name_is_refused(device: str) -> None:
    message = wire.WorkerMessage(register=wire.Register(capabilities={"device": device, "threads": 1}))
    with pytest.raises(ProtocolViolation, match="not a name"):
        worker_message_from_wire(message)


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({"device": "d" * 101}, "the name of a device has 101 characters; accepted: at most 100"),
        ({"device": "d", "cpu_model": "c" * 5000}, "a text of 5000 characters; accepted: at most 4096"),
        ({"device": "d", "versions": {"v" * 5000: "1"}}, "a text of 5000 characters"),
    ],
)
def test_a_device_with_too_much_to_say_is_refused(told: dict[str, Any], complaint: str) -> None:
    message = wire.WorkerMessage(register=wire.Register(capabilities={"threads": 1, **told}))
    with pytest.raises(ProtocolViolation, match=complaint):
        worker_message_from_wire(message)


def test_an_empty_message_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="not belong to this protocol"):
        worker_message_from_wire(wire.WorkerMessage())
    with pytest.raises(ProtocolViolation, match="not belong to this protocol"):
        service_message_from_wire(wire.ServiceMessage())


def test_a_lease_is_checked_on_the_device_too() -> None:
    lease = Lease("l", "a", TARGET, ModelFile("0" * 64, 1), ModelFile("1" * 64, 2), 3, None, TimingProtocol())
    for field, value, complaint in [
        ("vocabulary", 0, "vocabulary"),
        ("model", wire.Model(sha256="../../etc/passwd"), "SHA-256"),
        ("protocol", wire.TimingProtocol(), "min_repeats"),
        ("target", wire.Target(), "phase 0"),
    ]:
        broken = service_message_to_wire(lease)
        broken.lease.ClearField(field)
        if isinstance(value, Message):
            getattr(broken.lease, field).CopyFrom(value)
        with pytest.raises(ProtocolViolation, match=complaint):
            service_message_from_wire(broken)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_heartbeat_that_cannot_be_kept_is_refused(seconds: float) -> None:
    message = wire.ServiceMessage(welcome=wire.Welcome(session_id="s", heartbeat_seconds=seconds))
    with pytest.raises(ProtocolViolation, match="heartbeat_seconds"):
        service_message_from_wire(message)

"""Leases on a clock that the test turns: whatever workers do, each request has exactly one outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers import leases as leases_module
from workers.capabilities import Capabilities, RuntimeCapability
from workers.errors import ProtocolViolation, WorkerError
from workers.leases import MAX_ATTEMPTS, MAX_OFFENCES, Batch, Board, End, WorkerSession
from workers.measurement import Measurement
from workers.messages import Cancel, Drain, Failure, Lease, Result, Welcome
from workers.request import DeviceNote, MeasurementFailure, MeasurementRequest, Outcome
from workers.standing import LONGEST_SECONDS
from workers.target import Phase, Target

TARGET = Target("bench")
LEASE_SECONDS = 10.0
MEASUREMENT_SECONDS = 25.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(LEASE_SECONDS, MEASUREMENT_SECONDS, clock)


def request(digest: str = "a", target: Target = TARGET) -> MeasurementRequest:
    return MeasurementRequest(digest, target, b"model " + digest.encode(), b"reference", 64, 2.0)


def connect(board: Board, device: str = "bench") -> WorkerSession:
    runtime = RuntimeCapability("onnxruntime", "1", ("fp32",), (Phase.PREFILL,))
    session = WorkerSession(Capabilities(device, (runtime,), 2, "cpu", "x86_64", "linux"))
    board.join(session, 2.5)
    assert isinstance(session.outbox.get_nowait(), Welcome)
    return session


def leased(session: WorkerSession) -> Lease | None:
    """The lease that the worker holds, as it was told."""
    lease = None
    while not session.outbox.empty():
        message = session.outbox.get_nowait()
        lease = message if isinstance(message, Lease) else lease
    return lease


def result(
    lease: Lease, digest: str | None = None, target: Target | None = None, reference: float = 2.0
) -> Result:
    measurement = Measurement(
        digest or lease.digest, target or lease.target, 5.0, 0.1, 0.01, 5.1, reference, 1.0, 0, 10, 0, False
    )
    return Result(lease.lease_id, measurement)


def outcome(board: Board, batch: Batch) -> Outcome | None:
    return board.take(batch, 0)


def test_a_request_is_leased_and_its_measurement_returned(board: Board) -> None:
    session = connect(board)
    with board.batch() as batch:
        board.submit(batch, request())
        lease = leased(session)
        assert lease is not None
        assert (lease.digest, lease.target, lease.vocabulary, lease.reference_ms) == ("a", TARGET, 64, 2.0)
        assert board.model_of(session.session_id, lease.lease_id, lease.model.sha256) == b"model a"
        assert board.model_of(session.session_id, lease.lease_id, lease.reference.sha256) == b"reference"
        board.settle(session, result(lease))
        measured = outcome(board, batch)
        assert isinstance(measured, Measurement)
        assert measured.measured_at > 0
        assert batch.open == 0
        # What was fetched for a lease cannot be fetched after it.
        assert board.model_of(session.session_id, lease.lease_id, lease.model.sha256) is None


def test_each_worker_holds_one_lease_at_a_time(board: Board) -> None:
    first, second = connect(board), connect(board)
    with board.batch() as batch:
        for digest in "abc":
            board.submit(batch, request(digest))
        held = [leased(first), leased(second)]
        assert [lease.digest for lease in held if lease] == ["a", "b"]
        assert held[0] is not None
        board.settle(first, result(held[0]))
        third = leased(first)
        assert third is not None
        assert third.digest == "c"


def test_only_a_worker_that_serves_the_target_gets_it(board: Board) -> None:
    other = connect(board, "other")
    with board.batch() as batch:
        board.submit(batch, request())
        assert leased(other) is None
        assert leased(connect(board)) is not None


def test_a_worker_that_vanishes_loses_its_lease_to_the_next(board: Board) -> None:
    first = connect(board)
    with board.batch() as batch:
        board.submit(batch, request())
        old = leased(first)
        second = connect(board)
        board.leave(first, "its connection broke")
        new = leased(second)
        assert old is not None
        assert new is not None
        assert new.lease_id != old.lease_id
        with pytest.raises(ProtocolViolation):
            board.settle(second, result(old))
        board.settle(second, result(new))
        assert isinstance(outcome(board, batch), Measurement)
        assert outcome(board, batch) is None


def test_a_worker_that_falls_silent_is_dropped(board: Board, clock: Clock) -> None:
    silent, talking = connect(board), connect(board)
    with board.batch() as batch:
        board.submit(batch, request())
        assert leased(silent) is not None
        clock.now += LEASE_SECONDS
        board.hear(talking)
        clock.now += 1
        assert board.sessions() == [talking]
        assert "not heard for 11 s" in str(silent.outbox.get_nowait())
        assert leased(talking) is not None


def test_a_worker_that_lives_but_never_ends_is_dropped(board: Board, clock: Clock) -> None:
    stuck = connect(board)
    with board.batch() as batch:
        board.submit(batch, request())
        for _ in range(6):
            clock.now += 5
            board.hear(stuck)
            board.unserved(batch, 1e9)
        assert board.sessions() == []
        assert leased(connect(board)) is not None


def test_a_model_that_kills_workers_is_given_up(board: Board) -> None:
    with board.batch() as batch:
        board.submit(batch, request())
        for _ in range(MAX_ATTEMPTS):
            session = connect(board)
            assert leased(session) is not None
            board.leave(session, "its connection broke")
        failure = outcome(board, batch)
        assert isinstance(failure, MeasurementFailure)
        assert failure.retryable
        assert "given up after 3 attempts; the last: bench: its connection broke" in failure.reason
        assert leased(connect(board)) is None


def test_a_worker_that_leaves_in_good_order_is_not_blamed(board: Board) -> None:
    with board.batch() as batch:
        board.submit(batch, request())
        for _ in range(2 * MAX_ATTEMPTS):
            session = connect(board)
            assert leased(session) is not None
            board.leave(session, "stopped", blamed=False)
        assert outcome(board, batch) is None
        assert batch.open == 1


def test_a_model_at_fault_fails_at_once_and_the_next_is_measured(board: Board) -> None:
    session = connect(board)
    with board.batch() as batch:
        board.submit(batch, request("a"))
        board.submit(batch, request("b"))
        lease = leased(session)
        assert lease is not None
        board.settle(session, Failure(lease.lease_id, "does not load" + "!" * 10_000, retryable=False))
        failure = outcome(board, batch)
        assert isinstance(failure, MeasurementFailure)
        assert (failure.digest, failure.retryable) == ("a", False)
        assert failure.reason.startswith("does not load")
        assert len(failure.reason) < 2000
        following = leased(session)
        assert following is not None
        assert following.digest == "b"


def test_a_device_at_fault_is_given_another_chance_elsewhere_first(board: Board) -> None:
    first, second = connect(board), connect(board)
    with board.batch() as batch:
        board.submit(batch, request())
        lease = leased(first)
        assert lease is not None
        board.settle(first, Failure(lease.lease_id, "no memory", retryable=True))
        assert leased(first) is None
        assert leased(second) is not None
        board.leave(second, "its connection broke")
        assert leased(first) is not None, "with nobody else, the first tries again"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda lease: result(lease, digest="b"),
        lambda lease: result(lease, target=Target("bench", threads=2)),
        lambda lease: result(lease, reference=2.1),
        lambda lease: Result("another", result(lease).measurement),
        lambda lease: Failure("another", "", False),
    ],
    ids=["digest", "target", "reference", "lease", "failure"],
)
def test_an_answer_to_something_else_is_refused(board: Board, wrong: Callable[[Lease], Result]) -> None:
    session = connect(board)
    with board.batch() as batch:
        board.submit(batch, request())
        lease = leased(session)
        assert lease is not None
        with pytest.raises(ProtocolViolation):
            board.settle(session, wrong(lease))
        assert outcome(board, batch) is None
        board.settle(session, result(lease))
        assert isinstance(outcome(board, batch), Measurement)


def test_a_second_result_of_one_lease_is_passed_over(board: Board) -> None:
    session = connect(board)
    with board.batch() as batch:
        board.submit(batch, request())
        lease = leased(session)
        assert lease is not None
        board.settle(session, result(lease))
        board.settle(session, result(lease))
        assert isinstance(outcome(board, batch), Measurement)
        assert outcome(board, batch) is None
        assert session.offences == 0
        with pytest.raises(ProtocolViolation, match="does not hold"):
            board.settle(session, replace(result(lease), lease_id="never leased"))


def test_a_repeated_offender_is_dropped(board: Board) -> None:
    session = connect(board)
    with board.batch() as batch:
        board.submit(batch, request())
        for _ in range(MAX_OFFENCES):
            lease = leased(session)
            board.offend(session, "latency_ms is nan", lease.lease_id if lease else None)
        assert board.sessions() == []
        last = [session.outbox.get_nowait() for _ in range(session.outbox.qsize())][-1]
        assert isinstance(last, End)
        assert last.offence
        failure = outcome(board, batch)
        assert isinstance(failure, MeasurementFailure)
        assert "answered nonsense: latency_ms is nan" in failure.reason


def test_what_is_no_longer_wanted_is_withdrawn(board: Board) -> None:
    session = connect(board)
    with board.batch() as batch:
        board.submit(batch, request("a"))
        board.submit(batch, request("b"))
        lease = leased(session)
        assert lease is not None
    cancel = session.outbox.get_nowait()
    assert isinstance(cancel, Cancel)
    assert cancel.lease_id == lease.lease_id
    assert session.outbox.empty(), "the waiting request is gone too"
    board.settle(session, result(lease))  # was on its way; nobody's fault
    assert outcome(board, batch) is None


def test_batches_do_not_mix(board: Board) -> None:
    session = connect(board)
    with board.batch() as one, board.batch() as two:
        board.submit(one, request("a"))
        board.submit(two, request("b"))
        for _ in range(2):
            lease = leased(session)
            assert lease is not None
            board.settle(session, result(lease))
        outcomes = [outcome(board, one), outcome(board, two)]
        assert [o.digest for o in outcomes if o] == ["a", "b"]


def test_requests_are_drawn_as_workers_come_free(board: Board) -> None:
    with board.batch() as batch:
        assert board.hungry(batch)
        board.submit(batch, request("a"))
        assert not board.hungry(batch)
        session = connect(board)
        assert board.hungry(batch)
        board.submit(batch, request("b"))
        assert not board.hungry(batch)
        assert leased(session) is not None


def test_a_target_without_a_worker_is_noticed(board: Board, clock: Clock) -> None:
    with board.batch() as batch:
        board.submit(batch, request())
        assert board.unserved(batch, 30) is None
        connect(board, "other")
        clock.now += 5
        assert board.unserved(batch, 30) is None
        clock.now += 26
        assert board.unserved(batch, 30) == TARGET


def test_a_worker_in_between_starts_the_wait_anew(board: Board, clock: Clock) -> None:
    with board.batch() as batch:
        board.submit(batch, request("a"))
        board.unserved(batch, 30)
        clock.now += 20
        session = connect(board)
        board.submit(batch, request("b"))
        board.unserved(batch, 30)
        board.leave(session, "gone")
        clock.now += 20
        assert board.unserved(batch, 30) is None
        clock.now += 31
        assert board.unserved(batch, 30) == TARGET


def test_a_model_too_large_to_send_fails_at_once(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases_module, "MAX_MODEL_BYTES", 6)
    session = connect(board)
    with board.batch() as batch:
        board.submit(batch, request())
        failure = outcome(board, batch)
        assert isinstance(failure, MeasurementFailure)
        assert "accepted: at most 6" in failure.reason
        assert leased(session) is None


def test_a_closed_board_sends_workers_away_and_ends_waits(board: Board) -> None:
    session = connect(board)
    with board.batch() as batch:
        board.submit(batch, request())
        leased(session)
        board.close("the service stops")
        farewell = [session.outbox.get_nowait() for _ in range(session.outbox.qsize())]
        assert [type(message) for message in farewell] == [Drain, End]
        with pytest.raises(WorkerError, match="the service stops"):
            board.take(batch, 60)
    late = WorkerSession(session.capabilities)
    board.join(late, 1)
    assert isinstance(late.outbox.get_nowait(), End)


ACTIONS = ["join", "leave", "vanish", "result", "retry", "fail", "offend", "foreign", "tick"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5)), max_size=40))
def test_whatever_workers_do_each_request_has_exactly_one_outcome(actions: list[tuple[str, int]]) -> None:
    clock = Clock()
    board = Board(LEASE_SECONDS, MEASUREMENT_SECONDS, clock)
    wanted = list("abcdefgh")
    pending = iter(wanted)
    with board.batch() as batch:
        drawn = 0

        def draw() -> None:
            nonlocal drawn
            while board.hungry(batch) and (digest := next(pending, None)) is not None:
                board.submit(batch, request(digest))
                drawn += 1

        def act(name: str, which: int) -> None:
            sessions = board.sessions()
            if name == "join" or not sessions:
                connect(board)
                return
            session = sessions[which % len(sessions)]
            lease = session.grant.lease if session.grant else None
            if name == "leave":
                board.leave(session, "stopped", blamed=False)
            elif name == "vanish":
                board.leave(session, "broke")
            elif name == "offend":
                board.offend(session, "nonsense", lease.lease_id if lease else None)
            elif name == "tick":
                clock.now += 4
                board.hear(session)
            elif lease is not None and name == "result":
                board.settle(session, result(lease))
            elif lease is not None and name == "retry":
                board.settle(session, Failure(lease.lease_id, "busy", True))
            elif lease is not None and name == "fail":
                board.settle(session, Failure(lease.lease_id, "broken", False))
            elif lease is not None and name == "foreign":
                others = [s for s in sessions if s is not session]
                for other in others[:1]:
                    with pytest.raises(ProtocolViolation):
                        board.settle(other, result(lease))

        for name, which in actions:
            draw()
            act(name, which)
            held = [s.grant.lease.digest for s in board.sessions() if s.grant]
            assert len(held) == len(set(held)), "two workers measure one request"
        # From here on one good worker measures all that is left.
        for session in board.sessions():
            board.leave(session, "broke", blamed=False)
        clock.now += LONGEST_SECONDS  # whatever quarantine it was in has ended
        worker = connect(board)
        for _ in range(2 * len(wanted)):
            draw()
            if worker.grant is not None:
                board.settle(worker, result(worker.grant.lease))
        digests = []
        while (found := outcome(board, batch)) is not None:
            if not isinstance(found, DeviceNote):
                digests.append(found.digest)
        assert sorted(digests) == wanted
        assert batch.open == 0

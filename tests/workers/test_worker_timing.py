"""The timing protocol on scripted clocks: what a call costs and what passes meanwhile is written down."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.clocks import Conditions, EventClocks, ProcessorClocks
from workers.errors import MeasurementCancelled
from workers.target import Phase
from workers.timing import (
    FEWEST_LONG,
    MOST_CALLS,
    PATIENCE,
    TimingProtocol,
    calibrate,
    calls_in_a_row,
    time_interleaved,
)

PROTOCOL = TimingProtocol(warm_up=2, min_repeats=8, max_repeats=40, goal_error=0.01, max_seconds=1.0)


class Machine:
    """A processor whose calls take what a script says, in seconds."""

    def __init__(self) -> None:
        self.busy = 0.0
        self.wall = 0.0
        self.calls: list[str] = []
        self.clocks = ProcessorClocks(lambda: self.busy, lambda: self.wall)

    def call(self, name: str, costs: Iterable[float], waits: Iterable[float] = ()) -> Callable[[], None]:
        cost, wait = itertools.cycle(costs), itertools.chain(waits, itertools.repeat(0.0))

        def run() -> None:
            self.calls.append(name)
            seconds = next(cost)
            self.busy += seconds
            self.wall += seconds + next(wait)

        return run


def test_a_quiet_machine_needs_the_fewest_repeats() -> None:
    machine = Machine()
    timing = time_interleaved(
        machine.call("model", [0.006]), machine.call("reference", [0.002]), PROTOCOL, machine.clocks
    )
    assert timing.ratio == pytest.approx(3.0)
    assert timing.ratio_spread == pytest.approx(0.0, abs=1e-9)
    assert (timing.repeats, timing.rejected, timing.noisy) == (8, 0, False)
    assert timing.wall_ms == pytest.approx(6.0)
    assert timing.reference_ms == pytest.approx(2.0)
    assert machine.calls.count("model") == PROTOCOL.warm_up + 8


def test_each_call_of_the_model_is_between_two_of_the_reference() -> None:
    machine = Machine()
    time_interleaved(
        machine.call("model", [0.006]), machine.call("reference", [0.002]), PROTOCOL, machine.clocks
    )
    timed = machine.calls[2 * PROTOCOL.warm_up :]
    for place in (i for i, name in enumerate(timed) if name == "model"):
        assert timed[place - 1] == timed[place + 1] == "reference"


def test_the_reference_does_not_feel_what_the_model_left_in_the_caches() -> None:
    machine = Machine()

    def reference() -> None:
        cold = bool(machine.calls) and machine.calls[-1] == "model"
        machine.call("reference", [0.003 if cold else 0.002])()

    timing = time_interleaved(machine.call("model", [0.006]), reference, PROTOCOL, machine.clocks)
    assert timing.reference_ms == pytest.approx(2.0)
    assert timing.ratio == pytest.approx(3.0)


def test_beside_a_long_model_the_reference_is_timed_until_it_is_as_fast_as_usual() -> None:
    machine = Machine()

    def reference() -> None:
        since = next((n for n, name in enumerate(reversed(machine.calls)) if name == "model"), 99)
        machine.call("reference", [0.002 * (1 + 0.2 * 0.5**since)])()

    assert calibrate(reference, machine.clocks, PROTOCOL) == pytest.approx(0.002 * 1e3)
    timing = time_interleaved(machine.call("model", [2.0]), reference, PROTOCOL, machine.clocks)
    assert timing.reference_ms == pytest.approx(2.0, rel=1e-6)
    assert timing.ratio == pytest.approx(1000, rel=1e-6)
    short = time_interleaved(machine.call("model", [0.02]), reference, PROTOCOL, machine.clocks)
    assert short.reference_ms == pytest.approx(2.2), "the second call, as ever"


def test_a_model_that_is_called_in_a_row_does_not_feel_what_the_reference_left_either() -> None:
    machine = Machine()

    def model() -> None:
        cold = bool(machine.calls) and machine.calls[-1] == "reference"
        machine.call("model", [0.008 if cold else 0.006])()

    reference = machine.call("reference", [0.002])
    timing = time_interleaved(model, reference, PROTOCOL, machine.clocks, warm=True)
    assert timing.ratio == pytest.approx(3.0)
    assert time_interleaved(model, reference, PROTOCOL, machine.clocks).ratio == pytest.approx(4.0)


@given(speeds=st.lists(st.floats(0.25, 4.0), min_size=1, max_size=6), ratio=st.floats(0.1, 50))
def test_drift_that_slows_both_alike_is_divided_out(speeds: list[float], ratio: float) -> None:
    machine = Machine()
    scale = itertools.chain.from_iterable(itertools.repeat(speed, 7) for speed in itertools.cycle(speeds))
    current = {"speed": 1.0}

    def model() -> None:
        current["speed"] = next(scale)
        machine.call("model", [0.002 * ratio * current["speed"]])()

    def reference() -> None:
        machine.call("reference", [0.002 * current["speed"]])()

    timing = time_interleaved(model, reference, PROTOCOL, machine.clocks)
    # Only a sample that the speed changes within is off, and the median does not see one in seven.
    assert timing.ratio == pytest.approx(ratio, rel=1e-6)


def test_interrupted_calls_are_repeated_and_counted() -> None:
    machine = Machine()
    interruptions = [0, 0, 0, 0.05, 0, 0.05, 0, 0, 0.05]  # the first two calls warm up
    timing = time_interleaved(
        machine.call("model", [0.006], interruptions),
        machine.call("reference", [0.002]),
        PROTOCOL,
        machine.clocks,
    )
    assert (timing.repeats, timing.rejected, timing.noisy) == (8, 3, False)
    assert timing.ratio == pytest.approx(3.0)
    assert timing.wall_ms == pytest.approx(6.0)


def test_an_interrupted_reference_spoils_both_its_samples() -> None:
    machine = Machine()
    # Two warm-up calls, then pairs of which the second is timed: call 8 lies between two samples.
    timing = time_interleaved(
        machine.call("model", [0.006]),
        machine.call("reference", [0.002], [0, 0, 0, 0, 0, 0, 0, 0.05]),
        PROTOCOL,
        machine.clocks,
    )
    assert (timing.repeats, timing.rejected) == (8, 2)


def slowed_until(machine: Machine, end: float) -> tuple[Callable[[], None], Callable[[], None]]:
    """A model of 6 ms and a reference of 2 ms that a neighbour slows down for a while, not alike."""

    def slowed(name: str, seconds: float, factor: float) -> Callable[[], None]:
        return lambda: machine.call(name, [seconds * (factor if machine.wall < end else 1.0)])()

    return slowed("model", 0.006, 1.9), slowed("reference", 0.002, 1.4)


def test_a_neighbours_burst_is_waited_for() -> None:
    machine = Machine()
    model, reference = slowed_until(machine, PROTOCOL.max_seconds * 1.5)
    timing = time_interleaved(model, reference, PROTOCOL, machine.clocks, usual=0.0021)
    assert timing.ratio == pytest.approx(3.0)
    assert timing.reference_ms == pytest.approx(2.0)
    assert timing.rejected > 50
    assert not timing.slowed
    biased = time_interleaved(*slowed_until(machine, 1e9), PROTOCOL, machine.clocks)
    assert biased.ratio == pytest.approx(3.0 * 1.9 / 1.4), "nothing else tells"


def test_a_device_that_stays_slow_is_measured_as_it_is() -> None:
    machine = Machine()
    timing = time_interleaved(*slowed_until(machine, 1e9), PROTOCOL, machine.clocks, usual=0.0021)
    assert PROTOCOL.max_seconds * PATIENCE <= machine.wall <= PROTOCOL.max_seconds * PATIENCE + 0.1
    assert timing.slowed
    assert timing.noisy
    assert timing.reference_ms == pytest.approx(2.8)
    again = time_interleaved(*slowed_until(machine, 1e9), PROTOCOL, machine.clocks, usual=0.0028)
    assert (again.slowed, again.noisy, again.repeats) == (False, False, PROTOCOL.min_repeats)


def test_where_every_call_is_interrupted_processor_time_counts_and_the_result_says_noisy() -> None:
    machine = Machine()
    timing = time_interleaved(
        machine.call("model", [0.006], itertools.repeat(0.006)),
        machine.call("reference", [0.002]),
        PROTOCOL,
        machine.clocks,
    )
    assert timing.noisy
    assert timing.ratio == pytest.approx(3.0)
    assert timing.rejected == 0
    assert timing.repeats > PROTOCOL.min_repeats
    assert timing.wall_ms == pytest.approx(12.0)


def test_noise_is_repeated_until_the_median_is_known_well_enough() -> None:
    machine = Machine()
    timing = time_interleaved(
        machine.call("model", [0.0059, 0.0061, 0.0062, 0.0058]),
        machine.call("reference", [0.002]),
        PROTOCOL,
        machine.clocks,
    )
    assert not timing.noisy
    assert PROTOCOL.min_repeats < timing.repeats < PROTOCOL.max_repeats
    assert timing.ratio_error <= PROTOCOL.goal_error * timing.ratio
    assert timing.ratio_error == pytest.approx(1.2533 * timing.ratio_spread / timing.repeats**0.5)


def test_noise_beyond_hope_ends_at_the_most_repeats_and_says_so() -> None:
    machine = Machine()
    timing = time_interleaved(
        machine.call("model", [0.003, 0.009]), machine.call("reference", [0.002]), PROTOCOL, machine.clocks
    )
    assert (timing.repeats, timing.noisy) == (PROTOCOL.max_repeats, True)


def test_the_time_limit_ends_a_noisy_measurement_of_a_slow_model() -> None:
    machine = Machine()
    timing = time_interleaved(
        machine.call("model", [0.03, 0.09]), machine.call("reference", [0.002]), PROTOCOL, machine.clocks
    )
    assert timing.noisy
    assert PROTOCOL.min_repeats < timing.repeats < PROTOCOL.max_repeats
    assert 1.0 <= machine.wall < 1.4


def test_a_model_slower_than_the_time_limit_is_repeated_a_few_times() -> None:
    machine = Machine()
    timing = time_interleaved(
        machine.call("model", [2.0]), machine.call("reference", [0.002]), PROTOCOL, machine.clocks
    )
    assert (timing.repeats, timing.noisy) == (FEWEST_LONG, False)
    assert timing.ratio == pytest.approx(1000)
    assert 10.0 <= machine.wall < 11.2  # one call to warm up
    assert PROTOCOL.expected_seconds(np.array([2000.0]))[0] == pytest.approx(10.25)


def test_spread_is_half_the_central_two_thirds() -> None:
    machine = Machine()
    protocol = TimingProtocol(warm_up=0, min_repeats=101, max_repeats=101, goal_error=1.0, max_seconds=99.0)
    timing = time_interleaved(
        machine.call("model", [0.001 * (100 + i) for i in range(101)]),
        machine.call("reference", [0.001]),
        protocol,
        machine.clocks,
    )
    assert timing.ratio == pytest.approx(150)
    assert timing.ratio_spread == pytest.approx(34)


def test_a_cancelled_measurement_stops_between_samples() -> None:
    machine = Machine()
    answers = iter([False, False, True])
    with pytest.raises(MeasurementCancelled):
        time_interleaved(
            machine.call("model", [0.006]),
            machine.call("reference", [0.002]),
            PROTOCOL,
            machine.clocks,
            cancelled=lambda: next(answers),
        )
    assert machine.calls.count("model") == PROTOCOL.warm_up + 2


def test_calibration_leaves_interrupted_calls_out() -> None:
    machine = Machine()
    # Every second timed call is interrupted and, its caches cold, slower.
    calls = machine.call("reference", [0.002, 0.002, 0.002, 0.003], itertools.cycle([0, 0, 0, 0.01]))
    assert calibrate(calls, machine.clocks, PROTOCOL) == pytest.approx(2.0)


def test_calibration_outlasts_a_neighbours_burst() -> None:
    """In the first three of four times `max_seconds` calls take half as long again."""
    machine = Machine()

    def reference() -> None:
        machine.call("reference", [0.0003 if machine.busy > 3 else 0.00045])()

    assert calibrate(reference, machine.clocks, PROTOCOL) == pytest.approx(0.3)
    assert machine.wall > 4.0


def test_calibration_of_a_machine_that_is_always_interrupted() -> None:
    machine = Machine()
    calls = machine.call("reference", [0.002], itertools.repeat(0.01))
    assert calibrate(calls, machine.clocks, PROTOCOL) == pytest.approx(2.0)


def test_a_call_whose_threads_queued_for_a_processor_does_not_count() -> None:
    """Of several threads no processor time tells that one of them had to wait."""
    machine = Machine()
    queued = {"seconds": 0.0}
    every_fourth = itertools.cycle([False, False, False, True])

    def model() -> None:
        disturbed = next(every_fourth)
        machine.call("model", [0.012 if disturbed else 0.006])()
        queued["seconds"] += 0.006 if disturbed else 0.0

    clocks = ProcessorClocks(machine.clocks.passed, machine.clocks.passed, lambda: queued["seconds"])
    timing = time_interleaved(model, machine.call("reference", [0.002]), PROTOCOL, clocks)
    assert timing.ratio == pytest.approx(3.0)
    assert timing.ratio_spread == pytest.approx(0.0, abs=1e-9)
    assert (timing.repeats, timing.noisy) == (8, False)
    assert timing.rejected == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux keeps the account")
def test_waiting_for_a_processor_is_told() -> None:
    """Two processes that want one processor."""
    program = """
import os, subprocess, sys, time
from workers.clocks import queued_seconds

def work(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
time.sleep(0.2)
before = queued_seconds()
work(0.5)
other.kill()
other.wait()
print(queued_seconds() - before)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(ran.stdout) > 0.05


def test_several_threads_are_timed_by_the_wall() -> None:
    clocks = ProcessorClocks.for_threads(2)
    assert clocks.busy is clocks.passed
    assert ProcessorClocks.for_threads(1).busy is not ProcessorClocks.for_threads(1).passed


@pytest.mark.parametrize(
    "fields",
    [
        {"warm_up": -1},
        {"min_repeats": 1},
        {"min_repeats": 9, "max_repeats": 8},
        {"goal_error": 0.0},
        {"goal_error": float("nan")},
        {"max_seconds": float("inf")},
        {"row_ms": 0.0},
    ],
)
def test_a_protocol_that_cannot_be_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        TimingProtocol(**fields)  # type: ignore[arg-type]


class Accelerator:
    """A stream whose work takes what a script says, while the caller only queues it."""

    QUEUEING = 1e-5

    def __init__(self, slow_for: float = 0.0, wakes_late: float = 0.0) -> None:
        self.now = 0.0
        self.done = 0.0
        self.synchronized = 0
        self.slow_for = slow_for
        self.wakes_late = wakes_late

    def queue(self, seconds: float) -> None:
        self.now += self.QUEUEING
        slow = 3 if self.now < self.slow_for else 1
        self.done = max(self.done, self.now) + slow * seconds

    def record(self) -> float:
        return max(self.done, self.now)

    def synchronize(self) -> None:
        self.synchronized += 1
        self.now = max(self.now, self.done) + self.wakes_late

    def seconds(self, begin: float, end: float) -> float:
        return end - begin

    @property
    def clocks(self) -> EventClocks:
        return EventClocks(self, lambda: self.now)


def test_events_time_the_accelerator_and_not_the_queueing() -> None:
    gpu = Accelerator()
    gpu.queue(0.5)  # of somebody before
    call = gpu.clocks.time(lambda: gpu.queue(0.003))
    assert call.busy == pytest.approx(0.003 + gpu.QUEUEING)
    assert call.wall == pytest.approx(call.busy)
    assert gpu.synchronized == 2


def test_an_accelerator_is_never_disturbed_by_the_rule_for_processors() -> None:
    gpu = Accelerator(wakes_late=0.5)
    call = gpu.clocks.time(lambda: gpu.queue(0.001))
    assert call.wall > 100 * call.busy
    assert not call.disturbed


def test_an_accelerator_warms_up_for_a_second_before_anything_counts() -> None:
    gpu = Accelerator(slow_for=0.9)
    timing = time_interleaved(lambda: gpu.queue(0.006), lambda: gpu.queue(0.002), PROTOCOL, gpu.clocks)
    assert timing.reference_ms == pytest.approx(2.0, rel=0.02)
    assert timing.ratio == pytest.approx(3.0, rel=0.02)
    assert timing.ratio_spread < 0.01
    cold = Accelerator(slow_for=0.9)
    assert calibrate(lambda: cold.queue(0.002), cold.clocks, PROTOCOL) == pytest.approx(2.0, rel=0.02)


def test_an_accelerator_says_what_holds_it_down() -> None:
    said = Conditions("SM 900 MHz, held by hardware thermal slowdown", throttled=True)
    assert EventClocks(Accelerator(), said=lambda: said).conditions() is said
    assert Accelerator().clocks.conditions() == Conditions()
    assert ProcessorClocks.for_threads(1).conditions() == Conditions()


@pytest.mark.parametrize(
    ("seconds", "calls"), [(0.02, 1), (0.005, 1), (0.003, 2), (0.00016, 32), (1e-9, MOST_CALLS)]
)
def test_as_many_calls_in_a_row_as_take_five_milliseconds(seconds: float, calls: int) -> None:
    machine = Machine()
    first_is_cold = machine.call("model", itertools.chain([0.1], itertools.repeat(seconds)))
    assert calls_in_a_row(first_is_cold, machine.clocks, TimingProtocol().row_ms) == calls


@pytest.mark.parametrize("phase", [Phase.DECODE, Phase.ENCODE])
def test_calls_in_a_row_are_expected_to_take_as_long_as_their_runs(phase: Phase) -> None:
    protocol = TimingProtocol()
    latency = np.array([0.1, 20.0])
    in_a_row = protocol.expected_seconds(latency, phase)
    prefill = protocol.expected_seconds(latency)
    assert in_a_row[0] == protocol.expected_seconds(np.array([protocol.row_ms]))[0] > prefill[0]
    assert in_a_row[1] == prefill[1]

"""The one timing protocol: a model's calls interleaved with a reference model's, on the device's own clock.

On a shared machine wall-clock medians are biased, up to 2× under load, and a minimum does not mend it. What
holds is the time that the device worked (`workers.clocks`) relative to a reference that is timed in between:
frequency changes and neighbours slow both alike, so their ratio stays.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from workers.clocks import Clocks, TimedCall
from workers.errors import MeasurementCancelled
from workers.target import Phase

__all__ = ["Timing", "TimingProtocol", "calibrate", "calls_in_a_row", "time_interleaved", "warm_up"]

Vector = NDArray[np.float64]

HOPELESS = 3
"""After this many times `min_repeats` calls with fewer than `min_repeats` undisturbed, the device is taken to
be too busy for more to come."""

FEWEST_LONG = 4
"""Calls that count where the time is over before there are `min_repeats`: a model that takes seconds is as
sure after a few."""

SLOWED = 1.2
"""Times that the reference usually takes: where it takes longer, somebody else holds the core or its caches.
The model is then slower by another factor than the reference: tokens of 0.2 ms took 1.9 times as long, the
reference beside them 1.4 times."""

PATIENCE = 2.0
"""Times `max_seconds` that is waited for such a while to pass; they mostly last for a second to four."""

BESIDE = 0.1
"""Of a call of the model, how long the reference is timed beside it: after one of seconds it takes ten calls
to be as fast as usual, and one of milliseconds says little about seconds. Beside a neighbour who streams
memory a model of 5 s took 1.39 times as long, the median of the reference's calls 1.36 times."""

MEDIAN_ERROR = 1.2533
"""Standard error of the median of normal samples over that of their mean: √(π/2)."""

SETUP_SECONDS = 0.25
"""Of a measurement besides its calls: what eight targets of one machine took."""

CALIBRATION_CALLS, CALIBRATION, UNDISTURBED = 50, 4.0, 0.1
"""Timed calls at least, and times `max_seconds`, from which a target's nominal reference time is taken, and
which of their quantiles it is: neighbours, cold caches and low clock rates only add to what a call takes.
All that is told of the target is relative to it, and a neighbour may be busy for seconds: of single ones a
quarter told 1.5 times as much, of eight 1.05 times (docs/results.md, "Decoding beside others")."""

MOST_CALLS, LOOKS = 256, 5
"""In a row, and how many are timed to know what one takes: a single one took twenty times as long beside a
busy neighbour."""


@dataclass(frozen=True, slots=True)
class TimingProtocol:
    """How long to measure. The defaults cost half a second to two for a model of 0.1 to 40 ms.

    Attributes:
        warm_up: calls of each model before any counts; none after the first that would begin behind
            `max_seconds`.
        min_repeats: counted calls at least.
        max_repeats: counted calls at most.
        goal_error: stop once the standard error of the median is below this part of the median.
        max_seconds: stop after this much wall time, warm-up left out, with `FEWEST_LONG` calls at least.
        row_ms: where calls come in a row (`Phase.in_a_row`), a sample takes at least that long: as many calls
            as it needs. A token alone, between calls of the reference, finds caches and clock rate as nobody
            who decodes does.
    """

    warm_up: int = 2
    min_repeats: int = 10
    max_repeats: int = 200
    goal_error: float = 0.01
    max_seconds: float = 2.0
    row_ms: float = 5.0

    def expected_seconds(self, latency_ms: Vector, phase: Phase = Phase.PREFILL) -> Vector:
        """(n,) about how long measurements take on a quiet device, by (n,) latencies of the models: making,
        sending and loading one, and as many calls as are made at least."""
        sample_ms = np.maximum(latency_ms, self.row_ms) if phase.in_a_row else latency_ms
        calls = (self.warm_up + self.min_repeats) * sample_ms / 1e3
        fewest = (min(1, self.warm_up) + FEWEST_LONG) * sample_ms / 1e3
        return SETUP_SECONDS + np.maximum(np.minimum(calls, self.max_seconds), fewest)

    def __post_init__(self) -> None:
        if not (self.warm_up >= 0 and 2 <= self.min_repeats <= self.max_repeats):
            raise ValueError(
                f"warm_up {self.warm_up}, min_repeats {self.min_repeats}, max_repeats {self.max_repeats}; "
                "accepted: 0 ≤ warm_up and 2 ≤ min_repeats ≤ max_repeats"
            )
        for name in ("goal_error", "max_seconds", "row_ms"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value!r}; accepted: a finite number above 0")


@dataclass(frozen=True, slots=True)
class Timing:
    """What `time_interleaved` found; `ratio` is a call of the model over a call of the reference.

    Attributes:
        ratio: median.
        ratio_spread: half the distance between the 16th and the 84th percentile.
        ratio_error: standard error of the median.
        wall_ms: median wall time of the model's calls.
        reference_ms: median of the reference's calls in between.
        repeats: calls of the model that counted.
        rejected: calls of the model thrown away as disturbed.
        noisy: the goal was not met, or hardly a call was undisturbed and disturbed ones had to count.
        slowed: the device did not become as fast as usual while it was waited for.
    """

    ratio: float
    ratio_spread: float
    ratio_error: float
    wall_ms: float
    reference_ms: float
    repeats: int
    rejected: int
    noisy: bool
    slowed: bool = False


@dataclass(frozen=True, slots=True)
class _Sample:
    """One call of the model between two of the reference."""

    before: TimedCall
    model: TimedCall
    after: TimedCall

    @property
    def disturbed(self) -> bool:
        return self.before.disturbed or self.model.disturbed or self.after.disturbed

    @property
    def reference(self) -> float:
        return (self.before.busy + self.after.busy) / 2

    @property
    def ratio(self) -> float:
        return self.model.busy / self.reference


def warm_up(
    call: Callable[[], object],
    protocol: TimingProtocol,
    clocks: Clocks,
    fewest: int = 0,
    seconds: float = 0.0,
) -> None:
    """Call as often as the protocol says, at least `fewest` times and for so many seconds. What takes seconds
    is warm after one call."""
    start, calls = clocks.wall(), 0
    wanted = max(fewest, protocol.warm_up)
    while True:
        elapsed = clocks.wall() - start
        long = calls > 0 and elapsed >= protocol.max_seconds
        if (long or calls >= wanted) and elapsed >= seconds:
            return
        call()
        calls += 1


def time_interleaved(
    model: Callable[[], object],
    reference: Callable[[], object],
    protocol: TimingProtocol,
    clocks: Clocks,
    cancelled: Callable[[], bool] = lambda: False,
    *,
    warm: bool = False,
    usual: float = math.inf,
) -> Timing:
    """Time calls of `model`, each between two of `reference`, until the protocol is content.

    Both warm up first, by the protocol's calls and for as long as the device needs.

    A disturbed sample is repeated, and so is one whose reference is slower than usual, for longer. Where
    undisturbed ones hardly come, or the time is over before there are as many as are wanted at least, all
    count, by their processor time, and the result says that it is noisy.

    Args:
        warm: the model's counted calls, too, are the second of two: of one that people call in a row.
        usual: seconds that a call of the reference takes while nobody else slows the device down.

    Raises:
        MeasurementCancelled: `cancelled` said so between two samples.
    """

    beside = 1

    def both() -> None:
        nonlocal beside
        short, long = clocks.time(reference).busy, clocks.time(model).busy
        beside = max(1, int(BESIDE * long / short)) if short else 1

    warm_up(both, protocol, clocks, seconds=clocks.settle_seconds)
    clean: list[_Sample] = []
    disturbed: list[_Sample] = []
    slowed = 0
    start = clocks.wall()
    before = _timed_again(reference, clocks, beside)
    while True:
        if cancelled():
            raise MeasurementCancelled("the measurement is no longer wanted")
        timed = _timed_again(model, clocks) if warm else clocks.time(model)
        sample = _Sample(before, timed, _timed_again(reference, clocks, beside))
        before = sample.after
        slow = sample.reference > SLOWED * usual
        slowed += slow
        (disturbed if slow or sample.disturbed else clean).append(sample)
        tried, elapsed = len(clean) + len(disturbed), clocks.wall() - start
        out_of_time = elapsed >= protocol.max_seconds
        out_of_patience = elapsed >= (PATIENCE if slowed else 1.0) * protocol.max_seconds
        fewest = min(FEWEST_LONG, protocol.min_repeats) if out_of_time else protocol.min_repeats
        if len(clean) >= fewest:
            timing = _summary(clean, len(disturbed), protocol)
            if not timing.noisy or out_of_time or len(clean) >= protocol.max_repeats:
                return timing
        elif (out_of_patience and tried >= fewest) or tried - slowed >= HOPELESS * protocol.min_repeats:
            return replace(_summary(clean + disturbed, 0, protocol, noisy=True), slowed=2 * slowed > tried)


def calibrate(reference: Callable[[], object], clocks: Clocks, protocol: TimingProtocol) -> float:
    """Milliseconds of the reference on the undisturbed device: a low quantile over calls that were not
    disturbed, over all where every one was."""
    start = clocks.wall()
    while clocks.wall() - start < clocks.settle_seconds:
        clocks.time(reference)
    start, timed = clocks.wall(), list[TimedCall]()
    seconds = CALIBRATION * protocol.max_seconds
    while len(timed) < CALIBRATION_CALLS or clocks.wall() - start < seconds:
        timed.append(_timed_again(reference, clocks))
    undisturbed = [call for call in timed if not call.disturbed]
    return 1e3 * _percentile(sorted(call.busy for call in undisturbed or timed), UNDISTURBED)


def calls_in_a_row(call: Callable[[], object], clocks: Clocks, milliseconds: float) -> int:
    """How many calls take at least that long, by the median of `LOOKS` after a first one: a power of two, so
    that another try hardly ever finds another number; at most `MOST_CALLS`."""
    call()
    busy = statistics.median(clocks.time(call).busy for _ in range(LOOKS))
    calls = 1
    while calls < MOST_CALLS and 1e3 * calls * busy < milliseconds:
        calls *= 2
    return calls


def _timed_again(call: Callable[[], object], clocks: Clocks, calls: int = 1) -> TimedCall:
    """The second of two calls: the first finds the caches full of the other model's weights. How full
    depends on the model that is measured, which the reference must not. Of several after the first the
    median, disturbed where most of them were."""
    call()
    timed = [clocks.time(call) for _ in range(calls)]
    return TimedCall(
        statistics.median(each.busy for each in timed),
        statistics.median(each.wall for each in timed),
        2 * sum(each.disturbed for each in timed) > calls,
    )


def _summary(
    samples: Sequence[_Sample], rejected: int, protocol: TimingProtocol, noisy: bool = False
) -> Timing:
    ratios = sorted(sample.ratio for sample in samples)
    ratio = statistics.median(ratios)
    spread = (_percentile(ratios, 0.84) - _percentile(ratios, 0.16)) / 2
    error = MEDIAN_ERROR * spread / math.sqrt(len(ratios))
    return Timing(
        ratio=ratio,
        ratio_spread=spread,
        ratio_error=error,
        wall_ms=1e3 * statistics.median(sample.model.wall for sample in samples),
        reference_ms=1e3 * statistics.median(sample.after.busy for sample in samples),
        repeats=len(samples),
        rejected=rejected,
        noisy=noisy or error > protocol.goal_error * ratio,
    )


def _percentile(ordered: Sequence[float], q: float) -> float:
    """Linear interpolation between the order statistics of a sorted sequence."""
    position = q * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])

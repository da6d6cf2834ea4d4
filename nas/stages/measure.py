"""Measuring architectures on a target, each at most once ever: shared by `profile` and `verify`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from nas.errors import JobFailed
from nas.export import attention_of
from nas.spec import StageName
from nas.stages.stage import StageContext
from searchspaces.architecture import Architecture
from workers.measurement import Measurement
from workers.request import DeviceNote, MeasurementFailure, MeasurementRequest
from workers.target import Target

__all__ = ["measure_again", "measure_missing"]

WORKER_TIMEOUT_SECONDS = 60.0
"""How long a stage waits for a worker that serves its target before it gives up."""

FAILURES_ALLOWED = 3
"""Models that a target may refuse in a row before the target itself is considered faulty."""


def measure_missing(
    context: StageContext, stage: StageName, target: Target, architectures: Sequence[Architecture]
) -> Iterator[Measurement]:
    """Measure those architectures that the store has no measurement of on the target.

    Each measurement is stored before it is yielded. A refused model is skipped with a note.

    Raises:
        NoWorker: nobody serves the target.
        JobFailed: the target refuses model after model.
        JobInterrupted: the user stopped the job.
    """
    known = {m.digest for m in context.store.measurements(target, [a.digest for a in architectures])}
    missing = list({a.digest: a for a in architectures if a.digest not in known}.values())
    if not missing:
        return
    context.store.put_architectures(missing)
    for measurement in measure_again(context, stage, target, missing):
        context.store.add_measurement(measurement)
        yield measurement


def measure_again(
    context: StageContext, stage: StageName, target: Target, architectures: Sequence[Architecture]
) -> Iterator[Measurement]:
    """Measure architectures whether or not they have been before, without storing anything.

    Raises:
        NoWorker, JobFailed, JobInterrupted: see `measure_missing`.
    """
    context.measurement_backend.wait_for(target, WORKER_TIMEOUT_SECONDS)
    reference_ms = _reference_ms(context, target)
    form = attention_of(target)
    refused, left = 0, list(architectures)
    while left:
        # The first measurement of a target determines the latency of its reference model; the others wait.
        count = len(left) if reference_ms else 1
        requests = _requests(context, target, left[:count], reference_ms)
        left = left[count:]
        for outcome in context.measurement_backend.measure(requests, context.stopped):
            if isinstance(outcome, DeviceNote):
                context.note(stage, outcome.message)
                continue
            if isinstance(outcome, MeasurementFailure):
                refused += 1
                context.note(stage, f"{target.device} could not measure {outcome.digest}: {outcome.reason}")
                if refused > FAILURES_ALLOWED:
                    raise JobFailed(f"{target} refused {refused} models in a row; the last: {outcome.reason}")
                continue
            refused = 0
            reference_ms = reference_ms or outcome.reference_ms
            yield replace(outcome, attention=form)
        context.check_stop()


def _reference_ms(context: StageContext, target: Target) -> float | None:
    earlier = context.store.measurements(target)
    return earlier[0].reference_ms if earlier else None


def _requests(
    context: StageContext, target: Target, architectures: Iterable[Architecture], reference_ms: float | None
) -> Iterator[MeasurementRequest]:
    """Model files are made only when a worker becomes free: they are large, and there may be many."""
    models = context.compute_backend.model_files(context.home / "blocks")
    reference = models.reference(target)
    for architecture in architectures:
        if context.stopped():
            return
        yield MeasurementRequest(
            digest=architecture.digest,
            target=target,
            model=models.model(architecture, target),
            reference=reference,
            vocabulary=max(1, architecture.vocabulary),
            reference_ms=reference_ms,
        )

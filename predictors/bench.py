"""Test predictors on tables of published latencies, each device as if it had never been seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from predictors.design import Design, Matrix
from predictors.drift import Drift, drift_of
from predictors.errors import ArgumentError, PredictorError
from predictors.handling import DriftHandling, control_rows
from predictors.predictor import Prediction, Vector, get_predictor
from predictors.prior import Prior, counted_prior
from predictors.report import score
from predictors.tables import DeviceRows, Table, read_table
from predictors.transfer import KnownDevice, Transfer, learn_prior
from searchspaces.encoding import Population

__all__ = ["DEFAULT_PREDICTORS", "DEFAULT_SAMPLES", "run_table_bench"]

DEFAULT_SAMPLES = (1, 3, 5, 10, 20, 50, 200)
DEFAULT_PREDICTORS = ("macs", "roofline", "lookup", "additive", "transfer")
_Rows = NDArray[np.int64]
PRIOR_ROWS = 2000
"""Rows of a known device that teach the prior, evenly spread over its measured order."""
HELD_OUT = 2000
"""Most held-out rows, drawn anew for each seed."""


@dataclass(frozen=True, slots=True)
class _Scores:
    """Means over seeds. See `predictors.report.HeldOut`; `fit_ms` of one fit, `predict_per_s` of
    architectures."""

    mape: float
    within_10: float
    within_5: float
    spearman: float
    coverage_90: float
    fit_ms: float
    predict_per_s: float


@dataclass(frozen=True)
class _Speeds:
    """The device's factor at learned and at tested rows; 1 unless stretches are looked for."""

    learn: Vector
    held_out: Vector
    widening: float


@threadpool_limits.wrap(limits=1)  # small matrices: a second thread only waits for the first
def run_table_bench(
    tables: Sequence[str | Path],
    devices: Sequence[str] | None = None,
    samples: Sequence[int] | None = None,
    seeds: int = 5,
    prior_devices: Sequence[str] | None = None,
    predictors: Sequence[str] = DEFAULT_PREDICTORS,
    drift: Sequence[str] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Learn each device from a few of its rows, test on others.

    Args:
        tables: one file in the format of HW-GPT-Bench, or files in that of HAT, a device each; gzipped or
            not.
        devices: to test on; where None all of the table but those that `prior_devices` names.
        samples: how many rows to learn from, at most half of what any tested device has; those of
            `DEFAULT_SAMPLES` that each has rows for where None.
        seeds: how many draws of rows.
        prior_devices: that the prior of `transfer` is learned from, none of them tested; where None all of
            the table, but for the device under test.
        predictors: registered names.
        drift: names of `predictors.handling.DriftHandling`; all that the table's order allows where None.
        on_progress: called with devices done and their total.

    Returns:
        Plain data: ``table``, ``protocol`` (what the figures of each drift handling mean), ``notes``
        (everything left out, and why), ``devices``, ``prior_devices``, ``rows`` (a score for each drift,
        predictor, samples and device) and ``means`` (over devices).

    Raises:
        PredictorError: a table that cannot be used.
        ArgumentError: a device that the table does not have, or another argument out of range.
        ValueError: no predictor of that name.
    """
    if seeds < 1:
        raise ArgumentError("seeds", f"{seeds}; accepted: whole numbers of at least 1")
    if samples is not None and (not samples or min(samples) < 1):
        raise ArgumentError("samples", f"{list(samples)}; accepted: whole numbers of at least 1")
    for name in predictors:
        get_predictor(name)
    table = read_table(*tables)
    tested, teachers = _tested_and_teachers(table, devices, prior_devices)
    table = table.only([*dict.fromkeys([*tested, *teachers])])
    notes = list(table.notes)
    handlings = _handlings(table, drift, notes)
    if samples is not None:
        _check_samples(table.only(tested), samples)
    prepared, plan = _Devices(table), _Plan(teachers, samples or DEFAULT_SAMPLES, seeds, predictors)
    rows: list[dict[str, Any]] = []
    for done, (handling, device) in enumerate([(h, d) for h in handlings for d in tested]):
        if on_progress is not None:
            on_progress(done, len(handlings) * len(tested))
        rows += _score_device(prepared, handling, device, plan, notes)
    if not rows:
        raise ArgumentError("samples", f"nothing to test on in {table.name}: {'; '.join(notes)}")
    return {
        "table": table.name,
        "protocol": {handling.value: handling.protocol for handling in handlings},
        "notes": list(dict.fromkeys(notes)),
        "devices": tested,
        "prior_devices": teachers,
        "seeds": seeds,
        "rows": rows,
        "means": list(_means(rows)),
    }


def _tested_and_teachers(
    table: Table, devices: Sequence[str] | None, prior_devices: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Devices to test on, and those that the prior is learned from."""
    teachers = _chosen(table, "prior_devices", prior_devices)
    tested = _chosen(table, "devices", devices)
    if prior_devices is None:
        return tested, teachers
    if devices is None:
        tested = [name for name in tested if name not in teachers]
    both = sorted(set(tested) & set(teachers))
    if both or not tested:
        said = f"{both} are tested as well" if both else f"{teachers} leave none to test on"
        raise ArgumentError(
            "prior_devices", f"{said}; accepted: devices of {sorted(table.devices)} that are not tested"
        )
    return tested, teachers


def _check_samples(table: Table, samples: Sequence[int]) -> None:
    """That every device has rows for so many samples and as many to hold out."""
    for name, rows in table.devices.items():
        most = len(_pool(rows)) // 2
        if max(samples) > most:
            raise ArgumentError(
                "samples",
                f"{max(samples)} of {name}, which has {2 * most} rows to learn from and to hold out; "
                f"accepted: at most half of them, {most}",
            )


def _pool(rows: DeviceRows) -> _Rows:
    """Rows that may teach or be held out."""
    everything = np.arange(len(rows.latency_ms))
    return np.setdiff1d(everything, control_rows(len(everything))) if rows.ordered else everything


def _chosen(table: Table, argument: str, devices: Sequence[str] | None) -> list[str]:
    """The devices that an argument names, all of the table where None, each once."""
    if devices is None:
        return list(table.devices)
    missing = [name for name in devices if name not in table.devices]
    if missing or not devices:
        accepted = f"accepted: {sorted(table.devices)}"
        left_out = [note for note in table.notes if any(note.startswith(f"{name}: ") for name in missing)]
        said = "; ".join(left_out) or f"no device {missing or 'at all'} in {table.name}"
        raise ArgumentError(argument, f"{said}; {accepted}")
    return list(dict.fromkeys(devices))


def _handlings(table: Table, drift: Sequence[str] | None, notes: list[str]) -> list[DriftHandling]:
    accepted = [handling.value for handling in DriftHandling]
    unknown = [name for name in drift or () if name not in accepted]
    if unknown:
        raise ArgumentError("drift", f"no drift handling {unknown}; accepted: {accepted}")
    ordered = all(rows.ordered for rows in table.devices.values())
    wanted = [DriftHandling(name) for name in (accepted if drift is None else drift)]
    if ordered:
        return wanted
    if drift is not None and wanted != [DriftHandling.RAW]:
        lacking = [name for name, rows in table.devices.items() if not rows.ordered]
        raise ArgumentError("drift", f"{lacking} have no measured order; accepted without it: raw")
    notes.append("without a measured order on every device, drift is not handled")
    return [DriftHandling.RAW]


class _Devices:
    """A table's devices, each prepared and studied once for every way of handling drift."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.counts = {name: table.design.counts(rows.population) for name, rows in table.devices.items()}
        self._studied: dict[tuple[str, bool], KnownDevice] = {}

    def prior(self, handling: DriftHandling, teachers: Iterable[str]) -> Prior | None:
        """What known devices have in common; None where there are none.

        They are history: wherever drift is handled at all, theirs is divided out as control models tell.
        """
        taught = [self._study(name, handling is not DriftHandling.RAW) for name in teachers]
        return learn_prior(self.table.design, taught) if taught else None

    def control_drift(self, name: str, priors: Sequence[Prior]) -> Drift:
        """How fast a device was, by its control rows alone."""
        rows = self.table.devices[name]
        control = control_rows(len(rows.latency_ms))
        return drift_of(self.counts[name][control], rows.latency_ms[control], control.astype(float), priors)

    def _study(self, name: str, controlled: bool) -> KnownDevice:
        if (name, controlled) not in self._studied:
            design, latency = self.table.design, self.table.devices[name].latency_ms
            some = np.arange(0, len(latency), max(1, len(latency) // PRIOR_ROWS))
            taught = latency[some]
            if controlled:
                drift = self.control_drift(name, [counted_prior(design)])
                taught = taught / drift.factors_at(some.astype(float))
            self._studied[name, controlled] = KnownDevice.study(design, self.counts[name][some], taught)
        return self._studied[name, controlled]


def _score_device(
    devices: _Devices, handling: DriftHandling, name: str, plan: _Plan, notes: list[str]
) -> Iterable[dict[str, Any]]:
    prior = devices.prior(handling, [teacher for teacher in plan.teachers if teacher != name])
    rows, design = devices.table.devices[name], devices.table.design
    device = _UnseenDevice(design, prior, rows.population, devices.counts[name], rows.latency_ms)
    control = devices.control_drift(name, device.priors) if handling is DriftHandling.CONTROLS else None
    pool = _pool(rows)
    for n in plan.samples:
        if n > len(pool) // 2:
            notes.append(f"{name}: {n} samples left out, it has {len(pool)} usable rows")
            continue  # of the default numbers, for others were checked
        by_predictor: dict[str, list[_Scores]] = {predictor: [] for predictor in plan.predictors}
        for seed in range(plan.seeds):
            # Devices draw apart, so that their mean is not one draw's luck.
            drawn = np.random.default_rng([seed, *name.encode()]).permutation(pool)
            learn, held_out = np.sort(drawn[:n]), np.sort(drawn[n : n + HELD_OUT])
            speeds = device.speeds(handling, control, learn, held_out)
            for predictor, scores in by_predictor.items():
                try:
                    scores.append(device.score(predictor, learn, held_out, speeds))
                except PredictorError as error:
                    notes.append(f"{predictor} from {n}: {error}")
        for predictor, scores in by_predictor.items():
            if len(scores) == plan.seeds:
                key = {"drift": handling.value, "predictor": predictor, "samples": n, "device": name}
                yield {**key, **_mean(list(map(asdict, scores)))}


@dataclass(frozen=True)
class _Plan:
    """What to test, and how. See `run_table_bench`."""

    teachers: Sequence[str]
    samples: Sequence[int]
    seeds: int
    predictors: Sequence[str]


@dataclass(frozen=True)
class _UnseenDevice:
    """One device as if it had never been seen."""

    design: Design
    prior: Prior | None
    population: Population
    counts: Matrix
    latency_ms: Vector

    @property
    def priors(self) -> Sequence[Prior]:
        """The priors of `transfer` before the first sample."""
        return Transfer(self.design, self.prior).priors

    def speeds(
        self, handling: DriftHandling, control: Drift | None, learn: _Rows, held_out: _Rows
    ) -> _Speeds:
        """The device's speed at learned and held-out rows, by its control rows or by the learned ones."""
        if handling is DriftHandling.RAW:
            return _Speeds(np.ones(len(learn)), np.ones(len(held_out)), 1.0)
        if control is not None:
            return _Speeds(
                control.factors_at(learn.astype(float)), control.factors_at(held_out.astype(float)), 1.0
            )
        drift = drift_of(self.counts[learn], self.latency_ms[learn], learn.astype(float), self.priors)
        return _Speeds(drift.factors, drift.factors_at(held_out.astype(float)), drift.widening)

    def score(self, name: str, learn: _Rows, held_out: _Rows, speeds: _Speeds) -> _Scores:
        """Learn from some rows, score the held-out ones."""
        start = time.perf_counter()
        predictor = get_predictor(name)(self.design, self.prior)
        predictor.fit(self.population[learn], self.latency_ms[learn] / speeds.learn)
        fitted = time.perf_counter()
        prediction = predictor.predict(self.population[held_out])
        predicted = time.perf_counter()
        at_speed = Prediction(
            prediction.mean * speeds.held_out, prediction.std * speeds.held_out * speeds.widening
        )
        return _Scores(
            **score(at_speed, self.latency_ms[held_out]).to_dict(),
            fit_ms=1000 * (fitted - start),
            predict_per_s=len(held_out) / (predicted - fitted),
        )


_METRICS = tuple(field.name for field in fields(_Scores))


def _mean(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {metric: float(np.mean([row[metric] for row in rows])) for metric in _METRICS}


def _means(rows: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Means over devices, in the order of the rows."""
    keys = dict.fromkeys((row["drift"], row["predictor"], row["samples"]) for row in rows)
    for drift, predictor, samples in keys:
        alike = [
            row
            for row in rows
            if (row["drift"], row["predictor"], row["samples"]) == (drift, predictor, samples)
        ]
        yield {
            "drift": drift,
            "predictor": predictor,
            "samples": samples,
            "devices": len(alike),
            **_mean(alike),
        }

"""What cost time and is reused by digest across jobs, in SQLite or PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import Any

from sqlalchemy import and_, bindparam, delete, select, update

from nas.evaluation import Evaluation, Split
from nas.objectives.objective import Key
from nas.store import rows
from nas.store.database import Database
from nas.store.statements import (
    insert,
    lock,
    objective_numbers,
    of_digests,
    put,
    put_architectures,
    target_numbers,
)
from nas.store.store import Forgotten, Repeat, Store, SupernetRecord
from nas.store.tables import (
    ArchitectureRow,
    EvaluationRow,
    FileRow,
    ForgottenRow,
    MeasurementRow,
    ObjectiveRow,
    PredictorRow,
    RepeatRow,
    SupernetRow,
    TargetRow,
)
from searchspaces.architecture import Architecture
from workers.measurement import Correction, Measurement, Reading
from workers.target import Target

__all__ = ["SharedQueries"]

_NUMBER = attrgetter("number")


class SharedQueries(Store):
    """The half of a store that speaks of no job."""

    _database: Database

    def put_architectures(self, architectures: Iterable[Architecture]) -> None:
        """See `Store.put_architectures`."""
        with self._database.write() as connection:
            put_architectures(connection, {a.digest: a for a in architectures})

    def architectures(self, digests: Iterable[str]) -> dict[str, Architecture]:
        """See `Store.architectures`."""
        wanted = list(digests)
        query = select(ArchitectureRow.__table__)
        with self._database.read() as connection:
            found = of_digests(connection, query, ArchitectureRow.digest, wanted)
        known = {row.digest: rows.architecture_from(row.architecture) for row in found}
        return {digest: known[digest] for digest in wanted if digest in known}

    def add_measurement(self, measurement: Measurement) -> bool:
        """See `Store.add_measurement`."""
        with self._database.write() as connection:
            target = target_numbers(connection, [str(measurement.target)])[str(measurement.target)]
            row = {**rows.measurement_row(measurement), "target": target, "measured_at": time.time()}
            mine = MeasurementRow.target == target, MeasurementRow.digest == measurement.digest
            connection.execute(delete(MeasurementRow).where(*mine, MeasurementRow.retired))
            new = insert(connection, MeasurementRow).on_conflict_do_nothing(
                index_elements=["target", "digest"]
            )
            added = connection.execute(new.returning(MeasurementRow.number), row)
            return added.scalar_one_or_none() is not None

    def correct_measurements(self, target: Target, corrections: Mapping[str, Correction | None]) -> None:
        """See `Store.correct_measurements`."""
        # In one order everywhere: two transactions that share some never wait for each other.
        new = [{"of": digest, **rows.correction_row(corrections[digest])} for digest in sorted(corrections)]
        if not new:
            return
        number = select(TargetRow.number).where(TargetRow.text == str(target)).scalar_subquery()
        change = update(MeasurementRow)
        change = change.where(MeasurementRow.target == number, MeasurementRow.digest == bindparam("of"))
        with self._database.write() as connection:
            connection.execute(change, new)

    def measurements(self, target: Target, digests: Iterable[str] | None = None) -> list[Measurement]:
        """See `Store.measurements`."""
        number = select(TargetRow.number).where(TargetRow.text == str(target)).scalar_subquery()
        query = select(MeasurementRow.__table__)
        query = query.where(MeasurementRow.target == number, ~MeasurementRow.retired)
        with self._database.read() as connection:
            found = of_digests(connection, query, MeasurementRow.digest, digests)
        return [rows.measurement_from(row, target) for row in sorted(found, key=_NUMBER)]

    def put_repeats(self, target: Target, session: str, readings: Mapping[str, Reading]) -> None:
        """See `Store.put_repeats`."""
        if not readings:
            return
        with self._database.write() as connection:
            number = target_numbers(connection, [str(target)])[str(target)]
            came = {"target": number, "session": session, "measured_at": time.time()}
            new = [{**came, "digest": digest, **asdict(readings[digest])} for digest in sorted(readings)]
            put(connection, RepeatRow, ["target", "digest", "session"], new)

    def repeats(self) -> list[Repeat]:
        """See `Store.repeats`."""
        of = (
            MeasurementRow.target == RepeatRow.target,
            MeasurementRow.digest == RepeatRow.digest,
            MeasurementRow.measured_at <= RepeatRow.measured_at,
            ~MeasurementRow.retired,
        )
        query = (
            select(
                RepeatRow.__table__,
                TargetRow.text,
                MeasurementRow.latency_ms.label("first_ms"),
                MeasurementRow.error_ms.label("first_error_ms"),
                MeasurementRow.corrected_ms,
                MeasurementRow.corrected_error_ms,
            )
            .join(MeasurementRow, and_(*of))
            .join(TargetRow, TargetRow.number == RepeatRow.target)
            .order_by(TargetRow.text, RepeatRow.number)
        )
        with self._database.read() as connection:
            return [rows.repeat_from(row) for row in connection.execute(query)]

    def forget_measurements(
        self,
        target: Target,
        digests: Iterable[str] | None = None,
        since: float = 0.0,
        *,
        by: str = "",
        why: str = "",
    ) -> list[Forgotten]:
        """See `Store.forget_measurements`."""
        number = select(TargetRow.number).where(TargetRow.text == str(target)).scalar_subquery()
        query = select(MeasurementRow.__table__).where(
            MeasurementRow.target == number, ~MeasurementRow.retired, MeasurementRow.measured_at >= since
        )
        with self._database.write() as connection:
            found = sorted(of_digests(connection, query, MeasurementRow.digest, digests), key=_NUMBER)
            now = time.time()
            entries = [
                Forgotten(target, row.digest, row.latency_ms, row.measured_at, now, by, why) for row in found
            ]
            if found:
                retire = update(MeasurementRow).where(MeasurementRow.number == bindparam("of"))
                connection.execute(retire.values(retired=True), [{"of": row.number} for row in found])
                of = found[0].target
                repeated = delete(RepeatRow).where(
                    RepeatRow.target == of, RepeatRow.digest == bindparam("repeated")
                )
                connection.execute(repeated, [{"repeated": row.digest} for row in found])
                connection.execute(
                    insert(connection, ForgottenRow), [{**asdict(entry), "target": of} for entry in entries]
                )
            return entries

    def forgotten(self, target: Target | None = None) -> list[Forgotten]:
        """See `Store.forgotten`."""
        query = select(ForgottenRow.__table__, TargetRow.text).join(
            TargetRow, TargetRow.number == ForgottenRow.target
        )
        if target is not None:
            query = query.where(TargetRow.text == str(target))
        with self._database.read() as connection:
            return [rows.forgotten_from(r) for r in connection.execute(query.order_by(ForgottenRow.number))]

    def targets(self) -> list[Target]:
        """See `Store.targets`."""
        current = MeasurementRow.target == TargetRow.number, ~MeasurementRow.retired
        measured = select(MeasurementRow.number).where(*current).exists()
        query = select(TargetRow.text).where(measured).order_by(TargetRow.text)
        with self._database.read() as connection:
            return [Target.parse(text) for text in connection.execute(query).scalars()]

    def add_evaluations(
        self, evaluations: Sequence[Evaluation], architectures: Iterable[Architecture] = ()
    ) -> None:
        """See `Store.add_evaluations`."""
        if not evaluations:
            return
        with self._database.write() as connection:
            # Two batches that share evaluations, in other orders, would wait for each other.
            lock(connection, EvaluationRow)
            put_architectures(connection, {a.digest: a for a in architectures})
            new = insert(connection, EvaluationRow)
            new = new.on_conflict_do_nothing(index_elements=["supernet", "split", "share", "digest"])
            connection.execute(new, [rows.evaluation_row(evaluation) for evaluation in evaluations])

    def evaluations(
        self, supernet: str, split: Split, digests: Iterable[str] | None = None, share: float = 1.0
    ) -> list[Evaluation]:
        """See `Store.evaluations`."""
        row = EvaluationRow
        query = select(row.digest, row.value, row.seconds, row.sequences, row.number)
        query = query.where(
            EvaluationRow.supernet == supernet,
            EvaluationRow.split == str(split),
            EvaluationRow.share == share,
        )
        with self._database.read() as connection:
            found = of_digests(connection, query, EvaluationRow.digest, digests)
        return [rows.evaluation_from(row, supernet, split, share) for row in sorted(found, key=_NUMBER)]

    def put_supernet(self, record: SupernetRecord) -> None:
        """See `Store.put_supernet`."""
        with self._database.write() as connection:
            put(connection, SupernetRow, ["digest"], [rows.supernet_row(record)])

    def supernet(self, digest: str) -> SupernetRecord | None:
        """See `Store.supernet`."""
        with self._database.read() as connection:
            query = select(SupernetRow.__table__).where(SupernetRow.digest == digest)
            row = connection.execute(query).one_or_none()
        return None if row is None else rows.supernet_from(row)

    def put_checksum(self, path: str, sha256: str) -> None:
        """See `Store.put_checksum`."""
        with self._database.write() as connection:
            put(connection, FileRow, ["path"], [{"path": path, "sha256": sha256}])

    def checksum(self, path: str) -> str | None:
        """See `Store.checksum`."""
        with self._database.read() as connection:
            return connection.execute(select(FileRow.sha256).where(FileRow.path == path)).scalar_one_or_none()

    def put_predictor(self, space: str, objective: Key, state: Mapping[str, Any]) -> None:
        """See `Store.put_predictor`."""
        with self._database.write() as connection:
            number = objective_numbers(connection, [objective])[objective]
            row = {"objective": number, "space": space, "state": dict(state)}
            put(connection, PredictorRow, ["objective", "space"], [row])

    def predictor(self, space: str, objective: Key) -> dict[str, Any] | None:
        """See `Store.predictor`."""
        kind, target = objective
        query = select(PredictorRow.state).join(ObjectiveRow, ObjectiveRow.number == PredictorRow.objective)
        query = query.where(ObjectiveRow.kind == kind, ObjectiveRow.target == (target or ""))
        with self._database.read() as connection:
            return connection.execute(query.where(PredictorRow.space == space)).scalar_one_or_none()

"""The contract of stores: the points of jobs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import NoSuchPoint
from nas.front import Scope
from nas.store.store import Store
from nas.testing.contract import arbitrary
from nas.testing.stores import examples

__all__ = ["PointContract"]


class PointContract:
    """Points, which of them are on the front, and how far their values reach."""

    @arbitrary(15)
    @given(points=st.lists(examples.POINTS, max_size=4, unique_by=lambda point: point.digest))
    def test_points_come_back_as_they_were(self, store: Store, points: list) -> None:
        job, other = store.create_job(examples.spec()), store.create_job(examples.spec())
        store.put_points(job.id, points)
        assert store.points(job.id) == points
        assert store.points(job.id, Scope.FRONT) == [point for point in points if point.on_front]
        shown = [point for point in points if point.on_front or point.preset]
        assert store.points(job.id, Scope.SHOWN) == shown
        assert store.points(other.id) == []
        assert store.count_points(job.id) == len(points)
        for point in points:
            assert store.point(job.id, point.digest) == point
        values = [point.validation for point in points if point.validation is not None]
        extent = store.extents(job.id).get(("quality", None))
        assert extent == ((min(values), max(values)) if values else None)

    def test_a_cloud_says_what_the_points_do(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        points = [
            examples.point(number, measured=None if number % 2 else 0.5 + number) for number in range(5)
        ]
        points[2] = replace(points[2], validation=None)
        points[3] = replace(points[3], values={}, validation=1e300)
        store.put_points(job.id, points)
        store.put_points(store.create_job(examples.spec()).id, [examples.point(7)])
        keys = [("quality", None), *points[0].values, ("latency_ms", "unknown")]
        cloud = store.cloud(job.id, keys)
        assert list(cloud.columns) == keys
        assert [cloud.digest(row) for row in range(len(cloud))] == [point.digest for point in points]
        scores = [np.nan if p.validation is None else p.validation for p in points[:3]]
        np.testing.assert_array_equal(cloud.columns["quality", None][:3], np.array(scores, np.float32))
        assert cloud.columns["quality", None][3] == np.inf
        for key in keys[1:]:
            known = [point.values[key].best_known if key in point.values else np.nan for point in points]
            np.testing.assert_array_equal(cloud.columns[key], np.array(known, np.float32))

    def test_points_come_in_pages(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        points = [examples.point(number, on_front=number % 2 == 0) for number in range(5)]
        points[1] = replace(points[1], preset="plain")
        store.put_points(job.id, points)
        assert store.points(job.id, limit=2) == points[:2]
        assert store.points(job.id, after=points[1].digest, limit=2) == points[2:4]
        assert store.points(job.id, Scope.FRONT, after=points[1].digest) == [points[2], points[4]]
        assert store.points(job.id, Scope.SHOWN, limit=2) == points[:2]
        assert store.points(job.id, after=points[4].digest) == []
        with pytest.raises(NoSuchPoint):
            store.points(job.id, after="0" * 16)

    def test_a_point_is_found_by_its_beginning(self, store: Store) -> None:
        job, other = store.create_job(examples.spec()), store.create_job(examples.spec())
        store.put_points(job.id, [examples.point(number) for number in range(40)])
        assert store.point(job.id, examples.point(3).digest[:12]) == examples.point(3)
        for beginning in ("", "%", "zz", "\0"):
            with pytest.raises(NoSuchPoint):
                store.point(job.id, beginning)
        shared = next(
            c for c in "0123456789abcdef" if sum(examples.point(n).digest[0] == c for n in range(40)) > 1
        )
        with pytest.raises(NoSuchPoint):
            store.point(job.id, shared)
        with pytest.raises(NoSuchPoint):
            store.point(other.id, examples.point(3).digest)

    def test_extents_only_widen(self, store: Store) -> None:
        job, other = store.create_job(examples.spec()), store.create_job(examples.spec())
        store.put_points(job.id, [examples.point(0), examples.point(4)])
        store.put_points(job.id, [examples.point(4, measured=5.5), examples.point(2)])
        store.put_points(other.id, [examples.point(30)])
        assert store.extents(job.id) == {
            ("quality", None): (2.1, 2.5),
            ("parameters", None): (100, 104),
            ("macs", None): (1000, 1000),
            ("state_bytes", None): (10, 10),
            ("latency_ms", str(examples.TARGET)): (2.0, 6.0),
        }
        assert store.count_points(job.id) == 3

    def test_points_are_replaced_by_digest_and_keep_their_place(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        first, second, third = (examples.point(number, on_front=True) for number in range(3))
        store.put_points(job.id, [first, second])
        measured = replace(
            first,
            test=2.4,
            on_front=False,
            values={("latency_ms", str(examples.OTHER_TARGET)): examples.LATENCY},
        )
        store.put_points(job.id, [third, measured])
        assert store.points(job.id) == [measured, second, third]
        assert store.points(job.id, Scope.FRONT) == [second, third]

    def test_of_points_with_one_digest_the_last_counts(self, store: Store) -> None:
        job = store.create_job(examples.spec())
        store.put_points(job.id, [examples.point(1, measured=1.0), examples.point(1, measured=2.0)])
        assert store.points(job.id) == [examples.point(1, measured=2.0)]

    def test_jobs_share_architectures_but_not_points(self, store: Store) -> None:
        one, other = store.create_job(examples.spec()), store.create_job(examples.spec())
        store.put_points(one.id, [examples.point(1, measured=1.0)])
        store.put_points(other.id, [examples.point(1, measured=2.0, on_front=True)])
        assert store.points(one.id) == [examples.point(1, measured=1.0)]
        assert store.points(other.id) == [examples.point(1, measured=2.0, on_front=True)]
        digest = examples.point(1).digest
        assert store.architectures([digest]) == {digest: examples.architecture(1)}

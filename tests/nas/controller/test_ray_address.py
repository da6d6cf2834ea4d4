"""A Ray cluster that is not there is said so before Ray tries for minutes."""

from __future__ import annotations

import time

import pytest

from nas.controller.cluster import RayCluster
from nas.errors import JobFailed


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense", "auto", "127.0.0.1:x", "127.0.0.1:99999"]
)
def test_an_address_where_no_cluster_is_is_said_at_once(address: str) -> None:
    started = time.monotonic()
    with pytest.raises(JobFailed, match=r"no Ray cluster at .*accepted: ray://HOST:10001"):
        RayCluster(address).start()
    assert time.monotonic() - started < 20

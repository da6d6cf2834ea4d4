"""Every error that this project raises on purpose has one status, one HTTP status and one exit code."""

from __future__ import annotations

import errno
import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus

import grpc
import pytest

import nas
import nas.errors
import workers.errors
from nas.errors import (
    Forbidden,
    Incompatible,
    InvalidSpec,
    JobFailed,
    ModelRejected,
    NasError,
    NoSuchJob,
    NoWorker,
    ServiceUnavailable,
    StoreUnavailable,
    as_nas_error,
)
from searchspaces.errors import Problem, SpaceError
from workers.measurement import MeasurementError


def leaves(kind: type[NasError]) -> Iterator[type[NasError]]:
    children = [child for child in kind.__subclasses__() if child.__module__.startswith("nas.")]
    if not children:
        yield kind
    for child in children:
        yield from leaves(child)


LEAVES = sorted(leaves(NasError), key=lambda kind: kind.__name__)


def test_the_tree_is_in_one_file() -> None:
    for module in pkgutil.iter_modules(nas.__path__):
        if not module.ispkg:
            importlib.import_module(f"nas.{module.name}")
    assert {kind.__module__ for kind in LEAVES} == {"nas.errors"}
    exported = {name for name in nas.errors.__all__ if name[0].isupper() and name != "NasError"}
    assert {kind.__name__ for kind in LEAVES} == exported


@pytest.mark.parametrize("kind", LEAVES)
def test_a_leaf_has_a_status_everywhere(kind: type[NasError]) -> None:
    assert kind.grpc_status in grpc.StatusCode.__members__
    assert kind.grpc_status != "OK"
    # 499 is nginx's, for a client that went away; the standard has none.
    assert kind.http_status == 499 or 400 <= HTTPStatus(kind.http_status) <= 599
    assert 1 <= kind.exit_code <= 15 or kind.exit_code == 128 + 2
    assert kind.__doc__


def test_an_exit_code_tells_errors_apart() -> None:
    by_code = defaultdict(set)
    for kind in LEAVES:
        by_code[kind.exit_code].add(kind)
    shared = [{kind.__name__ for kind in kinds} for kinds in by_code.values() if len(kinds) > 1]
    assert shared == [{"NoSuchJob", "NoSuchPoint"}]


def test_an_exit_code_has_one_status() -> None:
    statuses = defaultdict(set)
    for kind in LEAVES:
        statuses[kind.exit_code].add((kind.grpc_status, kind.http_status))
    assert all(len(found) == 1 for found in statuses.values())


def test_a_caller_may_retry_exactly_what_passes() -> None:
    """Clients repeat UNAVAILABLE calls by themselves: only what can be otherwise a moment later has it."""
    assert {kind.__name__ for kind in LEAVES if kind.grpc_status == "UNAVAILABLE"} == {
        "NoWorker",
        "ServiceUnavailable",
        "StoreUnavailable",
    }


OF_WORKERS = {
    "NoWorkerServes": NoWorker,
    "TargetNotServed": NoWorker,
    "AcceleratorFailed": NoWorker,
    "ListenFailed": ServiceUnavailable,
    "EngineMissing": ServiceUnavailable,
    "TransferFailed": ServiceUnavailable,
    "SessionRefused": Forbidden,
    "LinkRefused": Forbidden,
    "ProtocolViolation": Incompatible,
    "ModelUnusable": ModelRejected,
    "MeasurementCancelled": JobFailed,
}


def test_every_error_of_the_workers_is_known_here() -> None:
    assert {*OF_WORKERS, "WorkerError"} == set(workers.errors.__all__)


@pytest.mark.parametrize("name", OF_WORKERS)
def test_an_error_of_the_workers_keeps_its_message(name: str) -> None:
    mapped = as_nas_error(getattr(workers.errors, name)("phone: says why"))
    assert type(mapped) is OF_WORKERS[name]
    assert "phone: says why" in str(mapped)


def test_a_space_error_keeps_its_problems() -> None:
    problems = [Problem("layer.mixer", "no"), Problem("width", "too wide")]
    mapped = as_nas_error(SpaceError(problems))
    assert isinstance(mapped, InvalidSpec)
    assert mapped.problems == tuple(problems)
    assert str(mapped) == "layer.mixer: no\nwidth: too wide"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_takes_nothing_is_the_stores(code: int) -> None:
    mapped = as_nas_error(OSError(code, "no room", "/home/nas/supernet"))
    assert isinstance(mapped, StoreUnavailable)
    assert "/home/nas/supernet" in str(mapped)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("by zero"), FileNotFoundError(errno.ENOENT, "gone"), MeasurementError("NaN")]
)
def test_what_nobody_expected_keeps_its_kind(error: Exception) -> None:
    mapped = as_nas_error(error)
    assert type(mapped) is JobFailed
    assert type(error).__name__ in str(mapped)
    assert str(error) in str(mapped)


def test_an_error_of_this_tree_is_itself() -> None:
    error = NoSuchJob("demo")
    assert as_nas_error(error) is error

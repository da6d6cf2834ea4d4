"""What one user of a shared service can do to another's jobs: nothing, unless they are opened to them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "nas" / "service"))
from memory_service import SPEC, TARGET, MemoryService

from nas.errors import Forbidden, NoSuchJob, Unauthenticated
from nas.service.client.remote import RemoteService
from nas.service.identity import Role
from nas.service.server.grpc_server import GrpcServer
from nas.service.server.tokens import Tokens

PEOPLE = {"ada": "lab", "bob": "lab", "eve": "", "root": ""}
"""Everybody's group."""

LOOKS: dict[str, Callable[[RemoteService, str], Any]] = {
    "job": lambda service, job: service.job(job),
    "events": lambda service, job: service.events(job),
    "profile": lambda service, job: service.profile(job),
    "front": lambda service, job: service.front(job),
    "best": lambda service, job: service.best(job),
    "optimum": lambda service, job: service.optimum(job),
    "explain": lambda service, job: service.explain(job),
    "comparisons": lambda service, job: service.comparisons(job),
    "cloud": lambda service, job: service.cloud(job),
    "point": lambda service, job: service.point(job, service.front(job).points[0].digest),
}
CHANGES: dict[str, Callable[[RemoteService, str], Any]] = {
    "resume": lambda service, job: service.resume(job),
    "interrupt": lambda service, job: service.interrupt(job),
    "add_target": lambda service, job: service.add_target(job, TARGET),
    "verify": lambda service, job: service.optimum(job, verify=True),
    "cancel": lambda service, job: service.cancel(job),
}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RemoteService]]:
    """Everybody, connected to one service over a real socket."""
    folder = tmp_path_factory.mktemp("people")
    tokens = Tokens(folder / "tokens.json")
    shown = {
        name: tokens.add(name, Role.ADMIN if name == "root" else Role.USER, group=group)
        for name, group in PEOPLE.items()
    }
    server = GrpcServer(MemoryService(), "127.0.0.1:0", folder / "scratch", tokens=tokens)
    address = server.start()
    clients = {name: RemoteService(address, token) for name, token in shown.items()}
    yield clients
    for client in clients.values():
        client.close()
    server.stop()


@pytest.mark.parametrize("call", [*LOOKS, *CHANGES])
def test_a_strangers_job_does_not_exist(people: dict[str, RemoteService], call: str) -> None:
    job = people["ada"].submit(SPEC).id
    with pytest.raises(NoSuchJob):
        (LOOKS | CHANGES)[call](people["eve"], job)
    assert job not in [found.id for found in people["eve"].jobs()]


@pytest.mark.parametrize("call", CHANGES)
def test_a_shared_job_is_looked_at_and_not_changed(people: dict[str, RemoteService], call: str) -> None:
    job = people["ada"].submit(SPEC, shared=True).id
    assert people["eve"].job(job).owner == "ada"
    with pytest.raises(Forbidden, match="accepted: whoever submitted it, or an administrator"):
        CHANGES[call](people["eve"], job)


@pytest.mark.parametrize("name", ["ada", "bob", "root"])
def test_its_owner_their_group_and_administrators_may_do_everything(
    people: dict[str, RemoteService], name: str
) -> None:
    job = people["ada"].submit(SPEC).id
    for call in (*LOOKS.values(), *CHANGES.values()):
        call(people[name], job)
    assert people[name].jobs(1)[0].id == job


def test_measurements_are_forgotten_by_administrators(people: dict[str, RemoteService]) -> None:
    for forget in (people["ada"].forgotten, lambda: people["ada"].forget_measurements(TARGET)):
        with pytest.raises(Forbidden):
            forget()
    assert people["root"].forget_measurements(TARGET, why="absurd") == people["root"].forgotten()


def test_a_token_expires(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    kept, gone = (tokens.add(name, Role.USER, days=days) for name, days in (("ada", 1.0), ("bob", -1.0)))
    assert tokens.identify(f"Bearer {kept}").name == "ada"
    with pytest.raises(Unauthenticated, match="the token of bob expired on"):
        tokens.identify(f"Bearer {gone}")
    assert not tokens.admits_worker(f"Bearer {gone}")

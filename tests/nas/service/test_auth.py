from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
from memory_service import SPEC, MemoryService
from prometheus_client import generate_latest

from nas.errors import Forbidden, InvalidSpec, LimitExceeded, NoSuchJob, StoreUnavailable, Unauthenticated
from nas.rpc.v1 import service_pb2 as pb
from nas.rpc.v1 import service_pb2_grpc as rpc
from nas.service.client.remote import RemoteService
from nas.service.identity import Limits, Role
from nas.service.server.grpc_server import GrpcServer
from nas.service.server.logs import log_as_json
from nas.service.server.metrics import Metrics, MetricsServer
from nas.service.server.tokens import Tokens


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens.json")


def test_a_token_is_kept_as_a_hash_that_only_its_owner_can_read(tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.add("ada", Role.USER)
    path = tmp_path / "tokens.json"
    assert token not in path.read_text()
    assert len(token) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    identity = tokens.identify(f"Bearer {token}")
    assert (identity.name, identity.role, identity.limits) == ("ada", Role.USER, Limits())


def test_who_can_read_the_file_can_read_it_after_a_change(tokens: Tokens, tmp_path: Path) -> None:
    tokens.add("ada", Role.USER)
    path = tmp_path / "tokens.json"
    path.chmod(0o640)
    tokens.add("bob", Role.USER)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_the_file_stays_its_owners_whoever_changes_it(
    tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens.add("ada", Role.USER)
    path = tmp_path / "tokens.json"
    os.chown(path, 10001, 10002)
    tokens.remove("ada")
    assert (path.stat().st_uid, path.stat().st_gid) == (10001, 10002)

    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)  # as for anyone but root
    with pytest.raises(StoreUnavailable, match="leave it to user 10001 and group 10002; accepted"):
        tokens.add("bob", Role.USER)
    assert tokens.identities() == []
    assert list(tmp_path.iterdir()) == [path], "nothing is left behind"


@pytest.mark.parametrize("role", Role)
def test_every_role_round_trips(tokens: Tokens, tmp_path: Path, role: Role) -> None:
    token = tokens.add("x", role, Limits(jobs=3, requests_per_second=0.5, streams=2))
    again = Tokens(tmp_path / "tokens.json").identify(f"Bearer {token}")
    assert again.role is role
    assert again.limits == Limits(jobs=3, requests_per_second=0.5, streams=2)


@pytest.mark.parametrize("shown", [None, "", "Bearer ", "Bearer wrong", "Basic YTpi", "bearer {}", "{}"])
def test_nobody_else_comes_in(tokens: Tokens, shown: str | None) -> None:
    token = tokens.add("ada", Role.USER)
    with pytest.raises(Unauthenticated):
        tokens.identify(shown if shown is None else shown.format(token))


def test_tokens_made_at_once_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    with ThreadPoolExecutor(8) as several:
        made = list(several.map(lambda n: Tokens(file).add(f"user-{n}", Role.USER), range(24)))
    assert {Tokens(file).identify(f"Bearer {token}").name for token in made} == {
        f"user-{n}" for n in range(24)
    }


def test_a_token_taken_back_counts_at_once(tokens: Tokens) -> None:
    ada, bob = tokens.add("ada", Role.USER), tokens.add("bob", Role.ADMIN)
    assert [identity.name for identity in tokens.identities()] == ["ada", "bob"]
    tokens.remove("ada")
    with pytest.raises(Unauthenticated):
        tokens.identify(f"Bearer {ada}")
    assert tokens.identify(f"Bearer {bob}").name == "bob"
    with pytest.raises(InvalidSpec, match="accepted: bob"):
        tokens.remove("ada")
    with pytest.raises(InvalidSpec, match="has a token already"):
        tokens.add("bob", Role.USER)
    with pytest.raises(InvalidSpec):
        tokens.add("no spaces", Role.USER)


@pytest.mark.parametrize("content", ["", "[]", '{"tokens": [{"name": "a"}]}', "\xff", '{"tokens": null}'])
def test_a_broken_file_lets_nobody_in_and_tells_strangers_nothing(
    tokens: Tokens, tmp_path: Path, content: str
) -> None:
    (tmp_path / "tokens.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(Unauthenticated) as caught:
        tokens.identify("Bearer x")
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(StoreUnavailable, match=r"tokens\.json"):
        tokens.add("ada", Role.USER)
    assert (tmp_path / "tokens.json").read_bytes() == content.encode("latin-1")


def test_without_tokens_only_loopback_is_served(tmp_path: Path, tokens: Tokens) -> None:
    for bind in ("0.0.0.0:0", "[::]:0", "192.0.2.1:7070", ":0", "127.0.0.1.example.org:0"):
        with pytest.raises(InvalidSpec, match="accepted without tokens"):
            GrpcServer(MemoryService(), bind, tmp_path)
    with GrpcServer(MemoryService(), "0.0.0.0:0", tmp_path, tokens=tokens):
        pass


def test_roles_and_owners_over_the_wire(tmp_path: Path, tokens: Tokens) -> None:
    user, worker = tokens.add("ada", Role.USER), tokens.add("phone", Role.WORKER)
    bob = tokens.add("bob", Role.ADMIN)
    service = MemoryService()
    server = GrpcServer(service, "127.0.0.1:0", tmp_path / "scratch", tokens=tokens)
    address = server.start()
    with RemoteService(address, user) as client:
        client.submit(SPEC, key="same")
    with RemoteService(address, bob) as client:
        client.submit(SPEC, key="same")
    assert [owner for _, owner in service.submissions] == ["ada", "bob"], "a key is its caller's own"
    with RemoteService(address, worker) as client, pytest.raises(Forbidden, match="for a worker"):
        client.jobs()
    with RemoteService(address) as client, pytest.raises(Unauthenticated, match="--token"):
        client.jobs()
    with RemoteService(address, "x" * 43) as client, pytest.raises(Unauthenticated):
        list(client.watch("latest"))
    server.stop()


def test_every_method_wants_a_token(tmp_path: Path, tokens: Tokens) -> None:
    service = pb.DESCRIPTOR.services_by_name["SearchService"]
    with (
        GrpcServer(MemoryService(), "127.0.0.1:0", tmp_path / "s", tokens=tokens) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = rpc.SearchServiceStub(channel)
        for method in service.methods:
            request = getattr(pb, method.input_type.name)()
            with pytest.raises(grpc.RpcError) as caught:
                list(getattr(stub, method.name)(request, timeout=10))
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, method.name
    assert len(service.methods) >= 16


def test_limits_of_one_token_leave_others_alone(tmp_path: Path, tokens: Tokens) -> None:
    greedy = tokens.add("greedy", Role.USER, Limits(requests_per_second=5, streams=1))
    calm = tokens.add("calm", Role.USER)
    service = MemoryService()
    with (
        GrpcServer(service, "127.0.0.1:0", tmp_path / "s", tokens=tokens) as server,
        RemoteService(server.address, calm) as other,
        RemoteService(server.address, greedy) as client,
        grpc.insecure_channel(server.address) as channel,
    ):
        job = other.submit(SPEC, shared=True)
        other.resume(job.id)
        watch = rpc.SearchServiceStub(channel).WatchJob(
            pb.WatchJobRequest(job_id=job.id), metadata=(("authorization", f"Bearer {greedy}"),)
        )
        watch.initial_metadata()
        with pytest.raises(LimitExceeded, match="1 streams open already"):
            client.front(job.id)
        watch.cancel()
        refused = 0
        for _ in range(50):
            try:
                client.jobs()
            except LimitExceeded:
                refused += 1
        assert refused >= 20
        assert other.job(job.id) == service.job(job.id)


def test_metrics_count_calls_by_status(tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.watch_jobs(lambda: {"queued": 2})
    with (
        GrpcServer(MemoryService(), "127.0.0.1:0", tmp_path, metrics=metrics) as server,
        RemoteService(server.address) as client,
    ):
        client.submit(SPEC)
        client.jobs()
        with pytest.raises(NoSuchJob):
            client.job("missing")
    with MetricsServer(metrics, "127.0.0.1:0") as told, urlopen(f"http://{told.address}/metrics") as answer:
        text = answer.read().decode()
    assert 'nas_requests_total{method="GetJob",status="NOT_FOUND"} 1.0' in text
    assert 'nas_requests_total{method="SubmitJob",status="OK"} 1.0' in text
    assert 'nas_request_seconds_count{method="ListJobs"}' in text
    assert 'nas_jobs{status="queued"} 2.0' in text


def test_a_store_that_cannot_be_asked_does_not_end_a_scrape() -> None:
    def count() -> dict[str, int]:
        raise StoreUnavailable("away")

    metrics = Metrics()
    metrics.watch_jobs(count)
    metrics.watch_devices(lambda: {"phone": 3})
    text = generate_latest(metrics.registry).decode()
    assert 'nas_devices{device="phone"} 3.0' in text
    assert "nas_jobs{" not in text


def test_a_log_line_is_json_with_its_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_as_json()
    with (
        GrpcServer(MemoryService(), "127.0.0.1:0", tmp_path) as server,
        RemoteService(server.address) as client,
        pytest.raises(NoSuchJob),
    ):
        client.job("missing")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    line = next(line for line in lines if line.get("job") == "missing")
    assert (line["method"], line["status"]) == ("GetJob", "NOT_FOUND")
    assert (line["caller"], line["level"]) == ("anyone", "info")

"""What the page's server answers, asked as a browser would ask it and as it would not."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from page_home import SPEC
from page_site import Site

from nas.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidSpec,
    JobFailed,
    LimitExceeded,
    NoSuchJob,
    ServiceUnavailable,
    StoreUnavailable,
)
from nas.front import Scope
from nas.job import Event, EventKind, JobStatus
from nas.service.client.remote import RemoteService
from nas.service.identity import Role
from nas.service.running.embedded import EmbeddedService
from nas.service.server.grpc_server import GrpcServer
from nas.service.server.tokens import Tokens
from nas.spec import StageName, load_job_spec
from nas.web.server import WebServer


def error_of(answer) -> tuple[int, dict]:
    status, _, body = answer
    return status, json.loads(body)["error"]


# Safety
def test_every_answer_says_what_a_browser_may_do_with_it(site) -> None:
    for path in ("/", "/api/jobs", "/static/main.js", "/nowhere"):
        _, headers, _ = site.ask("GET", path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_name_that_merely_leads_here_is_refused(site, host: str) -> None:
    status, error = error_of(site.ask("GET", "/api/jobs", host=host))
    assert status == 403
    assert error["kind"] == "Forbidden"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1"])
def test_no_other_site_submits_through_its_visitors_browser(site, origin: str) -> None:
    before = len(site.service.jobs())
    status, _ = error_of(site.ask("POST", "/api/jobs", {"space": "hybrid-lm"}, origin=origin))
    assert status == 403
    status, _ = error_of(site.ask("POST", f"/api/jobs/{site.ids['waiting']}/cancel", {}, origin=origin))
    assert status == 403
    assert len(site.service.jobs()) == before
    assert site.service.job(site.ids["waiting"]).status is JobStatus.INTERRUPTED


def test_a_body_over_a_mebibyte_is_413_whether_announced_or_not(site) -> None:
    status, error = error_of(site.ask("POST", "/api/jobs", b" " * ((1 << 20) + 1)))
    assert (status, error["kind"]) == (413, "LimitExceeded")
    connection = http.client.HTTPConnection(site.host, timeout=60)
    headers = {"origin": site.url.rstrip("/"), "transfer-encoding": "chunked"}
    pieces = [b" " * 65536] * 17
    connection.request("POST", "/api/jobs", iter(pieces), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_page_that_others_reach_needs_tokens_and_encryption(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="reached from elsewhere"):
        WebServer(lambda token: pytest.fail("asked"), "0.0.0.0:0")
    with pytest.raises(InvalidSpec, match="certificate"):
        WebServer(lambda token: pytest.fail("asked"), "0.0.0.0:0", login=True)


def test_with_tokens_a_cookie_that_no_script_reads_stands_for_one(site, tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    user, worker = tokens.add("ada", Role.USER), tokens.add("phone", Role.WORKER)
    with (
        GrpcServer(site.service, "127.0.0.1:0", tmp_path / "scratch", tokens=tokens) as server,
        WebServer(lambda token: RemoteService(server.address, token), "127.0.0.1:0", login=True) as page,
    ):
        shared = type(site)(page.url, site.service, site.ids, site.home)
        assert error_of(shared.ask("GET", "/api/jobs"))[0] == 401
        assert error_of(shared.ask("POST", "/api/login", {"token": "guessed"}))[0] == 401
        assert error_of(shared.ask("POST", "/api/login", {"token": worker}))[0] == 403
        status, headers, _ = shared.ask("POST", "/api/login", {"token": user})
        assert status == 200
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert user not in cookie
        shown = cookie.partition(";")[0]
        assert shared.ask("GET", "/api/jobs", cookie=shown)[0] == 200
        assert shared.ask("POST", "/api/logout", {}, cookie=shown)[0] == 200
        assert error_of(shared.ask("GET", "/api/jobs", cookie=shown))[0] == 401


# Answers
def test_errors_have_their_own_status_and_what_is_not_there_is_a_page(site) -> None:
    status, error = error_of(site.ask("GET", "/api/jobs/nope"))
    assert (status, error["kind"]) == (404, "NoSuchJob")
    assert error_of(site.ask("GET", f"/api/jobs/{site.ids['shown']}/points/ffff"))[0] == 404
    assert error_of(site.ask("GET", "/api/jobs/latest/events?after=x"))[0] == 422
    assert error_of(site.ask("POST", "/api/jobs", b"{"))[0] == 422
    for path in ("/jobs/nope", "/nowhere"):
        status, headers, body = site.ask("GET", path)
        assert status == 404
        assert headers["content-type"].startswith("text/html")
        assert b"<!doctype html>" in body
    assert site.ask("GET", f"/jobs/{site.ids['shown']}")[0] == 200


def test_every_problem_of_a_submission_is_told_at_once_with_its_path(site) -> None:
    spec = {
        "space": "nowhere",
        "task": "text",
        "targets": [{"device": "a b"}],
        "budget": {"train": {"steps": 0}},
    }
    status, error = error_of(site.ask("POST", "/api/jobs", spec))
    assert status == 422
    assert {problem["path"] for problem in error["problems"]} >= {"targets.0.device", "budget.train.steps"}
    status, error = error_of(site.ask("POST", "/api/jobs", {"file": "space: [\n"}))
    assert status == 422


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("space: hybrid-lm\ntask: text\nspace: hybrid-lm-tiny\n", "'space' appears twice, line 3"),
        ("budget:\n  train: {steps: 1, steps: 2}\n", "'steps' appears twice, line 2"),
        ("space: &a [*a]\n", "contains itself"),
        ("space: [\n", "line 2"),
        ("- space\n", "accepted: a mapping"),
        ("", "accepted: a mapping"),
        (7, "file: accepted: the text of a job file"),
        (None, "file: accepted: the text of a job file"),
    ],
)
def test_a_job_file_is_read_as_the_command_reads_it(site, text: object, said: str) -> None:
    before = len(site.service.jobs())
    status, error = error_of(site.ask("POST", "/api/jobs", {"file": text}))
    assert status == 422
    assert said in error["message"]
    assert len(site.service.jobs()) == before


def test_a_cloud_is_columns_that_say_what_the_points_do(site) -> None:
    job = site.ids["two"]
    _, _, body = site.ask("GET", f"/api/jobs/{job}/cloud")
    end = body.index(b"\n") + 1
    header, front = json.loads(body[:end]), site.service.front(job, Scope.ALL)
    count = header["count"]
    assert end % 8 == 0
    assert count == len(front.points)
    assert [f"{n:016x}" for n in struct.unpack(f"<{count}Q", body[end : end + 8 * count])] == [
        point.digest for point in front.points
    ]
    first = np.frombuffer(body, "<f4", count, end + 8 * count)
    assert header["columns"][0] == {"kind": "quality", "target": None}
    np.testing.assert_array_equal(first, np.array([p.validation for p in front.points], np.float32))
    assert len(header["columns"]) == 3


def test_fronts_of_one_target_and_of_all_robustly(site) -> None:
    job = site.ids["two"]
    whole = site.get(f"/api/jobs/{job}/front")
    target = whole["targets"][1]
    one = site.get(f"/api/jobs/{job}/front?target={target}")
    assert one["targets"] == [target]
    robust = site.get(f"/api/jobs/{job}/front?robust=1")
    assert all(ratio >= 1 for ratio in robust["robust"]["worst_ratio"].values())
    assert all(p["on_front"] or p["preset"] for doc in (whole, one, robust) for p in doc["points"])
    assert error_of(site.ask("GET", f"/api/jobs/{job}/front?target=elsewhere"))[0] == 422


def test_devices_drift_and_jobs_together(site) -> None:
    found = site.get("/api/devices")
    assert {profile["target"] for profile in found["profiles"]} >= set(found["targets"])
    drift = site.get(f"/api/drift?target={found['targets'][0]}")
    assert len(drift["time"]) == len(drift["drift"]) > 10
    joint = site.get(f"/api/across?space=hybrid-lm&task=text&target={found['targets'][0]}")
    assert set(joint["jobs"].values()) == {site.ids["shown"], site.ids["two"]}


def test_a_point_says_what_each_layer_weighs(site) -> None:
    digest = next(p for p in site.service.front(site.ids["shown"]).points if p.preset == "softmax-L4").digest
    point = site.get(f"/api/jobs/{site.ids['shown']}/points/{digest}")
    assert sum(layer["state_bytes"] for layer in point["layers"]) == point["state_bytes"]


# Events
class Watcher:
    """A browser's `EventSource`, in a thread."""

    def __init__(self, site, path: str, **headers: str) -> None:
        self.ids: list[int] = []
        self.names: list[str] = []
        self.at: list[float] = []
        self._connection = http.client.HTTPConnection(site.host, timeout=60)
        self._connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        self._response = self._connection.getresponse()
        assert self._response.getheader("content-type", "").startswith("text/event-stream")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while line := self._response.readline():
                if line.startswith(b"id: "):
                    self.ids.append(int(line[4:]))
                    self.at.append(time.monotonic())
                elif line.startswith(b"event: "):
                    self.names.append(line[7:].decode().strip())
        except (OSError, ValueError, AttributeError):
            pass

    def wait_for(self, sequence: int, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not self.ids or self.ids[-1] < sequence:
            assert time.monotonic() < deadline, self.ids[-3:]
            time.sleep(0.01)

    def close(self) -> None:
        if self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def tell(site, job: str, count: int) -> int:
    for n in range(count):
        event = Event(EventKind.PROGRESS, StageName.TRAIN, f"step {n}", n, count)
        last = site.service._store.append_event(job, event)
    return last.sequence


def test_a_stream_that_broke_goes_on_after_the_last_event_that_came(site) -> None:
    job = site.ids["waiting"]
    first = Watcher(site, f"/api/stream?job={job}&after=0")
    last = tell(site, job, 5)
    first.wait_for(last)
    first.close()
    last = tell(site, job, 7)
    second = Watcher(site, f"/api/stream?job={job}&after=0", last_event_id=str(first.ids[-1]))
    second.wait_for(last)
    last = tell(site, job, 3)
    second.wait_for(last)
    second.close()
    assert first.ids + second.ids == list(range(1, last + 1))


def test_one_poller_asks_however_many_watch(site, monkeypatch) -> None:
    job = site.ids["waiting"]
    after = site.service.job(job).last_event
    asked = []
    original = site.service.events
    monkeypatch.setattr(
        site.service, "events", lambda *args: asked.append(args) or original(*args), raising=True
    )
    watchers = [Watcher(site, f"/api/stream?job={job}&after={after}") for _ in range(20)]
    began = time.monotonic()
    last = tell(site, job, 4)
    for watcher in watchers:
        watcher.wait_for(last)
    took = time.monotonic() - began
    for watcher in watchers:
        watcher.close()
        assert watcher.ids == list(range(after + 1, last + 1))
    # One a look while they watched, and not one a watcher; each may have looked once for what it had missed.
    assert len(asked) <= took / 0.15 + 10 + len(watchers)


def test_a_poller_whose_service_is_gone_ends_its_streams_and_the_next_has_another(site, monkeypatch) -> None:
    job = site.ids["waiting"]
    after = site.service.job(job).last_event
    with monkeypatch.context() as gone:
        watcher = Watcher(site, f"/api/stream?job={job}&after={after}")
        gone.setattr(site.service, "events", lambda *args: 1 / 0)
        watcher._thread.join(30)
        assert not watcher._thread.is_alive()
        watcher.close()
    again = Watcher(site, f"/api/stream?job={job}&after={after}")
    again.wait_for(tell(site, job, 2))
    again.close()


OTHER = "another process"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[EmbeddedService, str]]:
    """A service of its own, and a job of it that somebody runs."""
    with EmbeddedService(tmp_path / "home") as service:
        job = service._store.create_job(load_job_spec(SPEC)).id
        service._store.set_job(job, JobStatus.RUNNING, StageName.TRAIN)
        service._store.claim(job, OTHER, 600)
        yield service, job


def test_a_token_taken_back_ends_nobody_elses_stream(running, tmp_path: Path) -> None:
    service, job = running
    tokens = Tokens(tmp_path / "tokens.json")
    shown = {name: tokens.add(name, Role.ADMIN) for name in ("ada", "bob")}
    with (
        GrpcServer(service, "127.0.0.1:0", tmp_path / "scratch", tokens=tokens) as server,
        WebServer(lambda token: RemoteService(server.address, token), "127.0.0.1:0", login=True) as page,
    ):
        shared = Site(page.url, service, {}, tmp_path)
        watchers = {}
        for name, token in shown.items():
            _, headers, _ = shared.ask("POST", "/api/login", {"token": token})
            cookie = headers["set-cookie"].partition(";")[0]
            watchers[name] = cookie, Watcher(shared, f"/api/stream?job={job}", cookie=cookie)
        before = tell(shared, job, 2)
        for _, watcher in watchers.values():
            watcher.wait_for(before)
        tokens.remove("ada")
        for _, watcher in watchers.values():
            watcher._thread.join(30)
            assert not watcher._thread.is_alive(), "it is told to come again"
            watcher.close()
            assert "over" not in watcher.names
        last = tell(shared, job, 3)
        ada, bob = watchers["ada"][0], watchers["bob"][0]
        path = f"/api/stream?job={job}"
        assert error_of(shared.ask("GET", path, cookie=ada, last_event_id=str(before)))[0] == 401
        again = Watcher(shared, path, cookie=bob, last_event_id=str(before))
        again.wait_for(last)
        again.wait_for(tell(shared, job, 2))
        again.close()
        assert "over" not in again.names


@pytest.mark.parametrize("error", [LimitExceeded, DeadlineExceeded, ServiceUnavailable])
def test_what_the_service_could_not_answer_now_is_asked_again(running, monkeypatch, error) -> None:
    service, job = running
    with WebServer(lambda token: service, "127.0.0.1:0") as page:
        served = Site(page.url, service, {}, service.home)
        watcher = Watcher(served, f"/api/stream?job={job}")
        watcher.wait_for(tell(served, job, 1))
        refused = threading.Event()

        def refuse(*args: object) -> None:
            refused.set()
            raise error("not now")

        with monkeypatch.context() as busy:
            busy.setattr(service, "events", refuse)
            assert refused.wait(30)
        watcher.wait_for(tell(served, job, 2))
        watcher.close()
        assert "over" not in watcher.names


@pytest.mark.parametrize("error", [JobFailed, Forbidden, NoSuchJob, LimitExceeded, ServiceUnavailable])
def test_an_error_that_ended_a_job_is_no_refusal_of_who_watches_it(running, error) -> None:
    service, job = running
    with WebServer(lambda token: service, "127.0.0.1:0") as page:
        served = Site(page.url, service, {}, service.home)
        watcher = Watcher(served, f"/api/stream?job={job}")
        last = tell(served, job, 2)
        watcher.wait_for(last)
        service._store.set_job(job, JobStatus.FAILED, StageName.TRAIN, error("its own"))
        deadline = time.monotonic() + 30
        while "over" not in watcher.names:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert served.get(f"/api/jobs/{job}/events?after={last}") == {"events": [], "over": True}
        watcher.wait_for(tell(served, job, 1))
        watcher.close()


def test_stored_events_are_not_said_to_be_over_where_they_cannot_be_had(running, monkeypatch) -> None:
    service, job = running

    def refuse(*args: object) -> None:
        raise LimitExceeded("ada asks more than 5 times a second")

    monkeypatch.setattr(service, "events", refuse)
    with WebServer(lambda token: service, "127.0.0.1:0") as page:
        served = Site(page.url, service, {}, service.home)
        assert error_of(served.ask("GET", f"/api/jobs/{job}/events"))[0] == 429


def test_a_job_whose_process_could_not_store_its_end_is_over(running, monkeypatch) -> None:
    service, job = running

    def as_it_ended(*args: object) -> None:
        raise StoreUnavailable("cannot write: No space left on device")

    monkeypatch.setattr(service, "events", as_it_ended)
    service._store.release(job, OTHER)
    with WebServer(lambda token: service, "127.0.0.1:0") as page:
        served = Site(page.url, service, {}, service.home)
        assert served.get(f"/api/jobs/{job}/events") == {"events": [], "over": True}


def test_the_list_of_jobs_tells_what_changes(site) -> None:
    watcher = Watcher(site, "/api/stream")
    deadline = time.monotonic() + 30
    while "jobs" not in watcher.names and time.monotonic() < deadline:
        time.sleep(0.02)
    watcher.close()
    assert "jobs" in watcher.names


def test_own_assets_are_small_and_ask_no_other_host() -> None:
    static = Path(__file__).parents[3] / "nas" / "web" / "static"
    files = [path for path in static.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 300 * 1024
    for path in files:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert "://" not in text, path

"""An architecture verified when its job has ended: a point like the others, to whoever looks already too."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import simulated

from nas.bench.backends import SimulatedComputeBackend, SimulatedMeasurementBackend
from nas.controller.controller import Controller
from nas.front import Scope
from nas.job import Event, EventKind
from nas.planning.plan import resolve
from nas.service.running.embedded import EmbeddedService
from nas.spec import StageName
from nas.store import open_store
from nas.store.store import Store
from nas.web.server import WebServer
from searchspaces.architecture import Architecture


def unknown_of(store: Store, job: str) -> Architecture:
    """One that is no point of the job."""
    plan = resolve(store.job(job).spec)
    known = {point.digest for point in store.points(job, Scope.ALL)}
    drawn = plan.space.decode(plan.space.sample(99, np.random.default_rng(1)))
    return next(architecture for architecture in drawn if architecture.digest not in known)


def test_a_page_that_follows_a_job_shows_what_is_verified_alone(tmp_path: Path, monkeypatch) -> None:
    with (
        closing(open_store(tmp_path)) as store,
        EmbeddedService(tmp_path) as service,
        WebServer(lambda token: service, "127.0.0.1:0") as page,
    ):
        job = simulated.run(store, tmp_path, simulated.spec("phone")).id
        asked = unknown_of(store, job)

        def shown() -> int:
            with urlopen(f"{page.url}api/jobs/{job}/front", timeout=60) as answer:
                return json.load(answer)["evaluated"]

        append, before = store.append_event, shown()

        def append_and_look(job_id: str, event: Event) -> Event:
            """As a page does that follows the job: it asks for the front at each event."""
            appended = append(job_id, event)
            shown()
            return appended

        monkeypatch.setattr(store, "append_event", append_and_look)
        devices = SimulatedMeasurementBackend(store, simulated.DEVICES)
        controller = Controller(store, tmp_path, devices, SimulatedComputeBackend(simulated.quality))
        assert controller.verify(job, asked).verified
        assert shown() == before + 1
        last = store.events(job, limit=10_000)[-1]
        assert (last.kind, last.stage) == (EventKind.NOTE, StageName.VERIFY)
        assert last.message == f"verified {asked.digest}"

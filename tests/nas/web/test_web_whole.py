"""Whole uses of the page: a job from its form to its model, and one of 100,000 candidates."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import onnx
import pytest
from page_home import SPEC, store_searched_job
from page_site import Site

from nas.cli.demo import DEMO_FAST
from nas.job import JobStatus
from nas.service.running.embedded import EmbeddedService
from nas.spec import load_job_spec
from nas.store import open_store
from nas.web.server import WebServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

JOB_MS = 1_200_000


def test_a_job_from_its_file_to_its_model(browser, tmp_path: Path) -> None:
    with (
        EmbeddedService(tmp_path / "home") as service,
        WebServer(lambda token: service, "127.0.0.1:0") as server,
    ):
        page = browser.new_context(accept_downloads=True).new_page()
        page.set_default_timeout(JOB_MS)
        page.goto(server.url + "new?form=file")
        page.get_by_label("Job file").fill(DEMO_FAST.read_text(encoding="utf-8"))
        page.get_by_role("button", name="Submit").click()
        page.wait_for_url(re.compile(r"/jobs/demo-fast-"))
        page.locator(".stages .live").first.wait_for()
        page.locator("h1 .chip.succeeded").wait_for()
        page.wait_for_selector(".plot[data-drawn=cloud]")
        job = page.url.rpartition("/")[2].partition("?")[0]
        assert service.job(job).status is JobStatus.SUCCEEDED
        page.locator("#budget").fill("500")
        with page.expect_download() as saved:
            page.get_by_role("button", name="Extract and download").first.click()
        saved.value.save_as(tmp_path / "model.zip")
        with zipfile.ZipFile(tmp_path / "model.zip") as archive:
            onnx.load_model_from_string(archive.read("model.onnx"))
            assert "manifest.json" in archive.namelist()


def test_a_hundred_thousand_candidates_are_little_to_send_and_to_draw(browser, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    job = store_searched_job(store, load_job_spec(SPEC), 100_000).id
    store.close()
    with EmbeddedService(tmp_path) as service, WebServer(lambda token: service, "127.0.0.1:0") as server:
        site = Site(server.url, service, {}, tmp_path)
        status, _, cloud = site.ask("GET", f"/api/jobs/{job}/cloud")
        assert status == 200
        assert len(cloud) <= 2_000_000
        page = browser.new_page()
        page.set_default_timeout(300_000)
        page.goto(f"{server.url}jobs/{job}")
        page.wait_for_selector(".plot[data-drawn=cloud]")
        dots = page.evaluate("document.querySelector('.plot[data-drawn=cloud]').cloud.dots.length")
        assert 1_000 < dots <= 160 * 85

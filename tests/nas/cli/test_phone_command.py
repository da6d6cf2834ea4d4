"""What `nas phone` refuses, and what it makes; joining is tested with browsers (`tests/nas/phone`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.cli.phone import _certificate
from workers.gateway import engine


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine's folder, as `make web-assets` leaves it."""
    folder = tmp_path / "engine"
    folder.mkdir()
    for name in engine.FILES:
        (folder / name).touch()
    monkeypatch.setattr(engine, "ENGINE", folder)
    return folder


def test_without_an_engine_the_command_that_fetches_it_is_named(nas, fetched: Path) -> None:
    (fetched / engine.FILES[0]).unlink()
    answer = nas("phone")
    assert answer.code != 0
    assert "make web-assets" in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--connect", "nowhere"], "HOST:PORT"),
        (["--bind", "nowhere"], "HOST:PORT"),
        (["--device", "two words"], "two words"),
        (["--certificate", "server.pem"], "--key"),
    ],
)
def test_what_is_wrong_is_said(nas, fetched: Path, arguments: list[str], said: str) -> None:
    answer = nas("phone", *arguments)
    assert answer.code == 2
    assert said in answer.err


def test_a_certificate_is_made_once_a_host(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path, "192.168.0.10")
    made = certificate.read_bytes()
    assert key.is_file()
    assert _certificate(tmp_path, "192.168.0.10")[0].read_bytes() == made
    assert _certificate(tmp_path, "192.168.0.11")[0].read_bytes() != made


def test_the_version_that_is_locked_is_the_one_that_is_asked_for() -> None:
    asked = (engine.LOCK.parent / "package.json").read_text(encoding="utf-8")
    assert f'"onnxruntime-web": "{engine.engine_version()}"' in asked
    assert "://" not in engine.LOCK.read_text(encoding="utf-8")  # npm asks the registry that is set up

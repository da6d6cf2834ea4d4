"""Engines that are installed and do not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.isolated import IsolatedMeasuring

BROKEN = "raise ImportError('libtbb.so.12: cannot open shared object file')\n"


def test_an_engine_that_is_broken_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, text in {
        "openvino/__init__.py": BROKEN,
        "openvino-2026.4.dist-info/METADATA": "Metadata-Version: 2.1\nName: openvino\nVersion: 2026.4\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    measuring = IsolatedMeasuring()
    try:
        here = measuring.describe("bench")
    finally:
        measuring.close()
    names = [runtime.name for runtime in here.runtimes]
    assert "onnxruntime" in names
    assert "openvino" not in names
    said = capfd.readouterr().err
    assert "openvino is left out: ImportError: libtbb.so.12: cannot open shared object file" in said

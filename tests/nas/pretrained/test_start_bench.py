"""The whole bench on a random model: its jobs, its cuts, and that it goes on where it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from random_models import TEXT

from nas.bench.start import FOUND

pytestmark = pytest.mark.job

COMMAND = "import sys; from nas.cli.main import main; main()"


def bench(folder: Path, *arguments: str) -> str:
    here = {**os.environ, "NAS_HOME": str(folder / "home"), "COLUMNS": "160"}
    command = [sys.executable, "-c", COMMAND, "bench", "start", *arguments]
    ran = subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-3000:]
    return ran.stdout


@pytest.mark.slow
def test_a_search_stands_beside_cuts_and_nothing_is_done_twice(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    asked = [str(llama), "--text", "text.txt", "--quick", "--levels", "90", "--kept", "kept"]
    asked += ["--mixers", "keep window:8,2 none", "--also", "decode/b1/n32"]
    told = bench(tmp_path, *asked, "--out", "told.json")
    written = json.loads((tmp_path / "told.json").read_text())
    assert written == json.loads((tmp_path / "kept" / "result.json").read_text())
    rows = {row["model"]: row for row in written["rows"]}
    assert {"parent", FOUND, "pruned by magnitude (LLM-Pruner)", "layers dropped (ShortGPT)"} <= rows.keys()
    assert all(name in told for name in rows)
    for name, row in rows.items():
        assert row["perplexity"] > 1
        assert row["also_ms"]["decode/b1/n32"] > 0
        assert (name == "parent") != ("healed" in row)
        if name not in ("parent", FOUND):
            assert row["of_parent"] < 0.92
    known = (tmp_path / "kept" / "known.jsonl").read_text()
    begun = time.monotonic()
    again = json.loads(bench(tmp_path, *asked, "--json"))
    assert time.monotonic() - begun < 60
    assert (tmp_path / "kept" / "known.jsonl").read_text() == known
    for row in (*again["rows"], *written["rows"]):
        row.pop("seconds", None)
    assert again == written

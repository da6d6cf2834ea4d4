"""The processes that a worker starts, and the one that a service starts: where their modules come from."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from workers.errors import ModelUnusable
from workers.runtimes.litert import CONVERTER, LiteRt

ROOT = Path(__file__).parents[2]
SECONDS = 60
"""No wait of these tests is longer; what is tested takes a fraction of it."""

DESCRIBED = """
    from contextlib import closing
    from workers.isolated import IsolatedMeasuring
    with closing(IsolatedMeasuring()) as measuring:
        print(measuring.describe("bench").device)
"""

LENT = """
    from contextlib import closing
    from pathlib import Path
    from nas.service.running.measurement import LOCAL_DEVICE, WorkerMeasurementBackend
    from nas.service.running.worker_endpoint import WorkerEndpoint
    from workers.target import Target
    with closing(WorkerMeasurementBackend(Path("home").absolute(), WorkerEndpoint())) as backend:
        backend.wait_for(Target(LOCAL_DEVICE), 30)
        print("bench")
"""


@pytest.fixture
def strays(tmp_path: Path) -> Path:
    """A folder as somebody may stand in: modules with the names of ours and of Python's."""
    folder = tmp_path / "strays"
    (folder / "workers").mkdir(parents=True)
    for name in ("workers/__init__.py", "queue.py", "searchspaces.py", "litert_torch.py"):
        (folder / name).write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    return folder


@pytest.mark.parametrize("program", [DESCRIBED, LENT], ids=["measuring process", "this machine's worker"])
def test_modules_do_not_come_from_the_folder_one_stands_in(
    program: str, strays: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = run(program, strays, environment, "-P")
    assert told.stdout == "bench\n", told.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("program", [DESCRIBED, LENT], ids=["measuring process", "this machine's worker"])
def test_a_checkout_works_from_its_root(program: str, tmp_path: Path) -> None:
    """Nothing but the folder one stands in says where its modules are."""
    for name in ("workers", "searchspaces", "nas", "predictors"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    told = run(program, tmp_path, environment)
    assert told.stdout == "bench\n", told.stderr


def run(
    program: str, folder: Path, environment: dict[str, str], *options: str
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_the_converter_takes_no_modules_from_the_folder_one_stands_in(
    strays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(strays)
    monkeypatch.setenv(CONVERTER, sys.executable)
    with pytest.raises(ModelUnusable, match="litert-torch does not convert the model"):
        LiteRt().convert(b"no submodel", "fp32")
    assert not (tmp_path / "ran").exists()

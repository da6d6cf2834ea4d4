"""Classes of other distributions: that of docs/howto-plugin.md is installed, tested and runs a job."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nas.plugins import REGISTRIES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto-plugin.md"
NAS = [sys.executable, "-c", "from nas.cli.main import main; main()"]


def run(*command: str, path: Path, cwd: Path) -> str:
    """What a process says that has one more folder of distributions."""
    environment = os.environ | {
        "PYTHONPATH": f"{path}{os.pathsep}{ROOT}",
        "NAS_HOME": str(cwd / "home"),
        "RAY_OVERRIDE_RESOURCES": '{"CPU": 1}',
    }
    ran = subprocess.run([*command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the page shows."""
    folder = tmp_path_factory.mktemp("nas-shift")
    shown = re.findall(
        r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    for name, text in shown:
        (folder / name).write_text(text + "\n")
    return folder


@pytest.fixture(scope="module")
def installed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the page's distribution is installed into."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--target", str(site), str(project)], check=True, timeout=120)
    return site


def test_it_is_listed_with_where_it_comes_from(installed: Path, project: Path) -> None:
    listed = json.loads(run(*NAS, "plugins", "--json", path=installed, cwd=project))
    assert [(p["adds"], p["name"], p["distribution"], p["problem"]) for p in listed] == [
        ("mixer", "shift", "nas-shift 0.1", None),
        ("task", "stride", "nas-shift 0.1", None),
    ]
    assert "stride (nas-shift 0.1)" in run(*NAS, "tasks", path=installed, cwd=project)


def test_its_own_tests_are_the_contracts(installed: Path, project: Path) -> None:
    said = run(
        sys.executable, "-m", "pytest", "-q", "-m", "not slow", "test_shift.py", path=installed, cwd=project
    )
    (passed,) = re.findall(r"^(\d+) passed", said, re.MULTILINE)
    assert int(passed) > 20


@pytest.mark.job
def test_a_job_runs_with_it(installed: Path, project: Path) -> None:
    """In every process: this command, Ray's, and the worker that rebuilds the model."""
    run(*NAS, "search", "job.yaml", path=installed, cwd=project)
    front = json.loads(run(*NAS, "front", "shifting", "--format", "json", path=installed, cwd=project))
    mixers = {layer["mixer"] for point in front["points"] for layer in point["architecture"]["layers"]}
    assert "shift" in mixers
    assert front["quality"]["metric"] == "accuracy"


def test_every_noun_can_be_added_and_what_is_broken_is_told(tmp_path: Path) -> None:
    bases = {
        "nas.mixers": "searchspaces.mixers.softmax:Softmax",
        "nas.channels": "searchspaces.channels.mlp:Mlp",
        "nas.tasks": "nas.tasks.text:Text",
        "nas.runtimes": "workers.runtimes.onnxruntime:OnnxRuntime",
        "nas.predictors": "predictors.additive:Additive",
        "nas.strategies": "nas.strategies.random:RandomStrategy",
    }
    assert list(bases) == [registry.group for registry in REGISTRIES]
    code = [
        f"from {value.partition(':')[0]} import {value.partition(':')[2]} as Base{number}\n"
        f"class Own{number}(Base{number}): pass\n"
        for number, value in enumerate(bases.values())
    ]
    (tmp_path / "own_module.py").write_text("".join(code))
    info = tmp_path / "own-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1\n")
    groups = [
        f"[{group}]\nown = own_module:Own{number}\nbroken = no_such_module:Own\n"
        for number, group in enumerate(bases)
    ]
    (info / "entry_points.txt").write_text("".join(groups))
    listed = json.loads(run(*NAS, "plugins", "--json", path=tmp_path, cwd=tmp_path))
    assert [p["name"] for p in listed] == ["broken", "own"] * 6
    assert [p["problem"] for p in listed if p["name"] == "own"] == [None] * 6
    for plugin in listed[::2]:
        assert re.search("of own 1.* does not load: ModuleNotFoundError: .*no_such_module", plugin["problem"])

"""What the README and the pages that users read first show is true: files, YAML, commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nas.cli.main import app, main
from nas.planning.plan import resolve
from nas.spec import TargetSpec, load_job_spec
from nas.tasks import make_task
from searchspaces.space import load_space

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = README + "".join(
    (ROOT / "docs" / f"{page}.md").read_text() for page in ("job-file", "commands", "service")
)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGES, re.MULTILINE | re.DOTALL)
LONGEST = 140
"""Lines of the README: more is for pages of its own."""


def test_the_readme_is_short():
    assert len(README.splitlines()) <= LONGEST


def blocks(language: str, first_line: str = "") -> list[str]:
    found = [text for kind, text in BLOCKS if kind == language and text.startswith(first_line)]
    assert found, f"the README has no {language} block that begins with {first_line!r}"
    return found


def test_files_are_shown_as_they_are():
    shown = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in shown] == ["nas/cli/demo.yaml"]
    for name, text in shown:
        assert text == (ROOT / name).read_text(), name


@pytest.mark.parametrize("name", ["demo.yaml", "demo-fast.yaml"])
def test_the_demos_are_valid_jobs(name):
    assert resolve(load_job_spec(ROOT / "nas" / "cli" / name)).presets


def test_the_example_of_a_space_is_valid():
    for text in blocks("yaml", "# space"):
        assert load_space(yaml.safe_load(text)).size() > 1


def test_the_example_of_a_task_is_valid(monkeypatch):
    monkeypatch.chdir(ROOT)
    for text in blocks("yaml", "# task"):
        options = yaml.safe_load(text)
        assert make_task(options.pop("name"), options).metric == "bits_per_byte"


def test_the_example_of_a_target_is_valid():
    for text in blocks("yaml", "# target"):
        assert TargetSpec.model_validate(yaml.safe_load(text)).target().device == "kitchen-laptop"


def test_examples_in_python_are_python():
    for text in blocks("python"):
        compile(text, "README.md", "exec")


def test_every_command_that_is_named_exists():
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name or group.typer_instance.info.name for group in app.registered_groups}
    named = set(re.findall(r"`nas ([a-z][a-z-]*)", PAGES)) | set(
        re.findall(r"^(?:\$ )?nas (?:--\S+ \S+ )*([a-z][a-z-]*)", PAGES, re.MULTILINE)
    )
    assert named <= known
    assert known - {"version", "bench"} <= named


@pytest.mark.job
def test_the_tour_runs(tmp_path, monkeypatch, capsys):
    """The job as a process of its own; what only asks about it is asked in this one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 1}')
    first, *others = [
        line[2:].split() for text in blocks("console") for line in text.splitlines() if line[:2] == "$ "
    ]
    assert first == ["nas", "demo", "--fast"]
    demo = [str(Path(sys.executable).parent / "nas"), *first[1:]]
    ended = subprocess.run(demo, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()
    assert "Traceback" not in ended.stderr
    for arguments in others:
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as exited:
            main()
        told = capsys.readouterr()
        assert not exited.value.code, (arguments, told.err)
        assert told.out.strip(), arguments
    assert list(tmp_path.glob("nas-demo/*/model/model.onnx"))
    assert list(tmp_path.glob("nas-demo/*/front.html"))

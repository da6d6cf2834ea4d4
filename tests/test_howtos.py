"""What the how-tos show of registered classes keeps the contracts, and their code says what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer import Context
from typer.main import get_command

from nas.cli.main import app
from nas.planning.plan import resolve
from nas.spec import load_job_spec
from nas.testing.channels import ChannelContract
from nas.testing.predictors import PredictorContract
from predictors import PREDICTORS, Predictor
from searchspaces.channels import CHANNELS, Channel

DOCS = Path(__file__).parents[1] / "docs"


def code_of(page: str) -> str:
    """All Python of a page that is no file's."""
    text = (DOCS / page).read_text()
    return "\n".join(re.findall(r"(?<!-->\n)```python\n(.*?)```", text, re.DOTALL))


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    with CHANNELS.scratch(), PREDICTORS.scratch():
        for page in ("howto-channel.md", "howto-predictor.md"):
            exec(compile(code_of(page), page, "exec"), {"__name__": page.removesuffix(".md")})
        yield


class TestTheChannelMixer(ChannelContract):
    subjects = ("squared",)


class TestThePredictor(PredictorContract):
    subjects = ("powerlaw",)


@pytest.mark.parametrize(("page", "of"), [("howto-channel.md", Channel), ("howto-predictor.md", Predictor)])
def test_a_page_names_what_must_be_given(page: str, of: type) -> None:
    text = (DOCS / page).read_text()
    assert all(re.search(rf"`{name}[`(]", text) for name in of.__abstractmethods__)


def test_a_table_is_searched_as_the_page_says(tmp_path: Path) -> None:
    code = code_of("howto-table.md")
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    said = re.search(r"([\d.]+)% with (\d+) of 200 evaluated; the best .* has ([\d.]+)%", ran.stdout)
    assert said, ran.stdout
    assert int(said[2]) == 40
    assert float(said[1]) <= float(said[3]) + 1.0
    assert re.search(r"8 architectures of \d+ in their space", ran.stdout)


def test_strategies_are_compared_on_a_table_as_the_page_says(tmp_path: Path) -> None:
    text = (DOCS / "howto-table.md").read_text()
    ((name, module),) = re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / name).write_text(module)
    (command,) = re.findall(r"```sh\nnas (bench search .*)\n```", text)
    nas = [sys.executable, "-c", "from nas.cli.main import main; main()"]
    ran = subprocess.run([*nas, *command.split()], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "default" in ran.stdout
    assert "random" in ran.stdout


def test_what_the_page_of_phones_shows_is_accepted() -> None:
    """Its commands have these options, and its targets are some; they are run in `tests/nas/phone`."""
    text = (DOCS / "howto-phone.md").read_text()
    (targets,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    spec = {"space": "mixed-lm-tiny", "until": "profile", **yaml.safe_load(targets)}
    assert [str(target) for target in resolve(load_job_spec(spec)).targets] == [
        "phone/onnxruntime-web/fp32/1t/prefill/b1/n256",
        "phone/onnxruntime-webgpu/fp32/1t/prefill/b1/n256",
    ]
    nas = get_command(app)
    commands = re.findall(r"^\$ (?:\w+=\S+ )?nas (\w+)([^&\n]*)", text, re.MULTILINE)
    assert [name for name, _ in commands] == ["serve", "phone", "profile"]
    for name, arguments in commands:
        nas.get_command(Context(nas), name).make_context(name, arguments.split())

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from memory_service import SPEC, progress

from nas.cli import main as command_line
from nas.job import JobStatus
from nas.service.server.tokens import Tokens


@pytest.fixture
def nas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line as a user would; returns exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["nas", *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


def test_tokens_are_made_listed_and_taken_back(nas: Any, tmp_path: Path) -> None:
    file = str(tmp_path / "tokens.json")
    code, token, _ = nas("token", "add", "ada", "--file", file, "--jobs", "3")
    assert code == 0
    assert Tokens(Path(file)).identify(f"Bearer {token.strip()}").limits.jobs == 3
    _, listed, _ = nas("token", "list", "--file", file, "--json")
    assert [entry["name"] for entry in json.loads(listed)] == ["ada"]
    assert "sha256" not in listed
    assert nas("token", "add", "x", "--role", "king", "--file", file)[0] == 2
    assert nas("token", "remove", "ada", "--file", file)[0] == 0
    assert nas("token", "remove", "ada", "--file", file)[0] == 2


def test_tokens_as_json(nas: Any, tmp_path: Path) -> None:
    file = str(tmp_path / "tokens.json")
    made = json.loads(nas("token", "add", "ada", "--file", file, "--json")[1])
    assert (made["name"], made["role"]) == ("ada", "user")
    assert Tokens(Path(file)).identify(f"Bearer {made['token']}").name == "ada"
    code, _, error = nas("token", "add", "ada", "--file", file, "--json")
    assert (code, json.loads(error)["error"]) == (2, "InvalidSpec")
    revoked = nas("token", "remove", "ada", "--file", file, "--json")[1]
    assert json.loads(revoked) == {"name": "ada", "revoked": True}


def test_a_list_says_which_file_has_no_token(nas: Any, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    code, output, said = nas("token", "list", "--file", str(file))
    assert (code, output) == (0, "")
    assert said.startswith(f"{file} does not exist yet: nobody can log in")
    assert f"nas token add NAME --file {file}" in said
    nas("token", "add", "ada", "--file", str(file))
    assert nas("token", "list", "--file", str(file))[2] == ""
    nas("token", "remove", "ada", "--file", str(file))
    code, output, said = nas("token", "list", "--file", str(file), "--json")
    assert (code, json.loads(output)) == (0, [])
    assert said.startswith(f"{file} has no token: nobody can log in")


@pytest.mark.parametrize("name", ["none.json", None], ids=["tokens", "no tokens"])
def test_serving_says_who_can_log_in(tmp_path: Path, name: str | None) -> None:
    tokens = () if name is None else ("--tokens", name)
    command = [str(Path(sys.executable).parent / "nas"), "--home", "home", "serve", *tokens]
    command += ["--bind", "127.0.0.1:0", "--workers", "127.0.0.1:0", "--parallel", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stderr is not None
        lines = [serving.stderr.readline()]
        while lines[-1] and not lines[-1].startswith("users connect to"):
            lines.append(serving.stderr.readline())
        serving.terminate()
        lines += serving.stderr.readlines()
    said = "without --tokens anyone on this machine can use it, and nobody else\n"
    if name is None:
        assert said in (Path(__file__).parents[3] / "docs" / "deploy.md").read_text()
    else:
        said = f"warning: {name} does not exist yet: nobody can log in; "
        said += f"make a token with: nas token add NAME --file {name}\n"
    assert said in lines, lines


def test_certs(nas: Any, tmp_path: Path) -> None:
    code, output, _ = nas("certs", str(tmp_path / "certs"), "--host", "nas.example.org")
    assert code == 0
    assert len(output.split()) == 6
    assert all(Path(path).is_file() for path in output.split())
    named = json.loads(nas("certs", str(tmp_path / "certs"), "--host", "nas.example.org", "--json")[1])
    assert sorted(named.values()) == sorted(output.split())


def test_commands_ask_the_service_that_they_are_told(nas: Any, served: Any, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(SPEC))
    there = ("--server", served.address)
    code, output, _ = nas(*there, "health")
    assert (code, output.splitlines()[0]) == (0, f"{served.address} is serving")
    assert output.splitlines()[1] == "a job may take at most 3.0 GiB of memory and read at most 1e+12 tokens"
    assert output.splitlines()[3].split() == ["local-cpu", "idle", "0", "0"]
    limits = {"memory_bytes": 3 << 30, "tokens": 10**12}
    serving = {"server": served.address, "status": "serving", "limits": limits}
    assert json.loads(nas(*there, "health", "--json")[1]).items() >= serving.items()
    code, output, _ = nas(*there, "submit", str(tmp_path / "job.yaml"), "--key", "k", "--json")
    job = json.loads(output)["id"]
    assert code == 0
    assert nas(*there, "submit", str(tmp_path / "job.yaml"), "--key", "k", "--json")[1] == output
    served.service.report(job, progress(3))
    served.service.set_status(job, JobStatus.SUCCEEDED)
    assert json.loads(nas(*there, "watch", job, "--json")[1])["status"] == "succeeded"
    assert [entry["id"] for entry in json.loads(nas(*there, "jobs", "--json")[1])] == [job]
    assert json.loads(nas(*there, "front", job, "--format", "json")[1])["job"] == job
    code, _, error = nas(*there, "best", job, "--max", "latency_ms=0.1", "--json")
    assert (code, json.loads(error)["error"]) == (4, "NothingMeetsBounds")
    code, _, error = nas("--server", "127.0.0.1:1", "jobs")
    assert code == 13
    assert "127.0.0.1:1" in error


def test_serving_needs_tokens_to_be_reached_from_elsewhere(nas: Any, tmp_path: Path) -> None:
    code, _, error = nas("--home", str(tmp_path), "serve", "--bind", "0.0.0.0:0")
    assert code == 2
    assert "accepted without tokens: 127.0.0.1" in error
    assert nas("--home", str(tmp_path), "serve", "--key", "x.pem")[0] == 2
    assert nas("health")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["token", "add", "x", "--file", "t.json", "--jobs", "-1"], "limits.jobs"),
        (["token", "add", "x", "--file", "t.json", "--rate", "inf"], "limits.requests_per_second"),
        (["serve", "--log-level", "LOUD"], "log-level"),
        (["serve", "--parallel", "0", "--certificate", "no.pem", "--key", "no.key"], "tls"),
        (["certs", "made", "--host", "zürich"], "host"),
        (["worker", "--connect", "127.0.0.1:1", "--device", "a b"], "--device"),
        (["--token", "zürich", "worker", "--connect", "127.0.0.1:1"], "token"),
        (["--authority", "no.pem", "worker", "--connect", "127.0.0.1:1"], "tls"),
        (["--token", "zürich", "--server", "127.0.0.1:1", "jobs"], "token"),
        (["presets", "x" * 300], "space"),
        (["--server", "127.0.0.1:1", "submit", "nothing.yaml"], "cannot read 'nothing.yaml'"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_was_asked_wrongly_is_the_askers_to_mend(
    nas: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, errors = nas(*arguments)
    assert (code, f"error: {path}" in errors) == (2, True), errors
    assert not list(tmp_path.glob("[!.]*")), "nothing is made"


def test_a_front_is_written_as_utf8_whatever_the_locale(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    code = (
        "import sys; from pathlib import Path; from nas.cli.output import write_or_print; "
        "write_or_print('\\u2605', Path(sys.argv[1]))"
    )
    plain = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", code, out], env=plain, check=True)
    assert out.read_text(encoding="utf-8") == "★"

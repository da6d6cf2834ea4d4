"""Real processes that are interrupted, whose reader goes away, or knows few characters."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

NAS = (sys.executable, "-c", "from nas.cli.main import main; main()")


@pytest.mark.parametrize("arguments", [["spaces", "--json"], ["spaces"]], ids=" ".join)
def test_a_reader_that_goes_away_ends_a_command_quietly(tmp_path, arguments):
    nobody, pipe = os.pipe()
    os.close(nobody)
    try:
        run = [*NAS, "--home", str(tmp_path), *arguments]
        ended = subprocess.run(run, stdout=pipe, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(pipe)
    assert (ended.returncode, ended.stderr) == (141, b"")


WAITING = """
    import sys, threading
    import typer
    from nas.cli import main as command_line

    def wait():
        try:
            print("waiting", flush=True)
            threading.Event().wait(60)
        finally:
            print("closing", flush=True)
            threading.Event().wait(float(sys.argv[2]))

    passing = {"allow_extra_args": True}
    command_line.app.command("wait", context_settings=passing)(wait)
    command_line.main()
"""


@pytest.mark.parametrize(
    ("number", "closing_seconds", "code"),
    [
        (signal.SIGINT, "0", 130),
        (signal.SIGINT, "60", -signal.SIGINT),
        (signal.SIGTERM, "0", 130),
        (signal.SIGHUP, "60", -signal.SIGHUP),
    ],
)
def test_one_interrupt_ends_in_good_order_and_a_second_at_once(number, closing_seconds, code):
    run = [sys.executable, "-c", textwrap.dedent(WAITING), "wait", closing_seconds]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Whoever runs the tests may ignore the signal, as nohup does: children would too.
    with subprocess.Popen(
        run, **streams, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)
    ) as process:
        for said in ("waiting", "closing"):
            assert process.stdout.readline().strip() == said
            process.send_signal(number)
            if closing_seconds == "0":
                break
        _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert errors == ("interrupted\n" if code == 130 else "")


@pytest.mark.parametrize(
    "arguments", [["presets", "hybrid-lm", "--json"], ["presets", "hybrid-lm"]], ids=" ".join
)
def test_a_locale_of_few_characters_is_no_error(tmp_path, arguments):
    plain = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    run = [*NAS, "--home", str(tmp_path), *arguments]
    ended = subprocess.run(run, env=plain, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.isascii()
    if "--json" in arguments:
        fully = subprocess.run(run, env={**os.environ, "PYTHONUTF8": "1"}, capture_output=True, check=True)
        assert json.loads(ended.stdout) == json.loads(fully.stdout)

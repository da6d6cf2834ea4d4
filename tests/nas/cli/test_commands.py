"""Every command that asks, on a real service and a real store that holds one finished job."""

import csv
import io
import json
from contextlib import nullcontext

import pytest
import typer

from nas.cli.demo import DEMO_FAST
from nas.cli.main import app
from nas.client import connect
from nas.job import JobStatus, TargetProfile
from nas.objectives.value import Value
from nas.point import Point
from nas.spec import StageName, load_job_spec
from nas.stages.states import ProfileState
from nas.store import open_store
from searchspaces.architecture import Architecture, Layer


def architecture(*mixers: str) -> Architecture:
    return Architecture(256, 64, tuple(Layer(mixer, 2, "mlp", 2.0) for mixer in mixers))


@pytest.fixture
def job(nas, tmp_path) -> str:
    """Three points, two on the front: 2 ms at 2.9 bits per byte, 4 ms at 2.4."""
    spec = load_job_spec(DEMO_FAST)
    target = str(spec.targets[0].target())
    facts = [
        (architecture("linear", "none"), 2.9, 2.0, None, True),
        (architecture("window:32", "linear"), 2.4, 4.0, None, True),
        (architecture("softmax", "softmax"), 2.5, 9.0, "softmax-L2", False),
    ]
    points = [
        Point(
            digest=layers.digest,
            architecture=layers,
            validation=quality,
            test=quality + 0.05,
            values={
                ("parameters", None): Value(90_000.0),
                ("macs", None): Value(1_000_000.0),
                ("state_bytes", None): Value(4096.0),
                ("latency_ms", target): Value(measured * 1.02, 0.1, measured, 0.01),
            },
            preset=preset,
            on_front=on_front,
        )
        for layers, quality, measured, preset, on_front in facts
    ]
    store = open_store(tmp_path / "home")
    stored = store.create_job(spec)
    store.put_architectures(point.architecture for point in points)
    store.put_points(stored.id, points)
    store.set_job(stored.id, JobStatus.SUCCEEDED, None)
    store.close()
    return stored.id


def test_jobs_are_listed(nas, job):
    assert job in nas("jobs").out
    (listed,) = json.loads(nas("jobs", "--json").out)
    assert (listed["id"], listed["status"]) == (job, "succeeded")


def test_without_jobs_the_way_to_begin_is_told(nas):
    assert "nas demo" in nas("jobs").out
    assert json.loads(nas("jobs", "--json").out) == []


@pytest.mark.parametrize("name", ["latest", "demo-fast"])
def test_a_job_is_shown_with_its_spec_and_what_it_found(nas, job, name):
    shown = json.loads(nas("show", name, "--json").out)
    assert shown["id"] == job
    assert load_job_spec(shown["spec"]) == load_job_spec(DEMO_FAST)
    assert shown["points"] == {"evaluated": 3, "on_front": 2}
    assert "hybrid-lm-tiny" in nas("show", name).out


def test_the_front_as_a_table_has_its_members_then_the_presets(nas, job):
    lines = nas("front", "latest").out.splitlines()
    rows = [
        next(i for i, line in enumerate(lines) if number in line) for number in ("2.00±", "4.00±", "9.00±")
    ]
    assert rows == sorted(rows)
    assert "★ softmax-L2" in lines[rows[2]]


def test_the_front_as_json_and_csv_holds_every_point(nas, job):
    document = json.loads(nas("front", job, "--json").out)
    assert document == json.loads(nas("front", job, "--format", "json").out)
    assert document["job"] == job
    assert [point["on_front"] for point in document["points"]].count(True) == 2
    rows = list(csv.DictReader(io.StringIO(nas("front", job, "--format", "csv").out)))
    assert {row["digest"] for row in rows} == {point["digest"] for point in document["points"]}


def test_the_front_as_a_page_is_written_to_a_file(nas, job, tmp_path):
    answer = nas("front", job, "--format", "html", "--out", "deep/front.html")
    assert (answer.code, answer.out) == (0, "")
    assert "<!doctype html>" in (tmp_path / "deep" / "front.html").read_text()


def test_the_front_as_a_picture(nas, job):
    assert nas("front", job, "--format", "svg").out.startswith("<svg")


@pytest.mark.parametrize("until", ["profile", "train"])
def test_a_job_that_ends_before_its_search_answers_with_its_predictors(nas, tmp_path, until):
    spec = load_job_spec(DEMO_FAST).model_copy(update={"until": StageName(until)})
    assert spec.task is not None
    target = spec.targets[0].target()
    store = open_store(tmp_path / "home")
    job = store.create_job(spec).id
    profile = TargetProfile(target, "auto", 48, 16, 0.021, 1.0, 0.9, 0.993, 0.94)
    ProfileState({str(target): profile}).save(store, job, StageName.PROFILE)
    store.set_job(job, JobStatus.SUCCEEDED, None)
    store.close()
    answer = nas("resume", job)
    assert answer.code == 0, answer.err
    assert "2.1%" in answer.out
    assert "nas resume" not in answer.out
    assert json.loads(nas("resume", job, "--json").out)["profiles"] == [profile.to_dict()]
    said = nas("best", job)
    assert (said.code, f"nas show {job}" in said.err) == (3, True)
    assert "2.1%" in nas("show", job).out


@pytest.mark.parametrize("format", ["html", "svg"])
def test_a_job_without_points_cannot_be_drawn_and_says_so(nas, tmp_path, format):
    store = open_store(tmp_path / "home")
    store.create_job(load_job_spec(DEMO_FAST))
    store.close()
    answer = nas("front", "latest", "--format", format)
    assert (answer.code, answer.out) == (3, "")
    assert "nas show" in answer.err
    assert nas("front", "latest").code == 0


def test_bounds_that_nothing_meets_are_told_as_that(nas, job):
    asked = ("front", "latest", "--max", "latency_ms=0.1")
    for wanted in ([], ["--format", "svg"], ["--format", "csv"], ["--json"]):
        answer = nas(*asked, *wanted)
        assert (answer.code, answer.out) == (4, "")
        assert "none of the 3 architectures" in answer.err


def test_bounds_narrow_the_front(nas, job):
    document = json.loads(nas("front", job, "--max", "latency_ms=3", "--json").out)
    on_front = [point for point in document["points"] if point["on_front"]]
    assert [point["quality"]["validation"] for point in on_front] == [2.9]


@pytest.mark.parametrize(("bound", "quality"), [("latency_ms=3", 2.9), ("latency_ms=5", 2.4)])
def test_the_best_point_within_bounds(nas, job, bound, quality):
    best = json.loads(nas("best", job, "--max", bound, "--json").out)
    assert best["quality"]["validation"] == quality
    shown = nas("best", job, "--max", bound).out
    assert best["digest"] in shown


def test_a_bound_that_nothing_meets_names_the_nearest(nas, job):
    answer = nas("best", job, "--max", "latency_ms=1")
    assert answer.code == 4
    assert "error:" in answer.err
    assert architecture("linear", "none").digest[:8] in answer.err


@pytest.mark.parametrize("bound", ["latency_ms", "latency_ms=soon", "latency_ms=-3", "=3", "latency_ms=nan"])
def test_a_bound_of_another_form_is_refused(nas, job, bound):
    answer = nas("front", job, "--max", bound)
    assert answer.code == 2
    assert "NAME=VALUE" in answer.err


@pytest.mark.parametrize("command", [["front"], ["best"], ["extract", "--out", "model"]])
def test_a_bound_from_the_wrong_side_says_which_option_is_right(nas, job, command):
    for bound in ("latency_ms=3", "bits_per_byte=2.5"):
        answer = nas(*command, job, "--min", bound)
        assert answer.code == 2
        assert f"--max {bound}" in answer.err
        twice = nas(*command, job, "--min", bound, "--max", bound)
        assert "bounded twice" in twice.err


def test_a_metric_is_bounded_by_its_own_name(nas, job):
    best = json.loads(nas("best", job, "--max", "bits_per_byte=2.95", "--max", "latency_ms=3", "--json").out)
    assert best["quality"]["validation"] == 2.9
    assert nas("best", job, "--max", "bits_per_byte=2.5", "--max", "latency_ms=3").code == 4


def test_a_bound_on_something_else_names_what_is_accepted(nas, job):
    answer = nas("best", job, "--max", "price=3")
    assert answer.code == 2
    assert "latency_ms" in answer.err


def test_no_such_job_is_a_clear_error_without_a_traceback(nas, job):
    answer = nas("front", "nothing-like-it")
    assert answer.code == 3
    assert answer.out == ""
    assert "Traceback" not in answer.err


def test_to_a_program_an_error_is_json_too(nas, job):
    answer = nas("front", "nothing-like-it", "--format", "json")
    document = json.loads(answer.err)
    assert (document["error"], document["exit_code"]) == ("NoSuchJob", 3)


@pytest.mark.parametrize(
    ("arguments", "where", "told"),
    [
        (["front", "latest", "--nope"], "nas front", "--nope"),
        (["search"], "nas search", "JOB.yaml"),
        (["nosuch"], "nas", "nosuch"),
        (["front", "latest", "--format", "nosuch"], "nas front", "--format"),
        (["bench", "search", "--seeds", "0"], "nas bench search", "--seeds"),
        (["measurements", "--nope"], "nas measurements list", "--nope"),
        (["token"], "nas token", "--json"),
        (["--debug", "front", "latest", "--nope"], "nas front", "--nope"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_to_a_program_what_is_wrong_with_a_command_line_is_json_too(nas, arguments, where, told):
    answer = nas(*arguments, "--json")
    document = json.loads(answer.err)
    assert (answer.code, answer.out) == (2, "")
    assert (document["error"], document["exit_code"]) == ("InvalidSpec", 2)
    (problem,) = document["problems"]
    assert problem["path"] == where
    assert told in problem["message"]
    assert "╭" in nas(*arguments).err or arguments == ["token"], "to people it is a box, with the usage"


def test_to_a_program_an_interruption_is_json_too(nas, monkeypatch):
    def interrupted(context):
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.cli.jobs.open_client", interrupted)
    answer = nas("jobs", "--json")
    assert (answer.code, json.loads(answer.err)["error"]) == (130, "JobInterrupted")


def test_a_file_with_several_mistakes_gets_them_all_and_nothing_is_written(nas, tmp_path):
    (tmp_path / "job.yaml").write_text(
        "space: nowhere\ntask: nothing\ntargets: [{threads: 1}]\nobjectives: [speed]\nseed: 1\n"
    )
    answer = nas("search", "job.yaml", "--json")
    document = json.loads(answer.err)
    assert answer.code == document["exit_code"] == 2
    assert {problem["path"].split(".")[0] for problem in document["problems"]} >= {
        "space",
        "task",
        "objectives",
    }
    assert json.loads(nas("jobs", "--json").out) == []
    told = nas("search", "job.yaml").err
    assert all(problem["message"].split(";")[0] in " ".join(told.split()) for problem in document["problems"])


def test_a_space_that_is_none_is_told_as_it_was_written(nas, tmp_path):
    (tmp_path / "job.yaml").write_text("{space: mixd-lm-tiny, task: text, targets: [{}]}")
    for arguments in (["search", "job.yaml"], ["presets", "mixd-lm-tiny"]):
        (problem,) = json.loads(nas(*arguments, "--json").err)["problems"]
        assert problem["path"] == "space"
        assert problem["message"].startswith(
            "no space 'mixd-lm-tiny'; did you mean mixed-lm-tiny? accepted: "
        )
    assert "error: space: no space 'deep/none.yaml'; accepted: " in nas("presets", "deep/none.yaml").err


def test_every_command_that_ends_answers_as_json():
    def commands(group, path=()):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from commands(command, (*path, name))
            else:
                yield (*path, name), {option for parameter in command.params for option in parameter.opts}

    without = {path for path, options in commands(typer.main.get_command(app)) if "--json" not in options}
    assert without == {("phone",), ("serve",), ("web",), ("worker",)}


def test_the_version_is_one_line(nas):
    answer = nas("--version")
    assert (answer.code, answer.out) == (
        0,
        f"nas {json.loads(nas('version', '--json').out)['nas-service']}\n",
    )


def test_a_missing_file_is_named(nas):
    answer = nas("search", "nowhere.yaml")
    assert answer.code == 2
    assert "nowhere.yaml" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [[], ["--digest", "abc", "--max", "latency_ms=3"], ["--digest", ""], ["--digest", "", "--json"]],
)
def test_extract_wants_a_digest_or_bounds(nas, job, arguments):
    answer = nas("extract", job, "--out", "model", *arguments)
    assert answer.code == 2
    assert "--digest" in answer.err


def test_a_traceback_shows_only_when_asked_for(nas, job, monkeypatch):
    with pytest.raises(Exception, match="nothing-like-it"):
        nas("--debug", "front", "nothing-like-it")


def test_what_there_is(nas):
    assert "hybrid-lm" in [space["name"] for space in json.loads(nas("spaces", "--json").out)]
    assert "hybrid-lm" in nas("spaces").out
    assert "text" in [task["name"] for task in json.loads(nas("tasks", "--json").out)]
    assert "bits_per_byte" in nas("tasks").out
    assert "softmax" in [mixer["name"] for mixer in json.loads(nas("mixers", "--json").out)]
    assert "performer:directions" in nas("mixers").out
    presets = json.loads(nas("presets", "hybrid-lm", "--json").out)
    assert all(f"★ {preset['name']}" in nas("presets").out for preset in presets[:1])
    assert nas("presets", "nowhere").code == 2
    assert "torch" in json.loads(nas("version", "--json").out)


CATALOGUE = [["spaces"], ["tasks"], ["presets"], ["presets", "mixed-lm"], ["mixers"], ["plugins"]]


@pytest.mark.parametrize("arguments", CATALOGUE, ids=" ".join)
def test_listing_what_is_installed_leaves_nothing_behind(nas, tmp_path, arguments):
    (tmp_path / "home").write_text("no folder can be made here")
    assert nas(*arguments, "--json").code == 0
    assert nas(*arguments).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize(("noun", "asked"), [("spaces", []), ("tasks", []), ("presets", ["mixed-lm"])])
def test_what_is_installed_is_what_a_service_lists(nas, tmp_path, monkeypatch, noun, asked):
    here = json.loads(nas(noun, *asked, "--json").out)
    with connect(home=tmp_path / "other") as client:
        assert here == json.loads(json.dumps(getattr(client, noun)(*asked)))

        def opened(context):
            return nullcontext(client)

        monkeypatch.setattr("nas.cli.catalogue.open_client", opened)
        monkeypatch.setattr(client, noun, lambda *_: here[:1])
        assert json.loads(nas("--server", "elsewhere:7070", noun, *asked, "--json").out) == here[:1]


def test_a_reader_that_goes_away_is_no_error(nas, job):
    import subprocess
    import sys
    from pathlib import Path

    program = Path(sys.executable).parent / "nas"
    result = subprocess.run(
        f"{program} front {job} --json | head -c 10", shell=True, capture_output=True, text=True, timeout=60
    )
    assert result.stdout == '{\n  "job":'[:10]
    assert result.stderr == ""

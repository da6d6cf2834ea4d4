"""What a bad job file gets: one message that names it, says what is wrong and what is accepted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from nas.errors import InvalidSpec
from nas.planning.limits import Limits
from nas.service.running.embedded import EmbeddedService
from nas.store import open_store

GOOD: dict[str, Any] = {
    "space": {
        "name": "small",
        "width": [32],
        "depth": [1, 2],
        "context": 64,
        "layer": {"mixer": ["softmax", "linear"], "heads": [2], "ratio": [1, 2]},
    },
    "task": {"name": "recall"},
    "targets": [{"device": "laptop"}],
}

TEXTS: dict[str, tuple[str, str]] = {
    "empty": ("", "job.yaml' holds nothing; accepted: a job"),
    "a list": ("- space: x\n- task: y\n", "job.yaml' holds a list of 2; accepted: a job"),
    "a word": ("hello", "job.yaml' holds 'hello'; accepted: a job"),
    "one syntax error": ("space: [a, b\ntask: text\n", "job.yaml' is not YAML: .* line 2, column 5"),
    "a tab": ("space:\n\tname: x\n", r"is not YAML: .* line 2, column 1"),
    "a key twice": ("seed: 1\nspace: a\nseed: 2\n", "'seed' appears twice, line 3, column 1"),
    "an alias to itself": ("&r\nname: x\nspace: *r\n", "it contains itself by an alias"),
    "a list that holds itself": ("space: &a [*a]\n", "it contains itself by an alias"),
    "aliases of aliases": (
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(
            f"{y}: &{y} [{','.join([f'*{x}'] * 10)}]\n" for x, y in zip("abcdef", "bcdefg", strict=True)
        ),
        "more than 100000 values",
    ),
    "nested deeply": ("space: " + "[" * 200 + "]" * 200, "more than 64 levels of nesting"),
    "nested without end": ("space: " + "[" * 100_000, "job.yaml' is not YAML"),
    "an object of Python": ("space: !!python/object:os.system x\n", "is not YAML: could not determine"),
    "an anchor that is none": ("space: *nobody\n", "found undefined alias 'nobody'|undefined alias"),
    "a control character": ("space: \x07\n", "is not YAML: .*special characters"),
    "no end of digits": (f"seed: {'9' * 6000}\n", "is not YAML|Exceeds"),
    "too long": ("# " + "x" * (1 << 20), "more than 1048576 bytes"),
}

FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "true for a number of heads": (
        {"space.layer.heads": [True]},
        "heads.0: .*true and false are not numbers; accepted: a number",
    ),
    "true for a ratio": ({"space.layer.ratio": [True]}, "ratio.0: .*true and false are not numbers"),
    "true for a seed": ({"seed": True}, "seed: .*true and false are not numbers"),
    "true for a bound": (
        {"bounds": {"latency_ms": True}},
        "bounds.latency_ms: .*true and false are not numbers",
    ),
    "true for steps": ({"budget": {"train": {"steps": True}}}, "steps: .*true and false are not numbers"),
    "a window of ten quintillion": (
        {"space.layer.mixer": ["window:10000000000000000000"]},
        "window 10+; accepted: 1 to",
    ),
    "a window of a billion": (
        {"space.layer.mixer": ["window:1000000000"]},
        "window 1000000000; accepted: 1 to",
    ),
    "sparse blocks of a billion": (
        {"space.layer.mixer": ["sparse:1000000000,1"]},
        "1000000000; accepted: 1 to",
    ),
    "a ratio of 1e300": ({"space.layer.ratio": [1e300]}, "ratio.0: .*less than or equal to 1024"),
    "a width of a billion": ({"space.width": [10**9]}, "width.0: .*less than or equal to"),
    "a depth of a million": ({"space.depth": [10**6]}, "depth 1000000; accepted: at most 4096"),
    "a bound that is no number": ({"bounds": {"latency_ms": float("nan")}}, "nan is not a finite number"),
    "no path": ({"task": {"name": "text", "path": []}}, "task.path: .*at least 1 item"),
    "a path that is too long": (
        {"task": {"name": "text", "path": "a" * 4000}},
        "task.path.0: .*File name too long",
    ),
    "a path of 100 KB": (
        {"task": {"name": "text", "path": "a" * 100_000}},
        "task.path: a text of 100000 characters; accepted: at most 4096",
    ),
    "a mixer of 100 KB": (
        {"space.layer.mixer": ["m" * 100_000]},
        "space.layer.mixer.0: a text of 100000 characters; accepted: at most 4096",
    ),
    "a key of 100 KB": (
        {"budget": {"k" * 100_000: 1}},
        "budget: a name is a text of 100000 characters; accepted: at most 4096",
    ),
    "a device of a long name": (
        {"targets": [{"device": "d" * 101}]},
        "targets.0.device: .* at most 100 characters",
    ),
    "a space of a long name": ({"space.name": "s" * 101}, "space.name: .* at most 100 characters"),
    "a device as text": ({"task": {"name": "text", "path": "/dev/zero"}}, "/dev/zero is not a regular file"),
    "links in a circle": ({"task": {"name": "text", "path": "LOOP"}}, "task.path.0: "),
    "a FIFO as text": ({"task": {"name": "text", "path": "FIFO"}}, "is not a regular file"),
    "more at least than at most": (
        {"budget": {"profile": {"measurements": 4, "minimum": 9}}},
        "budget.profile: .*minimum 9 is above measurements 4; accepted: at most that",
    ),
    "too many options together": (
        {
            "space.layer.mixer": [f"window:{n}" for n in range(1, 257)],
            "space.width": list(range(4, 1028, 4)),
            "space.layer.heads": [1, 2],
        },
        "131072 combinations; accepted: at most 100000",
    ),
    "a large whole of parts in bounds": (
        {"space.width": [32768], "space.depth": [64], "space.layer.heads": [8]},
        r"the job takes [\d.]+ TiB of memory: .* for the supernet, .* accepted: at most 2 GiB",
    ),
    "more tokens than fit": (
        {"task": {"name": "recall", "evaluation_tokens": 10**9}},
        "evaluations read; accepted: at most 2 GiB",
    ),
    "a mask that does not fit": (
        {"targets": [{"device": "laptop", "tokens": 2**20}]},
        "TiB for the largest mask",
    ),
    "more tokens than are read in a life": (
        {"budget": {"train": {"steps": 2**31 - 1, "batch": 64}}},
        "finalists read 8.8e.12 tokens; accepted: at most 1e.12",
    ),
}


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    document = yaml.safe_load(yaml.safe_dump(GOOD))
    for path, value in changes.items():
        *above, key = path.split(".")
        within = document
        for step in above:
            within = within[step]
        within[key] = value
    return document


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("home")
    with EmbeddedService(home, limits=Limits(memory_bytes=2 << 30)) as service:
        yield service
        assert service.jobs() == []


def the_one_message(service: EmbeddedService, file: Path | dict[str, Any]) -> str:
    with pytest.raises(InvalidSpec) as refused:
        service.submit(file)
    (problem,) = refused.value.problems
    assert "\n" not in str(problem)
    return str(problem)


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_that_is_no_job(service: EmbeddedService, tmp_path: Path, case: str) -> None:
    text, message = TEXTS[case]
    file = tmp_path / "job.yaml"
    file.write_text(text)
    assert pytest.RaisesGroup is not None
    import re

    assert re.search(message, the_one_message(service, file))


@pytest.mark.parametrize("case", FIELDS)
def test_a_field_that_cannot_be(
    service: EmbeddedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    (tmp_path / "LOOP").symlink_to("LOOP")
    os.mkfifo(tmp_path / "FIFO")
    changes, message = FIELDS[case]
    assert re.search(message, the_one_message(service, changed(changes)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.yaml", "cannot read 'nowhere.yaml': No such file"),
        ("folder", "cannot read 'folder': Is a directory"),
        ("LOOP", "cannot read 'LOOP': Too many levels of symbolic links"),
        ("a" * 300, "File name too long"),
        ("bytes.yaml", "cannot read 'bytes.yaml': byte 0 is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read(
    service: EmbeddedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "LOOP").symlink_to("LOOP")
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    assert message in the_one_message(service, Path(name))


def test_a_mapping_that_holds_itself(service: EmbeddedService) -> None:
    document = changed({})
    document["space"]["layer"]["mixer"] = document
    assert "more than 64 levels of nesting" in the_one_message(service, document)


def test_mistakes_of_form_and_of_names_come_in_one_answer(service: EmbeddedService) -> None:
    document = changed({"seed": "x", "targets": [{"device": "laptop", "runtime": "tarot"}]})
    document["budget"] = {"search": {"strategy": "luck"}}
    with pytest.raises(InvalidSpec) as refused:
        service.submit(document)
    assert {p.path for p in refused.value.problems} == {"seed", "targets.0.runtime", "budget.search.strategy"}


def test_nothing_was_written(tmp_path: Path) -> None:
    """Not even where what is wrong is found last."""
    with EmbeddedService(tmp_path, limits=Limits(tokens=1)) as service:
        assert "tokens; accepted: at most 1" in the_one_message(service, changed({}))
    store = open_store(tmp_path)
    assert store.jobs() == []
    store.close()

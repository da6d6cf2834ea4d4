"""What a job that starts from a pretrained model is refused for at submission: named, and nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from random_models import TEXT
from safetensors.torch import load_file, save_file

import nas
from nas.client import Client
from nas.errors import InvalidSpec
from nas.planning.start import beginning
from nas.spec import load_job_spec
from nas.spec.budgets import FAST, HEAL, Budget, FinalistBudget
from nas.spec.job import FAST_TOKENS
from searchspaces.documents import LONGEST_NAME

SPEC: dict[str, Any] = {
    "start": {"model": "model"},
    "space": {"mixer": ["keep", "window:8,2", "none"], "ratio": [1, 0.5]},
    "task": {"name": "text", "path": ["text.txt"], "evaluation_tokens": 128},
    "targets": [{"tokens": 64}],
    "objectives": ["quality", "latency_ms", "weight_bytes"],
}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no folder": ({"start": {"model": "nowhere"}}, r"start\.model: .*nowhere' has no config\.json"),
    "a prompt too long": (
        {"targets": [{"tokens": 64}, {"tokens": 512}]},
        r"targets\.1\.tokens: 512 .*1 to 256",
    ),
    "a context too long": (
        {"targets": [{"phase": "decode", "tokens": 257}]},
        r"targets\.0\.tokens: 257 .*accepted: 1 to 256",
    ),
    "sequences too long": (
        {"task": {**SPEC["task"], "evaluation_context": 300}},
        r"task\.evaluation_context: .*accepted: 1 to 256",
    ),
    "a space by name": ({"space": "hybrid-lm"}, "space: 'hybrid-lm'; accepted with a start: mixer, heads"),
    "genes of its own": (
        {"space": {"depth": [2]}},
        r"space\.depth: is the parent's; accepted: mixer, heads, ratio",
    ),
    "no options": ({"space": {"mixer": []}}, r"space\.mixer: \[\]; accepted: a list of options"),
    "an unknown mixer": ({"space": {"mixer": ["flash"]}}, "no mixer 'flash'"),
    "more than all units": ({"space": {"ratio": [1, 1.5]}}, r"space\.ratio\.1: 1\.5 .*accepted: a share"),
    "less than a group": (
        {"space": {"heads": [1, 0.1]}},
        r"space\.heads\.1: 0\.1 .*2 groups; accepted: 1/2 to 1",
    ),
    "more than all groups": ({"space": {"heads": [1e308]}}, r"space\.heads\.0: 1e\+308 .*accepted: 1/2 to 1"),
    "heads in words": ({"space": {"heads": ["half"]}}, r"space\.heads\.0: 'half'; accepted: a share"),
    "a share in words": ({"space": {"ratio": ["half"]}}, r"space\.ratio\.0: 'half'; accepted: a share"),
    "a mixer of as many values as heads": (
        {"space": {"mixer": ["lsh:8,2"]}},
        r"space\.layer\.mixer\.1: mixer lsh:8,2 has keys and values of every head.*accepted: cosine",
    ),
    "other tokens": ({"task": {"name": "recall"}}, r"task\.name: recall has tokens of its own"),
    "a bound below all": (
        {"bounds": {"weight_bytes": "1%"}},
        r"bounds\.weight_bytes: no architecture of model meets it; the nearest has weight_bytes",
    ),
    "a bound of nothing": ({"bounds": {"latency_ms": "0%"}}, r"bounds\.latency_ms: .*above 0%"),
    "a share of quality": ({"bounds": {"quality": "90%"}}, r"bounds\.quality: 90% of the parent's quality"),
    "no budget": ({"budget": {"heal": 3}}, r"budget\.finalists: .*dictionary"),
    "two budgets of one": ({"budget": {"heal": {}, "finalists": {}}}, "both heal and finalists"),
}


@pytest.fixture
def client(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(llama, "model")
    Path("text.txt").write_text(TEXT)
    with nas.connect(home="home") as connected:
        yield connected


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_searched_is_named_at_submission(what: str, client: Client) -> None:
    change, words = WRONG[what]
    with pytest.raises(InvalidSpec, match=words):
        client.submit({**SPEC, **change})
    assert not client.jobs()


def test_a_model_of_another_family_is_refused_before_anything_is_written(client: Client) -> None:
    path = Path("model/config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "mamba"}))
    with pytest.raises(InvalidSpec, match=r"start\.model\.model_type: 'mamba' is not read; accepted: llama"):
        client.submit(SPEC)
    assert not client.jobs()


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (None, r"start\.model\.model\.norm\.weight: is missing"),
        (torch.ones(3), r"norm\.weight: has shape \(3,\), not \(48,\)"),
        (torch.ones(48, dtype=torch.int8), r"norm\.weight: is of type I8, quantised"),
        (torch.full((48,), torch.nan), r"norm\.weight: has values that are not finite"),
    ],
)
def test_wrong_weights_are_refused_before_anything_is_measured(
    client: Client, weight: torch.Tensor | None, words: str
) -> None:
    weights = load_file("model/model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights | ({} if weight is None else {"model.norm.weight": weight}), "model/model.safetensors")
    with pytest.raises(InvalidSpec, match=words):
        client.submit(SPEC)
    assert not client.jobs()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Llama-3.2-1B", "Llama-3.2-1B"),
        ("a b (v2)", "a-b-v2"),
        ("模型", "pretrained"),
        ("m" * 120, "m" * LONGEST_NAME),
    ],
)
def test_any_folder_gives_a_model_its_one_name(folder: str, name: str, client: Client) -> None:
    Path("model").rename(folder)
    spec = client.submit({**SPEC, "start": {"model": folder}}).spec
    assert spec.space_name == beginning(spec).space.name == name


@pytest.mark.parametrize("name", ["heal", "finalists"])
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, HEAL),
        ({}, HEAL),
        ({"steps": 7}, {**HEAL, "steps": 7}),
        ({"start": "scratch", "count": 1}, {"start": "scratch", "count": 1}),
    ],
)
def test_finalists_are_called_either(name: str, said: Any, meant: dict[str, Any]) -> None:
    budget = load_job_spec({**SPEC, "budget": {name: said}}).budget
    assert budget.finalists == FinalistBudget.model_validate(meant)


def test_another_digest_follows_from_other_weights(client: Client) -> None:
    first = client.submit(SPEC)
    weights = load_file("model/model.safetensors")
    weights["model.norm.weight"] += torch.ones(48)
    save_file(weights, "model/model.safetensors")
    second = client.submit(SPEC)
    assert first.spec.start is not None
    assert second.spec.start is not None
    assert first.spec.start.digest != second.spec.start.digest


def test_a_first_look_spends_little_and_no_more_than_the_file_says(client: Client) -> None:
    looked = client.submit(SPEC, fast=True).spec
    assert looked.budget == looked.budget.fast() == Budget().fast()
    assert looked.budget.search.evaluations == FAST["search"]["evaluations"] < Budget().search.evaluations
    less = {**SPEC, "budget": {"search": {"evaluations": 3}}, "task": {"name": "text", "path": ["text.txt"]}}
    looked = client.submit(less, fast=True).spec
    assert looked.budget.search.evaluations == 3
    assert looked.task is not None
    assert looked.task.model_extra is not None
    assert looked.task.model_extra["evaluation_tokens"] == FAST_TOKENS
    assert client.submit(SPEC).spec.budget == Budget()

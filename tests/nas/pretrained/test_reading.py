"""Reading pretrained models: their logits, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from random_models import KINDS, write_model, write_tokenizer
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from nas.errors import InvalidSpec
from nas.pretrained import read_parent
from nas.pretrained.reading import check_tokenizer, read_model
from nas.pretrained.terms import from_theirs, to_theirs


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    model = write_model(kind, tmp_path / kind)
    submodel = read_model(read_parent(tmp_path / kind))
    tokens = torch.randint(300, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(tokens).logits
        assert expected.std() > 0.1
        torch.testing.assert_close(submodel(tokens), expected, atol=1e-3, rtol=0)


def test_half_precision_is_read(tmp_path: Path) -> None:
    write_model("llama", tmp_path / "m", torch.bfloat16)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=torch.float32)
    submodel, tokens = read_model(read_parent(tmp_path / "m")), torch.arange(20)[None]
    with torch.inference_mode():
        torch.testing.assert_close(submodel(tokens), model(tokens).logits, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_terms_lead_back_to_the_same_weights(kind: str, tmp_path: Path) -> None:
    model = write_model(kind, tmp_path / kind)
    parent = read_parent(tmp_path / kind)
    theirs = model.state_dict()
    own = from_theirs(parent.architecture, parent.epsilon, theirs.__getitem__)
    back = to_theirs(parent.architecture, parent.epsilon, own)
    assert theirs.keys() - {"lm_head.weight"} <= back.keys()
    for name, value in back.items():
        torch.testing.assert_close(value, theirs[name], atol=1e-6, rtol=1e-6)


def test_the_digest_is_of_the_weights(llama: Path, tmp_path: Path) -> None:
    digest = read_parent(llama).digest
    copied = Path(shutil.copytree(llama, tmp_path / "copied"))
    assert read_parent(copied).digest == digest
    weights = load_file(copied / "model.safetensors")
    weights["model.norm.weight"][0] += 1
    save_file(weights, copied / "model.safetensors")
    assert read_parent(copied).digest != digest


FIELDS = ("use_sliding_window", "sliding_window", "max_window_layers", "layer_types")
USED: dict[str, Any] = {"use_sliding_window": True, "sliding_window": 7}


@pytest.mark.parametrize(
    ("kind", "said", "mixer"),
    [
        ("mistral", {}, "window:4096"),
        ("mistral", {"sliding_window": None}, "softmax"),
        ("mistral", {"sliding_window": 9}, "window:9"),
        ("mistral", {"sliding_window": 9, "use_sliding_window": False}, "window:9"),
        *(
            (kind, said, mixer)
            for kind in ("qwen2", "qwen3")
            for said, mixer in (
                ({}, "softmax"),
                ({"sliding_window": 7}, "softmax"),
                ({"sliding_window": 7, "max_window_layers": 0}, "softmax"),
                ({"use_sliding_window": True, "max_window_layers": 0}, "window:4096"),
                (USED, "softmax"),
                ({**USED, "max_window_layers": 4}, "softmax"),
                ({**USED, "max_window_layers": 0}, "window:7"),
                ({**USED, "layer_types": ["sliding_attention"] * 4}, "window:7"),
                ({**USED, "max_window_layers": 0, "layer_types": ["full_attention"] * 4}, "softmax"),
            )
        ),
    ],
)
def test_windows_are_where_transformers_has_them(kind: str, said: Any, mixer: str, tmp_path: Path) -> None:
    write_model(kind, tmp_path, max_position_embeddings=8192)
    _config(tmp_path, FIELDS, **said)
    config = AutoConfig.from_pretrained(tmp_path)
    layers = set(getattr(config, "layer_types", ["sliding_attention"]))
    theirs = config.sliding_window if layers == {"sliding_attention"} else None
    assert mixer == ("softmax" if theirs is None else f"window:{theirs}")
    assert read_parent(tmp_path).mixer == mixer


def test_layers_do_not_differ_within_a_window_of_the_whole_context(tmp_path: Path) -> None:
    write_model("qwen2", tmp_path, use_sliding_window=True, sliding_window=256, max_window_layers=2)
    assert read_parent(tmp_path).mixer == "softmax"
    _config(tmp_path, FIELDS, **{**USED, "sliding_window": 256, "max_window_layers": 2})
    assert read_parent(tmp_path).mixer == "softmax"


@pytest.mark.parametrize(
    ("kind", "said", "words"),
    [
        ("qwen2", {**USED, "max_window_layers": 2}, "max_window_layers: 2 of 4 layers attend to everything"),
        ("qwen3", {**USED, "max_window_layers": 2}, "max_window_layers: 2 of 4 layers attend to everything"),
        ("qwen2", {**USED, "max_window_layers": "2"}, "max_window_layers: '2' is not read; accepted"),
        ("qwen2", {**USED, "sliding_window": "7"}, "sliding_window: '7' is not read; accepted: a count, or"),
        ("qwen2", {**USED, "layer_types": ["full_attention"]}, "layer_types: .*alone, for 4 layers"),
        ("qwen2", {**USED, "layer_types": 4}, "layer_types: 4 is not read"),
        ("qwen2", {"layer_types": ["sliding_attention"] * 4}, "where qwen2 has full_attention; accepted"),
        ("mistral", {"layer_types": ["full_attention"] * 4}, "where mistral has sliding_attention; accepted"),
        ("llama", {"sliding_window": 7}, "sliding_window: 7, but a llama has no window; accepted: null"),
    ],
)
def test_a_window_of_some_layers_or_of_no_meaning_is_named(
    kind: str, said: Any, words: str, tmp_path: Path
) -> None:
    write_model(kind, tmp_path, max_position_embeddings=8192)
    _config(tmp_path, FIELDS, **said)
    with pytest.raises(InvalidSpec, match=words):
        read_parent(tmp_path)


@pytest.mark.parametrize("size", ["40KB", "1GB"])
def test_weights_of_another_program_may_lie_beside_those_that_are_read(size: str, tmp_path: Path) -> None:
    """As Mistral's own `consolidated.safetensors` beside the shards, or the file, of `transformers`."""
    model = write_model("mistral", tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "m", max_shard_size=size)
    assert (tmp_path / "m" / "model.safetensors.index.json").is_file() == (size == "40KB")
    save_file({"tok_embeddings.weight": torch.ones(3)}, tmp_path / "m" / "consolidated.safetensors")
    submodel, tokens = read_model(read_parent(tmp_path / "m")), torch.arange(20)[None]
    with torch.inference_mode():
        torch.testing.assert_close(submodel(tokens), model(tokens).logits, atol=1e-3, rtol=0)


def test_the_digest_is_of_all_safetensors_as_it_was(llama: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(llama, tmp_path / "copied"))
    shutil.copy(copied / "model.safetensors", copied / "model.again.safetensors")
    parent = read_parent(copied)
    said = {name: value for name, value in parent.config.items() if value is not None}
    expected = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in ("model.again.safetensors", "model.safetensors"):
        expected.update(name.encode() + (copied / name).read_bytes())
    assert parent.digest == expected.hexdigest()[:16] != read_parent(llama).digest


def test_the_digest_is_not_of_nulls(llama: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(llama, tmp_path / "copied"))
    _config(copied, sliding_window=None)
    assert read_parent(copied).digest == read_parent(llama).digest
    _config(copied, rms_norm_eps=1e-4)
    assert read_parent(copied).digest != read_parent(llama).digest


def _config(folder: Path, without: Collection[str] = (), **changes: Any) -> None:
    path = folder / "config.json"
    said = json.loads(path.read_text()) | changes
    kept = {name: value for name, value in said.items() if name in changes or name not in without}
    path.write_text(json.dumps(kept))


def _weights(folder: Path, change: Any) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def _index(folder: Path, text: str) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(text)


NAN = torch.full((48,), float("nan"))
WRONG: dict[str, tuple[Any, str]] = {
    "family": (lambda f: _config(f, model_type="gpt2"), "model_type: 'gpt2' is not read; accepted: llama"),
    "quantised": (lambda f: _config(f, quantization_config={"bits": 4}), "quantised weights are not read"),
    "activation": (lambda f: _config(f, hidden_act="gelu"), "'gelu' is not read; accepted: silu"),
    "context": (lambda f: _config(f, max_position_embeddings="8k"), "max_position_embeddings: '8k' is not"),
    "rotary": (lambda f: _config(f, rope_parameters={"rope_type": "yarn"}), "'yarn' is not read"),
    "layers": (
        lambda f: _config(f, layer_types=["full_attention", "sliding_attention"] * 2),
        "layer_types: .*alone",
    ),
    "missing": (lambda f: _weights(f, lambda w: w.pop("model.norm.weight")), "model.norm.weight: is missing"),
    "shape": (
        lambda f: _weights(f, lambda w: w.update({"model.norm.weight": torch.ones(3)})),
        r"model.norm.weight: has shape \(3,\), not \(48,\)",
    ),
    "unknown": (lambda f: _weights(f, lambda w: w.update(extra=torch.ones(3))), "extra: is not a tensor"),
    "int8": (
        lambda f: _weights(f, lambda w: w.update({"model.norm.weight": torch.ones(48, dtype=torch.int8)})),
        "type I8, quantised",
    ),
    "nan": (lambda f: _weights(f, lambda w: w.update({"model.norm.weight": NAN})), "not finite"),
    "pickle": (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "which may run code"),
    "cut": (lambda f: (f / "model.safetensors").write_bytes(b"\x20" * 40), "cannot be read"),
    "index": (lambda f: _index(f, "{}"), "index.json cannot be read .*accepted: a weight_map"),
    "shards": (lambda f: _index(f, '{"weight_map": {"a": "../b", "c": 1}}'), "index.json lists ../b, 1; acc"),
    "config": (lambda f: (f / "config.json").write_text("{"), "has no config.json"),
    "vocabulary": (
        lambda f: write_tokenizer(f, 400),
        "the tokenizer has 400 tokens, the model's vocabulary 320",
    ),
    "tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json cannot be read"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_read_is_named(what: str, llama: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(llama, tmp_path / "wrong"))
    change, words = WRONG[what]
    change(folder)
    with pytest.raises(InvalidSpec, match=words):
        _read_all(folder)


def _read_all(folder: Path) -> None:
    parent = read_parent(folder)
    check_tokenizer(parent)
    read_model(parent)

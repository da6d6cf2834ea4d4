"""Folders that `transformers` loads, in processes that cannot import this project."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from random_models import write_model
from transformers import AutoConfig, AutoModelForCausalLM

from nas.errors import InvalidSpec
from nas.export import BlockLibrary, write_model_folder
from nas.export.convert import convert_model_folder
from nas.export.shipped import EXTEND
from nas.pretrained import Parent, read_parent
from nas.pretrained.folder import generation_config, tokenizer_files
from nas.pretrained.reading import read_model
from searchspaces.architecture import Architecture
from searchspaces.submodel import Submodel
from searchspaces.supernet import Supernet
from workers.runtimes.onnx_states import NEXT, POSITION, STATE
from workers.target import Phase, Target, Workload

LOADED = """
import json, sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("nas", "searchspaces", "predictors", "workers"):
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = sys.argv[1]
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
tokens = torch.arange(5, 29)[None]
with torch.inference_mode():
    whole = model(tokens).logits
    first = model(tokens[:, :9], use_cache=True)
    cached = [first.logits]
    for at in (slice(9, 10), slice(10, 17), slice(17, 24)):
        first = model(tokens[:, at], cache=first.cache, use_cache=True)
        cached.append(first.logits)
    text = tokenizer("the quick brown", return_tensors="pt").input_ids
    greedy = model.generate(text, max_new_tokens=64, do_sample=False, eos_token_id=None)
    again = model.generate(text, max_new_tokens=64, do_sample=False, eos_token_id=None, use_cache=False)
print(json.dumps({
    "logits": whole.flatten().tolist(), "cached": (torch.cat(cached, 1) - whole).abs().max().item(),
    "prompt": text[0].tolist(), "greedy": greedy[0].tolist(), "again": again[0].tolist(),
    "text": tokenizer.decode(greedy[0]),
}))
"""


GREEDY = 64
"""Tokens that everything which generates must agree on."""

DECODING = Target("here", workload=Workload(Phase.DECODE, tokens=64))


def _converted(parent: Parent, submodel: Submodel, folder: Path) -> dict[str, Any]:
    facts = {
        "parent": {
            "mixer": parent.mixer,
            "epsilon": parent.epsilon,
            "config": dict(parent.config),
            "generation": generation_config(parent.folder),
        },
    }
    tokenizer = tokenizer_files(parent.folder)
    write_model_folder(
        submodel, folder / "model", facts, BlockLibrary(), tokenizer=tokenizer, targets=[DECODING]
    )
    return convert_model_folder(folder / "model", folder / "out", "hf")


def _cut(parent: Parent, mixers: list[str], cut: Any) -> tuple[Submodel, Architecture]:
    space = parent.space(mixers, [1, 0.5, 0], groups=[1, 0.5])
    torch.manual_seed(0)
    supernet = Supernet(space)
    supernet.load_state_dict(read_model(parent).state_dict(), strict=False)
    architecture = cut(space.first)
    return supernet.extract(architecture).eval(), architecture


def test_a_process_without_this_project_generates_text(llama: Path, tmp_path: Path) -> None:
    parent = read_parent(llama)
    submodel, _ = _cut(
        parent,
        ["window:8,2", "linear+window:6", "none"],
        lambda first: (
            first.with_layer(1, mixer="window:8,2", ratio=first.layers[1].ratio / 2)
            .with_layer(2, mixer="linear+window:6", ratio=0.0, heads=3)
            .with_layer(3, mixer="none")
        ),
    )
    manifest = _converted(parent, submodel, tmp_path)
    assert manifest["export"]["trust_remote_code"]
    found = _loaded(tmp_path / "out")
    tokens = torch.arange(5, 29)[None]
    with torch.inference_mode():
        expected = submodel(tokens).flatten()
        torch.testing.assert_close(torch.tensor(found["logits"]), expected, atol=1e-4, rtol=1e-4)
        assert found["cached"] < 1e-4
        greedy = _greedy(submodel, found["prompt"])
    assert found["greedy"] == found["again"] == greedy
    assert _decoded(tmp_path / "model", found["prompt"]) == greedy
    assert len(set(greedy)) > 3, "a model that repeats itself tells little"
    assert found["text"].startswith("the quick brown")


def test_what_transformers_has_is_its_plain_class(tmp_path: Path) -> None:
    write_model("qwen3", tmp_path / "qwen3")
    parent = read_parent(tmp_path / "qwen3")

    def narrowed(first: Architecture) -> Architecture:
        for number, layer in enumerate(first.layers):
            first = first.with_layer(number, ratio=layer.ratio / 2, heads=layer.heads // 2)
        return first

    submodel, _ = _cut(parent, ["none"], narrowed)
    manifest = _converted(parent, submodel, tmp_path)
    assert not manifest["export"]["trust_remote_code"]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert type(model).__name__ == "Qwen3ForCausalLM"
    config = model.config
    assert (config.intermediate_size, config.num_attention_heads, config.num_key_value_heads) == (48, 3, 1)
    tokens = torch.arange(5, 29)[None]
    with torch.inference_mode():
        torch.testing.assert_close(model(tokens).logits, submodel(tokens), atol=1e-3, rtol=0)
    assert (tmp_path / "out" / "tokenizer.json").is_file()


def test_a_null_is_no_missing_field(tmp_path: Path) -> None:
    """Of a Mistral without a window: where none is said its class has one of 4,096 tokens."""
    write_model("mistral", tmp_path / "mistral", sliding_window=None, eos_token_id=None)
    parent = read_parent(tmp_path / "mistral")
    assert not _converted(parent, read_model(parent), tmp_path)["export"]["trust_remote_code"]
    config = AutoConfig.from_pretrained(tmp_path / "out")
    assert (config.model_type, config.sliding_window, config.eos_token_id) == ("mistral", None, None)


@pytest.mark.parametrize("generation", [None, {"eos_token_id": [9, 0], "bos_token_id": 0, "top_k": None}])
def test_generation_stops_at_an_end_of_text_of_id_0(
    tmp_path: Path, generation: dict[str, Any] | None
) -> None:
    ids = {"bos_token_id": 0, "eos_token_id": 0} if generation is None else {"eos_token_id": 9}
    write_model("llama", tmp_path / "llama", **ids)
    if generation is not None:
        (tmp_path / "llama" / "generation_config.json").write_text(json.dumps(generation))
    parent = read_parent(tmp_path / "llama")
    submodel = read_model(parent)
    prompt = [5, 6, 7]
    with torch.inference_mode():
        first = int(submodel(torch.tensor([prompt]))[0, -1].argmax())
        assert first not in prompt
        embedding = submodel.get_parameter("embedding")
        embedding[[0, first]] = embedding[[first, 0]]  # its first token is the end now
    _converted(parent, submodel, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.generation_config.bos_token_id == 0
    assert model.generate(torch.tensor([prompt]), max_new_tokens=8).tolist() == [[*prompt, 0]]


@pytest.mark.parametrize("content", ["[]", "{"])
def test_a_generation_config_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "generation_config.json").write_text(content)
    with pytest.raises(InvalidSpec, match=r"generation_config\.json.* accepted: a JSON object"):
        generation_config(tmp_path)


def _greedy(model: Any, prompt: list[int]) -> list[int]:
    tokens = torch.tensor([prompt])
    for _ in range(GREEDY):
        tokens = torch.cat([tokens, model(tokens)[:, -1:].argmax(-1)], dim=1)
    chosen: list[int] = tokens[0].tolist()
    return chosen


def _decoded(folder: Path, prompt: list[int]) -> list[int]:
    """By onnxruntime: the prompt by the file of any length, each token after it by that of the target."""
    read, step = (onnxruntime.InferenceSession(folder / name) for name in (EXTEND, "decode.onnx"))
    feeds: dict[str, Any] = {POSITION: np.array(0)}
    for value in read.get_inputs():
        if STATE in value.name:
            shape = [n if isinstance(n, int) else 0 for n in value.shape[1:]]
            feeds[value.name] = np.zeros([1, *shape], np.float32)
    tokens, session = list(prompt), read
    new = prompt
    for _ in range(GREEDY):
        names = [value.name for value in session.get_outputs()]
        told = dict(zip(names, session.run(names, {"tokens": np.array([new]), **feeds}), strict=True))
        feeds = {
            name: told[NEXT + POSITION if name == POSITION else name.replace(STATE, NEXT)] for name in feeds
        }
        new, session = [int(told["logits"][0, -1].argmax())], step
        tokens += new
    return tokens


def _loaded(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", LOADED, str(folder)]
    home = {"HF_HOME": str(folder.parent / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=home, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer

"""GGUF files, by way of `transformers`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from random_models import SIZES, write_model
from safetensors.torch import load_file

from nas.errors import InvalidSpec
from nas.planning.start import settle_start
from nas.pretrained import read_parent
from nas.pretrained.reading import read_model
from nas.spec import load_job_spec

LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def write_gguf(folder: Path, file: Path) -> None:
    """A folder's Llama as llama.cpp has it: rows of a rotary pair side by side."""
    from gguf import GGUFWriter

    weights = load_file(folder / "model.safetensors")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())["model"]
    writer = GGUFWriter(file, "llama")
    writer.add_context_length(SIZES["max_position_embeddings"])
    writer.add_embedding_length(SIZES["hidden_size"])
    writer.add_block_count(SIZES["num_hidden_layers"])
    writer.add_feed_forward_length(SIZES["intermediate_size"])
    writer.add_head_count(SIZES["num_attention_heads"])
    writer.add_head_count_kv(SIZES["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(5000.0)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(SIZES["vocab_size"])
    tokens = sorted(tokenizer["vocab"], key=tokenizer["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token == "<|end|>" else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["merges"]])
    end = tokenizer["vocab"]["<|end|>"]
    writer.add_eos_token_id(end)
    writer.add_bos_token_id(end)

    def add(name: str, theirs: str, heads: int = 0) -> None:
        value = weights[theirs].numpy()
        if heads:
            value = value.reshape(heads, 2, -1, value.shape[1]).swapaxes(1, 2).reshape(value.shape)
        writer.add_tensor(name, np.ascontiguousarray(value))

    add("token_embd.weight", "model.embed_tokens.weight")
    add("output_norm.weight", "model.norm.weight")
    turned = {"attn_q": SIZES["num_attention_heads"], "attn_k": SIZES["num_key_value_heads"]}
    for number in range(SIZES["num_hidden_layers"]):
        for name, theirs in LAYER.items():
            place = f"model.layers.{number}.{theirs}.weight"
            add(f"blk.{number}.{name}.weight", place, turned.get(name, 0))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_is_read_once_and_kept_as_a_folder(tmp_path: Path) -> None:
    model = write_model("llama", tmp_path / "llama")
    write_gguf(tmp_path / "llama", tmp_path / "Llama-3.2.f32.gguf")
    spec = load_job_spec(
        {"start": {"model": "Llama-3.2.f32.gguf"}, "space": {}, "task": "text", "targets": [{"tokens": 64}]}
    )
    assert spec.space_name == "Llama-3.2.f32"
    settled = settle_start(spec, tmp_path, tmp_path / "models")
    assert settled.start is not None
    folder = Path(settled.start.model)
    assert folder.parent == tmp_path / "models"
    assert settled.space_name == read_parent(folder).space().name == folder.name
    tokens = torch.arange(5, 45)[None]
    with torch.inference_mode():
        found = read_model(read_parent(folder))(tokens)
        torch.testing.assert_close(found, model(tokens).logits, atol=1e-3, rtol=0)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert settle_start(spec, tmp_path, tmp_path / "models") == settled
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    # Hugging Face's cache is made of links to files whose names are digests.
    blob = (tmp_path / "Llama-3.2.f32.gguf").rename(tmp_path / "0a1b2c")
    (tmp_path / "Llama-3.2.f32.gguf").symlink_to(blob)
    assert settle_start(spec, tmp_path, tmp_path / "models") == settled


def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    spec = load_job_spec(
        {"start": {"model": "model.gguf"}, "space": {}, "task": "text", "targets": [{"tokens": 64}]}
    )
    with pytest.raises(InvalidSpec, match=r"does not read model.gguf"):
        settle_start(spec, tmp_path, tmp_path / "models")
    assert not list(tmp_path.glob("models/*"))

"""Mixers that see both ways, and channel mixers, against the implementations of others.

Conventions that differ are stated in each test; what is drawn at random is handed over.
"""

import importlib
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from searchspaces.channels import parse_channel
from searchspaces.mixers import BidirectionalHeadMixer, TwoSightedHeadMixer, parse_mixer, performer, sparse
from searchspaces.mixers.depthwise import _offsets
from searchspaces.part import Sizes, View

BATCH, HEADS, SIZE = 2, 3, 8
WIDTH = HEADS * SIZE


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def theirs(module: str, pip: str) -> ModuleType:
    """A module of a package that need not be there."""
    if module.startswith("timm"):
        # timm imports torchvision, whose operators want a GPU's libraries: their names alone are enough here.
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{module} cannot be imported: {error} (pip install --no-deps {pip})")


def heads(tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v (B, H, N, K)."""
    q, k, v = torch.randn(3, BATCH, HEADS, tokens, SIZE).unbind()
    return q, k, v


def split(x: Tensor) -> Tensor:
    """(B, N, H K) → (B, H, N, K)."""
    return x.unflatten(-1, (HEADS, SIZE)).transpose(1, 2)


def sizes(*grid: int) -> Sizes:
    return Sizes(WIDTH, HEADS, SIZE, HEADS, view=View(False, grid))


def mixed(option: str, q: Tensor, k: Tensor, v: Tensor, *grid: int, **own: Tensor) -> Tensor:
    """What a mixer of heads makes of them, its weights by their own names."""
    mixer = parse_mixer(option)
    assert isinstance(mixer, BidirectionalHeadMixer)
    weights = {mixer.own_name(name): weight for name, weight in own.items()}
    return mixer.mix_bidirectional(q, k, v, weights, sizes(*(grid or (q.shape[2],))))


def ringed(kernel: Tensor) -> Tensor:
    """A depthwise kernel (C, 1, S, S) → our taps (C, S²)."""
    reach = kernel.shape[-1] // 2
    return torch.stack([kernel[:, 0, a + reach, b + reach] for a, b in _offsets(kernel.shape[-1], 2)], dim=1)


@pytest.mark.parametrize("window", [4, 8])
def test_window_is_longformers(window: int) -> None:
    """Half of its window lies to either side, as of ours."""
    module = theirs("transformers.models.longformer.modeling_longformer", "transformers")
    config = theirs("transformers", "transformers").LongformerConfig(
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        attention_window=[window],
        attention_probs_dropout_prob=0.0,
    )
    attention = module.LongformerSelfAttention(config, layer_id=0).eval()
    x, none = torch.randn(BATCH, 48, WIDTH), torch.zeros(BATCH, 48)
    with torch.no_grad():
        wanted = attention(x, attention_mask=none, is_index_masked=none > 0, is_index_global_attn=none > 0)[0]
        q, k, v = (split(layer(x)) for layer in (attention.query, attention.key, attention.value))
        torch.testing.assert_close(mixed(f"window:{window}", q, k, v), split(wanted), rtol=1e-4, atol=1e-5)


def test_sparse_is_bigbirds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last block is global as its first is: ours draws it for every block. Compared are blocks that are
    neither global nor next to a global one, for which it has cases of their own; random blocks are ours."""
    module = theirs("transformers.models.big_bird.modeling_big_bird", "transformers")
    block, count, random = 4, 14, 2
    last = count - 1
    inner = range(2, count - 2)
    drawn = dict.fromkeys(range(count), (-1, -1))
    for own in inner:
        first, second, *_ = [other for other in range(1, last) if abs(other - own) > 1][own % 3 :: 3]
        drawn[own] = first, second
    monkeypatch.setattr(
        sparse, "drawn_of_both_sides", lambda counts, random: [(*drawn[own], last) for own in range(*counts)]
    )
    config = theirs("transformers", "transformers").BigBirdConfig(
        hidden_size=WIDTH, num_attention_heads=HEADS, block_size=block, num_random_blocks=random
    )
    attention = module.BigBirdBlockSparseAttention(config).eval()
    table = np.array([drawn[own] if own in inner else (1, 2) for own in range(1, count - 1)])
    monkeypatch.setattr(attention, "_bigbird_block_rand_mask_with_head", lambda **_: [table] * HEADS)
    monkeypatch.setattr(attention, "_get_rand_attn_plan", lambda *_: (None, None))
    tokens = block * count
    q, k, v = heads(tokens)
    ones = torch.ones(BATCH, tokens)
    blocked = ones.view(BATCH, count, block)
    band = module.BigBirdModel.create_masks_for_block_sparse_attn(ones, block)[1]
    context, _ = attention.bigbird_block_sparse_attention(
        q, k, v, band, ones[:, None, :, None], ones[:, None, None], blocked, blocked, HEADS, random, SIZE,
        block, block, BATCH, tokens, tokens, seed=None, plan_from_length=None, plan_num_rand_blocks=None,
    )  # fmt: skip
    found = mixed(f"sparse:{block},{block},{random + 1}", q, k, v)
    for own in inner:
        rows_of = slice(own * block, (own + 1) * block)
        wanted = context[:, rows_of].transpose(1, 2)
        torch.testing.assert_close(found[:, :, rows_of], wanted, rtol=1e-4, atol=1e-5)


def test_performer_is_performers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its directions are ours, and neither adds anything to features: it would to ones that it divides by the
    largest of all."""
    module = theirs("performer_pytorch.performer_pytorch", "performer-pytorch")
    monkeypatch.setattr(performer, "EPSILON", 0.0)
    q, k, v = heads(50)
    projection = torch.tensor(performer.directions(64, SIZE), dtype=torch.float32)
    features = [
        module.softmax_kernel(x, projection_matrix=projection, is_query=n == 0, eps=0.0)
        for n, x in enumerate((q, k))
    ]
    wanted = module.linear_attention(*features, v)
    torch.testing.assert_close(mixed("performer", q, k, v), wanted, rtol=1e-3, atol=1e-5)


def test_linformer_is_linformers() -> None:
    module = theirs("linformer.linformer", "linformer")
    attention = module.LinformerSelfAttention(WIDTH, 40, k=6, heads=HEADS)
    x = torch.randn(BATCH, 40, WIDTH)
    with torch.no_grad():
        wanted = attention(x)
        q, k, v = (split(layer(x)) for layer in (attention.to_q, attention.to_k, attention.to_v))
        found = mixed("linformer:6", q, k, v, keys=attention.proj_k.T, values=attention.proj_v.T)
        rows = attention.to_out(found.transpose(1, 2).flatten(2))
    torch.testing.assert_close(rows, wanted, rtol=1e-4, atol=1e-5)


def test_linear_is_linear_attention() -> None:
    """Non-causal, as performer-pytorch has it, of elu + 1."""
    module = theirs("performer_pytorch.performer_pytorch", "performer-pytorch")
    q, k, v = heads(50)
    features = [torch.nn.functional.elu(x) + 1 for x in (q, k)]
    torch.testing.assert_close(
        mixed("linear", q, k, v), module.linear_attention(*features, v), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("size", [3, 7])
def test_conv_is_convformers(size: int) -> None:
    """A tap of 1 in the middle is ours without being stored."""
    module = theirs("timm.models.metaformer", "timm torchvision")
    convolution = module.SepConv(WIDTH, kernel_size=size, padding=size // 2)
    with torch.no_grad():
        convolution.act1.scale.fill_(0.7)
        convolution.act1.bias.fill_(0.2)
    taps = ringed(convolution.dwconv.weight.detach())
    taps[:, 0] -= 1
    weights = {
        "conv_up": convolution.pwconv1.weight[:, :, 0, 0],
        "conv_down": convolution.pwconv2.weight[:, :, 0, 0],
        "conv_taps": taps,
        "conv_scale": convolution.act1.scale,
        "conv_shift": convolution.act1.bias,
    }
    image = torch.randn(BATCH, WIDTH, 9, 7)
    found = parse_mixer(f"conv:{size}" if size != 7 else "conv").forward(
        image.flatten(2).transpose(1, 2), weights, sizes(9, 7), None
    )
    torch.testing.assert_close(found, convolution(image).flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_pool_is_poolformers() -> None:
    module = theirs("timm.models.metaformer", "timm torchvision")
    image = torch.randn(BATCH, WIDTH, 9, 7)
    found = parse_mixer("pool").forward(image.flatten(2).transpose(1, 2), {}, sizes(9, 7), None)
    torch.testing.assert_close(
        found, module.Pooling(3)(image).flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-5
    )


def test_star_is_metaformers() -> None:
    module, layers = (theirs(name, "timm torchvision") for name in ("timm.models.metaformer", "timm.layers"))
    block = layers.Mlp(WIDTH, 2 * WIDTH, act_layer=module.StarReLU, bias=False)
    weights = {
        "up": block.fc1.weight,
        "down": block.fc2.weight,
        "scale": block.act.scale,
        "shift": block.act.bias,
    }
    x = torch.randn(BATCH, 9, WIDTH)
    torch.testing.assert_close(parse_channel("star").forward(x, weights), block(x), rtol=1e-4, atol=1e-5)


def test_swiglu_is_llamas() -> None:
    module = theirs("transformers.models.llama.modeling_llama", "transformers")
    config: Any = SimpleNamespace(hidden_size=WIDTH, intermediate_size=40, hidden_act="silu", mlp_bias=False)
    block = module.LlamaMLP(config)
    weights = {"gate": block.gate_proj.weight, "up": block.up_proj.weight, "down": block.down_proj.weight}
    x = torch.randn(BATCH, 9, WIDTH)
    torch.testing.assert_close(parse_channel("swiglu").forward(x, weights), block(x), rtol=1e-4, atol=1e-5)


def test_local_is_torchs_attention_and_convolution() -> None:
    """ResFormer's formula, put together of torch's own modules."""
    q, k, v = heads(63)
    convolution = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False)
    image = v.transpose(2, 3).reshape(BATCH, WIDTH, 9, 7)
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    wanted = wanted + convolution(image).reshape(BATCH, HEADS, SIZE, 63).transpose(2, 3)
    found = mixed("local", q, k, v, 9, 7, taps=ringed(convolution.weight))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rounds", [1, 2])
def test_lsh_is_reformers(rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes are ours. A round's first chunk sees its last one, in Reformer the last one of the round before:
    with several rounds, tokens in a first chunk are left out."""
    module = theirs("transformers.models.reformer.modeling_reformer", "transformers")
    tokens, chunk = 64, 16
    config = theirs("transformers", "transformers").ReformerConfig(
        hidden_size=WIDTH, num_attention_heads=HEADS, attention_head_size=SIZE, lsh_attn_chunk_length=chunk,
        num_hashes=rounds, num_buckets=8, lsh_attention_probs_dropout_prob=0.0, is_decoder=False,
    )  # fmt: skip
    attention = module.LSHSelfAttention(config, layer_idx=0).eval()
    option = f"lsh:{chunk},{rounds}" if rounds > 1 else f"lsh:{chunk}"
    x = torch.randn(BATCH, tokens, WIDTH)
    q, v = split(attention.query_key(x)), split(attention.value(x))
    buckets = parse_mixer(option)._buckets(q, 8)  # type: ignore[attr-defined]
    shifted = (buckets + 8 * torch.arange(rounds)).permute(0, 1, 3, 2).reshape(BATCH, HEADS, -1)
    monkeypatch.setattr(attention, "_hash_vectors", lambda *_, **__: shifted)
    with torch.no_grad():
        wanted = split(attention(x).hidden_states)
        found = mixed(option, q, q, v)
    order = (buckets * tokens + torch.arange(tokens).unsqueeze(-1)).argsort(2)
    first = torch.zeros(BATCH, HEADS, tokens, dtype=torch.bool)
    for number in range(rounds if rounds > 1 else 0):
        first.scatter_(2, order[:, :, :chunk, number], True)
    assert (~first).sum() > tokens
    torch.testing.assert_close(found[~first], wanted[~first], rtol=1e-4, atol=1e-5)


@pytest.fixture
def decoding() -> Any:
    """Reformer's attention of a decoder, in chunks of 16."""
    module = theirs("transformers.models.reformer.modeling_reformer", "transformers")
    config = theirs("transformers", "transformers").ReformerConfig(
        hidden_size=WIDTH, num_attention_heads=HEADS, attention_head_size=SIZE, lsh_attn_chunk_length=16,
        num_hashes=1, num_buckets=8, lsh_attention_probs_dropout_prob=0.0, is_decoder=True, hash_seed=0,
    )  # fmt: skip
    return module.LSHSelfAttention(config, layer_idx=0).eval()


def lsh_mixed(attention: Any, x: Tensor) -> Tensor:
    """What `lsh:16` makes of its queries and values, where earlier tokens alone are seen."""
    mixer = parse_mixer("lsh:16")
    assert isinstance(mixer, TwoSightedHeadMixer)
    q, v = split(attention.query_key(x)), split(attention.value(x))
    return mixer.mix(q, q, v)


def test_causal_lsh_is_reformers_within_a_chunk_of_one_bucket(
    decoding: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(BATCH, 16, WIDTH)
    one_bucket = torch.zeros(BATCH, HEADS, 16, 1, dtype=torch.int64)
    monkeypatch.setattr(type(parse_mixer("lsh")), "_buckets", lambda *_: one_bucket)
    with torch.no_grad():
        torch.testing.assert_close(
            lsh_mixed(decoding, x), split(decoding(x).hidden_states), rtol=1e-4, atol=1e-5
        )


def test_later_tokens_change_what_reformer_makes_of_earlier_ones(decoding: Any) -> None:
    """It hides them, but they move the cuts between chunks; which is why ours has no chunks where causal."""
    x = torch.randn(BATCH, 64, WIDTH)
    later = torch.cat([x[:, :48], torch.randn(BATCH, 16, WIDTH)], dim=1)
    with torch.no_grad():
        theirs_of, ours_of = (
            [run(y)[:, :, :48] for y in (x, later)]
            for run in (lambda y: split(decoding(y).hidden_states), lambda y: lsh_mixed(decoding, y))
        )
    assert (theirs_of[0] - theirs_of[1]).abs().max() > 0.01
    torch.testing.assert_close(*ours_of, rtol=0, atol=1e-6)

"""Every registered mixer keeps the contract, registering one enrols it here; and what each does besides."""

import json
import subprocess
import sys

import pytest
import torch

from nas.testing.mixers import MixerContract, projected, stepped
from searchspaces.mixers import MIXERS, mixers, parse_mixer, register_mixer

EXAMPLES = [cls.example for cls in mixers().values()]
SIZES = ["window:1", "window:100", "sparse", "sparse:5,5"]


class TestEveryMixer(MixerContract):
    subjects = (*EXAMPLES, *SIZES)
    quadratic = frozenset({"softmax"})


@pytest.mark.parametrize(
    "option",
    [
        "flash",
        "window",
        "window:0",
        "window:-3",
        "window:x",
        "window:1,2",
        "sparse:4,8",
        "sparse:8,3",
        "sparse:0",
        "linear:3",
    ],
)
def test_options_that_do_not_parse(option: str) -> None:
    with pytest.raises(ValueError, match=option.partition(":")[0]):
        parse_mixer(option)


@pytest.mark.parametrize(
    ("option", "written"),
    [
        ("window:064", "window:64"),
        ("window: 64", "window:64"),
        ("window:6_4", "window:64"),
        ("softmax:", "softmax"),
        ("sparse:64", "sparse"),
        ("sparse:64,32", "sparse"),
        ("sparse:128,32", "sparse:128"),
    ],
)
def test_a_mixer_has_one_text(option: str, written: str) -> None:
    """Two texts of one mixer would be two digests of one model."""
    with pytest.raises(ValueError, match=f"is written '{written}'"):
        parse_mixer(option)
    parse_mixer(written)


def test_a_window_sees_its_last_tokens_only() -> None:
    q, k, v = projected(1, 1, 50, 4)
    before = parse_mixer("window:7").forward(q, k, v)
    v[:, :, 20] += 1.0
    changed = (parse_mixer("window:7").forward(q, k, v) != before).any(dim=-1).flatten().nonzero().flatten()
    assert changed.tolist() == list(range(20, 27))


def test_sparse_sees_globals_its_block_and_the_one_before() -> None:
    sparse, (q, k, v) = parse_mixer("sparse:4,2"), projected(1, 1, 24, 4)
    before = sparse.forward(q, k, v)
    for position, seen_by in {1: range(1, 24), 2: range(2, 8), 9: range(9, 16)}.items():
        moved = v.clone()
        moved[:, :, position] += 1.0
        changed = (sparse.forward(q, k, moved) != before).any(dim=-1).flatten().nonzero().flatten()
        assert changed.tolist() == list(seen_by)


def test_sparse_globals_keep_no_more_memory_than_they_count() -> None:
    _, states = stepped(parse_mixer("sparse:8,2"), *projected(1, 2, 30, 4))
    kept = states[-1]["global_k"]
    assert kept.untyped_storage().nbytes() == kept.nbytes


def test_taylor_weights_are_the_series_of_exp() -> None:
    taylor = parse_mixer("taylor")
    q, k, _ = projected(1, 1, 30, 16)
    scores = q @ k.transpose(-1, -2) / 4
    weights = taylor.features(taylor.base(q).mT).mT @ taylor.features(taylor.base(k).mT)
    torch.testing.assert_close(weights, 1 + scores + scores**2 / 2)
    assert weights.min() >= 0.5


def test_a_mixer_is_known_and_used_without_torch() -> None:
    """Spaces are declared and costed where torch is not installed."""
    code = """
import json, sys
sys.modules["torch"] = None
from searchspaces.mixers import mixers, parse_mixer
found = [parse_mixer(cls.example) for cls in mixers().values()]
print(json.dumps([[m.name, m.state_bytes(64, 4, 9), len(m.operations(64, 4, 9))] for m in found]))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name, _, _ in json.loads(answer.stdout)] == list(mixers())


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match=r"'softmax' is registered twice: .*:Softmax and .*:Window"):
        register_mixer("softmax")(type(parse_mixer("window:8")))


def test_a_new_mixer_is_one_registration() -> None:
    from searchspaces import load_space
    from searchspaces.mixers.none import NoMixer

    layer = {"mixer": ["identity"], "heads": [2], "ratio": [1]}
    with MIXERS.scratch():
        register_mixer("identity")(type("Identity", (NoMixer,), {"example": "identity"}))
        assert "identity" in mixers()
        space = load_space({"name": "x", "width": [8], "depth": [1], "layer": layer})
        assert space.spec.layer.mixer == ("identity",)
    with pytest.raises(ValueError, match="no mixer 'identity'"):
        parse_mixer("identity")

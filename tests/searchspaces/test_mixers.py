"""Every registered mixer keeps the contract, registering one enrols it here; and what each does besides."""

import itertools
import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nas.testing.bidirectional_mixers import BidirectionalMixerContract
from nas.testing.mixers import Case, MixerContract
from searchspaces.mixers import MIXERS, HeadMixer, Mixer, mixers, parse_mixer, register_mixer
from searchspaces.mixers.convolution import convolve
from searchspaces.mixers.decay import log_decays
from searchspaces.mixers.descriptions import mixer_descriptions
from searchspaces.mixers.kernel import KernelMixer
from searchspaces.mixers.recurrence import unit_lower_inverse
from searchspaces.mixers.sparse import Sparse, drawn_of_both_sides
from searchspaces.mixers.tiles import Blocks
from searchspaces.part import Sight

EXAMPLES = {sight: [cls.example for cls in mixers(sight).values()] for sight in Sight}
SIZES = ["window:1", "window:100", "window:8,3", "window:3,9", "window:100,4", "sparse", "sparse:5,5"]
SIZES += ["sparse:4,2,3", "linear+window:1", "linear+window:100", "scatter:2", "scatter:100,9", "lsh"]
SPARSE = ("sparse:4,2,3", "sparse", "sparse:5,5,1", "linformer:16", "scatter:150", "lsh:8")
RECORDED_DRAWS = (
    ((6,), (7,), (4,), (4,), (2,), (7,), (4,), (1,)),
    ((2, 4), (4, 6), (5, 6), (1, 5), (2, 6), (2, 3), (2, 4)),
)
KERNELS = ("conv:1", "conv", "pool:5", "local:5", "relu:3")


class TestEveryMixer(MixerContract):
    subjects = (*EXAMPLES[Sight.CAUSAL], *SIZES)
    quadratic = frozenset({"softmax"})

    # Exported files of every mixer are compared with torch in `tests/nas/export/test_compose.py` as well.
    @pytest.mark.slow
    def test_exports_to_onnx_with_any_batch_and_length(self, subject: str) -> None:
        super().test_exports_to_onnx_with_any_batch_and_length(subject)


class TestEveryBidirectionalMixer(BidirectionalMixerContract):
    subjects = EXAMPLES[Sight.BIDIRECTIONAL]
    quadratic = frozenset({"softmax", "local", "random"})
    of_length = frozenset({"random", "lsh", "sparse"})


class TestBidirectionalMixersOfEverySize(BidirectionalMixerContract):
    subjects = ("window:1", "window:20", "window:3,9", "window:7,2", *SPARSE, *KERNELS)
    quadratic = frozenset({"local", "scatter"})  # whose window is larger than the grid
    of_length = frozenset({"lsh", "sparse"})

    # Of each mixer one size is exported above.
    @pytest.mark.slow
    def test_exports_to_onnx_with_any_batch(self, mixer: Mixer, subject: str) -> None:
        super().test_exports_to_onnx_with_any_batch(mixer, subject)


@pytest.mark.parametrize(
    "option",
    [
        "flash",
        "window",
        "window:0",
        "window:-3",
        "window:x",
        "window:1,2,3",
        "window:65537",
        "sparse:4,8",
        "sparse:8,3",
        "sparse:0",
        "linear:3",
        "linear+window",
        "conv:4",
        "conv:999999",
        "pool:0",
        "performer:10000000",
    ],
)
def test_options_that_do_not_parse(option: str) -> None:
    with pytest.raises(ValueError, match=re.escape(option.partition(":")[0])):
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


@pytest.mark.parametrize(
    ("option", "accepted"),
    [
        ("softmax:3", "softmax"),
        ("window", r"window:WINDOW\[,SINKS\], in whole numbers"),
        ("window:1.5", r"window:WINDOW\[,SINKS\], in whole numbers"),
        ("window:64,4,4", r"window:WINDOW\[,SINKS\], in whole numbers"),
        ("sparse:", "sparse"),
        ("sparse:x", r"sparse\[:BLOCK\[,GLOBALS\[,RANDOM\]\]\], in whole numbers"),
    ],
)
def test_an_option_with_other_parameters_says_which_it_takes(option: str, accepted: str) -> None:
    with pytest.raises(ValueError, match=f"{option!r}; accepted: {accepted}$|is written '{accepted}'$"):
        parse_mixer(option)


def projected(batch: int, heads: int, tokens: int, head_size: int, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, heads, tokens, head_size)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))


def head_mixer(option: str) -> HeadMixer:
    mixer = parse_mixer(option)
    assert isinstance(mixer, HeadMixer)
    return mixer


def seen_by(option: str, position: int, tokens: int) -> list[int]:
    """The positions whose output changes with the value at one position."""
    mixer, (q, k, v) = head_mixer(option), projected(1, 1, tokens, 4)
    moved = v.clone()
    moved[:, :, position] += 1.0
    changed: list[int] = (
        (mixer.mix(q, k, moved) != mixer.mix(q, k, v)).any(dim=-1).flatten().nonzero().flatten().tolist()
    )
    return changed


def test_a_window_sees_its_last_tokens_only() -> None:
    assert seen_by("window:7", 20, 50) == list(range(20, 27))


def test_sinks_are_seen_for_ever() -> None:
    assert seen_by("window:7,2", 1, 50) == list(range(1, 50))
    assert seen_by("window:7,2", 2, 50) == list(range(2, 9))


def test_sparse_sees_globals_its_block_and_the_one_before() -> None:
    for position, positions in {1: range(1, 24), 2: range(2, 8), 9: range(9, 16)}.items():
        assert seen_by("sparse:4,2", position, 24) == list(positions)


def test_random_blocks_are_distinct_distant_blocks_that_no_other_block_shares() -> None:
    """Block 0 has the globals, and the block before is near: what is drawn lies between."""
    mixer = Sparse(block=4, globals=2, random=3)
    rows = [[start // 4 for start in mixer._distant(4 * block)] for block in range(40)]
    for block, row in enumerate(rows):
        assert sorted(set(row)) == row
        assert len(row) == min(3, max(0, block - 2))
        assert all(1 <= other <= block - 2 for other in row)
    assert len({tuple(row) for row in rows[6:]}) > 30
    assert rows[20] == [2, 7, 14]  # as ever: weights are trained with these
    seen = seen_by("sparse:4,2,3", 4 * 17, 4 * 40)
    assert seen == [i for i in range(4 * 17, 4 * 40) if i // 4 in (17, 18) or 17 in rows[i // 4]]


def test_blocks_are_drawn_as_they_ever_were() -> None:
    assert drawn_of_both_sides((2, 3), 0) == ((),) * 6
    assert drawn_of_both_sides((2, 4), 1) == RECORDED_DRAWS[0]
    assert drawn_of_both_sides((7,), 2) == RECORDED_DRAWS[1]
    # Of so many comparing all pairs would not end.
    assert drawn_of_both_sides((200_000,), 0) == ((),) * 200_000


@pytest.mark.parametrize(("grid", "side"), [((10,), 4), ((3,), 8), ((7, 5), 3), ((1, 9), 2), ((6, 4), 2)])
def test_blocks_part_the_tokens_of_a_grid(grid: tuple[int, ...], side: int) -> None:
    blocks, places = Blocks(grid, side), list(itertools.product(*map(range, grid)))
    tokens = blocks.tokens()
    assert tokens.ravel()[blocks.found()].tolist() == list(range(math.prod(grid)))
    corners = [tuple(x // side for x in place) for place in places]
    numbers = sorted(set(corners))
    assert math.prod(blocks.counts) == len(numbers)
    for number, corner in enumerate(numbers):
        own = [token for token, other in enumerate(corners) if other == corner]
        assert [x for x in tokens[number].tolist() if x >= 0] == own
        near = [
            other
            for other, there in enumerate(numbers)
            if max(abs(a - b) for a, b in zip(corner, there, strict=True)) <= 1
        ]
        found = blocks.near(1)[number]
        assert [x for x in found.tolist() if x >= 0] == near
        met = blocks.tokens_of(blocks.near(1))[number].tolist()
        assert sorted(x for x in met if x >= 0) == [
            token for token, other in enumerate(corners) if numbers.index(other) in near
        ]


def test_taylor_weights_are_the_series_of_exp() -> None:
    taylor = parse_mixer("taylor")
    assert isinstance(taylor, KernelMixer)
    q, k, _ = projected(1, 1, 30, 16)
    scores = q @ k.transpose(-1, -2) / 4
    weights = taylor.features(taylor.base(q).mT).mT @ taylor.features(taylor.base(k).mT)
    torch.testing.assert_close(weights, 1 + scores + scores**2 / 2)
    assert weights.min() >= 0.5


def test_cosine_weights_are_a_raised_cosine_of_the_distance() -> None:
    q, k, _ = projected(1, 1, 40, 8)
    v = torch.eye(40, dtype=torch.float64).reshape(1, 1, 40, 40)
    shares = head_mixer("cosine:20").mix(q, k, v)[0, 0]
    plain = head_mixer("linear").mix(q, k, v)[0, 0]
    back = torch.arange(40).unsqueeze(1) - torch.arange(40)
    wanted = plain * (1 + (torch.pi / 20 * back.double()).cos()) / 2
    torch.testing.assert_close(shares, wanted / wanted.sum(-1, keepdim=True))


def test_performers_weights_estimate_those_of_softmax() -> None:
    q, k, _ = projected(1, 1, 30, 16)
    q, k = q / 2, k / 2
    performer = head_mixer("performer:1024")
    assert isinstance(performer, KernelMixer)
    weights = performer.base(q) @ performer.base(k).mT
    wanted = (q @ k.mT / 4).exp()
    ratio = (weights / wanted)[0, 0]
    assert (ratio / ratio.mean() - 1).abs().mean() < 0.1


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_fixed_decays_are_spread_over_time_scales(heads: int) -> None:
    exponents = [-math.log2(-math.expm1(log)) for log in log_decays(heads)]
    assert exponents == pytest.approx([8 * (head + 0.5) / heads for head in range(heads)])


def test_fresh_gates_are_the_fixed_decays() -> None:
    gated, fixed = Case.of("gated", heads=4), Case.of("decay", heads=4)
    weights = {
        name: torch.zeros_like(weight) if name.startswith("gated_") else weight
        for name, weight in gated.weights.items()
    }
    x = gated.tokens(2, 90)
    torch.testing.assert_close(
        replace(gated, weights=weights).forward(x), replace(fixed, weights=weights).forward(x)
    )


def test_the_delta_rule_replaces_what_a_key_stood_for() -> None:
    """Written with strength 1, a second value for one key is all that is found there."""
    k = torch.nn.functional.normalize(torch.randn(1, 1, 1, 8, dtype=torch.float64), dim=-1).expand(1, 1, 2, 8)
    v = torch.randn(1, 1, 2, 8, dtype=torch.float64)
    found = head_mixer("delta").mix(k, k, v, strength=torch.ones(1, 1, 2, dtype=torch.float64))
    unit = v / v.square().mean(-1, keepdim=True).sqrt()
    torch.testing.assert_close(found, unit, rtol=1e-3, atol=1e-3)


def test_equal_keys_do_not_blow_up_the_triangular_inverse() -> None:
    """Powers of such a matrix have entries of 10^8: single precision would drown in them."""
    lower = torch.ones(32, 32).tril(-1)
    wanted = torch.eye(32) - torch.eye(32).roll(1, 0) * torch.ones(32, 32).tril(-1)
    torch.testing.assert_close(unit_lower_inverse(lower), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("before", [0, 1, 9])
def test_short_convolutions_are_torchs(before: int) -> None:
    torch.manual_seed(0)
    x, taps = torch.randn(2, before + 11, 5), torch.randn(5, 4)
    kernel = taps.clone()
    kernel[:, 0] += 1
    padded = torch.nn.functional.pad(x.mT, (3, 0))
    wanted = torch.nn.functional.conv1d(padded, kernel.flip(1).unsqueeze(1), groups=5).mT
    torch.testing.assert_close(convolve(x, taps), wanted)
    earlier = torch.nn.functional.pad(x[:, :before], (0, 0, 3, 0))[:, -3:]
    torch.testing.assert_close(convolve(x[:, before:], taps, earlier), wanted[:, before:])


def test_a_mixer_is_known_and_used_without_torch() -> None:
    """Spaces are declared and costed where torch is not installed."""
    code = """
import json, sys
sys.modules["torch"] = None
from searchspaces.mixers import mixers, parse_mixer
from searchspaces.part import Sight, Sizes, View
found = []
for cls in mixers().values():
    mixer = parse_mixer(cls.example)
    for sight in mixer.sights:
        sizes = Sizes(64, 4, 16, 4, view=View(sight is Sight.CAUSAL, (9,)))
        mixer.shapes(sizes), mixer.operations(sizes, 9), mixer.state_bytes(sizes, 9)
    found.append(mixer.name)
print(json.dumps(found))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == list(mixers())


def test_the_template_of_token_mixing_is_told_of_every_mixer() -> None:
    described = {each["name"]: each for each in mixer_descriptions()}
    assert set(described) == set(mixers())
    for name, each in described.items():
        assert each["kernel"], name
        assert each["sparsity"], name
        assert each["source"] or name == "none"
        assert each["kind"] != "other"
        assert set(each["growth"]) == set(each["sights"])
    states = {name: each["state"] for name, each in described.items()}
    assert (states["softmax"], states["window"], states["local"]) == ("grows", "fixed", "none")
    growth = {name: max(each["growth"].values()) for name, each in described.items()}
    assert growth["softmax"] == pytest.approx(2, abs=0.1)
    assert growth["window"] == pytest.approx(1, abs=0.05)
    assert described["window"]["parameters"][1] == {"name": "sinks", "default": 0, "least": 0, "most": 1024}


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match=r"'softmax' is registered twice: .*:Softmax and .*:Window"):
        register_mixer("softmax")(type(parse_mixer("window:8")))


def test_a_new_mixer_is_one_registration() -> None:
    from searchspaces import load_space
    from searchspaces.mixers.none import NoMixer

    layer = {"mixer": ["nothing"], "heads": [2], "ratio": [1]}
    with MIXERS.scratch():
        register_mixer("nothing")(type("Nothing", (NoMixer,), {"example": "nothing"}))
        assert "nothing" in mixers()
        space = load_space({"name": "x", "width": [8], "depth": [1], "layer": layer})
        assert space.spec.layer.mixer == ("nothing",)
    with pytest.raises(ValueError, match="no mixer 'nothing'"):
        parse_mixer("nothing")

"""What happens in a step, by its number."""

import pytest

from nas.training.schedule import FINAL_FACTOR, learning_rate_factor, mixer_shares, sampled_architectures
from searchspaces.space import SearchSpace, load_space


@pytest.fixture
def space() -> SearchSpace:
    return load_space(
        {
            "name": "tiny",
            "vocabulary": 256,
            "context": 16,
            "width": [16, 32],
            "depth": [1, 2, 3],
            "layer": {"mixer": ["softmax", "window:8", "none"], "heads": [2, 4], "ratio": [1, 2, 4]},
        }
    )


@pytest.mark.parametrize("steps", [1, 2, 20, 1000])
def test_rate_warms_up_to_its_peak_and_falls_to_its_floor(steps: int) -> None:
    rates = [learning_rate_factor(step, steps) for step in range(steps)]
    peak = rates.index(max(rates))
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert max(rates) == pytest.approx(1)
    if steps >= 20:
        assert rates[-1] == pytest.approx(FINAL_FACTOR)


def test_samples_are_a_function_of_seed_and_step(space: SearchSpace) -> None:
    drawn = [sampled_architectures(space, 0, step, sandwich=False)[0].digest for step in range(50)]
    assert drawn == [sampled_architectures(space, 0, step, sandwich=False)[0].digest for step in range(50)]
    assert drawn != [sampled_architectures(space, 1, step, sandwich=False)[0].digest for step in range(50)]
    assert len(set(drawn)) > 40


def test_every_option_is_sampled(space: SearchSpace) -> None:
    drawn = [sampled_architectures(space, 0, step, sandwich=False)[0] for step in range(100)]
    layers = [layer for architecture in drawn for layer in architecture.layers]
    assert {a.depth for a in drawn} == {1, 2, 3}
    assert {a.width for a in drawn} == {16, 32}
    assert {layer.mixer for layer in layers} == {"softmax", "window:8", "none"}
    assert {layer.ratio for layer in layers} == {1, 2, 4}
    assert {layer.heads for layer in layers} == {0, 2, 4}


def test_families_are_drawn_equally_often() -> None:
    options = ["softmax", "window:8", "window:16", "sparse", "linear", "none"]
    assert mixer_shares(options).tolist() == pytest.approx([5 / 48] * 4 + [5 / 12, 1 / 6])
    assert mixer_shares(["softmax", "window:8"]).tolist() == [0.5, 0.5]
    assert mixer_shares(["none"]).tolist() == [1]
    layer = {"mixer": options, "heads": [2], "ratio": [1]}
    space = load_space({"name": "many", "width": [16], "depth": [4], "layer": layer})
    drawn = [sampled_architectures(space, 0, step, sandwich=False)[0] for step in range(400)]
    mixers = [layer.mixer for architecture in drawn for layer in architecture.layers]
    assert mixers.count("linear") / len(mixers) == pytest.approx(0.44, abs=0.06)


def test_a_sandwich_is_bounded_by_the_largest_and_the_smallest(space: SearchSpace) -> None:
    mixers = set()
    for step in range(20):
        largest, smallest, *between = sampled_architectures(space, 0, step, sandwich=True)
        assert (largest.depth, largest.width) == (3, 32)
        assert (smallest.depth, smallest.width) == (1, 16)
        assert {layer.ratio for layer in largest.layers} == {4}
        assert {layer.ratio for layer in smallest.layers} == {1}
        assert len(between) == 2
        mixers |= {layer.mixer for layer in largest.layers}
    assert mixers == {"softmax", "window:8", "none"}


def test_models_of_one_mixer_get_their_share_of_steps(space: SearchSpace) -> None:
    drawn = [sampled_architectures(space, 0, step, sandwich=False)[0] for step in range(400)]
    deep = [{layer.mixer for layer in a.layers} for a in drawn if a.depth == 3]
    pure = [mixers for mixers in deep if len(mixers) == 1]
    # A quarter, and 1 in 9 of the rest by chance.
    assert 0.22 < len(pure) / len(deep) < 0.45
    assert {"softmax"} in pure
    assert {"window:8"} in pure


def test_half_of_the_steps_train_what_only_the_largest_models_use(space: SearchSpace) -> None:
    drawn = [sampled_architectures(space, 0, step, sandwich=False)[0] for step in range(400)]
    largest = [
        a for a in drawn if (a.depth, a.width) == (3, 32) and {layer.ratio for layer in a.layers} == {4}
    ]
    assert 0.45 < len(largest) / len(drawn) < 0.6
    assert len({layer.mixer for a in largest for layer in a.layers}) == 3
    assert {1, 3} <= {a.depth for a in drawn}


def test_a_space_without_any_token_mixer_can_be_sampled() -> None:
    layer = {"mixer": ["none"], "heads": [2], "ratio": [1]}
    space = load_space({"name": "bare", "width": [16], "depth": [1], "layer": layer})
    assert {sampled_architectures(space, 0, step, False)[0].depth for step in range(20)} == {1}

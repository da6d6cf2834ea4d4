"""Spaces: codes and architectures there and back, and every problem of a declaration at once."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from searchspaces import (
    Architecture,
    Encoding,
    Layer,
    Population,
    SearchSpace,
    SpaceError,
    load_space,
    space_names,
)

MIXERS = ["softmax", "window:3", "window:64", "linear", "taylor", "sparse", "none"]

subsets = st.lists(st.sampled_from(MIXERS), min_size=1, max_size=4, unique=True)
declarations = st.fixed_dictionaries(
    {
        "name": st.just("drawn"),
        "vocabulary": st.integers(1, 300),
        "width": st.lists(st.sampled_from([16, 32, 64]), min_size=1, max_size=3, unique=True),
        "depth": st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True),
        "layer": st.fixed_dictionaries(
            {
                "mixer": subsets,
                "heads": st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3, unique=True),
                "ratio": st.lists(st.sampled_from([0.5, 1, 2.5, 4]), min_size=1, max_size=3, unique=True),
                "conv": st.lists(st.sampled_from([0, 2, 4]), min_size=1, max_size=3, unique=True),
            },
            optional={"kv_heads": st.permutations([0, 1])},
        ),
    }
)
spaces = declarations.map(load_space)


def codes(space: SearchSpace, seed: int, n: int = 20) -> Population:
    """Not canonical: inactive genes take any option."""
    rng = np.random.default_rng(seed)
    return (rng.random((n, space.genes)) * space.cardinalities).astype(np.int64)


@given(space=spaces, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_codes_mean_the_same_beside_single_blocks(space: SearchSpace, seed: int) -> None:
    beside = space.with_single_blocks
    population = codes(space, seed)
    assert beside.decode(population) == space.decode(population)
    assert np.array_equal(beside.canonical(population), space.canonical(population))
    assert beside.is_member(population).all()
    assert beside.with_single_blocks is beside
    more = codes(beside, seed)
    whole = beside.is_member(more)
    assert beside.encode(beside.decode(more)).shape == more.shape
    assert [space.contains(a) for a in beside.decode(more)] == whole.tolist()
    assert all(a.depth == 1 for a in beside.decode(more[~whole]))
    assert (beside is space) == (1 in space.spec.depth)
    assert (beside.digest == space.digest) == (beside is space)


@given(space=spaces, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_encoding_a_decoded_population_gives_its_canonical_form(space: SearchSpace, seed: int) -> None:
    population = codes(space, seed)
    before = population.copy()
    canonical = space.canonical(population)
    assert np.array_equal(population, before)
    assert np.array_equal(space.encode(space.decode(population)), canonical)
    assert np.array_equal(space.canonical(canonical), canonical)
    assert space.decode(canonical) == space.decode(population)
    assert (canonical >= 0).all()
    assert (canonical < space.cardinalities).all()


@given(space=spaces, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_equal_models_have_equal_keys_and_digests(space: SearchSpace, seed: int) -> None:
    population = space.canonical(codes(space, seed, 40))
    digests = [architecture.digest for architecture in space.decode(population)]
    _, by_key = np.unique(space.keys(population), return_inverse=True)
    _, by_digest = np.unique(digests, return_inverse=True)
    same_key = by_key[:, None] == by_key
    assert np.array_equal(same_key, by_digest[:, None] == by_digest)
    assert np.array_equal(same_key, (population[:, None] == population).all(axis=2))


@given(space=spaces, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_architectures_survive_json(space: SearchSpace, seed: int) -> None:
    for architecture in space.decode(codes(space, seed, 3)):
        there_and_back = Architecture.from_dict(json.loads(architecture.canonical_json()))
        assert there_and_back == architecture
        assert there_and_back.digest == architecture.digest
        assert space.contains(architecture)


@given(space=spaces, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_layers_of_a_population(space: SearchSpace, seed: int) -> None:
    population = space.sample(20, np.random.default_rng(seed))
    layers, active = space.layer_view(population)
    architectures = space.decode(population)
    assert active.sum(axis=1).tolist() == [architecture.depth for architecture in architectures]
    assert not layers[~active].any()
    for row, architecture in zip(layers, architectures, strict=True):
        names = [space.spec.layer.mixer[m] for m in row[: architecture.depth, 0]]
        assert names == [layer.mixer for layer in architecture.layers]


@given(space=spaces)
@settings(max_examples=30, deadline=None)
def test_enumeration_lists_every_model_once(space: SearchSpace) -> None:
    rows = space.enumerate(limit=3000)
    if rows is None:
        assert space.size() > 3000
        return
    assert len(np.unique(space.keys(rows))) == len(rows)
    sampled = space.sample(200, np.random.default_rng(0))
    assert np.isin(space.keys(sampled), space.keys(rows)).all()


def test_a_deep_space_of_few_choices_is_enumerated() -> None:
    space = load_space(GOOD | {"width": [16, 32, 64, 128], "depth": [24]})
    assert space.genes > 64
    rows = space.enumerate(limit=100)
    assert rows is not None
    assert rows[:, 0].tolist() == [0, 1, 2, 3]
    assert not rows[:, 1:].any()


def test_layers_without_a_choice_are_counted() -> None:
    space = load_space(GOOD | {"width": [16, 32], "depth": [2, 4]})
    rows = space.enumerate(limit=100)
    assert rows is not None
    assert space.count_layers(rows).tolist() == [a.depth for a in space.decode(rows)] == [2, 4, 2, 4]
    ((gene, kept),) = space.depth_tables
    assert gene == 1
    assert kept.tolist() == [[True, True, False, False], [True] * 4]


@given(space=spaces)
@settings(max_examples=30, deadline=None)
def test_a_space_tells_the_layers_that_its_codes_show(space: SearchSpace) -> None:
    shown = Encoding.depth_tables.func(space)  # type: ignore[attr-defined]
    assert not shown or np.array_equal(shown[0][1], space.depth_tables[0][1])


def test_sampling_is_seeded_and_reaches_every_option() -> None:
    space = load_space("hybrid-lm")
    population = space.sample(3000, np.random.default_rng(0))
    assert np.array_equal(population, space.sample(3000, np.random.default_rng(0)))
    for column, cardinality in enumerate(space.cardinalities):
        assert set(population[:, column]) == set(range(cardinality))


def test_a_layer_without_a_mixer_has_no_heads() -> None:
    assert Layer("none", 4).heads == 0
    assert Layer("none", 4) == Layer("none", 8)
    assert Architecture(9, 8, (Layer("none", 4),)).digest == Architecture(9, 8, (Layer("none", 2),)).digest


def test_a_digest_identifies_content_and_stays() -> None:
    """Stores are keyed by it: a change of this value orphans every measurement."""
    architecture = Architecture(256, 128, (Layer("window:64", 4, "mlp", 2), Layer("none", 4)))
    assert architecture.digest == "d05fa7b6908f5d0c"
    assert Architecture(255, 128, architecture.layers).digest != architecture.digest


def test_genes_that_came_later_are_written_where_they_say_something() -> None:
    plain, later = Layer("softmax", 4), Layer("softmax", 4, conv=4, kv_heads=2)
    assert plain.to_dict().keys() == {"mixer", "heads", "channel", "ratio"}
    assert later.to_dict() == plain.to_dict() | {"conv": 4, "kv_heads": 2}
    assert Layer("softmax", 4, kv_heads=4) == plain
    assert Layer("none", 4, conv=4, kv_heads=2) == Layer("none", 4)


def test_genes_that_came_later_are_columns_where_there_is_a_choice() -> None:
    plain, one, several = (load_space(with_layer(conv=conv)) for conv in ([0], [4], [0, 4]))
    assert plain.names == one.names == load_space(GOOD).names
    assert [name for name in several.names if name not in plain.names] == ["conv_0", "conv_1"]
    assert plain.digest == load_space(GOOD).digest
    assert len({plain.digest, one.digest, several.digest}) == 3
    assert {layer.conv for a in one.decode(codes(one, 0)) for layer in a.layers} == {4}


def test_as_many_key_value_heads_as_heads_are_one_model() -> None:
    space = load_space(with_layer(heads=[2, 4], kv_heads=[0, 2]))
    two, four = (
        {(row[3], row[6]) for row in space.canonical(codes(space, 0, 200)) if row[3] == h} for h in (0, 1)
    )
    assert two == {(0, 0)}
    assert four == {(1, 0), (1, 1)}


def test_a_space_is_identified_by_what_it_contains() -> None:
    space = load_space("hybrid-lm")
    content = space.spec.model_dump(mode="json")
    assert load_space(content | {"name": "other", "description": "x"}).digest == space.digest
    assert load_space(content | {"context": 256}).digest != space.digest


def test_spaces_by_name_by_path_and_from_data(tmp_path: Path) -> None:
    assert "hybrid-lm" in space_names()
    by_name = load_space("hybrid-lm")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(by_name.spec.model_dump(mode="json")))
    assert load_space(path).digest == load_space(str(path)).digest == by_name.digest


@pytest.mark.parametrize("name", space_names())
def test_spaces_that_ship(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert space.spec.description
    assert np.array_equal(
        space.encode(space.decode(space.sample(50, np.random.default_rng(0)))).shape, (50, space.genes)
    )


GOOD: dict[str, Any] = {
    "name": "good",
    "width": [16],
    "depth": [2],
    "layer": {"mixer": ["softmax"], "heads": [2], "ratio": [1]},
}


def with_layer(**changes: Any) -> dict[str, Any]:
    return GOOD | {"layer": GOOD["layer"] | changes}


@pytest.mark.parametrize(
    ("declaration", "path", "words"),
    [
        (GOOD | {"name": "has space"}, "space.name", "pattern"),
        (GOOD | {"width": []}, "space.width", "at least 1"),
        (GOOD | {"width": [0]}, "space.width.0", "greater than 0"),
        (GOOD | {"depth": [2, 2]}, "space.depth", "twice"),
        (GOOD | {"depth": ["two"]}, "space.depth.0", "integer"),
        (GOOD | {"vocabulary": -1}, "space.vocabulary", "greater than 0"),
        (GOOD | {"colour": "red"}, "space.colour", "no such name; accepted: name, "),
        (GOOD | {"layer": {"mixer": ["none"], "heads": [1]}}, "space.layer.ratio", "required"),
        (with_layer(mixer=["flash"]), "space.layer.mixer.0", "accepted: "),
        (with_layer(mixer=["window:0"]), "space.layer.mixer.0", "window 0; accepted: 1 to 65536"),
        (with_layer(mixer=["window:x"]), "space.layer.mixer.0", "window:x"),
        (with_layer(mixer=["linear", "linear"]), "space.layer.mixer", "twice"),
        (with_layer(channel=["moe"]), "space.layer.channel.0", "accepted: mlp"),
        (with_layer(heads=[3]), "space", "width 16 cannot be split into 3 heads"),
        (with_layer(heads=[16]), "space", "even size"),
        (with_layer(ratio=[0.3]), "space", "not a whole number"),
        (with_layer(ratio=[-1]), "space.layer.ratio.0", "greater than or equal to 0"),
        (with_layer(conv=[65]), "space.layer.conv.0", "less than or equal to 64"),
        (with_layer(conv=[1]), "space.layer.conv", "sees no other token"),
        (with_layer(conv=[]), "space.layer.conv", "at least 1"),
        (with_layer(kv_heads=[0, 3]), "space", "3 key-value heads do not divide 2 heads"),
        (with_layer(kv_heads=[-1]), "space.layer.kv_heads.0", "greater than or equal to 0"),
        (with_layer(conv=[9]) | {"context": 8}, "space", "9 taps does not fit a context of 8"),
        (with_layer(mixer=["sparse:8192"]), "space.layer.mixer.0", "block 8192; accepted: 1 to 4096"),
        (
            with_layer(mixer=["none", "performer:10000000"]),
            "space.layer.mixer.1",
            "10000000; accepted: 1 to 1024",
        ),
    ],
)
def test_a_problem_is_named_with_its_path(declaration: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(SpaceError) as caught:
        load_space(declaration)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert words in problem.message


def test_every_problem_is_reported_at_once() -> None:
    wrong = {"width": [0], "depth": [], "layer": {"mixer": ["flash"], "heads": [2, 2], "ratio": ["wide"]}}
    with pytest.raises(SpaceError) as caught:
        load_space(wrong)
    assert {problem.path for problem in caught.value.problems} == {
        "space.name",
        "space.width.0",
        "space.depth",
        "space.layer.mixer.0",
        "space.layer.heads",
        "space.layer.ratio.0",
    }


@pytest.mark.parametrize("text", ["{", "- a\n- b", "3", ""])
def test_a_file_that_is_no_declaration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError, match="space"):
        load_space(path)


def test_a_space_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(SpaceError, match="hybrid-lm"):
        load_space("hybrid-ml")


def test_encoding_names_every_option_that_is_missing() -> None:
    space = load_space(GOOD)
    stranger = Architecture(256, 32, (Layer("linear", 2, ratio=1), Layer("softmax", 4, ratio=3)))
    with pytest.raises(SpaceError) as caught:
        space.encode([*space.decode(codes(space, 0, 1)), stranger])
    paths = {problem.path.removeprefix("architectures.1.") for problem in caught.value.problems}
    assert paths == {"width", "layers.0.mixer", "layers.1.heads", "layers.1.ratio"}
    assert not space.contains(stranger)


def test_other_key_value_heads_than_the_spaces_are_another_model() -> None:
    space = load_space(with_layer(heads=[4], kv_heads=[2, 4]))
    (own,) = space.decode(codes(space, 0, 1))
    assert space.contains(own.with_layer(0, kv_heads=4))
    stranger = own.with_layer(0, kv_heads=1)
    assert not space.contains(stranger)
    with pytest.raises(SpaceError, match=r"layers\.0\.kv_heads: 1 is not an option"):
        space.encode([stranger])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"stem": "patch:4", "readout": "pool"},
            "stem: 'patch:4' in a language model; accepted there: embed",
        ),
        ({"readout": "pool"}, "readout: 'pool' in a language model; accepted there: logits"),
        ({"stem": 3}, "stem: 3 is no option text"),
        *(
            ({"layers": [{"mixer": mixer, "heads": 2}]}, f"layers.0: mixer {mixer} is bidirectional only")
            for mixer in ("linformer:4", "pool:5", "relu:3", "conv:3", "local:5")
        ),
        *(
            ({"layers": [{"mixer": "softmax", "heads": 2, "ratio": ratio}]}, f"layers.0.ratio: {ratio!r} is")
            for ratio in ("4", True, None)
        ),
        ({"layers": [{"mixer": "softmax", "heads": 2, "ratio": 10**400}]}, "too large"),
    ],
)
def test_what_does_not_fit_a_language_model(change: dict[str, Any], said: str) -> None:
    data = {"vocabulary": 9, "width": 8, "layers": []}
    assert Architecture.from_dict(data | {"stem": "embedding", "readout": "logits"})
    with pytest.raises(SpaceError, match=re.escape(said)):
        Architecture.from_dict(data | change)


def test_what_is_stored_of_a_mixer_that_is_not_installed_can_be_read() -> None:
    gone = {"mixer": "nonsense:3", "heads": 2, "channel": "mlp", "ratio": 4.0}
    data = {"vocabulary": 9, "width": 8, "layers": [gone]}
    assert Architecture.from_dict(data).to_dict() == data


@pytest.mark.parametrize(
    "data",
    [{}, {"vocabulary": 1, "width": 8}, {"vocabulary": 1, "width": 8, "layers": [{"mixer": "softmax"}]},
     {"vocabulary": "x", "width": 8, "layers": []}, {"vocabulary": 1, "width": 8, "layers": [{"size": 3}]},
     {"vocabulary": "1", "width": 8, "layers": []}, {"vocabulary": 1, "width": 8.5, "layers": []},
     {"vocabulary": 1, "width": 8, "layers": [], "depth": 0}, {"vocabulary": 1, "width": -8, "layers": []},
     {"vocabulary": 1, "width": 8, "layers": [{"mixer": "softmax", "heads": "2"}]},
     {"vocabulary": 1, "width": 8, "layers": [{"mixer": 3, "heads": 2}]},
     {"vocabulary": 1, "width": 8, "layers": [3]},
     {"vocabulary": 1, "width": 8, "layers": [{"mixer": "softmax", "heads": 2, "ratio": float("nan")}]}],
)  # fmt: skip
def test_documents_that_are_no_architecture(data: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match="accepted: "):
        Architecture.from_dict(data)


def test_an_encoding_needs_a_name_and_an_option_for_every_gene() -> None:
    with pytest.raises(ValueError, match="1 names for cardinalities of shape"):
        Encoding([2, 3], ["a"])
    with pytest.raises(ValueError, match="at least one option"):
        Encoding([2, 0], ["a", "b"])
    assert np.array_equal(Encoding([2, 3], ["a", "b"]).canonical([[1, 2]]), [[1, 2]])


def test_contradictions_of_many_sizes_are_refused_by_their_number() -> None:
    many = {"width": [2 * i for i in range(1, 2001)], "layer": GOOD["layer"] | {"heads": [1]}}
    ratios = [i + 0.3 for i in range(100)]
    with pytest.raises(SpaceError, match="widths × ratios are 200000 combinations; accepted: at most 100000"):
        load_space(GOOD | many | {"layer": many["layer"] | {"ratio": ratios}})
    with pytest.raises(SpaceError, match=r"; and 12 more$"):
        load_space(GOOD | {"layer": GOOD["layer"] | {"ratio": ratios[:20]}})

"""Models that see a whole input at once: forms, stems, readouts, and spaces of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.testing.contract import Contract
from searchspaces.architecture import Architecture, Layer, unfit
from searchspaces.costs import CostModel
from searchspaces.errors import SpaceError
from searchspaces.form import LANGUAGE, Classes, Form, Grid, Input, NextToken, Series, Tokens
from searchspaces.mixers import mixers
from searchspaces.operations import OperationKind
from searchspaces.part import Sizes, View
from searchspaces.readouts import parse_readout, readouts
from searchspaces.space import load_space
from searchspaces.stems import parse_stem, stems
from searchspaces.submodel import Submodel
from searchspaces.supernet import Supernet

IMAGES = Form(Grid((12, 8), 3), Classes(5))
SPACE = {
    "name": "images",
    "form": {"input": {"grid": [12, 8], "channels": 3}, "output": {"classes": 5}},
    "stem": ["patch:4", "conv:3,2"],
    "readout": ["mean", "pool"],
    "width": [16, 32],
    "depth": [1, 2, 3],
    "layer": {"mixer": ["softmax", "none"], "heads": [2, 4], "ratio": [0, 1, 2]},
}
FORMS = [
    IMAGES,
    Form(Tokens(20, 7), Classes(2)),
    Form(Series(29, 12), Classes(9)),
]
INPUTS: dict[type, Input] = {Tokens: Tokens(20, 7), Grid: Grid((12, 8), 3), Series: Series(29, 12)}


def given_to(form: Form, batch: int, seed: int = 0) -> torch.Tensor:
    """Random inputs of a form."""
    generator = torch.Generator().manual_seed(seed)
    shape = form.input.shape(batch)
    if isinstance(form.input, Tokens):
        return torch.randint(form.vocabulary, shape, generator=generator)
    return torch.randn(shape, generator=generator)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_form_is_plain_data_and_back(form: Form) -> None:
    assert Form.from_dict(form.to_dict()) == form
    assert not form.causal


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        {"input": {"grid": [12]}, "output": {"classes": 5}},
        {"input": {"grid": [12, 0]}, "output": {"classes": 5}},
        {"input": {"grid": [12, 8.5]}, "output": {"classes": 5}},
        {"input": {"grid": [12, True]}, "output": {"classes": 5}},
        {"input": {"grid": [12, 8], "channels": "3"}, "output": {"classes": 5}},
        {"input": {"grid": [12, 8], "colour": 3}, "output": {"classes": 5}},
        {"input": {"grid": [12, 8]}, "output": {"classes": 1}},
        {"input": {"grid": [12, 8]}, "output": {"classes": 5}, "more": 1},
        {"input": {"grid": [99999, 99999]}, "output": {"classes": 5}},
        {"input": {"tokens": 5}, "output": {"classes": 5}},
        {"input": {"grid": [12, 8]}, "output": {}},
    ],
)
def test_what_is_no_form_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=r"accepted|outside"):
        Form.from_dict(data)


def test_only_tokens_have_a_next() -> None:
    with pytest.raises(ValueError, match="accepted: the next token of tokens"):
        Form(Grid((2, 2)), NextToken())
    assert Form(Tokens(300)).serves(Form(Tokens(256)))
    assert not IMAGES.serves(Form(Grid((12, 8), 3), Classes(4)))


class TestEveryStem(Contract):
    subjects = tuple(cls.example for cls in stems().values())

    def test_it_makes_the_tokens_that_it_says_of_what_it_takes(self, subject: str) -> None:
        stem, taken = parse_stem(subject), 0
        for given in INPUTS.values():
            form = Form(given, Classes(3))
            try:
                grid = stem.grid(given)
            except ValueError:
                continue
            taken += 1
            sizes = Sizes(16, view=View(False, grid), form=form)
            shapes = stem.shapes(sizes)
            weights = {name: torch.randn(weight.shape) for name, weight in shapes.items()}
            tokens = stem.forward(given_to(form, 4), weights, sizes)
            assert tokens.shape == (4, math.prod(grid), 16)
            smaller = stem.shapes(Sizes(8, view=View(False, grid), form=form))
            for name, weight in shapes.items():
                wanted = tuple(n // 2 if a else n for n, a in zip(weight.shape, weight.axes, strict=True))
                assert smaller[name].shape == wanted
        assert taken

    def test_counted_products_are_torchs(self, subject: str) -> None:
        from torch.utils.flop_counter import FlopCounterMode

        stem = parse_stem(subject)
        for given in INPUTS.values():
            form = Form(given, Classes(3))
            try:
                sizes = Sizes(16, view=View(False, stem.grid(given)), form=form)
            except ValueError:
                continue
            weights = {name: torch.randn(weight.shape) for name, weight in stem.shapes(sizes).items()}
            with FlopCounterMode(display=False) as counter:
                stem.forward(given_to(form, 1), weights, sizes)
            counted = stem.operations(sizes, math.prod(sizes.view.grid))
            assert 2 * sum(operation.macs for operation in counted) == counter.get_total_flops()
            kinds = {operation.kind for operation in counted}
            assert kinds <= set(OperationKind)


class TestEveryReadout(Contract):
    subjects = tuple(cls.example for cls in readouts().values() if cls.answers is Classes)

    def test_it_tells_a_class_of_all_tokens(self, subject: str) -> None:
        from torch.utils.flop_counter import FlopCounterMode

        readout = parse_readout(subject)
        sizes = Sizes(16, view=View(False, (3, 2)), form=IMAGES)
        torch.manual_seed(0)
        weights = {name: torch.randn(weight.shape) / 4 for name, weight in readout.shapes(sizes).items()}
        x = torch.randn(4, 6, 16)
        told = readout.forward(x, weights, sizes)
        assert told.shape == (4, 5)
        torch.testing.assert_close(told, readout.forward(x.flip(1), weights, sizes))
        changed = x.clone()
        changed[:, 3] += 1.0
        assert (readout.forward(changed, weights, sizes) != told).any(1).all()
        with FlopCounterMode(display=False) as counter:
            readout.forward(x[:1], weights, sizes)
        counted = readout.operations(sizes, 6)
        assert 2 * sum(operation.macs for operation in counted) == counter.get_total_flops()


def test_a_space_of_encoders_is_codes_and_back() -> None:
    space = load_space(SPACE)
    rows = np.unique(space.sample(500, np.random.default_rng(0)), axis=0)
    architectures = space.decode(rows)
    assert np.array_equal(space.encode(architectures), rows)
    assert len({architecture.digest for architecture in architectures}) == len(rows)
    assert {(a.stem, a.readout) for a in architectures} == {
        (stem, readout) for stem in SPACE["stem"] for readout in SPACE["readout"]
    }
    assert all(Architecture.from_dict(a.to_dict()) == a for a in architectures)
    assert {a.view for a in architectures} == {View(False, (3, 2))}
    assert space.spec.context == 6
    again = load_space(space.spec.model_dump(mode="json"))
    assert again.digest == space.digest
    assert space.digest != load_space(SPACE | {"stem": ["patch:4"]}).digest


def test_macs_of_every_mixer_that_sees_both_ways_are_those_that_torch_counts() -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    options = [cls.example for cls in mixers().values() if not unfit(cls.example, 0, View(False, (3, 2)))]
    space = load_space(SPACE | {"layer": {"mixer": options, "heads": [2, 4], "ratio": [0, 2]}})
    costs, images = CostModel(space), given_to(IMAGES, 1)
    for option in options:
        layers = Layer(option, 4, ratio=2), Layer(option, 2, ratio=0)
        row = space.encode([Architecture(0, 32, layers, form=IMAGES, stem="conv:3,2", readout="pool")])
        (architecture,) = space.decode(row)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            Submodel(architecture)(images)
        assert 2 * costs.macs(row, 6)[0] == counter.get_total_flops(), option


def test_a_matrix_of_all_pairs_is_refused_where_it_would_fill_the_memory() -> None:
    long = {"input": {"tokens": 20, "length": 200_000}, "output": {"classes": 5}}
    space = SPACE | {"form": long, "stem": ["embedding"]}
    with pytest.raises(
        SpaceError, match=r"space.layer.mixer.1: mixer random takes 4096 tokens at most, not 200000"
    ):
        load_space(space | {"layer": {"mixer": ["linear", "random"], "heads": [2], "ratio": [1]}})


def test_a_submodel_of_an_encoder_computes_what_the_supernet_does() -> None:
    torch.manual_seed(0)
    space = load_space(SPACE)
    supernet = Supernet(space)
    for weight in supernet.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    images = given_to(IMAGES, 3)
    costs = CostModel(space)
    for row in np.unique(space.sample(30, np.random.default_rng(1)), axis=0):
        (architecture,) = space.decode(row[None])
        submodel = supernet.extract(architecture)
        with torch.inference_mode():
            told = submodel(images)
            torch.testing.assert_close(told, supernet(images, architecture), rtol=0, atol=1e-5)
        assert told.shape == (3, 5)
        assert sum(weight.numel() for weight in submodel.parameters()) == costs.parameters(row[None])[0]
        assert {name.rpartition(".")[2] for name in submodel.matrices} <= {
            *("patch4", "query", "key", "value", "out", "mlp_up", "mlp_down")
        }
    assert not costs.state_bytes(space.sample(5, np.random.default_rng(0)), 6).any()


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"stem": ["patch:5"]}, "space.stem.0", "patch:5 does not divide a grid of 12 × 8.*accepted: "),
        ({"stem": ["patch:4", "embedding"]}, "space.stem.1", "does not take.*accepted: tokens"),
        ({"stem": ["patch:4", "patch:2"]}, "space.stem", "patch:4 3×2, patch:2 6×4; accepted: stems of one"),
        ({"stem": ["patch:0"]}, "space.stem.0", "side 0; accepted: 1 to 256"),
        ({"stem": ["conv:4"]}, "space.stem.0", "accepted: odd"),
        ({"readout": ["mean", "logits"]}, "space.readout.1", "logits does not tell.*accepted: mean, pool"),
        ({"readout": ["cls"]}, "space.readout.0", "no readout 'cls'; accepted: "),
        ({"context": 7}, "space.context", "accepted: 6"),
        ({"form": {"input": "pixels"}}, "space.form", "is no form; accepted: "),
    ],
)
def test_a_space_of_encoders_that_does_not_fit(change: dict, path: str, said: str) -> None:
    with pytest.raises(SpaceError, match=said) as refused:
        load_space(SPACE | change)
    assert [problem.path for problem in refused.value.problems] == [path]


def test_causal_parts_in_a_space_of_encoders_are_refused_with_their_paths() -> None:
    layer = SPACE["layer"] | {"mixer": ["softmax", "gateddelta", "none", "gated"], "conv": [0, 4]}
    with pytest.raises(SpaceError) as refused:
        load_space(SPACE | {"layer": layer})
    said = {problem.path: problem.message for problem in refused.value.problems}
    assert list(said) == ["space.layer.mixer.1", "space.layer.mixer.3", "space.layer.conv.1"]
    assert "gateddelta is causal only, the model bidirectional; accepted: " in said["space.layer.mixer.1"]
    assert "softmax" in said["space.layer.mixer.3"].partition("accepted")[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stem": "patch:7"}, "does not divide"),
        ({"readout": "logits"}, "does not tell"),
        ({"layers": [Layer("gated", 2).to_dict()]}, "layers.0: mixer gated is causal only"),
        ({"form": {"input": {"grid": [12, 8]}}}, "accepted"),
        ({"form": 3}, "accepted"),
    ],
)
def test_an_architecture_that_does_not_fit_its_form(change: dict, said: str) -> None:
    data = Architecture(0, 16, (Layer("softmax", 2),), form=IMAGES, stem="patch:4", readout="mean").to_dict()
    assert Architecture.from_dict(data).view.grid == (3, 2)
    with pytest.raises(SpaceError, match=said):
        Architecture.from_dict(data | change)


@pytest.mark.parametrize(
    ("form", "stem", "readout"),
    [
        (IMAGES, "patch:4", "mean"),
        (IMAGES, "conv:3,2", "pool"),
        (FORMS[1], "embedding", "pool"),
        (FORMS[2], "frames", "mean"),
    ],
)
def test_an_encoder_composes_to_what_torch_computes(form: Form, stem: str, readout: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from nas.export import BlockLibrary

    torch.manual_seed(0)
    layers = Layer("softmax", 2, ratio=2), Layer("none", 0, ratio=1), Layer("softmax", 4, kv_heads=2, ratio=0)
    submodel = Submodel(Architecture(0, 32, layers, form=form, stem=stem, readout=readout)).eval()
    for weight in submodel.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    weights = {name: value.numpy() for name, value in submodel.state_dict().items()}
    model = BlockLibrary().compose(submodel.architecture, weights).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        given = given_to(form, batch)
        (told,) = session.run(None, {form.input.name: given.numpy()})
        with torch.inference_mode():
            np.testing.assert_allclose(told, submodel(given).numpy(), atol=1e-4)


OPTIONS = ["softmax", "conv:3", "window:5", "pool", "flow", "none", "scatter:5", "local"]


@pytest.mark.parametrize("readout", ["mean", "pool"])
def test_a_shorter_series_is_told_as_one_of_its_own_length(readout: str) -> None:
    """And beside longer ones in a batch; what is learned of it has gradients."""
    torch.manual_seed(0)
    layers = tuple(Layer(option, 2 if option != "none" else 0, ratio=1) for option in OPTIONS)
    long = Submodel(Architecture(0, 32, layers, form=FORMS[2], stem="frames", readout=readout))
    for weight in long.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    form = Form(Series(20, 12), Classes(9))
    short = Submodel(Architecture(0, 32, layers, form=form, stem="frames", readout=readout))
    short.load_state_dict(long.state_dict())
    series = given_to(FORMS[2], 3)
    series[1, :, 20:] = torch.nan
    series[2, :, 1:] = torch.nan
    told = long(series)
    torch.testing.assert_close(told[1:2], short(series[1:2, :, :20]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(told[:1], long(series[:1]), rtol=1e-4, atol=1e-5)
    told.square().sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in long.parameters())


def test_series_that_are_all_there_are_told_as_if_none_could_be_shorter() -> None:
    torch.manual_seed(0)
    layers = Layer("softmax", 2, ratio=1), Layer("linear", 2, ratio=1)
    model = Submodel(Architecture(0, 32, layers, form=FORMS[2], stem="frames", readout="mean"))
    series = given_to(FORMS[2], 2)
    told = model(series)
    vars(model.architecture)["view"] = replace(model.architecture.view, padded=False)
    torch.testing.assert_close(told, model(series), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_an_encoder_goes_over_the_wire(form: Form) -> None:
    from nas.rpc.v1 import service_pb2 as pb
    from nas.service.wire.convert import architecture_from_message, architecture_to_message

    layers = (Layer("softmax", 2),)
    sent = Architecture(0, 32, layers, form=form, stem="patch:4", readout="mean")
    content = architecture_to_message(sent).SerializeToString()
    assert architecture_from_message(pb.Architecture.FromString(content)) == sent


def test_a_language_model_says_no_word_of_forms() -> None:
    model = Architecture(256, 16, (Layer("softmax", 2),))
    assert model.form == Form(Tokens(256)) != LANGUAGE
    assert set(model.to_dict()) == {"vocabulary", "width", "layers"}
    assert not {"form", "stem", "readout"} & set(load_space("hybrid-lm").spec.model_dump(mode="json"))

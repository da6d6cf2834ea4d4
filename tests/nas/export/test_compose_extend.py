"""Files that go on from earlier tokens: equal to torch by any pieces, and timed by every runtime."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from nas.export import BlockLibrary, TimedModels
from searchspaces.architecture import Architecture, Layer
from searchspaces.mixers import MIXERS, HeadMixer, mixers
from searchspaces.mixers.softmax import Softmax
from searchspaces.part import Sight
from searchspaces.submodel import DecodeState, Submodel
from workers.runtimes import parse_runtime, runtimes, workload_tokens
from workers.target import Phase, Target, Workload

LIBRARY = BlockLibrary()


def submodel_of(mixer: str, layers: int) -> Submodel:
    """Of one layer, whose mixer has every gene that it obeys, or with a plain one and one without before."""
    torch.manual_seed(0)
    example = mixers()[mixer].example
    shared = Layer(example, 2, ratio=1, conv=3, kv_heads=1)
    every = (Layer(example, 4, ratio=1), Layer("none", 0, ratio=2), shared)
    return Submodel(Architecture(50, 16, every[-layers:])).eval()


def session_of(submodel: Submodel, batch: int | None = None, tokens: int | None = None) -> Any:
    weights = {name: value.numpy() for name, value in submodel.state_dict().items()}
    model = LIBRARY.compose_extend(submodel.architecture, weights, batch=batch, tokens=tokens)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def extended(session: Any, tokens: np.ndarray, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"tokens": tokens, **feeds}), strict=True))


def feeds_of(state: DecodeState) -> dict[str, np.ndarray]:
    layers = enumerate(state.layers)
    states = {f"layers.{i}.state_{name}": y.numpy() for i, layer in layers for name, y in layer.items()}
    return {"position": np.array(state.position), **states}


def handed_on(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the next call is fed."""
    return {
        name.replace("next_position", "position").replace(".next_", ".state_"): value
        for name, value in outputs.items()
        if name != "logits"
    }


EVERY = sorted(set(mixers(Sight.CAUSAL)) - {"none"})
STATES = {"softmax", "window", "decay"}
"""Mixers of each kind of state: one that grows, one that moves on, and sums."""
DEEP = [pytest.param(mixer, 3, marks=() if mixer in STATES else pytest.mark.slow) for mixer in EVERY]


@pytest.mark.parametrize(("mixer", "layers"), [*((mixer, 1) for mixer in EVERY), *DEEP])
def test_one_file_serves_prompts_and_tokens(mixer: str, layers: int) -> None:
    submodel = submodel_of(mixer, layers)
    session, step = session_of(submodel), session_of(submodel, batch=2, tokens=1)
    tokens = torch.randint(50, (2, 101))
    with torch.inference_mode():
        expected = submodel(tokens).numpy()
        state = submodel.init_state(2)
    feeds = feeds_of(state)
    assert feeds.keys() == {value.name for value in session.get_inputs()} - {"tokens"}
    begin = 0
    for piece in (7, 70, 1, 1, 2, 20):
        part = tokens[:, begin : begin + piece]
        outputs = extended(session, part.numpy(), feeds)
        if piece == 1:  # the file of one token says the same
            for name, value in extended(step, part.numpy(), feeds).items():
                np.testing.assert_allclose(value, outputs[name], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(outputs["logits"], expected[:, begin : begin + piece], atol=2e-5)
        feeds, begin = handed_on(outputs), begin + piece
        with torch.inference_mode():
            _, state = submodel.extend(part, state)
        for name, value in feeds_of(state).items():
            np.testing.assert_allclose(feeds[name], value, rtol=1e-5, atol=2e-5, err_msg=name)
    assert feeds["position"] == 101


def test_what_cannot_take_prompts_is_refused() -> None:
    @dataclass(frozen=True)
    class Stepping(Softmax):
        mix_extend = HeadMixer.mix_extend

    with MIXERS.scratch():
        MIXERS.register("stepping")(Stepping)
        architecture = Architecture(50, 16, (Layer("stepping", 2),))
        with pytest.raises(ValueError, match=r"'stepping'.*mix_extend"):
            LIBRARY.compose_extend(architecture)
        assert LIBRARY.compose_extend(architecture, tokens=1).graph.node


@pytest.mark.parametrize("phase", [Phase.PREFILL, Phase.DECODE])
@pytest.mark.parametrize(
    "name",
    # Compiling takes seconds a layer.
    [pytest.param(name, marks=pytest.mark.slow if "compile" in name else ()) for name in sorted(runtimes())],
)
def test_every_runtime_runs_what_is_made_for_it(name: str, phase: Phase) -> None:
    """And all of them compute the same: weights and states are the same fixed random numbers."""
    runtime = parse_runtime(name)
    capability = runtime.capability()
    if capability is None or phase not in capability.phases:
        pytest.skip(f"{name} does not {phase} here")
    layers = (Layer("window:8", 2, ratio=1), Layer("none", 0, ratio=2), Layer("linear", 4, ratio=1))
    architecture = Architecture(64, 32, layers)
    workload = Workload(phase, batch=2, tokens=12)
    tokens = workload_tokens(workload, 64)
    models = TimedModels()
    target, usual = Target("d", name, workload=workload), Target("d", workload=workload)
    logits = []
    for each in (target, usual):
        engine = parse_runtime(each.runtime)
        unit = engine.load(engine.prepare(models.reference(each), "fp32"), "fp32", 1)
        assert unit(unit.inputs(engine.reference_workload(workload), 256))[0].shape[-1] == 256
        run = engine.load(engine.prepare(models.model(architecture, each), "fp32"), "fp32", 1)
        logits.append(run(tokens)[0])
    assert logits[0].shape == (*tokens.shape, 64)
    if phase is Phase.PREFILL:
        np.testing.assert_allclose(*logits, atol=1e-4)


DECODING = Target("d", workload=Workload(Phase.DECODE, tokens=12))


@pytest.mark.parametrize(("kv_heads", "batch"), [(0, 1), (1, 2)])
def test_decoding_appends_in_place_what_others_copy(
    kv_heads: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a row of tokens each is told the same; keys of 12 numbers are none for the engine's operator, and
    blocks that are drawn none for any."""
    wide = Layer("softmax", 2, ratio=1, conv=3, kv_heads=kv_heads)
    narrow, drawn = (Layer(m, 4, ratio=1, kv_heads=kv_heads) for m in ("softmax", "sparse:2,2,2"))
    others = (Layer("window:8", 2, ratio=1), Layer("linear", 2, ratio=1))
    architecture = Architecture(64, 48, (wide, narrow, drawn, *others, wide))
    here = replace(DECODING, workload=replace(DECODING.workload, batch=batch))
    copying, appending = (
        parse_runtime("onnxruntime").load(TimedModels().model(architecture, target), "fp32", 1)
        for target in (replace(here, runtime="openvino"), here)
    )
    of_layers = [state.name.split(".")[1] for state in appending.appended]
    assert (copying.appended, of_layers) == ([], [*"00112255"])
    token = workload_tokens(here.workload, 64)
    expected, feeds = [], dict(copying.states)
    for _ in range(3):
        outputs = extended(copying.session, token, feeds)
        expected.append(outputs["logits"])
        feeds = handed_on(outputs)
    np.testing.assert_allclose(appending(token)[0], expected[0], atol=1e-5)
    found = []
    run = appending.session.run_with_iobinding

    def told(binding: onnxruntime.IOBinding) -> None:
        run(binding)
        found.append(binding.get_outputs()[0].numpy())

    monkeypatch.setattr(appending.session, "run_with_iobinding", told)
    row = appending.in_a_row(token, 3)
    row()
    row()
    np.testing.assert_allclose(found, [*expected, *expected], atol=1e-5)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_decoding_in_a_row_hands_states_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token finds what the one before left: a cache that grows, a window that moves on, sums."""
    runtime = parse_runtime(name)
    if runtime.capability() is None:
        pytest.skip(f"{name} is not installed")
    # What grows is appended to in place where an engine does.
    growing = () if runtime.appends_in_place else ("softmax",)
    layers = tuple(Layer(mixer, 8, ratio=1) for mixer in (*growing, "window:8", "linear"))
    architecture = Architecture(64, 32, layers)
    target = replace(DECODING, runtime=name)
    run = runtime.load(TimedModels().model(architecture, target), "fp32", 1)
    seen = _states_between_calls(run, monkeypatch)
    run.in_a_row(workload_tokens(target.workload, 64), 3)()
    first, second, third = seen
    *cache, window, sums = (next(key for key in first if f"{i}" in key) for i in range(len(layers)))
    for key in cache:
        assert [state[key].shape[2] for state in seen] == [12, 13, 14]
        np.testing.assert_array_equal(second[key], third[key][:, :, :-1])
    assert {state[window].shape[2] for state in seen} == {8}
    np.testing.assert_array_equal(second[window][:, :, 1:], third[window][:, :, :-1])
    assert not np.allclose(second[sums], third[sums])
    assert second[sums].shape == third[sums].shape


def _states_between_calls(run: object, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, np.ndarray]]:
    """What each call that `run` makes is fed, copied as it is made."""
    seen: list[dict[str, np.ndarray]] = []
    if hasattr(run, "session"):
        session = run.session
        original = session.run_with_ort_values

        def fed(outputs: object, feeds: dict[str, onnxruntime.OrtValue]) -> object:
            seen.append({name: value.numpy().copy() for name, value in feeds.items() if "state" in name})
            return original(outputs, feeds)

        monkeypatch.setattr(session, "run_with_ort_values", fed)
    elif hasattr(run, "_infer"):
        infer = run._infer

        def inferred(number: int, feeds: dict[str, np.ndarray]) -> object:
            seen.append({name: np.array(value) for name, value in feeds.items() if "state" in name})
            return infer(number, feeds)

        monkeypatch.setattr(run, "_infer", inferred)
    else:
        extend = run.extend

        def spied(tokens: torch.Tensor, state: DecodeState) -> object:
            layers = enumerate(state.layers)
            seen.append({f"{i}_{n}": kept.numpy().copy() for i, layer in layers for n, kept in layer.items()})
            return extend(tokens, state)

        monkeypatch.setattr(run, "extend", spied)
    return seen


def test_the_references_of_all_formats_are_one_work() -> None:
    """The same multiply-accumulates, so that drift means the same to every runtime."""
    from nas.export.reference import reference_submodel

    architecture, weights = reference_submodel()
    assert sum(value.numel() for value in weights.values()) == 2 * 64 * 512 + 256 * 64 + 2 * 64
    assert architecture.layers[0].ratio * architecture.width == 512

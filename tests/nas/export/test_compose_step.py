"""Files that decode one token: equal to torch after any context, and timed by every runtime."""

import numpy as np
import onnxruntime
import pytest
import torch

from nas.export import BlockLibrary, TimedModels
from searchspaces.architecture import Architecture, Layer
from searchspaces.mixers import mixers
from searchspaces.submodel import DecodeState, Submodel, state_shapes
from workers.runtimes import parse_runtime, runtimes, workload_tokens
from workers.target import Phase, Target, Workload

LIBRARY = BlockLibrary()


def decoded(submodel: Submodel, tokens: torch.Tensor) -> DecodeState:
    """The state after (B, N) tokens."""
    state = submodel.init_state(tokens.shape[0])
    for column in tokens.unbind(1):
        _, state = submodel.step(column, state)
    return state


@pytest.mark.parametrize("context", [0, 5, 16, 40])
@pytest.mark.parametrize("mixer", sorted(set(mixers()) - {"none"}))
def test_every_mixer_decodes_to_what_torch_computes(mixer: str, context: int) -> None:
    torch.manual_seed(0)
    example = mixers()[mixer].example
    shared = Layer(example, 2, ratio=1, conv=3, kv_heads=1)
    layers = (Layer(example, 4, ratio=1), Layer("none", 0, ratio=2), shared)
    submodel = Submodel(Architecture(50, 16, layers)).eval()
    tokens = torch.randint(50, (2, context + 1))
    with torch.inference_mode():
        state = decoded(submodel, tokens[:, :-1])
        logits, following = submodel.step(tokens[:, -1], state)
    names = [{name: tuple(kept.shape) for name, kept in layer.items()} for layer in state.layers]
    assert names == state_shapes(submodel.architecture, 2, context)

    weights = {name: value.numpy() for name, value in submodel.state_dict().items()}
    model = LIBRARY.compose_step(submodel.architecture, 2, context, weights)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = {
        f"layers.{number}.state_{name}": kept.numpy()
        for number, layer in enumerate(state.layers)
        for name, kept in layer.items()
    }
    declared = [value.name for value in session.get_inputs()]
    assert declared == ["tokens", *inputs]
    outputs = session.run(None, {"tokens": tokens[:, -1:].numpy(), **inputs})
    found = dict(zip([value.name for value in session.get_outputs()], outputs, strict=True))
    np.testing.assert_allclose(found.pop("logits")[:, 0], logits.numpy(), atol=1e-5)
    expected = {
        f"layers.{number}.next_{name}": kept.numpy()
        for number, layer in enumerate(following.layers)
        for name, kept in layer.items()
    }
    assert found.keys() == expected.keys()
    for name, kept in found.items():
        np.testing.assert_allclose(kept, expected[name], atol=1e-5)


@pytest.mark.parametrize("phase", Phase)
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
        assert engine.load(models.reference(each), "fp32", 1)(tokens)[0].shape[-1] == 256
        run = engine.load(engine.prepare(models.model(architecture, each), "fp32"), "fp32", 1)
        logits.append(run(tokens)[0])
    assert logits[0].shape == (*tokens.shape, 64)
    if phase is Phase.PREFILL:
        np.testing.assert_allclose(*logits, atol=1e-4)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_decoding_in_a_row_hands_states_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token finds what the one before left: a cache that grows, a window that moves on, sums."""
    runtime = parse_runtime(name)
    if runtime.capability() is None:
        pytest.skip(f"{name} is not installed")
    layers = tuple(Layer(mixer, 2, ratio=1) for mixer in ("softmax", "window:8", "linear"))
    architecture = Architecture(64, 32, layers)
    target = Target("d", name, workload=Workload(Phase.DECODE, tokens=12))
    run = runtime.load(TimedModels().model(architecture, target), "fp32", 1)
    seen = _states_between_calls(run, monkeypatch)
    run.in_a_row(workload_tokens(target.workload, 64), 3)()
    first, second, third = seen
    cache, window, sums = (next(key for key in first if f"{i}" in key) for i in range(3))
    assert [state[cache].shape[2] for state in seen] == [12, 13, 14]
    np.testing.assert_array_equal(second[cache], third[cache][:, :, :-1])
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
        step = run.step

        def stepped(tokens: torch.Tensor, state: DecodeState) -> object:
            layers = enumerate(state.layers)
            seen.append({f"{i}_{n}": kept.numpy().copy() for i, layer in layers for n, kept in layer.items()})
            return step(tokens, state)

        monkeypatch.setattr(run, "step", stepped)
    return seen


def test_the_references_of_all_formats_are_one_work() -> None:
    """The same multiply-accumulates, so that drift means the same to every runtime."""
    from nas.export.reference import reference_submodel

    architecture, weights = reference_submodel()
    assert sum(value.numel() for value in weights.values()) == 2 * 64 * 512 + 256 * 64 + 2 * 64
    assert architecture.layers[0].ratio * architecture.width == 512

"""What a browser computes of a model is what onnxruntime computes natively: every mixer, both phases."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from nas.export.timed import TimedModels
from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.mixers import mixers
from searchspaces.part import Sight
from workers.gateway.server import Gateway
from workers.runtimes import parse_runtime, workload_tokens
from workers.target import Phase, Target, Workload

TOKENS, VOCABULARY = 48, 64
COMPUTED = """async ({ model, workload, inputs }) => {
  const { loadEngine } = await import("/static/engine.js");
  globalThis.engine ??= await loadEngine("onnxruntime-web", 1, {});
  const loaded = await engine.load(Uint8Array.from(atob(model), (c) => c.charCodeAt(0)), workload, 64);
  const feeds = {};
  for (const [name, { type, data, dims }] of Object.entries(inputs)) {
    const values = type === "int64" ? BigInt64Array.from(data.map(BigInt)) : Float32Array.from(data);
    feeds[name] = new engine.ort.Tensor(type, values, dims);
  }
  const outputs = await loaded.once(feeds);
  const logits = Array.from(outputs[loaded.session.outputNames[0]].data);
  await loaded.session.release();
  return [logits, Object.keys(loaded.first).sort(), loaded.handed.map(([input]) => input).sort()];
}"""


@pytest.fixture(scope="module")
def page(launch) -> Any:
    with Gateway("127.0.0.1:9", "127.0.0.1:0") as gateway:
        opened = launch().new_page()
        opened.goto(gateway.link())
        yield opened


def document(array: np.ndarray) -> dict[str, Any]:
    kind = {"int64": "int64", "float32": "float32"}[str(array.dtype)]
    return {"type": kind, "data": array.ravel().tolist(), "dims": list(array.shape)}


@pytest.mark.parametrize("phase", [Phase.PREFILL, Phase.DECODE])
@pytest.mark.parametrize(
    "mixer",
    [
        name if name in ("softmax", "linear") else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(mixers(Sight.CAUSAL))
    ],
)
def test_a_browser_computes_what_is_computed_natively(page, mixer: str, phase: Phase) -> None:
    heads = 0 if mixer == NO_MIXER else 4
    architecture = Architecture(64, 64, (Layer(mixers()[mixer].example, heads, ratio=2),) * 2)
    workload = Workload(phase, tokens=TOKENS)
    target = Target("phone", "onnxruntime-web", workload=workload)
    model = TimedModels().model(architecture, target)
    native = parse_runtime("onnxruntime").load(model, "fp32", 1)
    tokens = workload_tokens(workload, VOCABULARY)
    inputs = {"tokens": tokens, **native.states}
    asked = {
        "model": base64.b64encode(model).decode(),
        "workload": {"phase": str(phase), "batch": 1, "tokens": TOKENS},
        "inputs": {name: document(array) for name, array in inputs.items()},
    }
    logits, wanted, handed = page.evaluate(COMPUTED, asked)
    expected = native(tokens)[0]
    np.testing.assert_allclose(np.array(logits).reshape(expected.shape), expected, atol=1e-5)
    # The page fills the same inputs, and hands on the same states.
    assert wanted == sorted(inputs)
    assert handed == (sorted(native.advancing) if phase is Phase.DECODE else [])

"""The page's timing protocol is that of `workers.timing`: both are given the same calls and clock."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workers.gateway
from workers import timing
from workers.clocks import ProcessorClocks
from workers.timing import TimingProtocol

NODE = shutil.which("node")
STATIC = Path(workers.gateway.__file__).parent / "static"
PROTOCOL = {
    "warm_up": 2,
    "min_repeats": 5,
    "max_repeats": 40,
    "goal_error": 0.005,
    "max_seconds": 1e9,
    "row_ms": 5.0,
}


@pytest.fixture(scope="module")
def in_node(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Gives what a script prints as JSON; `STATIC` in it is where the page's modules stand."""
    if NODE is None:
        pytest.skip("no node here")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(STATIC, folder / "static")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")

    def run(script: str) -> Any:
        text = script.replace("STATIC", (folder / "static").as_uri())
        command = [NODE, "--input-type=module", "--eval", text]
        return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)

    return run


@pytest.mark.parametrize(
    ("model_ms", "usual_ms", "until_ms", "slowed"),
    [
        (3.0, math.inf, 0.0, False),
        (300.0, math.inf, 0.0, False),
        (3.0, 1.0, 1500.0, False),
        (3.0, 1.0, math.inf, True),
        (3.0, 1.5, math.inf, False),
    ],
    ids=["quiet", "a long model", "a burst is waited for", "it stays slow", "it is known to be slow"],
)
def test_both_find_the_same_of_the_same_calls(
    in_node: Callable[[str], Any], model_ms: float, usual_ms: float, until_ms: float, slowed: bool
) -> None:
    """A neighbour slows the device down for a while, model and reference by different factors."""
    drawn = np.random.default_rng(3)
    # A device's own wobble, below what tells that somebody disturbed it.
    milliseconds = [float(ms) for ms in drawn.uniform(0.97, 1.03, 4000)]
    protocol = PROTOCOL if usual_ms == math.inf else {**PROTOCOL, "max_seconds": 1.0}
    script = f"""
      import {{ Timed, timeInterleaved }} from "STATIC/timing.js";
      const steps = {json.dumps(milliseconds)};
      let [at, next] = [0, 0];
      const clock = {{ now: () => at, tick: 1e-6 }};
      const taking = (ms, slower) => async () => {{
        at += ms * steps[next++] * (at < {_script(until_ms)} ? slower : 1);
      }};
      const timed = (each) => new Timed(taking(...each), 1, clock);
      const [model, reference] = [[{model_ms}, 1.9], [1, 1.5]].map(timed);
      const timing = await timeInterleaved(model, reference, {json.dumps(protocol)}, {_script(usual_ms)});
      console.log(JSON.stringify(timing));
    """
    found = in_node(script)
    steps, now = iter(milliseconds), [0.0]

    def taking(ms: float, slower: float) -> Callable[[], None]:
        def run() -> None:
            now[0] += ms * next(steps) * (slower if now[0] < until_ms else 1.0)

        return run

    clocks = ProcessorClocks(lambda: now[0] / 1e3, lambda: now[0] / 1e3)
    expected = timing.time_interleaved(
        taking(model_ms, 1.9), taking(1.0, 1.5), TimingProtocol(**protocol), clocks, usual=usual_ms / 1e3
    )
    assert found["repeats"] == expected.repeats >= timing.FEWEST_LONG
    for name in ("rejected", "noisy", "slowed"):
        assert found[name] == getattr(expected, name), name
    assert (found["rejected"] > 0) == (until_ms == 1500.0)
    assert found["slowed"] == slowed
    for name in ("ratio", "wall_ms", "reference_ms"):
        assert found[name] == pytest.approx(getattr(expected, name), rel=1e-9)
    assert found["spread"] == pytest.approx(expected.ratio_spread, rel=1e-9)
    assert found["error"] == pytest.approx(expected.ratio_error, rel=1e-9)


@pytest.mark.parametrize("max_seconds", [1e-3, 0.5])
def test_both_find_the_same_nominal_time(in_node: Callable[[str], Any], max_seconds: float) -> None:
    """A neighbour is busy for half of the time that is looked for it, and longer than fifty calls take."""
    protocol = {**PROTOCOL, "max_seconds": max_seconds}
    script = f"""
      import {{ Timed, calibrate }} from "STATIC/timing.js";
      let [at, calls] = [0, 0];
      const run = async () => {{ calls++; at += at < 1000 ? 7 : 4; }};
      const reference = new Timed(run, 1, {{ now: () => at, tick: 1e-6 }});
      console.log(JSON.stringify([await calibrate(reference, {json.dumps(protocol)}), calls]));
    """
    now, calls = 0.0, 0

    def run() -> None:
        nonlocal now, calls
        now, calls = now + (7 if now < 1000 else 4), calls + 1

    clocks = ProcessorClocks(lambda: now / 1e3, lambda: now / 1e3)
    expected = timing.calibrate(run, clocks, TimingProtocol(**protocol))
    assert in_node(script) == pytest.approx([expected, calls])
    assert expected == pytest.approx(4 if max_seconds > 0.1 else 7)


def _script(number: float) -> str:
    return "Infinity" if number == math.inf else str(number)


def test_a_sample_between_references_that_differ_by_over_a_tenth_is_disturbed(in_node) -> None:
    script = """
      import { Timed, isDisturbed, timeInterleaved } from "STATIC/timing.js";
      let [at, number] = [0, 0];
      const clock = { now: () => at, tick: 1e-6 };
      const timed = (run) => new Timed(run, 1, clock);
      const now_and_then = timed(async () => { at += Math.floor(at / 40) % 2 ? 2 : 1; });
      const in_turns = timed(async () => { at += Math.floor(number++ / 2) % 2 ? 2 : 1; });
      const protocol = { warm_up: 0, min_repeats: 4, max_repeats: 40, goal_error: 0.02, max_seconds: 1e9 };
      console.log(JSON.stringify([
        isDisturbed({ before: 1, after: 1.09 }), isDisturbed({ before: 1.12, after: 1 }),
        await timeInterleaved(now_and_then, now_and_then, { ...protocol, min_repeats: 30 }),
        await timeInterleaved(now_and_then, in_turns, protocol),
      ]));
    """
    calm, much, found, hopeless = in_node(script)
    assert (calm, much) == (False, True)
    assert found["rejected"] > 0
    assert (found["ratio"], found["noisy"]) == (1.0, False)
    assert hopeless["noisy"]
    assert hopeless["repeats"] == 3 * 4


@pytest.mark.parametrize(("tick", "least"), [(0.005, 0.5), (0.1, 10.0)])
def test_a_sample_lasts_a_hundred_ticks_after_a_second_of_warm_up(in_node, tick: float, least: float) -> None:
    script = f"""
      import {{ Timed }} from "STATIC/timing.js";
      let [at, warm] = [0, 0];
      const clock = {{ now: () => at, tick: {tick} }};
      const call = async (calls) => {{ at += calls * (at < 900 ? 5 : 0.2); warm = at; }};
      const timed = await Timed.lasting(call, clock, 0);
      const decoding = await Timed.lasting(call, clock, 5);
      console.log(JSON.stringify([timed.calls, decoding.calls, warm]));
    """
    calls, decoding, warm = in_node(script)
    assert calls * 0.2 >= least > calls / 2 * 0.2
    assert decoding * 0.2 >= max(5.0, least)
    assert warm >= 2000


def test_a_clock_s_tick_is_found(in_node) -> None:
    script = """
      import { tick } from "STATIC/clock.js";
      let at = 0;
      console.log(JSON.stringify(tick(() => Math.floor((at += 0.03)) * 0.1)));
    """
    assert in_node(script) == pytest.approx(0.1)


def test_states_are_filled_and_handed_on_as_workers_do(in_node) -> None:
    script = """
      import { advancing, firstInputs } from "STATIC/inputs.js";
      const inputs = [
        { name: "tokens", type: "int64", shape: [1, 1] }, { name: "position", type: "int64", shape: [] },
        { name: "layers.0.state_k", type: "float32", shape: [1, 2, "context", 4] },
        { name: "layers.1.state_sum", type: "float32", shape: [1, 3] },
        { name: "layers.2.state_cut", type: "float32", shape: [1, 8] },
      ];
      const outputs = [
        { name: "logits", shape: [1, 1, 64] }, { name: "next_position", shape: [] },
        { name: "layers.0.next_k", shape: [1, 2, "longer", 4] }, { name: "layers.1.next_sum", shape: [1, 3] },
        { name: "layers.2.next_cut", shape: [1, 9] },
      ];
      const first = firstInputs(inputs, { phase: "decode", batch: 1, tokens: 16 }, 64);
      const shown = {};
      for (const [name, { dims, data }] of Object.entries(first)) {
        shown[name] = [dims, data.length, Number(data[0])];
      }
      const image = { name: "image", type: "uint8", shape: [3] };
      let refused = "";
      try {
        firstInputs([inputs[0], image], { phase: "prefill", batch: 1, tokens: 4 }, 64);
      } catch (error) { refused = error.message; }
      console.log(JSON.stringify([shown, advancing(inputs, outputs), refused]));
    """
    shown, handed, refused = in_node(script)
    assert shown["tokens"][:2] == [[1, 1], 1]
    assert 0 <= shown["tokens"][2] < 64
    assert shown["position"] == [[], 1, 16]
    assert shown["layers.0.state_k"][:2] == [[1, 2, 16, 4], 128]
    assert handed == [
        ["position", "next_position"],
        ["layers.0.state_k", "layers.0.next_k"],
        ["layers.1.state_sum", "layers.1.next_sum"],
    ]
    assert "image is uint8" in refused


def test_what_runs_on_the_processor_is_read_from_the_engine_s_log(in_node) -> None:
    script = r"""
      import { elsewhere } from "STATIC/placement.js";
      const line = (text) => `2026-11-27 03:49:29.29 [V:onnxruntime:, session_state.cc:1383 Verify] ${text}`;
      const placed = (where, nodes) => line(` Node(s) placed on [${where}]. Number of nodes: ${nodes}`);
      console.log(JSON.stringify([
        elsewhere([placed("CPUExecutionProvider", 2), line("  Loop ()"), line("  Gather (/Gather__6)"),
          placed("WebGpuExecutionProvider", 132), line("  MatMul (/m)"), "something else"]),
        elsewhere([line("All nodes placed on [WebGpuExecutionProvider]. Number of nodes: 155")]),
      ]));
    """
    assert in_node(script) == ["2 of 134 nodes run on the processor: Gather, Loop", ""]

"""Mixers beside softmax: what is measured of them, and where they overtake it."""

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nas.bench.mixers.attention import AttentionBench, Measured, efficiency_length, run_attention_bench
from nas.errors import InvalidSpec
from searchspaces.mixers import mixers
from searchspaces.part import Sight

LENGTHS = (256, 512, 1024, 2048, 4096)


@given(st.floats(200, 5000), st.floats(0.6, 1.4))
def test_the_efficiency_length_is_where_powers_of_the_length_cross(crossing: float, power: float) -> None:
    assume(abs(crossing - LENGTHS[-1]) > 1e-3)
    softmax = {n: n**2.0 for n in LENGTHS}
    own = {n: crossing ** (2 - power) * n**power for n in LENGTHS}
    found = efficiency_length(own, softmax)
    if crossing > LENGTHS[-1]:
        assert found is None
    elif crossing <= LENGTHS[0]:
        assert found == pytest.approx(LENGTHS[0])
    else:
        assert found is not None
        assert math.isclose(found, crossing, rel_tol=1e-6)


def test_only_the_last_crossing_counts() -> None:
    softmax = dict.fromkeys(LENGTHS, 1.0)
    found = efficiency_length({256: 0.5, 512: 2.0, 1024: 0.5, 2048: 0.5}, softmax)
    assert found == pytest.approx(math.sqrt(512 * 1024))
    assert efficiency_length({256: 0.5, 512: 2.0}, softmax) is None


def test_growth_is_told_of_lengths_timed_under_the_same_load() -> None:
    """Twice as slow in the second round, and once more in the third, which was cut short."""
    rounds = [{256: 1.0, 1024: 5.0}, {256: 2.0, 1024: 10.0}, {256: 9.0}]
    found = Measured("flow", Sight.CAUSAL, rounds)
    assert found.growth == 5.0
    assert found.latency_ms == {256: 2.0, 1024: 7.5}
    assert Measured("flow", Sight.CAUSAL, [{256: 1.0, 512: 2.0}]).growth is None


def test_every_mixer_has_an_option() -> None:
    options = AttentionBench().options()
    assert options[0] == "softmax"
    assert {option.partition(":")[0] for option in options} == set(mixers()) - {"none"}
    assert "window:64" in options


def test_what_cannot_be_measured_is_named() -> None:
    with pytest.raises(InvalidSpec, match=r"--mixers: no mixer 'flash'"):
        run_attention_bench(AttentionBench(mixers=("flash",)))
    for tokens in ((), (0, 4), (8, 4), (4, 4)):
        with pytest.raises(InvalidSpec, match=r"--tokens: .*accepted: rising"):
            run_attention_bench(AttentionBench(tokens=tokens))


def test_a_quick_one_measures_both_sights() -> None:
    result = json.loads(json.dumps(run_attention_bench(AttentionBench().quick())))
    rows = {(row["mixer"], row["sight"]): row for row in result["rows"]}
    assert set(rows) == {
        (mixer, sight)
        for mixer in ("softmax", "linear", "conv", "window:16")
        for sight in ("bidirectional", "causal")
        if (mixer, sight) != ("conv", "causal")
    }
    for row in rows.values():
        assert "failed" not in row
        assert row["error"] < 1e-5
        assert set(row["latency_ms"]) == {"32", "128"}
        assert row["growth"] > 0

"""Every token mixer beside softmax: how exact it is, what it takes, from which length on it is the faster.

After CAB (Zhang et al., 2023), whose efficiency length is the sequence at which a mixer overtakes softmax.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

from nas.bench.device import BenchDevice
from nas.errors import InvalidSpec
from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.errors import Problem
from searchspaces.form import Classes, Form, Tokens
from searchspaces.mixers import Mixer, mixers, parse_mixer
from searchspaces.part import Sight, Sizes, View
from workers.errors import WorkerError
from workers.target import Phase, Target, Workload
from workers.timing import TimingProtocol

__all__ = ["AttentionBench", "Measured", "efficiency_length", "run_attention_bench"]

SOFTMAX = "softmax"
SIZE = 64
"""Of what an option must say: a window, blocks."""
ENGINE = "onnxruntime"

Progress = Callable[[int, int, str], None]
"""Rows done, rows in all, and what is next."""


@dataclass(frozen=True)
class AttentionBench:
    """What is measured.

    Attributes:
        mixers: option texts; one of every mixer where empty. Softmax is always among them.
        tokens: lengths, rising.
        width, heads: of the one layer, which has a token mixer alone.
        rounds: in each of which every mixer is timed at every length, so that a load that comes and goes
            falls on all of them; latencies and growth are medians over these.
        protocol: of every measurement.
    """

    mixers: tuple[str, ...] = ()
    tokens: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    width: int = 128
    heads: int = 4
    rounds: int = 3
    protocol: TimingProtocol = field(default_factory=lambda: TimingProtocol(max_seconds=0.5))

    def quick(self) -> AttentionBench:
        """The least that shows that it works."""
        few = self.mixers or ("linear", "conv", "window:16")
        protocol = replace(self.protocol, max_seconds=0.2, min_repeats=4, goal_error=0.05)
        return replace(self, mixers=few, tokens=(32, 128), width=32, heads=2, rounds=2, protocol=protocol)

    def options(self) -> list[str]:
        """Softmax first.

        Raises:
            InvalidSpec: there is no such mixer, or its parameters are none.
        """
        asked = self.mixers or tuple(_option(cls) for name, cls in mixers().items() if name != NO_MIXER)
        problems = []
        for option in asked:
            try:
                parse_mixer(option)
            except ValueError as error:
                problems.append(Problem("--mixers", str(error)))
        if problems:
            raise InvalidSpec(problems)
        return [SOFTMAX, *(option for option in asked if option != SOFTMAX)]


def run_attention_bench(asked: AttentionBench, progress: Progress | None = None) -> dict[str, Any]:
    """Plain data: settings, the device, and a row for each mixer and sight: ``mixer``, ``sight``, ``error``,
    ``latency_ms`` by length, ``growth`` over the last fourfold of tokens, ``efficiency_length`` (see there;
    None where softmax was the faster at the last length), and ``failed`` where something went wrong.

    Raises:
        InvalidSpec: a mixer is not known, or lengths do not rise.
    """
    if not asked.tokens or list(asked.tokens) != sorted(set(asked.tokens)) or asked.tokens[0] < 1:
        raise InvalidSpec(
            [Problem("--tokens", f"{list(asked.tokens)}; accepted: rising whole numbers from 1")]
        )
    wanted = [
        (sight, option)
        for option in asked.options()
        for sight in Sight
        if sight in type(parse_mixer(option)).sights and 1 in parse_mixer(option).dimensions
    ]
    wanted.sort(key=lambda pair: (pair[0], pair[1] != SOFTMAX))
    rows = [Measured(option, sight) for sight, option in wanted]
    with closing(BenchDevice("here", asked.protocol)) as device:
        for number in range(asked.rounds):
            for place, row in enumerate(rows):
                if progress is not None:
                    what = f"{row.option}, {row.sight}, round {number + 1} of {asked.rounds}"
                    progress(number * len(rows) + place, asked.rounds * len(rows), what)
                row.measure(asked, device)
    softmax = {row.sight: row.latency_ms for row in rows if row.option == SOFTMAX}
    settings = {**asdict(asked), "engine": ENGINE, "threads": 1, "dtype": "fp32"}
    return {"settings": settings, "rows": [row.to_dict(softmax[row.sight]) for row in rows]}


def efficiency_length(own: Mapping[int, float], softmax: Mapping[int, float]) -> float | None:
    """The length from which on a mixer is at least as fast as softmax, between measured lengths by straight
    lines of logarithms; the first length where it always is, None where it is not at the last one.

    Args:
        own, softmax: milliseconds by length; those that both have count.
    """
    lengths = sorted(own.keys() & softmax.keys())
    behind = [math.log(own[n] / softmax[n]) for n in lengths]
    if not lengths or behind[-1] > 0:
        return None
    later = max((i for i, gap in enumerate(behind) if gap > 0), default=-1)
    if later < 0:
        return float(lengths[0])
    share = behind[later] / (behind[later] - behind[later + 1])
    first, second = math.log(lengths[later]), math.log(lengths[later + 1])
    return math.exp(first + share * (second - first))


@dataclass
class Measured:
    """What is found of one mixer in one sight.

    Attributes:
        rounds: milliseconds by length, of each round.
        error: see `_error`; None before the first round.
        failed: why no more is measured.
    """

    option: str
    sight: Sight
    rounds: list[dict[int, float]] = field(default_factory=list)
    error: float | None = None
    failed: str | None = None

    def measure(self, asked: AttentionBench, device: BenchDevice) -> None:
        """One more round."""
        if self.failed is not None:
            return
        if self.error is None:
            self.error = _error(self.option, self.sight, asked)
        found: dict[int, float] = {}
        self.rounds.append(found)
        try:
            for tokens, architecture, target in _models(self.option, self.sight, asked):
                found[tokens] = device.measure(architecture, target).latency_ms
        except WorkerError as error:
            self.failed = str(error)

    @property
    def latency_ms(self) -> dict[int, float]:
        """The median of the rounds, by length."""
        lengths = sorted({tokens for found in self.rounds for tokens in found})
        return {n: statistics.median(found[n] for found in self.rounds if n in found) for n in lengths}

    @property
    def growth(self) -> float | None:
        """Over the last fourfold of tokens: the median of the rounds' own quotients, for what slows a round
        down slows both of its lengths."""
        measured = self.latency_ms
        first = max((n for n in measured if 4 * n in measured), default=None)
        if first is None:
            return None
        both = [found for found in self.rounds if 4 * first in found]
        return statistics.median(found[4 * first] / found[first] for found in both)

    def to_dict(self, softmax: Mapping[int, float]) -> dict[str, Any]:
        """See `run_attention_bench`."""
        told: dict[str, Any] = {
            "mixer": self.option,
            "sight": str(self.sight),
            "latency_ms": self.latency_ms,
            "error": self.error,
            "growth": self.growth,
        }
        if self.option != SOFTMAX:
            told["efficiency_length"] = efficiency_length(self.latency_ms, softmax)
        return told if self.failed is None else {**told, "failed": self.failed}


def _models(option: str, sight: Sight, asked: AttentionBench) -> Iterator[tuple[int, Architecture, Target]]:
    """Of each length: a layer that mixes tokens, between an embedding and an answer that take no time."""
    layers = (Layer(option, asked.heads, ratio=0),)
    for tokens in asked.tokens:
        if sight is Sight.CAUSAL:
            architecture, phase = Architecture(2, asked.width, layers), Phase.PREFILL
        else:
            form = Form(Tokens(2, tokens), Classes(2))
            architecture = Architecture(0, asked.width, layers, form=form, stem="embedding", readout="mean")
            phase = Phase.ENCODE
        yield tokens, architecture, Target("here", ENGINE, "fp32", 1, Workload(phase, 1, tokens))


def _error(option: str, sight: Sight, asked: AttentionBench) -> float:
    """Of single precision against the plain formula in double, over the largest number of that, at the first
    length and with random weights."""
    import torch

    from searchspaces.rotary import grid_rotary, rotary

    tokens = asked.tokens[0]
    view = View(sight is Sight.CAUSAL, () if sight is Sight.CAUSAL else (tokens,))
    mixer = parse_mixer(option)
    sizes: Sizes = Layer(option, asked.heads, ratio=0).sizes(asked.width, view)
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        * (weight.shape[-1] ** -0.5 if weight.is_matrix else 0.3)
        for name, weight in mixer.shapes(sizes).items()
    }
    x = torch.randn(1, tokens, asked.width, generator=generator, dtype=torch.float64)
    turns = None
    if mixer.positioned:
        turns = (
            rotary(torch.arange(tokens), sizes.head_size)
            if view.causal
            else grid_rotary((tokens,), sizes.head_size)
        )
    with torch.inference_mode():
        wanted = mixer.reference(x, weights, sizes, turns)
        single = {name: weight.float() for name, weight in weights.items()}
        found = mixer.forward(x.float(), single, sizes, turns)
    return float((found - wanted).abs().max() / wanted.abs().max())


def _option(cls: type[Mixer]) -> str:
    """A mixer with what it is by default, and `SIZE` for what it must be told."""
    own: tuple[Field[Any], ...] = fields(cls) if is_dataclass(cls) else ()
    needed = [str(SIZE) for each in own if not isinstance(each.default, int)]
    return ":".join([cls.name, ",".join(needed)]) if needed else cls.name

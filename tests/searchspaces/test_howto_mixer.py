"""The mixer of docs/howto-mixer.md keeps the contract that the page promises to test."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.testing.bidirectional_mixers import BidirectionalMixerContract
from nas.testing.mixers import MixerContract
from searchspaces.mixers import MIXERS, CausalMixer, TwoSightedHeadMixer, parse_mixer

PAGE = Path(__file__).parents[2] / "docs" / "howto-mixer.md"


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    with MIXERS.scratch():
        exec(compile(code, str(PAGE), "exec"), {"__name__": "howto_mixer"})
        yield


class TestThePagesMixers(MixerContract):
    subjects = ("mean", "gatedmean")


class TestThePagesBidirectionalMixer(BidirectionalMixerContract):
    subjects = ("spread",)


def test_the_page_names_what_a_mixer_must_give() -> None:
    text = PAGE.read_text()
    named = TwoSightedHeadMixer.__abstractmethods__ | CausalMixer.__abstractmethods__
    assert all(f"`{name}" in text or f"{name}`" in text for name in named)
    assert parse_mixer("window:64,4") == type(parse_mixer("window:64"))(64, 4)

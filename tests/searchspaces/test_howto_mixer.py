"""The mixer of docs/howto-mixer.md keeps the contract that the page promises to test."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import test_mixers as contract

from searchspaces.mixers import MIXERS, Mixer, parse_mixer

PAGE = Path(__file__).parents[2] / "docs" / "howto-mixer.md"


@pytest.fixture
def mean() -> Iterator[Mixer]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    with MIXERS.scratch():
        exec(compile(code, str(PAGE), "exec"), {"__name__": "howto_mixer"})
        yield parse_mixer("mean")


def test_the_pages_mixer_keeps_the_contract(mean: Mixer) -> None:
    contract.test_forward_is_the_reference(mean, 20)
    contract.test_forward_is_repeated_step_in_single_precision(mean)
    contract.test_state_shapes_and_bytes_are_those_of_the_state(mean, 2)
    contract.test_sequences_of_a_batch_do_not_mix(mean)


def test_the_page_names_what_a_mixer_must_give() -> None:
    text = PAGE.read_text()
    assert all(f"`{name}" in text or f"{name}`" in text for name in Mixer.__abstractmethods__)
    assert parse_mixer("window:64") == type(parse_mixer("window:64"))(64)

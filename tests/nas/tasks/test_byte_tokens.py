"""Bytes as tokens, for whoever loads a model with its tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.tasks import make_task
from nas.tasks.byte_tokens import byte_tokenizer_files

TEXT = "Töken: \x00\n\t the Ā \x7f€ 😀\r\n"


def test_every_byte_is_the_token_of_its_number() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_buffer(byte_tokenizer_files()["tokenizer.json"])
    assert tokenizer.get_vocab_size() == 256
    assert tokenizer.encode(TEXT).ids == list(TEXT.encode())
    assert tokenizer.decode(list(TEXT.encode())) == TEXT


def test_transformers_loads_it(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    for name, content in make_task("text").tokenizer_files().items():
        (tmp_path / name).write_bytes(content)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer(TEXT)["input_ids"] == list(TEXT.encode())
    assert tokenizer.decode(list(TEXT.encode())) == TEXT


def test_a_task_without_text_has_no_tokenizer() -> None:
    assert make_task("recall").tokenizer_files() == {}

"""A tokenizer whose tokens are bytes, in the form that the library `tokenizers` reads."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["byte_tokenizer_files"]

PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
"""Bytes that byte-level tokenizers write as the character of that number; all others, in order, as those from
256 on (Radford et al., 2019)."""


def byte_tokenizer_files() -> dict[str, bytes]:
    """By name, what `transformers` and others load: ``tokenizer.json``, in which a byte's token is its number
    and nothing is merged, and ``tokenizer_config.json``."""
    others = [byte for byte in range(256) if byte not in PRINTABLE]
    written = {byte: chr(byte) for byte in PRINTABLE}
    written |= {byte: chr(256 + number) for number, byte in enumerate(others)}
    by_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": by_bytes,
        "post_processor": None,
        "decoder": by_bytes,
        "model": {"type": "BPE", "vocab": {written[byte]: byte for byte in range(256)}, "merges": []},
    }
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    return {
        name: json.dumps(content, ensure_ascii=False, indent=1).encode()
        for name, content in (("tokenizer.json", tokenizer), ("tokenizer_config.json", config))
    }

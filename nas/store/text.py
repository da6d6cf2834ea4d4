"""The texts that every database can keep."""

from __future__ import annotations

import re

__all__ = ["storable"]

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """The text, with U+FFFD in place of NUL and of lone surrogates, which databases refuse."""
    return _UNSTORABLE.sub("\ufffd", text)

"""Japanese Vowels (Kudo et al., 1999): who of nine men says ae."""

from __future__ import annotations

import numpy as np

from nas.tasks.data.examples import Dataset, Examples
from nas.tasks.data.packaged import packaged

__all__ = ["FRAMES", "vowels"]

FRAMES = 29
"""Of the longest utterance."""


def vowels() -> Dataset:
    """270 utterances to learn from, a fifth of them the search's, and 370 to test on, out of aeon's files: 12
    coefficients of linear prediction over 7 to 29 frames, (12, 29) with zeros after the last frame."""
    train, test = (_utterances(packaged("aeon", f"JapaneseVowels_{part}.ts")) for part in ("TRAIN", "TEST"))
    classes = tuple(f"speaker {number}" for number in range(1, 10))
    return Dataset.divided(classes, train, 1 / 5, test)


def _utterances(content: bytes) -> Examples:
    """Of a file in sktime's form: headers, then an utterance a line, its channels parted by colons."""
    lines = content.decode().split("@data", 1)[1].split()
    inputs = np.zeros((len(lines), 12, FRAMES), np.float32)
    labels, lengths = np.zeros(len(lines), np.int64), np.zeros(len(lines), np.int64)
    for row, line in enumerate(lines):
        *channels, label = line.split(":")
        series = np.array([channel.split(",") for channel in channels], np.float32)
        inputs[row, :, : series.shape[1]] = series
        labels[row], lengths[row] = int(label) - 1, series.shape[1]
    return Examples(inputs, labels, lengths)

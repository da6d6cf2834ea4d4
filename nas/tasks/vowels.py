"""Who speaks, by two vowels."""

from __future__ import annotations

from nas.tasks.classification import ClassificationTask
from nas.tasks.data.examples import Dataset
from nas.tasks.data.vowels import vowels
from nas.tasks.task import register_task

__all__ = ["Vowels"]


@register_task("vowels")
class Vowels(ClassificationTask):
    """Japanese Vowels (Kudo et al., 1999), out of aeon's files: 12 coefficients over at most 29 frames;
    after the last frame of an utterance all are absent."""

    description = "Nine men who say ae: 640 series of 12 channels and at most 29 frames (JapaneseVowels)."
    baseline = "support vectors on means and deviations 0.976"

    def read(self) -> Dataset:
        """See the class."""
        return vowels()

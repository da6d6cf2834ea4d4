"""Language modelling of real text, byte by byte or in the tokens of a model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import cached_property
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.objectives import Direction
from nas.tasks.byte_tokens import byte_tokenizer_files
from nas.tasks.task import DataFiles, SequenceOptions, SequenceTask, register_task
from searchspaces.errors import Problem
from searchspaces.numbers import NO_TRUTH

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Text", "TextOptions"]

Fraction = Annotated[float, NO_TRUTH, Field(gt=0, lt=1)]
Bytes = NDArray[np.uint8]
Tokens = NDArray[np.integer[Any]]

PIECE = 1 << 16
"""Bytes that are tokenized at once, at least, up to the end of a line."""

EVALUATION_BATCH = 4
"""Sequences scored at once: few enough that activations stay near the processor's caches."""


class TextOptions(SequenceOptions):
    """Options of the task `text`.

    Attributes:
        path: file, list of files, or patterns such as ``"books/*.txt"``, read as bytes and joined in
            the order given (a pattern's files by name), each file once; the documentation of Python itself
            (`pydoc_data.topics`, 0.5 MB of English) where absent.
        validation_fraction, test_fraction: of the bytes: the last ones are the test split, those
            before them the validation split, the rest is trained on.
        tokenizer: file of the library `tokenizers` whose tokens are predicted; bytes where absent.
    """

    path: Annotated[Annotated[tuple[str, ...], Field(min_length=1)] | None, DataFiles()] = None
    validation_fraction: Fraction = 0.1
    test_fraction: Fraction = 0.1
    tokenizer: str | None = None

    @field_validator("path", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> TextOptions:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction must leave something to train on")
        return self


@register_task("text")
class Text(SequenceTask):
    """Predict each token from those before it; without a tokenizer a token is a byte. Metric: bits per byte,
    on evenly spaced sequences that cover `evaluation_tokens` tokens of the split (all of it where the split
    is no longer than that). A token counts as many bytes as the text has a token, so that models of
    different tokenizers compare.

    Attributes:
        bytes_per_token: on average over the text.
    """

    description = "Byte-level language modelling of English text, or of your own files (path)."
    metric = "bits_per_byte"
    direction = Direction.MIN
    vocabulary = 256
    options_model = TextOptions
    options: TextOptions

    def __init__(self, options: TextOptions) -> None:
        super().__init__(options)
        read = _default_text() if options.path is None else _read(options.path)
        self._sha256 = hashlib.sha256(read.tobytes()).hexdigest()
        text: Tokens = read
        if options.tokenizer is not None:
            text, self.vocabulary, self._tokenizer_identity = _tokenized(read, Path(options.tokenizer))
        # Logits of one sequence over a model's vocabulary are as large as those of hundreds over bytes.
        self._at_once = EVALUATION_BATCH if options.tokenizer is None else 1
        self.bytes_per_token = len(read) / max(1, len(text))
        test = len(text) - int(len(text) * options.test_fraction)
        validation = test - int(len(text) * options.validation_fraction)
        self._train, self._splits = (
            text[:validation],
            {
                Split.VALIDATION: text[validation:test],
                Split.TEST: text[test:],
            },
        )
        needed = options.evaluation_context + 1
        short = [str(split) for split, part in self._splits.items() if len(part) < needed]
        if short:
            kind = "bytes" if options.tokenizer is None else "tokens"
            message = (
                f"{len(text)} {kind} are too few: the {' and '.join(short)} split needs {needed}"
                " (evaluation_context + 1); accepted: more text, a larger fraction or a smaller context"
            )
            raise InvalidSpec([Problem("task.path", message)])

    def identity(self) -> dict[str, Any]:
        """The options with the text's own digest in place of where it lies."""
        told = self.options.model_dump(mode="json", exclude={"path", "tokenizer"}) | {"sha256": self._sha256}
        return told if self.options.tokenizer is None else told | self._tokenizer_identity

    def tokenizer_files(self) -> dict[str, bytes]:
        """See `Task.tokenizer_files`: bytes, or the file that was given."""
        if self.options.tokenizer is None:
            return byte_tokenizer_files()
        return {"tokenizer.json": Path(self.options.tokenizer).read_bytes()}

    def sequences(self, step: int, seed: int, batch: int, context: int) -> Tensor:
        """(B, N+1) windows of the training split that start anywhere."""
        import torch

        starts = len(self._train) - context
        if starts < 1:
            message = (
                f"the training split's {len(self._train)} tokens cannot fill a sequence of {context} + 1"
            )
            raise InvalidSpec([Problem("task.path", message)])
        first = np.random.default_rng((seed, step)).integers(starts, size=batch)
        windows = self._train[first[:, None] + np.arange(context + 1)]
        return torch.from_numpy(windows.astype(np.int64))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of the next token, in nats."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.flatten(0, 1), targets.flatten())

    def evaluation_sequences(self, split: Split) -> Iterator[Tensor]:
        """The split's evenly spaced sequences, a few at a time."""
        yield from self._evaluation_windows[split].split(self._at_once)

    def score(self, outputs: Tensor, targets: Tensor) -> tuple[float, float]:
        """Summed bits, and the number of bytes that the tokens stand for."""
        from torch.nn.functional import cross_entropy

        nats = cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="sum")
        return nats.item() / math.log(2), targets.numel() * self.bytes_per_token

    @cached_property
    def _evaluation_windows(self) -> dict[Split, Tensor]:
        import torch

        context = self.options.evaluation_context
        windows = {}
        for split, part in self._splits.items():
            # Neighbours share one token: the last target of one is the first input of the next.
            possible = (len(part) - 1) // context
            chosen = min(possible, math.ceil(self.options.evaluation_tokens / context))
            first = np.arange(chosen) * possible // chosen * context
            windows[split] = torch.from_numpy(part[first[:, None] + np.arange(context + 1)].astype(np.int64))
        return windows


def _tokenized(text: Bytes, path: Path) -> tuple[Tokens, int, dict[str, str]]:
    """The text's tokens, how many there are to choose from, and what an identity says of the tokenizer."""
    from tokenizers import Tokenizer

    try:
        content = path.read_bytes()
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # noqa: BLE001: the library raises Exception itself
        said = f"{str(path)!r:.120} is not a tokenizer ({error}); accepted: a tokenizer.json"
        raise InvalidSpec([Problem("task.tokenizer", said)]) from error
    pieces, lines, size = [], list[bytes](), 0
    for line in text.tobytes().splitlines(keepends=True):
        lines.append(line)
        size += len(line)
        if size >= PIECE:
            pieces.append(b"".join(lines).decode(errors="replace"))
            lines, size = [], 0
    pieces.append(b"".join(lines).decode(errors="replace"))
    # A file may ask to cut texts to a model's context, or to fill them up to equal lengths.
    cut, filled = tokenizer.truncation, tokenizer.padding
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoded = tokenizer.encode_batch_fast(pieces, add_special_tokens=False)
    ids = [np.array(each.ids, np.int32) for each in encoded]
    identity = {"tokenizer": hashlib.sha256(content).hexdigest()}
    if _would_change([len(each) for each in ids], cut, filled):
        # Earlier versions did as the file asks: what they stored must not be taken for what is read now.
        identity["tokenized"] = "whole"
    return np.concatenate(ids), tokenizer.get_vocab_size(), identity


def _would_change(lengths: list[int], cut: dict[str, Any] | None, filled: dict[str, Any] | None) -> bool:
    """Whether pieces of so many tokens are changed by a tokenizer's truncation or padding."""
    if cut is not None and max(lengths) > cut["max_length"]:
        return True
    if filled is None:
        return False
    multiple = filled["pad_to_multiple_of"] or 1
    return min(lengths) < -(-(filled["length"] or max(lengths)) // multiple) * multiple


def _default_text() -> Bytes:
    from pydoc_data.topics import topics

    return np.frombuffer("\n".join(topics[key] for key in sorted(topics)).encode(), dtype=np.uint8)


def _read(patterns: tuple[str, ...]) -> Bytes:
    parts: list[Bytes] = []
    # A file that two patterns match would be learned from and tested on.
    seen = set[Path]()
    problems = []
    for number, pattern in enumerate(patterns):
        path = f"task.path.{number}"
        try:
            files = _files(pattern)
        except (OSError, ValueError) as error:  # a name too long, links in a circle, a NUL
            said = getattr(error, "strerror", None) or error
            problems.append(Problem(path, f"{pattern!r:.200}: {said}; accepted: a file or a pattern"))
            continue
        if not files:
            problems.append(Problem(path, f"no file matches {pattern!r:.200}; accepted: a file or a pattern"))
        for file in files:
            try:
                if not file.is_file():  # a device or a FIFO never ends
                    problems.append(Problem(path, f"{file} is not a regular file; accepted: a file of text"))
                    continue
                place = file.resolve()
                if place in seen:
                    continue
                seen.add(place)
                content = np.frombuffer(file.read_bytes(), dtype=np.uint8)
            except OSError as error:
                problems.append(
                    Problem(path, f"cannot read {file}: {error.strerror}; accepted: a readable file")
                )
                continue
            if not len(content):
                problems.append(Problem(path, f"{file} is empty"))
            parts.append(content)
    if problems:
        raise InvalidSpec(problems)
    return np.concatenate(parts)


def _files(pattern: str) -> list[Path]:
    expanded = Path(pattern).expanduser()
    if expanded.exists():
        return [expanded]
    return [Path(name) for name in sorted(glob(str(expanded), recursive=True))]

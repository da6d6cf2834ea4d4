"""Labelled examples of a user's own: a folder of PNG images a class, a file of arrays, or a table."""

from __future__ import annotations

import csv
import math
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidSpec
from nas.tasks.data.examples import Examples
from searchspaces.errors import Problem

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FEWEST", "examples_of_users"]

FEWEST = 3
"""Examples of a class: one each to learn from, to search by and to test on."""
MOST_NUMBERS = 1 << 28
"""Of all inputs together: 1 GiB."""
MOST_CLASSES = 10_000
ACCEPTED = "a folder with a folder of PNG images for each class, an .npz file with x and y, or a .csv file"


def examples_of_users(
    path: Path, label: str | None, shape: tuple[int, ...] | None
) -> tuple[tuple[str, ...], Examples]:
    """The classes, and the examples as they lie there.

    Args:
        label: a table's column of classes, by its header; the last one where None.
        shape: (C, N) of a series or (C, H, W) of an image, that each row's numbers are; series of one channel
            where None and rows are flat.

    Raises:
        InvalidSpec: every problem with its place in the file, and what is accepted.
    """
    inputs: NDArray[Any]
    labels: NDArray[Any] | list[str]
    try:
        if path.is_dir():
            inputs, labels = _folder(path)
        elif not path.is_file():
            raise _Wrong("path", f"{str(path)!r:.200} is not there")
        elif path.suffix == ".npz":
            inputs, labels = _arrays(path)
        elif path.suffix == ".csv":
            inputs, labels = _table(path, label)
        else:
            raise _Wrong("path", f"{path.name} is no file of examples")
        classes, numbers = _numbered(labels)
        lengths = None
        if path.suffix == ".npz" and inputs.ndim == 3 and shape is None:
            inputs, lengths = _ended(inputs)
        return classes, Examples(_finite(_shaped(inputs, shape)), numbers, lengths)
    except _Wrong as wrong:
        raise InvalidSpec([Problem(f"task.{wrong.option}", f"{wrong}; accepted: {wrong.accepted}")]) from None
    except OSError as error:
        said = f"cannot read {error.filename or path}: {error.strerror or error}; accepted: {ACCEPTED}"
        raise InvalidSpec([Problem("task.path", said)]) from error


class _Wrong(Exception):
    """What is wrong with an option, and what is accepted there."""

    def __init__(self, option: str, message: str, accepted: str = ACCEPTED) -> None:
        super().__init__(message)
        self.option, self.accepted = option, accepted


def _folder(path: Path) -> tuple[NDArray[Any], list[str]]:
    """Grey or colour images (n, C, H, W) of 0 to 1, and the names of their folders."""
    try:
        from PIL import Image
    except ImportError as error:
        raise _Wrong(
            "path", "images are read by Pillow, which is not installed", "after `pip install pillow`"
        ) from error
    images: list[NDArray[np.float32]] = []
    labels: list[str] = []
    for folder in sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith(".")):
        for file in sorted(each for each in folder.iterdir() if each.suffix.lower() == ".png"):
            where = f"{folder.name}/{file.name}"
            try:
                with Image.open(file, formats=["PNG"]) as image:
                    _check_size(image, where, images, first=labels)
                    images.append(_pixels(image))
            except _Wrong:
                raise
            except Image.DecompressionBombError as error:
                raise _too_many_pixels(where) from error
            except Exception as error:  # of a broken file Pillow raises errors of many classes
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the file, not what is in it
                raise _Wrong("path", f"{where} is no PNG image that can be read ({error})") from error
            if images[-1].shape != images[0].shape:
                raise _Wrong(
                    "path",
                    f"{where} has {len(images[-1])} channels and the first image {len(images[0])}",
                    "all grey, or all in colour",
                )
            labels.append(folder.name)
    if not images:
        raise _Wrong("path", f"{str(path)!r:.200} has no folder with PNG images in it")
    return np.stack(images), labels


def _check_size(image: Image, where: str, images: Sequence[NDArray[Any]], first: Sequence[str]) -> None:
    """Before its pixels are read."""
    width, height = image.size
    if images and images[0].shape[1:] != (height, width):
        wanted = f"{images[0].shape[2]} × {images[0].shape[1]}"
        raise _Wrong(
            "path", f"{where} is {width} × {height} pixels", f"{wanted}, as the first image, of {first[0]}"
        )
    if (len(images) + 1) * 3 * width * height > MOST_NUMBERS:
        raise _too_many_pixels(where)


def _too_many_pixels(where: str) -> _Wrong:
    return _Wrong("path", f"with {where} there are too many pixels", f"{MOST_NUMBERS} numbers in all")


def _pixels(image: Image) -> NDArray[np.float32]:
    """(1 or 3, H, W) of 0 to 1."""
    if image.mode.startswith("I;16"):
        return np.asarray(image, np.float32)[None] / np.float32(65535)
    read = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    colours: NDArray[np.float32] = np.asarray(read, np.float32) / np.float32(255)
    return colours[None] if colours.ndim == 2 else colours.transpose(2, 0, 1)


def _arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """x and y of an .npz file. Nothing in it is unpickled."""
    accepted = "x (n, …) of numbers and y (n,) of labels, whole numbers or texts"
    try:
        with zipfile.ZipFile(path) as members:
            size = sum(member.file_size for member in members.infolist())
        if size > 8 * MOST_NUMBERS:
            raise _Wrong("path", f"{path.name} holds {size} bytes", f"at most {8 * MOST_NUMBERS}")
        with np.load(path, allow_pickle=False) as arrays:
            if missing := {"x", "y"} - set(arrays.files):
                raise _Wrong("path", f"{path.name} lacks {' and '.join(sorted(missing))}", accepted)
            x, y = arrays["x"], arrays["y"]
    except (_Wrong, OSError):
        raise
    except Exception as error:  # of a broken file zlib, zipfile and tokenize raise errors of their own
        said = str(error) or type(error).__name__
        raise _Wrong("path", f"{path.name}: {said:.200}", accepted) from error
    if x.dtype.kind not in "fiub" or x.ndim < 2:
        raise _Wrong("path", f"x of {path.name} is {x.dtype} {x.shape}", accepted)
    if y.dtype.kind not in "iuU" or y.shape != x.shape[:1]:
        raise _Wrong("path", f"y of {path.name} is {y.dtype} {y.shape} beside x {x.shape}", accepted)
    return x, y


def _table(path: Path, label: str | None) -> tuple[NDArray[Any], list[str]]:
    """Numbers (n, columns) and the column of classes. A first row that has texts for numbers is a header."""
    rows: list[list[float]] = []
    labels: list[str] = []
    header: list[str] | None = None
    column, width, seen = -1, 0, 0
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
        try:
            for row in csv.reader(file):
                if not row:
                    continue
                seen += 1
                if seen == 1:
                    width = len(row)
                    if width < 2:
                        raise _Wrong(
                            "path", f"{path.name} has one column", "numbers, and a column of classes"
                        )
                    if label is not None or not _all_numbers(row[:-1]):
                        header = row
                        column = _column(header, label, path.name)
                        continue
                if len(row) != width:
                    raise _Wrong(
                        "path",
                        f"row {seen} of {path.name} has {len(row)} fields",
                        f"{width}, as the first row",
                    )
                labels.append(row.pop(column))
                rows.append(_row(row, seen, path.name))
                if len(rows) * width > MOST_NUMBERS:
                    raise _Wrong("path", f"{path.name} has too many rows", f"{MOST_NUMBERS} numbers in all")
        except csv.Error as error:
            raise _Wrong("path", f"{path.name} after row {seen}: {error}") from error
        except UnicodeDecodeError as error:
            said = f"byte {_first_that_is_not_utf8(path)} of {path.name} is not UTF-8"
            raise _Wrong("path", said, "a .csv file in UTF-8") from error
    if not rows:
        raise _Wrong("path", f"{path.name} has no rows", "numbers, and a column of classes")
    return np.array(rows, np.float32), labels


def _first_that_is_not_utf8(path: Path) -> int:
    """Counted from 0. A reader of text tells its place in the piece that it was decoding."""
    before = 0
    with path.open("rb") as file:
        for line in file:
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return before + error.start
            before += len(line)
    return before


def _column(header: list[str], label: str | None, name: str) -> int:
    if label is None:
        return len(header) - 1
    if header.count(label) != 1:
        listed = ", ".join(header[-8:])
        raise _Wrong(
            "label",
            f"{name} has {header.count(label)} columns {label!r:.60}",
            f"one of its header, e.g. {listed:.200}",
        )
    return header.index(label)


def _row(row: list[str], number: int, name: str) -> list[float]:
    try:
        return [float(field) for field in row]
    except ValueError as error:
        raise _Wrong("path", f"row {number} of {name}: {error}", "numbers beside the class") from error


def _all_numbers(fields: list[str]) -> bool:
    try:
        [float(field) for field in fields]
    except ValueError:
        return False
    return True


def _numbered(labels: NDArray[Any] | list[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Classes and (n,) whole numbers from 0: what texts stand for in their order; numbers as they are."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
        if low < 0 or high >= MOST_CLASSES:
            wrong = low if low < 0 else high
            row = int(np.flatnonzero(labels == wrong)[0])
            raise _Wrong(
                "path", f"label {row} is {wrong}", f"0 to {MOST_CLASSES - 1}, every number up to the largest"
            )
        numbers, classes = labels.astype(np.int64), tuple(map(str, range(high + 1)))
    else:
        texts = [str(label) for label in labels]
        classes = tuple(sorted(set(texts)))
        place = {name: number for number, name in enumerate(classes)}
        numbers = np.array([place[text] for text in texts], np.int64)
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise _Wrong("path", f"there are {len(classes)} classes", f"2 to {MOST_CLASSES}")
    counted = Counter(numbers.tolist())
    few = [
        f"{name!r:.40} ({counted[number]})" for number, name in enumerate(classes) if counted[number] < FEWEST
    ]
    if few:
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        said = f"too few examples of {', '.join(few[:5])}{more}"
        raise _Wrong("path", said, f"at least {FEWEST} of each: to learn from, to search by, to test on")
    return classes, numbers


def _shaped(inputs: NDArray[Any], shape: tuple[int, ...] | None) -> NDArray[Any]:
    """(n, C, N) or (n, C, H, W)."""
    accepted = "[channels, length] or [channels, height, width] of each example"
    size = math.prod(inputs.shape[1:])
    if shape is None:
        if inputs.ndim > 4:
            raise _Wrong("shape", f"x has {inputs.ndim} dimensions", accepted)
        return inputs[:, None] if inputs.ndim == 2 else inputs
    if math.prod(shape) != size:
        raise _Wrong(
            "shape", f"{list(shape)} is {math.prod(shape)} numbers and an example has {size}", accepted
        )
    return inputs.reshape(len(inputs), *shape)


def _ended(inputs: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Series (n, C, N) with zeros for what is NaN in all channels up to the end, and how much is before it;
    None where all of them are equally long."""
    there = ~np.isnan(inputs).all(1)
    lengths = (there * np.arange(1, there.shape[1] + 1)).max(1, initial=0).astype(np.int64)
    if (lengths == there.shape[1]).all() or not lengths.all():  # one without any moment is no series
        return inputs, None
    return np.where((np.arange(there.shape[1]) < lengths[:, None])[:, None], inputs, 0), lengths


def _finite(inputs: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        numbers = inputs.astype(np.float32)
    wrong = ~np.isfinite(numbers.reshape(len(numbers), -1)).all(1)
    if wrong.any():
        said = f"example {wrong.argmax()}, counted from 0, has NaN or infinite numbers"
        share = f"as {wrong.sum()} of {len(numbers)} have"
        raise _Wrong("path", f"{said}, {share}", "finite numbers of single precision")
    return numbers

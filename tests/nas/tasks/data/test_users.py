"""A user's own examples, and what is said of those that are not right."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.errors import InvalidSpec
from nas.tasks.data import users
from nas.tasks.data.users import examples_of_users

Image = pytest.importorskip("PIL.Image", reason="images are read by Pillow (pip install pillow)")


def image(path: Path, size: tuple[int, int] = (6, 5), mode: str = "L", value: int = 0) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "1", "I;16") else (value,) * len(mode)).save(path)


def folder(path: Path, count: int = 3, **how: Any) -> Path:
    for number, name in enumerate(("cat", "dog")):
        for each in range(count):
            image(path / name / f"{each}.png", value=100 * number + each, **how)
    return path


def table(path: Path, text: str) -> Path:
    (path / "table.csv").write_text(text)
    return path / "table.csv"


ROWS = "1,2,a\n3,4,b\n5,6,a\n7,8,b\n9,10,a\n0,0,b\n"


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("1", 1), ("RGBA", 3), ("LA", 1)])
def test_a_folder_of_images_a_class(tmp_path: Path, mode: str, channels: int) -> None:
    classes, examples = examples_of_users(folder(tmp_path, mode=mode), None, None)
    assert classes == ("cat", "dog")
    assert examples.inputs.shape == (6, channels, 5, 6)
    assert examples.labels.tolist() == [0, 0, 0, 1, 1, 1]
    if mode == "L":
        np.testing.assert_allclose(examples.inputs[:, 0, 0, 0] * 255, [0, 1, 2, 100, 101, 102], rtol=1e-6)


def test_images_of_sixteen_bits(tmp_path: Path) -> None:
    _, examples = examples_of_users(folder(tmp_path, mode="I;16"), None, None)
    np.testing.assert_allclose(examples.inputs[:, 0, 0, 0] * 65535, [0, 1, 2, 100, 101, 102], rtol=1e-5)


def test_tables(tmp_path: Path) -> None:
    classes, examples = examples_of_users(table(tmp_path, ROWS), None, None)
    assert classes == ("a", "b")
    assert examples.inputs.shape == (6, 1, 2)
    assert examples.labels.tolist() == [0, 1] * 3
    named = table(tmp_path, "kind,p,q\n" + "".join(f"{'xy'[i % 2]},{i},{i}\n" for i in range(6)))
    classes, examples = examples_of_users(named, "kind", (2, 1))
    assert classes == ("x", "y")
    assert examples.inputs[:, 0, 0].tolist() == list(range(6))
    assert examples.inputs.shape == (6, 2, 1)


def test_a_byte_order_mark_is_no_part_of_a_table(tmp_path: Path) -> None:
    for label, text in ((None, ROWS), ("p", "p,q\n" + "a,1\nb,2\n" * 3)):
        plain = examples_of_users(table(tmp_path, text), label, None)
        (tmp_path / "table.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
        marked = examples_of_users(tmp_path / "table.csv", label, None)
        assert marked[0] == plain[0]
        assert marked[1].sha256() == plain[1].sha256()


def test_arrays(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(6, 3, 4, 4)), np.array([0, 1, 0, 1, 0, 1])
    np.savez_compressed(tmp_path / "a.npz", x=x, y=y)
    classes, examples = examples_of_users(tmp_path / "a.npz", None, None)
    assert classes == ("0", "1")
    np.testing.assert_allclose(examples.inputs, x.astype(np.float32))
    np.savez(tmp_path / "a.npz", x=x, y=np.array(["b", "a"] * 3))
    classes, examples = examples_of_users(tmp_path / "a.npz", None, (3, 16))
    assert classes == ("a", "b")
    assert examples.labels.tolist() == [1, 0] * 3
    assert examples.inputs.shape == (6, 3, 16)


class Loud:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("it was unpickled",))


def savez(path: Path, **arrays: Any) -> Path:
    np.savez(path / "a.npz", **arrays)
    return path / "a.npz"


X, Y = np.zeros((6, 2)), np.array([0, 1] * 3)


def test_series_of_unequal_length_end_in_nan(tmp_path: Path) -> None:
    series = np.random.default_rng(0).normal(size=(6, 2, 5))
    series[1, :, 3:], series[2, :, 1:] = np.nan, np.nan
    _, examples = examples_of_users(savez(tmp_path, x=series, y=Y), None, None)
    assert examples.lengths is not None
    assert examples.lengths.tolist() == [5, 3, 1, 5, 5, 5]
    np.testing.assert_allclose(examples.inputs, np.nan_to_num(series), rtol=1e-6)
    equal = examples_of_users(savez(tmp_path, x=np.nan_to_num(series), y=Y), None, None)[1]
    assert equal.lengths is None
    for wrong in ((3, 0, 2), (4, slice(None), 2), (5, slice(None), slice(None))):
        broken = series.copy()
        broken[wrong] = np.nan
        with pytest.raises(InvalidSpec, match=r"has NaN or infinite numbers, as .*; accepted: finite"):
            examples_of_users(savez(tmp_path, x=broken, y=Y), None, None)


def _uneven(path: Path) -> Path:
    image(folder(path) / "dog" / "9.png", size=(7, 5))
    return path


def _mixed(path: Path) -> Path:
    image(folder(path) / "dog" / "9.png", mode="RGB")
    return path


def _torn(path: Path) -> Path:
    file = folder(path) / "cat" / "1.png"
    file.write_bytes(file.read_bytes()[:40])
    return path


def _torn_at_its_end(path: Path) -> Path:
    file = folder(path, size=(300, 200)) / "cat" / "1.png"
    file.write_bytes(file.read_bytes()[:-30])
    return path


def _huge(path: Path) -> Path:
    """20,000 × 20,000 pixels, by its header."""
    file = folder(path) / "cat" / "1.png"
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    content = file.read_bytes()
    file.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    return path


def _no_image(path: Path) -> Path:
    (folder(path) / "cat" / "1.png").write_bytes(b"hello")
    return path


def _pickled(path: Path) -> Path:
    objects = np.empty(6, object)
    objects[:] = [Loud()] * 6
    return savez(path, x=objects, y=Y)


def _pickle(path: Path) -> Path:
    (path / "a.npz").write_bytes(b"\x80\x04]\x94K\x01a.")
    return path / "a.npz"


def _corrupt(path: Path) -> Path:
    """What x is compressed to, with other bytes in its midst."""
    np.savez_compressed(path / "a.npz", x=np.random.default_rng(0).normal(size=(6, 200)), y=Y)
    content = bytearray((path / "a.npz").read_bytes())
    content[200:260] = b"\xff" * 60
    (path / "a.npz").write_bytes(content)
    return path / "a.npz"


def _packed_otherwise(path: Path) -> Path:
    """By a method that nobody knows."""
    content = bytearray(savez(path, x=X, y=Y).read_bytes())
    content[content.rfind(b"PK\x01\x02") + 10] = 99
    (path / "a.npz").write_bytes(content)
    return path / "a.npz"


def _claims(path: Path) -> Path:
    """The header of x is no Python that ends."""
    with zipfile.ZipFile(savez(path, y=Y), "a") as members:
        members.writestr("x.npy", b"\x93NUMPY\x01\x00\x20\x00" + b"{'descr': ('<f8', ".ljust(32))
    return path / "a.npz"


def _bytes(path: Path, content: bytes) -> Path:
    (path / "table.csv").write_bytes(content)
    return path / "table.csv"


WRONG: list[tuple[Callable[[Path], Path], str]] = [
    (_uneven, r"path: dog/9.png is 7 × 5 pixels; accepted: 6 × 5, as the first image"),
    (_mixed, r"path: dog/9.png has 3 channels and the first image 1; accepted: all grey"),
    (_torn, r"cat/1.png is no PNG image"),
    (_torn_at_its_end, r"task.path: cat/1.png is no PNG image that can be read \(.*trunc.*accepted: a"),
    (_huge, r"task.path: with cat/1.png there are too many pixels; accepted: 268435456 numbers in all"),
    (_no_image, r"cat/1.png is no PNG image"),
    (lambda path: folder(path, count=2), r"too few examples of 'cat' \(2\), .*at least 3"),
    (lambda path: path, r"has no folder with PNG images"),
    (lambda path: path / "none", r"is not there; accepted: a folder"),
    (_pickled, r"a.npz: .*allow_pickle.*accepted: x"),
    (_pickle, r"a.npz: File is not a zip file"),
    (_corrupt, r"task.path: a.npz: Error -3 while decomp.*accepted: x"),
    (_packed_otherwise, r"task.path: a.npz: That compression method is not supported; accepted: x"),
    (_claims, r"task.path: a.npz: .*accepted: x"),
    (lambda path: savez(path, x=X), r"a.npz lacks y"),
    (lambda path: savez(path, x=X, y=Y[:5]), r"y of a.npz is int64 \(5,\) beside x \(6, 2\)"),
    (lambda path: savez(path, x=X, y=Y * 0.5), r"y of a.npz is float64"),
    (lambda path: savez(path, x=X[:, 0], y=Y), r"x of a.npz is float64 \(6,\)"),
    (lambda path: savez(path, x=X, y=Y - 1), r"label 0 is -1; accepted: 0 to 9999"),
    (lambda path: savez(path, x=X, y=Y * 10**9), r"label 1 is 1000000000; accepted: 0 to 9999"),
    (lambda path: savez(path, x=X, y=Y * 2), r"too few examples of '1' \(0\); accepted"),
    (lambda path: savez(path, x=X, y=Y * 0), r"there are 1 classes; accepted: 2 to"),
    (lambda path: savez(path, x=X[:0], y=Y[:0]), r"there are 1 classes"),
    (
        lambda path: savez(path, x=np.where(np.eye(6)[:, :2] > 0, np.nan, 0), y=Y),
        r"example 0, .*, as 2 of",
    ),
    (
        lambda path: savez(path, x=X + 1e300, y=Y),
        r"example 0, .*, as 6 of 6 have; accepted: finite",
    ),
    (lambda path: savez(path, x=np.zeros((6, 1, 1, 1, 1)), y=Y), r"shape: x has 5 dimensions"),
    (lambda path: table(path, ROWS + "1,2\n"), r"row 7 of table.csv has 2 fields; accepted: 3, as the first"),
    (lambda path: table(path, ROWS + "1,x,a\n"), r"row 7 of table.csv: could not convert .*'x'"),
    (lambda path: table(path, ROWS + "1,nan,a\n"), r"example 6, counted from 0, has NaN .*, as 1 of 7 have"),
    (
        lambda path: _bytes(path, b"1,2,\xe4\n3,4,\xf6\n" * 3),
        r"task.path: byte 4 of table.csv is not UTF-8; accepted: a .csv file in UTF-8",
    ),
    (lambda path: _bytes(path, b"1,2,\xc3\xa4\n" * 9000 + b"3,4,\xf6"), r"byte 63004 of table.csv is not"),
    (lambda path: table(path, ""), r"table.csv has no rows"),
    (lambda path: table(path, "a\n"), r"table.csv has one column"),
    (lambda path: table(path, ROWS + "1,2,c\n"), r"too few examples of 'c' \(1\); accepted"),
]


@pytest.mark.parametrize(("make", "said"), WRONG)
def test_what_is_not_right_is_named(tmp_path: Path, make: Callable[[Path], Path], said: str) -> None:
    with pytest.raises(InvalidSpec, match=said) as caught:
        examples_of_users(make(tmp_path), None, None)
    assert "accepted" in str(caught.value)


def test_a_column_or_a_shape_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match=r"task.label: table.csv has 0 columns 'z'; accepted: one of .*a"):
        examples_of_users(table(tmp_path, ROWS), "z", None)
    with pytest.raises(InvalidSpec, match=r"task.shape: \[3, 3\] is 9 numbers and an example has 2"):
        examples_of_users(table(tmp_path, ROWS), None, (3, 3))


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "MOST_NUMBERS", 20)
    for make in (folder, lambda path: savez(path, x=X, y=Y), lambda path: table(path, ROWS * 3)):
        with pytest.raises(InvalidSpec, match=r"too many|holds"):
            examples_of_users(make(tmp_path), None, None)

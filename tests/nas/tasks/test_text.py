"""The task `text`: splits, the user's own files, and what is said of bad ones."""

import hashlib
from pathlib import Path

import pytest
import torch

from nas.errors import InvalidSpec
from nas.evaluation import Split
from nas.tasks import SequenceTask, make_task
from nas.tasks.byte_tokens import byte_tokenizer_files


def counting_file(folder: Path, name: str = "own.txt", size: int = 2000) -> Path:
    """Byte i is i mod 251, so a token tells its position."""
    path = folder / name
    path.write_bytes(bytes(i % 251 for i in range(size)))
    return path


def own(path: Path, **options: object) -> SequenceTask:
    task = make_task("text", {"path": str(path), "evaluation_context": 32, **options})
    assert isinstance(task, SequenceTask)
    return task


def test_sequences_are_contiguous_text(tmp_path: Path) -> None:
    task = own(counting_file(tmp_path))
    sequences = [task.sequences(0, 0, 8, 32), *task.evaluation_sequences(Split.TEST)]
    for tokens in sequences:
        assert bool((tokens[:, 1:] == (tokens[:, :-1] + 1) % 251).all())


def test_splits_follow_each_other_and_do_not_overlap(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_bytes(b"a" * 800 + b"b" * 100 + b"c" * 100)
    task = own(path)
    assert set(torch.cat([task.sequences(i, 0, 16, 32) for i in range(50)]).unique().tolist()) == {ord("a")}
    for split, byte in ((Split.VALIDATION, b"b"), (Split.TEST, b"c")):
        assert set(torch.cat(list(task.evaluation_sequences(split))).unique().tolist()) == set(byte)


@pytest.mark.parametrize(("asked", "sequences"), [(32, 1), (33, 2), (96, 3), (10**6, 6)])
def test_evaluation_covers_what_was_asked_or_the_whole_split(
    tmp_path: Path, asked: int, sequences: int
) -> None:
    task = own(counting_file(tmp_path), evaluation_tokens=asked)
    windows = torch.cat(list(task.evaluation_sequences(Split.VALIDATION)))
    assert windows.shape == (sequences, 33)
    assert windows[0, 0] == 1600 % 251
    assert len(windows[:, 0].unique()) == sequences


def test_digest_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    first = own(counting_file(tmp_path, "a.txt"))
    assert first.digest == own(counting_file(tmp_path, "b.txt")).digest
    assert first.digest != own(counting_file(tmp_path, "c.txt", size=2001)).digest


def test_patterns_and_lists_are_joined_in_order(tmp_path: Path) -> None:
    for name, byte in (("2.txt", b"y"), ("1.txt", b"x"), ("other.md", b"z")):
        (tmp_path / name).write_bytes(byte * 500)
    options = {
        "path": [str(tmp_path / "*.txt"), str(tmp_path / "other.md")],
        "evaluation_context": 16,
        "validation_fraction": 1 / 3,
        "test_fraction": 1 / 3,
    }
    task = make_task("text", options)
    assert set(task.sequences(0, 0, 64, 16).unique().tolist()) == {ord("x")}
    assert set(torch.cat(list(task.evaluation_sequences(Split.TEST))).unique().tolist()) == {ord("z")}


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_bytes(b"c" * 500)
    (tmp_path / "b.txt").write_bytes(b"b" * 1500)
    (tmp_path / "link.txt").symlink_to(tmp_path / "c.txt")
    (tmp_path / "linked").symlink_to(tmp_path, target_is_directory=True)
    paths = ["c.txt", "*.txt", "linked/c.txt", "../" + tmp_path.name + "/b.txt"]
    options = {"path": [str(tmp_path / path) for path in paths], "evaluation_context": 32}
    (tmp_path / "joined").write_bytes(b"c" * 500 + b"b" * 1500)
    assert make_task("text", options).identity() == own(tmp_path / "joined").identity()


def test_every_bad_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    names = ["missing.txt", "empty.txt", "none*.txt", "."]
    with pytest.raises(InvalidSpec) as caught:
        make_task("text", {"path": [str(tmp_path / name) for name in names]})
    problems = {p.path: p.message for p in caught.value.problems}
    assert "no file matches" in problems["task.path.0"]
    assert "is empty" in problems["task.path.1"]
    assert "no file matches" in problems["task.path.2"]
    assert "is not a regular file" in problems["task.path.3"]


def test_too_little_text_says_how_much_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match=r"task.path: 300 bytes are too few: .*validation and test.*33"):
        own(counting_file(tmp_path, size=300))


def test_fractions_must_leave_something_to_train_on() -> None:
    with pytest.raises(InvalidSpec, match="leave something to train on"):
        make_task("text", {"validation_fraction": 0.5, "test_fraction": 0.5})


def test_the_default_text_is_english_of_a_useful_size() -> None:
    task = make_task("text")
    windows = torch.cat(list(task.evaluation_sequences(Split.VALIDATION)))
    assert windows[:, 1:].numel() == 16384
    text = bytes(windows.flatten().tolist())
    assert text.count(b" the ") > 20


def write_tokenizer(path: Path, setting: str, number: int) -> str:
    """One of bytes that cuts or pads what it is given."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_buffer(byte_tokenizer_files()["tokenizer.json"])
    if setting == "truncation":
        tokenizer.enable_truncation(number)
    elif setting == "padding":
        tokenizer.enable_padding(pad_id=0, length=number or None)
    tokenizer.save(str(path / f"{setting}.json"))
    return str(path / f"{setting}.json")


@pytest.mark.parametrize(("setting", "number"), [("truncation", 512), ("padding", 0), ("padding", 100_000)])
def test_a_tokenizer_neither_cuts_nor_pads_the_text(tmp_path: Path, setting: str, number: int) -> None:
    path = tmp_path / "own.txt"
    path.write_bytes(b"".join(b"%064d\n" % line for line in range(2500)))  # more than is tokenized at once
    task = own(path, tokenizer=write_tokenizer(tmp_path, setting, number))
    assert task.bytes_per_token == 1
    for split in (Split.VALIDATION, Split.TEST):
        told, true = (torch.cat(list(of.evaluation_sequences(split))) for of in (task, own(path)))
        assert torch.equal(told, true)


@pytest.mark.parametrize(("setting", "number"), [("plain", 0), ("truncation", 10**6), ("padding", 0)])
def test_text_that_was_always_tokenized_right_keeps_its_identity(
    tmp_path: Path, setting: str, number: int
) -> None:
    path = tmp_path / "own.txt"
    path.write_bytes(b"0123456789abcdef\n" * 120)
    options = {"evaluation_context": 32, "tokenizer": write_tokenizer(tmp_path, setting, number)}
    task = make_task("text", {"path": str(path), **options})
    assert task.identity() == {
        **task.options.model_dump(mode="json", exclude={"path"}),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tokenizer": hashlib.sha256(Path(options["tokenizer"]).read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize(("setting", "number"), [("truncation", 500), ("padding", 5000)])
def test_what_was_stored_of_text_that_was_changed_is_not_taken_for_what_is_read_now(
    tmp_path: Path, setting: str, number: int
) -> None:
    path = tmp_path / "own.txt"
    path.write_bytes(b"0123456789abcdef\n" * 120)
    plain, other = (
        own(path, tokenizer=write_tokenizer(tmp_path, *how)).identity()
        for how in (("plain", 0), (setting, number))
    )
    assert other.keys() - plain.keys() == {"tokenized"}

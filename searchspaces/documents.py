"""Documents that people write: YAML read once, within limits, with every key once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = [
    "LONGEST_NAME",
    "LONGEST_TEXT",
    "MOST_BYTES",
    "MOST_VALUES",
    "DocumentError",
    "described",
    "overlong",
    "parse_document",
    "read_document",
]

MOST_BYTES = 1 << 20
MOST_VALUES = 100_000
"""Names, numbers and texts; an alias counts as often as it is used."""
MOST_NESTED = 64
LONGEST_TEXT = 4096
"""Characters of any text that people send: a path may be as long, a reason need not be."""
LONGEST_NAME = 100
"""Characters of what they name: jobs, spaces, devices."""


class DocumentError(ValueError):
    """A text is no document; the message says why, in one line."""


def read_document(path: Path) -> Any:
    """The plain data of a YAML or JSON file.

    Raises:
        DocumentError: it cannot be read, or see `parse_document`; the message names the file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise DocumentError(f"more than {MOST_BYTES} bytes")
        return parse_document(content.decode("utf-8"))
    except OSError as error:
        raise DocumentError(f"cannot read {str(path)!r:.200}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DocumentError(f"cannot read {str(path)!r:.200}: byte {error.start} is not UTF-8") from error
    except DocumentError as error:
        raise DocumentError(f"{str(path)!r:.200} is not YAML: {error}") from error
    except ValueError as error:  # a path with a NUL
        raise DocumentError(f"cannot read {str(path)!r:.200}: {error}") from error


def parse_document(text: str) -> Any:
    """The plain data of a YAML or JSON text.

    Raises:
        DocumentError: it is neither, a key stands twice in one mapping, something contains itself, or there
            is more of it than `MOST_VALUES` or `MOST_NESTED` levels.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        raise DocumentError(f"{error.problem or error.context}{_at(where)}") from error
    except (yaml.YAMLError, ValueError) as error:  # YAML's dates and numbers raise ValueError
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise DocumentError("it is nested too deeply") from error
    finally:
        if loader is not None:
            loader.dispose()


def overlong(text: str) -> str | None:
    """What is wrong with a text that is too long to be kept; None where it is not."""
    accepted = f"accepted: at most {LONGEST_TEXT}"
    return None if len(text) <= LONGEST_TEXT else f"a text of {len(text)} characters; {accepted}"


def described(value: Any) -> str:
    """What a document holds that should be a mapping, for people."""
    if value is None:
        return "nothing"
    return f"a list of {len(value)}" if isinstance(value, list) else f"{value!r:.80}"


def _check(root: yaml.Node) -> None:
    """Before anything is made of it: nodes are as many as were written, values as aliases make them."""
    seen = 0
    around: set[int] = set()
    waiting: list[tuple[yaml.Node, bool]] = [(root, False)]
    while waiting:
        node, left = waiting.pop()
        if left:
            around.discard(id(node))
            continue
        seen += 1
        if id(node) in around:
            raise DocumentError(f"it contains itself by an alias{_at(node.start_mark)}")
        if seen > MOST_VALUES:
            raise DocumentError(f"more than {MOST_VALUES} values")
        inner = list(_inner(node))
        if inner:
            around.add(id(node))
            if len(around) > MOST_NESTED:
                raise DocumentError(f"more than {MOST_NESTED} levels of nesting{_at(node.start_mark)}")
            waiting.append((node, True))
            waiting += [(each, False) for each in inner]


def _inner(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        keys: set[tuple[str, str]] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = key.tag, key.value
                if name in keys:
                    raise DocumentError(f"{key.value!r:.80} appears twice{_at(key.start_mark)}")
                keys.add(name)
            yield key
            yield value


def _at(mark: yaml.Mark | None) -> str:
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"

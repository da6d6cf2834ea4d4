"""The interface of a format that models are shipped in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nas.errors import InvalidSpec
from nas.export.folder import largest_difference
from searchspaces.errors import Problem
from searchspaces.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from searchspaces.submodel import Submodel

__all__ = ["FORMATS", "ExportFormat", "get_format", "register_format"]

REFUSED = {
    "gguf": "llama.cpp runs only architectures that it knows, and these are none of them",
}


class ExportFormat(ABC):
    """How a folder looks that one engine loads. Registering one enrols it in the tests of formats.

    Attributes:
        name: set by `@register_format`.
        packages: distributions that bring the engine; it need not be there to write, but is to check.
    """

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]

    @abstractmethod
    def write(self, submodel: Submodel, folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Write the files into `folder`.

        Args:
            manifest: of the folder that is converted.

        Returns:
            What the new manifest says of the format, plain JSON data.

        Raises:
            InvalidSpec: the model cannot be had in this format.
        """

    @abstractmethod
    def load(self, folder: Path) -> Callable[[Tensor], Tensor]:
        """What `write` wrote, in its engine: token ids (B, N) → logits (B, N, V).

        Raises:
            ModelRejected: the engine does not load it; the function raises it where it does not run.
        """

    def difference(self, submodel: Submodel, folder: Path) -> float:
        """The largest difference between the logits of the engine and torch's.

        Raises:
            ModelRejected: the engine does not load or run it.
        """
        return largest_difference(submodel, self.load(folder))

    def versions(self) -> dict[str, str | None]:
        """Of `packages`; None where one is not installed."""
        return {package: _version(package) for package in self.packages}


FORMATS: Registry[ExportFormat] = Registry(ExportFormat, "nas.export.formats", "format", "nas.formats")
register_format = FORMATS.register


def get_format(name: str) -> ExportFormat:
    """The format of this name.

    Raises:
        InvalidSpec: there is none; those accepted are named.
    """
    if name in REFUSED:
        raise InvalidSpec([Problem("--format", f"no {name}: {REFUSED[name]}; accepted: {_accepted()}")])
    try:
        return FORMATS.get(name)()
    except ValueError as error:
        raise InvalidSpec([Problem("--format", f"no format {name!r}; accepted: {_accepted()}")]) from error


def _accepted() -> str:
    return ", ".join(["onnx", *FORMATS.names()])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

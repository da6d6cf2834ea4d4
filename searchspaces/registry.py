"""Options by name: how a mixer or channel mixer becomes known, once, where it is written."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from functools import cache
from typing import Any, ClassVar, Generic, Protocol, TypeVar

__all__ = ["Registry"]


class Named(Protocol):
    """What can be registered: a class that learns the name that it is known by."""

    name: ClassVar[str]


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Classes by the name that options use, filled by importing every module of one package.

    An option is `NAME` or `NAME:PARAMETER[,PARAMETER…]`; parameters are whole numbers handed to the
    class, which is a dataclass with these fields where it takes any. Each object has one text, without
    what is a default, since architectures are told apart by their texts. Parsed options are cached: equal
    options are one object.

    Args:
        package: the package whose modules register, e.g. ``"searchspaces.mixers"``.
        noun: what one entry is called in errors.
    """

    def __init__(self, package: str, noun: str) -> None:
        self._package = package
        self._noun = noun
        self._classes: dict[str, type[T]] = {}
        self.parse: Callable[[str], T] = cache(self._parse)

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator: make the class known as `name`."""

        def decorate(cls: type[T]) -> type[T]:
            if name in self._classes:
                raise ValueError(f"{self._noun} {name!r} is registered twice")
            cls.name = name
            self._classes[name] = cls
            return cls

        return decorate

    def classes(self) -> dict[str, type[T]]:
        """Every registered class by name, sorted."""
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        return dict(sorted(self._classes.items()))

    def _parse(self, option: str) -> T:
        name, _, text = option.partition(":")
        known = self.classes()
        if name not in known:
            raise ValueError(
                f"no {self._noun} {option!r}; accepted: {', '.join(known)} (NAME or NAME:PARAMETER)"
            )
        try:
            parameters = [int(part) for part in text.split(",")] if text else []
            parsed = known[name](*parameters)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self._noun} {option!r}: {error}") from error
        written = _text(parsed)
        if option != written:
            raise ValueError(f"{self._noun} {option!r} is written {written!r}")
        return parsed


def _text(parsed: Named) -> str:
    """The one text of an option: its name, and its parameters up to the last that is no default."""
    own: tuple[Field[Any], ...] = fields(parsed) if is_dataclass(parsed) else ()
    while own and getattr(parsed, own[-1].name) == own[-1].default:
        own = own[:-1]
    parameters = ",".join(str(getattr(parsed, field.name)) for field in own)
    return f"{parsed.name}:{parameters}" if own else parsed.name

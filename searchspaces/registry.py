"""Classes by name: how a mixer, task, runtime, predictor or strategy becomes known, once.

What is ours registers itself by a decorator in a module of its package. What another distribution adds is
found by its entry points, in every process that asks for it.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Generic, Protocol, TypeVar

__all__ = ["Plugin", "Registry"]

log = logging.getLogger(__name__)


class Named(Protocol):
    """What can be registered: a class that learns the name that it is known by."""

    name: ClassVar[str]


T = TypeVar("T", bound=Named)


@dataclass(frozen=True)
class Plugin:
    """A class of another distribution, as its entry point tells of it: nothing of it is imported yet.

    Attributes:
        noun: what it is, e.g. ``"mixer"``.
        name: that it is known by: the name of its entry point.
        distribution: that brings it, with its version, e.g. ``"nas-mean 0.1"``.
        entry: where it stands.
    """

    noun: str
    name: str
    distribution: str
    entry: EntryPoint

    @classmethod
    def of(cls, noun: str, entry: EntryPoint) -> Plugin:
        """What one entry point tells."""
        distribution = "a distribution without a name"
        if entry.dist is not None:
            distribution = f"{entry.dist.name} {entry.dist.version}"
        return cls(noun, entry.name, distribution, entry)

    def __str__(self) -> str:
        return f"{self.entry.value} of {self.distribution}"


class Registry(Generic[T]):
    """Classes by the name that options use: those of one package, whose modules register them when they are
    imported, and those of other distributions, each an entry point of one group.

    The name of an entry point is the name of what it adds, and its value is the class
    (``mean = "nas_mean:Mean"``). A plug-in is imported when it is asked for by name or when everything is
    listed. One that does not load, or has a name that is taken, is an error for who asks for that name and
    a warning in listings.

    An option is `NAME` or `NAME:PARAMETER[,PARAMETER…]`; parameters are whole numbers handed to the
    class, which is a dataclass with these fields where it takes any. Each object has one text, without
    what is a default, since architectures are told apart by their texts.

    Args:
        base: what every class derives from.
        package: the package whose modules register, e.g. ``"searchspaces.mixers"``.
        noun: what one entry is called in errors.
        group: of other distributions' entry points, e.g. ``"nas.mixers"``.
    """

    def __init__(self, base: type[Any], package: str, noun: str, group: str) -> None:
        self.noun = noun
        self.group = group
        self._base = base
        self._package = package
        self._classes: dict[str, type[T]] = {}
        self._warned: set[str] = set()
        self._parsed: dict[str, T] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator: make the class known as `name`."""

        def decorate(cls: type[T]) -> type[T]:
            other = self._classes.setdefault(name, cls)
            if other is not cls:
                raise ValueError(
                    f"{self.noun} {name!r} is registered twice: {_where(other)} and {_where(cls)}"
                )
            cls.name = name
            return cls

        return decorate

    def names(self) -> list[str]:
        """Every name: ours, sorted, then those of plug-ins, which need not load."""
        plugins = self._by_name.keys()
        return sorted(self._ours().keys() | plugins, key=lambda name: (name in plugins, name))

    def get(self, name: str) -> type[T]:
        """The class of this name.

        Raises:
            ValueError: there is none, those accepted are named; or it is of a plug-in that does not load, or
                whose name is taken.
        """
        plugins = self._by_name.get(name, [])
        if not plugins:
            known = self._ours()
            if name not in known:
                raise ValueError(f"no {self.noun} {name!r}; accepted: {', '.join(self.names())}")
            return known[name]
        claims = [str(plugin) for plugin in plugins]
        if len(claims) == 1:
            loaded = self._load(plugins[0])
            taken = self._ours().get(name, loaded)
            if taken is loaded:
                return self.register(name)(loaded)
            claims.insert(0, _where(taken))
        raise ValueError(
            f"{self.noun} {name!r} is the name of {' and of '.join(claims)}; accepted: one of each name "
            "(uninstall the others, or name them otherwise)"
        )

    def classes(self) -> dict[str, type[T]]:
        """Every class by name, in the order of `names`. Plug-ins that cannot be had are left out, with one
        warning each."""
        found = {}
        for name in self.names():
            try:
                found[name] = self.get(name)
            except ValueError as error:
                if name not in self._warned:
                    log.warning("%s", error)
                self._warned.add(name)
        return found

    def parse(self, option: str) -> T:
        """The object that an option stands for; equal options are one object.

        Raises:
            ValueError: see `get`; or the class takes no such parameters, or the option is written otherwise.
        """
        if option not in self._parsed:
            self._parsed.setdefault(option, self._parse(option))
        return self._parsed[option]

    def plugins(self) -> list[Plugin]:
        """What other distributions add, by name, whether it loads or not."""
        return [plugin for _, plugins in sorted(self._by_name.items()) for plugin in plugins]

    def origin(self, name: str) -> str | None:
        """The distribution that adds a name, with its version; None where it is ours."""
        return next((plugin.distribution for plugin in self._by_name.get(name, [])), None)

    @contextmanager
    def scratch(self) -> Iterator[None]:
        """What is registered within is forgotten afterwards."""
        classes, parsed = dict(self._ours()), dict(self._parsed)
        try:
            yield
        finally:
            self._classes, self._parsed = classes, parsed

    def _ours(self) -> dict[str, type[T]]:
        """Everything registered so far, all modules of the package among it."""
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        return self._classes

    @cached_property
    def _by_name(self) -> dict[str, list[Plugin]]:
        found: dict[str, list[Plugin]] = {}
        for entry in entry_points(group=self.group):
            found.setdefault(entry.name, []).append(Plugin.of(self.noun, entry))
        return found

    def _load(self, plugin: Plugin) -> type[T]:
        """Its class.

        Raises:
            ValueError: it does not load, or is no such class.
        """
        try:
            loaded = plugin.entry.load()
        except Exception as error:
            raise ValueError(
                f"{self.noun} {plugin.name!r} ({plugin}) does not load: {type(error).__name__}: {error}"
            ) from error
        if not (isinstance(loaded, type) and issubclass(loaded, self._base)):
            raise ValueError(
                f"{self.noun} {plugin.name!r} ({plugin}) is {loaded!r:.80}; accepted: a class derived from "
                f"{_where(self._base)}"
            )
        if lacking := ", ".join(sorted(getattr(loaded, "__abstractmethods__", ()))):
            raise ValueError(f"{self.noun} {plugin.name!r} ({plugin}) lacks {lacking}")
        return loaded

    def _parse(self, option: str) -> T:
        name, _, text = option.partition(":")
        if name not in self.names():
            raise ValueError(
                f"no {self.noun} {option!r}; accepted: {', '.join(self.names())} (NAME or NAME:PARAMETER)"
            )
        cls = self.get(name)
        parameters = _numbers(text) if text else []
        if parameters is None or not _takes(cls, len(parameters)):
            raise ValueError(f"{self.noun} {option!r:.80}; accepted: {_form(cls)}")
        try:
            parsed = cls(*parameters)
        except ValueError as error:
            raise ValueError(f"{self.noun} {option!r}: {error}") from error
        written = _text(parsed)
        if option != written:
            raise ValueError(f"{self.noun} {option!r} is written {written!r}")
        return parsed


def _where(cls: type[Any]) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _numbers(text: str) -> list[int] | None:
    """What stands between commas; None where something is no whole number."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        return None


def _parameters(cls: type[Any]) -> tuple[list[str], list[str]]:
    """Names of an option's parameters: those that it must have, and those that have defaults."""
    own = [field for field in fields(cls) if field.init] if is_dataclass(cls) else []
    needed = [field.name for field in own if field.default is MISSING]
    return needed, [field.name for field in own[len(needed) :]]


def _takes(cls: type[Any], count: int) -> bool:
    needed, others = _parameters(cls)
    return len(needed) <= count <= len(needed) + len(others)


def _form(cls: type[Any]) -> str:
    """How an option of a class is written, e.g. ``window:WINDOW[,SINKS]``."""
    needed, others = _parameters(cls)
    optional = "".join(f"[,{name.upper()}" for name in others) + "]" * len(others)
    if needed:
        return f"{cls.name}:{','.join(needed).upper()}{optional}, in whole numbers"
    return f"{cls.name}{optional.replace(',', ':', 1)}, in whole numbers" if others else cls.name


def _text(parsed: Named) -> str:
    """The one text of an option: its name, and its parameters up to the last that is no default."""
    own: tuple[Field[Any], ...] = fields(parsed) if is_dataclass(parsed) else ()
    while own and getattr(parsed, own[-1].name) == own[-1].default:
        own = own[:-1]
    parameters = ",".join(str(getattr(parsed, field.name)) for field in own)
    return f"{parsed.name}:{parameters}" if own else parsed.name

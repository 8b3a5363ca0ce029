"""Extensions by name: built in, by entry point, or ``path/to/file.py:name``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

from graft.errors import InputError, did_you_mean

T = TypeVar("T")


def load_attribute(reference: str) -> Any:
    """Import ``package.module:name`` or ``path/to/file.py:name``.

    Args:
        reference: the module or file, a colon, and the name in it.

    Returns:
        The object of this name.

    Raises:
        InputError: when the reference has another form, or the file or the name does not exist.
    """
    place, colon, name = reference.rpartition(":")
    if not colon or not place or not name:
        raise InputError(f"{reference!r} is not of the form package.module:name or path/to/file.py:name")
    module = _module_of_file(Path(place)) if place.endswith(".py") else _module(place)
    try:
        return getattr(module, name)
    except AttributeError:
        names = [n for n in vars(module) if not n.startswith("_")]
        raise InputError(f"there is no {name!r} in {place}", remedy=did_you_mean(name, names)) from None


def absolute_reference(reference: str) -> str:
    """Return ``reference`` with the path of its file made absolute, so that it holds in any working directory."""
    place, _, name = reference.rpartition(":")
    return f"{Path(place).resolve()}:{name}" if place.endswith(".py") else reference


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"the module {name!r} cannot be imported: {error}") from error


def _module_of_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError("no such file", where=str(path))
    name = f"graft_extension_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file may raise
        raise InputError(f"this file cannot be imported: {type(error).__name__}: {error}", where=str(path)) from error
    return module


class Registry(Generic[T]):
    """The extensions of one kind (``method``, ``metric``, …).

    Built-in names come first, then the entry points of the group ``graft.<kind>``, then ``path/to/file.py:name``.
    Nothing is imported before it is asked for.

    Args:
        kind: what an extension of this kind is called in messages, and the last part of its entry-point group.
        protocol: the class whose attributes and methods an extension must have; None takes any object.
        builtin: name to ``package.module:attribute``.
        adapt: turns what a reference names into an extension, such as a plain function into a metric. It gets the name
            and the object, and returns objects that need no change as they are.
    """

    def __init__(
        self,
        kind: str,
        protocol: type[Any] | None,
        builtin: Mapping[str, str],
        adapt: Callable[[str, Any], Any] | None = None,
    ) -> None:
        self.kind, self.protocol = kind, protocol
        self.builtin: Mapping[str, str] = MappingProxyType(dict(builtin))
        self._adapt = adapt
        self._loaded: dict[str, T] = {}

    @property
    def group(self) -> str:
        """The entry-point group: ``graft.<kind>``."""
        return f"graft.{self.kind}"

    def names(self) -> list[str]:
        """All names, built in and installed, in alphabetical order."""
        return sorted({entry.name for entry in entry_points(group=self.group)} | set(self.builtin))

    def get(self, name: str) -> T:
        """The extension called ``name``.

        Raises:
            InputError: with the nearest name when there is none; naming what is missing when the object does not fit
                the protocol.
        """
        if name not in self._loaded:
            self._loaded[name] = self.checked(name, self._found(name))
        return self._loaded[name]

    def items(self) -> Iterator[tuple[str, T]]:
        """Every extension by name, the built-in ones in their order first.

        Raises:
            InputError: as ``get``.
        """
        installed = [name for name in self.names() if name not in self.builtin]
        for name in (*self.builtin, *installed):
            yield name, self.get(name)

    def checked(self, name: str, found: Any) -> T:
        """``found`` as an extension of this kind.

        Raises:
            InputError: naming each attribute and method of the protocol that it lacks.
        """
        extension = found if self._adapt is None else self._adapt(name, found)
        lacking = [member for member in members(self.protocol) if not _has(extension, self.protocol, member)]
        if lacking:
            assert self.protocol is not None
            raise InputError(
                f"{name} is not a {self.kind.replace('_', ' ')}: it lacks {', '.join(lacking)}",
                remedy=f"{self.protocol.__module__}.{self.protocol.__qualname__} describes what it needs",
            )
        return cast(T, extension)

    def _found(self, name: str) -> Any:
        if name in self.builtin:
            place, _, attribute = self.builtin[name].partition(":")
            return getattr(importlib.import_module(place), attribute)
        if ":" in name:
            return load_attribute(name)
        for entry in entry_points(group=self.group):
            if entry.name == name:
                return _loaded(entry)
        hint = did_you_mean(name, self.names())
        kind = self.kind.replace("_", " ")
        raise InputError(f"there is no {kind} called {name!r}; there are: {', '.join(self.names())}", remedy=hint)


def _loaded(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:  # whatever an installed package may raise
        package = entry.dist.name if entry.dist else "a package"
        raise InputError(
            f"{entry.name} of {package} cannot be imported: {type(error).__name__}: {error}",
            where=f"entry point {entry.group}",
            remedy=f"update or uninstall {package}",
        ) from error


def members(protocol: type | None) -> list[str]:
    """The public attributes and methods that a protocol declares, in their order; those with a default are optional."""
    if protocol is None:
        return []
    found: dict[str, None] = {}
    for cls in reversed(protocol.__mro__):
        if cls is object or cls.__module__ == "typing":
            continue
        named = [*getattr(cls, "__annotations__", {}), *(name for name, value in vars(cls).items() if callable(value))]
        found |= {name: None for name in named if not name.startswith("_")}
    return list(found)


def _has(extension: Any, protocol: type | None, member: str) -> bool:
    """An attribute to which the protocol gives a value may be missing; a method must be callable."""
    declared = getattr(protocol, member, None)
    if callable(declared):
        return callable(getattr(extension, member, None))
    return hasattr(extension, member) or declared is not None

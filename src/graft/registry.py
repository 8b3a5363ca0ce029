"""Extensions by name: built in, by entry point, or ``path/to/file.py:name``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType, MethodType
from typing import Any, Generic, TypeVar, cast

from graft.errors import GraftError, InputError, did_you_mean, is_full_disk
from graft.files import expanded

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
    module = _module_of_file(expanded(place)) if place.endswith(".py") else _module(place)
    try:
        return getattr(module, name)
    except AttributeError:
        names = [n for n in vars(module) if not n.startswith("_")]
        raise InputError(f"there is no {name!r} in {place}", remedy=did_you_mean(name, names)) from None


def absolute_reference(reference: str) -> str:
    """Return ``reference`` with the path of its file made absolute, so that it holds in any working directory."""
    place, _, name = reference.rpartition(":")
    if not place.endswith(".py"):
        return reference
    try:
        return f"{expanded(place).resolve()}:{name}"
    except (OSError, ValueError, RuntimeError):  # a NUL, or links in a circle: the path of nothing
        return reference


_OWN = re.compile(r"graft(\.[a-z_0-9]+)+:\w+")
"""graft's own code, as the tasks name their losses; ``graft.py:NAME`` is a file."""
_consents: list[frozenset[str] | None] = [None]
"""The references that may be loaded now, last; None where the caller decides, as in Python."""


@contextmanager
def only_consented(references: Iterable[str] | None) -> Iterator[None]:
    """Let registries load within only code that the user consents to; a command runs so.

    What a file, a run or a bundle names goes through a registry, wherever in it the name stands.

    Args:
        references: The references to code that the user typed. None: any, since the user consents to all.
    """
    _consents.append(None if references is None else frozenset(map(absolute_reference, references)))
    try:
        yield
    finally:
        _consents.pop()


def consented() -> tuple[str, ...] | None:
    """Return the references that may be loaded now, for another process; None: any."""
    allowed = _consents[-1]
    return None if allowed is None else tuple(sorted(allowed))


def _refuse_without_consent(reference: str) -> None:
    allowed = _consents[-1]
    if allowed is None or (_OWN.fullmatch(reference) and ".py:" not in reference):
        return
    if absolute_reference(reference) not in allowed:
        what = f"{reference!r} is code that was not named on the command line"
        raise InputError(what, remedy="read that code, and add --trust_remote_code if you trust it")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever a user's module may raise
        said = error if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise InputError(f"the module {name!r} cannot be imported: {said}") from error


def _module_of_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError("no such file", where=str(path))
    name = f"{_OF_FILE}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file may raise
        raise InputError(f"this file cannot be imported: {type(error).__name__}: {error}", where=str(path)) from error
    return module


_OF_FILE = "graft_extension_"
"""How the names of modules begin that are files of users."""


_packages: dict[str, str] = {}
"""The distributions that have registered an extension that was loaded, by their modules."""


def place_in_extension(error: BaseException) -> str:
    """Return where outside graft an exception comes from, or went through last; an empty string if nowhere.

    Returns:
        ``own.py:7`` of a user's file, or ``the package graft-mine (…/mine.py:7)`` of an installed extension.
    """
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = str(frame.f_globals.get("__name__", ""))
        root, here = name.partition(".")[0], f"{frame.f_code.co_filename}:{line}"
        if name.startswith(_OF_FILE):
            place = here
        elif root in _packages:
            place = f"the package {_packages[root]} ({here})"
        elif root == "graft":
            place = ""
    return place


@contextmanager
def naming_extension(noun: str, name: str, extension: object) -> Iterator[None]:
    """Name an extension that raises something unexpected within the block, unless it is built in.

    Args:
        noun: What it is: "step".
        name: Its name.
        extension: The extension.

    Raises:
        GraftError: With the place in the extension where one is known, else with its file or its package.
    """
    try:
        yield
    except GraftError:
        raise
    except Exception as error:  # whatever an extension may raise
        place = place_in_extension(error) or _home(extension)
        if not place or is_full_disk(error):
            raise
        what = f"the {noun} {name} failed: {type(error).__name__}: {error}"
        raise GraftError(what, where=place, remedy="correct it; --debug shows the traceback") from error


def _home(extension: object) -> str:
    """The user's file or the package that an extension is from; an empty string for graft's own."""
    module = type(extension).__module__
    if module.startswith(_OF_FILE):
        return str(getattr(sys.modules.get(module), "__file__", module))
    package = _packages.get(module.partition(".")[0])
    return f"the package {package}" if package else ""


F = TypeVar("F", bound=Callable[..., Any])


def optional(method: F) -> F:
    """Mark a method of a protocol that extensions may lack: those that do get the protocol's own."""
    method.optional = True  # type: ignore[attr-defined]
    return method


class Registry(Generic[T]):
    """The extensions of one kind (``method``, ``metric``, …).

    Built-in names come first, then the entry points of the group ``graft.<kind>``, then ``path/to/file.py:name``.
    Nothing is imported before it is asked for.

    Args:
        kind: what an extension of this kind is called in messages, and the last part of its entry-point group.
        protocol: the class whose attributes and methods an extension must have; None takes anything callable.
        builtin: name to ``package.module:attribute``.
        adapt: turns what a reference names into an extension, such as a plain function into a metric. It gets the name
            and the object, and returns objects that need no change as they are.
        classes: the extensions are classes, which the caller constructs. Without it, a class is constructed here,
            without arguments.
    """

    def __init__(
        self,
        kind: str,
        protocol: type[Any] | None,
        builtin: Mapping[str, str],
        adapt: Callable[[str, Any], Any] | None = None,
        classes: bool = False,
    ) -> None:
        self.kind, self.protocol = kind, protocol
        self.builtin: Mapping[str, str] = MappingProxyType(dict(builtin))
        self._adapt, self._classes = adapt, classes
        self._loaded: dict[str, T] = {}

    @property
    def group(self) -> str:
        """The entry-point group: ``graft.<kind>``."""
        return f"graft.{self.kind}"

    @property
    def noun(self) -> str:
        """What an extension is called in messages."""
        return self.kind.replace("_", " ")

    def names(self) -> list[str]:
        """All names, built in and installed, in alphabetical order."""
        return sorted({*self.installed(), *self.builtin})

    def installed(self) -> list[str]:
        """The names that come by entry point and are not built in, in alphabetical order."""
        return [name for name in installed_names(self.group) if name not in self.builtin]

    def get(self, name: str) -> T:
        """The extension called ``name``.

        Raises:
            InputError: with the nearest name when there is none; naming what is missing when the object does not fit
                the protocol; naming the distribution when an entry point cannot be imported; when it is code that the
                user did not consent to (``only_consented``).
        """
        if ":" in name and name not in self.builtin:
            _refuse_without_consent(name)
        if name not in self._loaded:
            self._loaded[name] = self.checked(name, self._found(name))
        return self._loaded[name]

    def items(self) -> Iterator[tuple[str, T]]:
        """Every extension that loads, by name, the built-in ones in their order first.

        An installed extension that does not load is left out here; ``get`` says why.
        """
        for name in self.builtin:
            yield name, self.get(name)
        for name in self.installed():
            with suppress(InputError):
                yield name, self.get(name)

    def checked(self, name: str, found: Any) -> T:
        """``found`` as an extension of this kind.

        Raises:
            InputError: naming each attribute and method of the protocol that it lacks.
        """
        extension = found if self._adapt is None else self._adapt(name, found)
        if isinstance(extension, type) and self.protocol is not None and not self._classes:
            extension = self._constructed(name, extension)
        wrong = self._misfits(extension)
        if wrong:
            described = f"{self.protocol.__module__}.{self.protocol.__qualname__}" if self.protocol else ""
            raise InputError(
                f"{name} is not a {self.noun}: {'; '.join(wrong)}",
                remedy=f"{described} documents the required members; a subclass inherits the defaults"
                if described
                else "",
            )
        return cast(T, extension)

    def _constructed(self, name: str, cls: type[Any]) -> Any:
        try:
            return cls()
        except Exception as error:  # whatever a constructor may raise
            what = f"the {self.noun} {name} cannot be constructed: {type(error).__name__}: {error}"
            raise InputError(what, remedy="name an object, or a class that takes no arguments") from error

    def _misfits(self, extension: Any) -> list[str]:
        """What ``extension`` lacks. It gets the protocol's attributes with a value, and methods marked ``optional``."""
        if self.protocol is None:
            return [] if callable(extension) else [f"a {type(extension).__name__} cannot be called"]
        if self._classes and not isinstance(extension, type):
            return [f"expected a class, not a {type(extension).__name__}"]
        lacking, wrong = [], []
        for member in members(self.protocol):
            declared = getattr(self.protocol, member, _MISSING)
            have = getattr(extension, member, _MISSING)
            if have is _MISSING and callable(declared) and getattr(declared, "optional", False):
                with suppress(AttributeError, TypeError):
                    setattr(extension, member, declared if self._classes else MethodType(declared, extension))
            elif callable(declared) and not isinstance(declared, type):
                if not callable(have):
                    lacking.append(member)
                else:
                    wrong += _misfit_call(member, declared, have, int(self._classes))
            elif have is _MISSING and declared is _MISSING:
                lacking.append(member)
            elif have is _MISSING:
                with suppress(AttributeError, TypeError):
                    setattr(extension, member, declared)
        return [*([f"it lacks {', '.join(lacking)}"] if lacking else []), *wrong]

    def _found(self, name: str) -> Any:
        if name in self.builtin:
            place, _, attribute = self.builtin[name].partition(":")
            return getattr(importlib.import_module(place), attribute)
        if ":" in name:
            return load_attribute(name)
        entries = [entry for entry in entry_points(group=self.group) if entry.name == name]
        if len({entry.value for entry in entries}) > 1:
            packages = sorted(_package(entry) for entry in entries)
            what = f"more than one {self.noun} is called {name!r}: in {' and in '.join(packages)}"
            raise InputError(what, remedy=f"uninstall {packages[0]} or {packages[1]}")
        if entries:
            return _loaded(entries[0])
        hint = did_you_mean(name, self.names())
        raise InputError(f"there is no {self.noun} called {name!r}; there are: {', '.join(self.names())}", remedy=hint)


def installed_names(group: str) -> tuple[str, ...]:
    """The names of the entry points in ``group``, in alphabetical order."""
    return _names_on(tuple(sys.path), group)


@lru_cache
def _names_on(path: tuple[str, ...], group: str) -> tuple[str, ...]:
    """The same for the packages on ``path``: reading the metadata of every package takes 20 ms."""
    return tuple(sorted({entry.name for entry in entry_points(group=group)}))


_MISSING = object()
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "a package"


def _loaded(entry: EntryPoint) -> Any:
    root = entry.module.partition(".")[0]
    if root != "graft" and entry.dist is not None:
        _packages[root] = entry.dist.name
    try:
        return entry.load()
    except Exception as error:  # whatever an installed package may raise
        package = _package(entry)
        raise InputError(
            f"{entry.name} of {package} cannot be imported: {type(error).__name__}: {error}",
            where=f"entry point {entry.group}",
            remedy=f"update or uninstall {package}",
        ) from error


def _misfit_call(name: str, declared: Callable[..., Any], have: Any, unbound: int) -> list[str]:
    """Whether ``have`` takes the arguments of the protocol's method; ``unbound`` is 1 where it takes ``self``, too."""
    try:
        signature = inspect.signature(have)
    except (TypeError, ValueError):  # of C code, which does not say
        return []
    parameters = list(inspect.signature(declared).parameters.values())[1:]
    positional = [None] * (sum(p.kind in _POSITIONAL and p.default is p.empty for p in parameters) + unbound)
    try:
        signature.bind(*positional)
    except TypeError:
        return [f"{name}{signature} cannot be called as {name}({', '.join(p.name for p in parameters)})"]
    return []


def members(protocol: type | None) -> list[str]:
    """The public attributes and methods that a protocol declares, in their order."""
    if protocol is None:
        return []
    found: dict[str, None] = {}
    for cls in reversed(protocol.__mro__):
        if cls is object or cls.__module__ == "typing":
            continue
        named = [*vars(cls).get("__annotations__", {}), *(name for name, value in vars(cls).items() if callable(value))]
        found |= {name: None for name in named if not name.startswith("_")}
    return list(found)

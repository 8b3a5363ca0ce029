"""Names to implementations: built in, by entry point, or ``path/to/file.py:name``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from graft.errors import InputError, did_you_mean


def load_attribute(reference: str) -> Any:
    """Import ``package.module:name`` or ``path/to/file.py:name``.

    Raises:
        InputError: when the reference has another form, or the file or the name is not there.
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


@dataclass
class Registry:
    """A kind of extension (``method``, ``metric``, …): built-in names, then entry points ``graft.<kind>``."""

    kind: str
    builtin: dict[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        found = {entry.name for entry in entry_points(group=f"graft.{self.kind}")}
        return sorted(found | set(self.builtin))

    def get(self, name: str) -> Any:
        """The object called ``name``.

        Raises:
            InputError: with the nearest name, when there is none.
        """
        if name in self.builtin:
            place, _, attribute = self.builtin[name].partition(":")
            return getattr(importlib.import_module(place), attribute)
        if ":" in name:
            return load_attribute(name)
        for entry in entry_points(group=f"graft.{self.kind}"):
            if entry.name == name:
                return entry.load()
        hint = did_you_mean(name, self.names())
        raise InputError(f"there is no {self.kind} called {name!r}; there are: {', '.join(self.names())}", remedy=hint)

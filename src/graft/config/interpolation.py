"""References in settings files: ``${section.key}``, and ``${env:NAME}`` for variables of the environment."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from graft.documents import DEEPEST
from graft.errors import Problems, did_you_mean, located
from graft.plain_text import remember_secret, secrets_of_variables

_PART = re.compile(r"\$\$\{|\$\{([^${}]*)\}?")
_ENVIRONMENT = re.compile(r"(?:oc\.)?env:(.*)", re.DOTALL)
_SECRET = re.compile(r"token|key|secret|passw|credential|auth|signature", re.IGNORECASE)
_LITERAL = "write $${ for the characters ${"
MOST_CHARACTERS = 1_000_000
"""The maximum length of a text after its references are replaced."""


def interpolated(document: Mapping[str, Any], where: str, recorded: bool = False) -> dict[str, Any]:
    """Return settings with the values that they refer to.

    ``${section.key}`` is another value of the file, wherever it is in it; alone in a text it keeps its type.
    ``${env:NAME}`` and ``${env:NAME,default}`` are texts of the environment, as OmegaConf's ``${oc.env:NAME}``.
    ``$${`` stands for ``${``. Values of variables that are named like secrets are masked wherever they are written.

    Args:
        document: The settings.
        where: Their file.
        recorded: Whether graft wrote them; then what is unknown is text.

    Raises:
        InputError: With everything that refers to nothing, or to itself.
    """
    reader = _Reader(document, where, recorded)
    found = {name: reader.value(value, (name,), name) for name, value in document.items()}
    reader.problems.raise_if_any()
    return found


def escaped(value: Any) -> Any:
    """Return settings, at any depth, in a form that ``interpolated`` turns back into them."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {name: escaped(each) for name, each in value.items()}
    return [escaped(each) for each in value] if isinstance(value, (list, tuple)) else value


def recordable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a file has them that ``interpolated`` reads: secrets of the environment by their variables."""

    def named(value: Any) -> Any:
        if isinstance(value, str):
            for secret, variable in secrets_of_variables().items():
                value = value.replace(secret, f"${{env:{variable}}}")
            return value
        if isinstance(value, Mapping):
            return {name: named(each) for name, each in value.items()}
        return list(map(named, value)) if isinstance(value, (list, tuple)) else value

    return {name: named(escaped(value)) for name, value in settings.items()}


def paths_of(document: Any, prefix: str = "") -> Iterator[str]:
    """Yield the paths of all values: ``passes.lora.config.r``, ``data_configs.0.name``."""
    items = document.items() if isinstance(document, Mapping) else enumerate(document)
    for name, value in items:
        yield f"{prefix}{name}"
        if isinstance(value, (Mapping, list)):
            yield from paths_of(value, f"{prefix}{name}.")


class _Unknown(Exception):
    """What is wrong with a reference, and what to do."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


class _Reader:
    """Replaces references, and collects everything wrong with them."""

    def __init__(self, document: Mapping[str, Any], where: str, recorded: bool) -> None:
        self.document, self.where, self.recorded = document, where, recorded
        self.problems = Problems()
        self.size = 0

    def value(self, value: Any, chain: tuple[str, ...], key: str) -> Any:
        """A value without references.

        Args:
            value: It.
            chain: The paths that led here, for cycles.
            key: The name that it belongs to.
        """
        if isinstance(value, str):
            return self._text(value, chain, key) if "${" in value else value
        if isinstance(value, Mapping):
            return {name: self.value(each, (*chain[:-1], f"{chain[-1]}.{name}"), name) for name, each in value.items()}
        if isinstance(value, list):
            places = ((*chain[:-1], f"{chain[-1]}.{number}") for number in range(len(value)))
            return [self.value(each, place, key) for each, place in zip(value, places, strict=True)]
        return value

    def _text(self, text: str, chain: tuple[str, ...], key: str) -> Any:
        whole = _PART.fullmatch(text)
        try:
            if whole is not None and whole[1] is not None:
                return self._referred(whole, chain, key)
            made = _PART.sub(lambda found: self._inner(found, chain, key), text)
            self.size += len(made)
            if self.size > MOST_CHARACTERS:
                what = f"the references of this file make more than {MOST_CHARACTERS:,} characters"
                self._stop(what, key)
            return made
        except _Unknown as error:
            if not self.recorded:
                self.problems.add(error.what, located(self.where, key, of_value=True), error.remedy)
            return text

    def _inner(self, found: re.Match[str], chain: tuple[str, ...], key: str) -> str:
        """The text of a reference within a longer one."""
        if found[1] is None:
            return "${"
        value = self._referred(found, chain, key)
        if isinstance(value, (Mapping, list)) or value is None:
            kind = "nothing" if value is None else "a list" if isinstance(value, list) else "a section"
            raise _Unknown(f"{found[0]} is {kind}, which cannot be part of a text", "give it alone")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _referred(self, found: re.Match[str], chain: tuple[str, ...], key: str) -> Any:
        if not found[0].endswith("}"):
            raise _Unknown(f"{found[0][:60]!r} is not closed", f"add the brace; {_LITERAL}")
        variable = _ENVIRONMENT.fullmatch(found[1].strip())
        if variable is not None:
            return self._variable(variable[1], key)
        return self._path(found[1].strip(), chain)

    def _variable(self, given: str, key: str) -> str | None:
        name, comma, default = (part.strip() for part in given.partition(","))
        value = os.environ.get(name)
        if value is not None:
            if _SECRET.search(name) or _SECRET.search(key):
                remember_secret(value, name)
            return value
        if comma:
            return None if default == "null" else default.strip("'\"")
        near = did_you_mean(name, os.environ)
        raise _Unknown(f"the environment has no variable {name!r}", near or f"set it, or write ${{env:{name},default}}")

    def _path(self, path: str, chain: tuple[str, ...]) -> Any:
        names = [name for name in re.split(r"[.\[\]]+", path) if name]
        value: Any = self.document
        found: list[str] = []
        for name in names:
            inner = self._entry(value, name)
            if inner is None:
                near = did_you_mean(path, paths_of(self.document))
                raise _Unknown(f"${{{path}}} refers to nothing in this file", near or _LITERAL)
            key, value = inner
            found.append(key)
        place = ".".join(found)
        if not names:
            raise _Unknown(f"${{{path}}} names nothing", _LITERAL)
        if any(each == place or each.startswith(f"{place}.") for each in chain) or len(chain) > DEEPEST:
            circle = " → ".join((*chain, place))
            raise _Unknown(f"${{{path}}} refers to itself: {circle}", "write one of these values")
        self.size += 1
        if self.size > MOST_CHARACTERS:
            self._stop("this file has too many references", found[-1])
        return self.value(copy.deepcopy(value), (*chain, place), found[-1])

    def _stop(self, what: str, key: str) -> None:
        self.problems.add(what, located(self.where, key, of_value=True), "write the values themselves")
        self.problems.raise_if_any()

    def _entry(self, value: Any, name: str) -> tuple[str, Any] | None:
        """The entry of a section by its name, or of a list by its number."""
        if isinstance(value, Mapping):
            known = {str(key).replace("-", "_"): key for key in value}
            key = name if name in value else known.get(name.replace("-", "_"))
            return None if key is None else (next(each for each in value if each == key), value[key])
        if isinstance(value, list) and name.isdigit() and len(name) < 7 and int(name) < len(value):
            return str(int(name)), value[int(name)]
        return None

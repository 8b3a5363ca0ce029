"""Descriptions of accepted values, for error messages about graft's settings and transformers' fields."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal

from pydantic.fields import FieldInfo

from graft.documents import shortened, shown


def refusal(kind: str, value: Any, several: bool = False) -> str:
    """Describe the accepted values and the given value; ``several``: the setting accepts a list."""
    if isinstance(value, list) and not several:
        given = ", ".join(shortened(str(each)) for each in value[:9])
        return f"accepts one value, not {given}; place positional arguments before the options"
    if value is True and kind != IN_WORDS[bool]:
        return f"must be {kind}; no value is given"
    return f"must be {kind}, not {shown(value)}"


IN_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    tuple: "a list of names",
    list: "a list of names",
}


def in_words(annotation: Any) -> str:
    """Describe the values of a type: ``a whole number``, ``a, b or c``. An optional None is omitted."""
    options = options_of(annotation)
    if len(options) > 1:
        return " or ".join(dict.fromkeys(map(in_words, options)))
    (kind,) = options
    if typing.get_origin(kind) is Literal:
        return one_of(typing.get_args(kind))
    if names := names_of(kind):
        return f"a list of {one_of(names)}"
    return IN_WORDS.get(typing.get_origin(kind) or kind, "a mapping")


def one_of(names: Iterable[Any]) -> str:
    """Join alternatives: ``a, b or c``."""
    return " or ".join(", ".join(map(str, names)).rsplit(", ", 1))


def names_of(annotation: Any) -> tuple[str, ...]:
    """The texts that a type accepts, alone or in a list; none where it accepts others, too."""
    found: list[str] = []
    for kind in options_of(annotation):
        inner = typing.get_args(kind)[:1] if typing.get_origin(kind) in {tuple, list} else (kind,)
        if not inner or typing.get_origin(inner[0]) is not Literal:
            return ()
        found += [name for name in typing.get_args(inner[0]) if isinstance(name, str)]
    return tuple(found)


def takes_several(annotation: Any) -> bool:
    """Whether the type takes a list, which users give as several values."""
    return any(typing.get_origin(kind) in {tuple, list} for kind in options_of(annotation))


def options_of(annotation: Any) -> tuple[Any, ...]:
    """The types of a union but None, without what is annotated."""
    if typing.get_origin(annotation) is Annotated:
        return options_of(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) not in {typing.Union, UnionType}:
        return (annotation,)
    return tuple(kind for part in typing.get_args(annotation) if part is not NoneType for kind in options_of(part))


def bounds(info: FieldInfo) -> str:
    """``of at least 0 and below 1``."""
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "at most"}
    found = [(words[sign], getattr(m, sign)) for m in info.metadata for sign in words if hasattr(m, sign)]
    return " and ".join(f"{word} {bound:,}" for word, bound in found)

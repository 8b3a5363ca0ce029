"""Types of settings with several notations: lists, templates, mappings and number formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator


def _listed(value: Any) -> Any:
    """``a,b`` or one value is a list, too."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _unescaped(value: Any) -> Any:
    r"""A ``\n`` or ``\t`` typed in a shell means the character; every other letter stays as it is."""
    return value.replace("\\n", "\n").replace("\\t", "\t") if isinstance(value, str) else value


def _pairs(value: Any) -> Any:
    """``a=1,b=2``, a list of such, or JSON is a mapping, too; values are read as JSON where they are that."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return _json(value)
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all("=" in str(part) for part in parts):
        return value
    split = (str(part).partition("=") for part in parts)
    return {name.strip(): _json(text.strip()) for name, _, text in split}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


Listed = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Template = Annotated[str, BeforeValidator(_unescaped)]
Pairs = Annotated[Mapping[str, Any], BeforeValidator(_pairs)]


def _format(value: Any) -> Any:
    """Number formats as people write them."""
    short = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "no": "float32"}
    return short.get(value, value) if isinstance(value, str) else value


Precision = Annotated[Literal["auto", "float32", "bfloat16", "float16"], BeforeValidator(_format)]
OnLong = Annotated[
    Literal["truncate", "drop", "error"], BeforeValidator(lambda value: "error" if value == "raise" else value)
]
Engine = Annotated[Literal["exact", "int8", "bfloat16", "plain", "auto", "packed"], BeforeValidator(_format)]

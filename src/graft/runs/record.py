"""Typed JSON records of a run folder: strict types, unknown keys kept, errors that name file, key and value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graft.documents import REMEDY, lines_of, parse_json, shown
from graft.errors import InputError, Problem
from graft.plain_text import mask_variables

EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "too_short": "at least {min_length} values",
    "too_long": "at most {max_length} values",
    "string_too_long": "at most {max_length} characters",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
}
"""What was expected, by the type of pydantic's error."""
_ALTERNATIVE = re.compile(r"str|int|float|bool|\b\w*Record|(list|dict)\[.*|constrained-\w+")
"""The names of types in the path of a pydantic error, which are there if a value may have several types."""
MOST_ERRORS = 10


Count = Annotated[int, Field(ge=0, le=2**53)]
"""A number of things. Programs in other languages read JSON's numbers as 64-bit floats, which are exact up to here."""
Pair = Annotated[list[Count], Field(min_length=2, max_length=2)]
"""[how many are equal, how many were compared]."""


class Record(BaseModel):
    """A JSON object with typed keys. Unknown keys are kept: a newer minor version wrote them."""

    model_config = ConfigDict(extra="allow", strict=True)

    def document(self) -> dict[str, Any]:
        """Return the JSON object: the keys that were set, and those that were read and are unknown."""
        return self.model_dump(by_alias=True, exclude_unset=True)


R = TypeVar("R", bound=Record)


def validate(model: type[R], document: Any, where: str) -> R:
    """Return ``document`` as a ``model``.

    Args:
        model: The class of the record.
        document: What ``json.loads`` returned.
        where: The file, and the line if it has several records, for error messages.

    Raises:
        InputError: If keys are missing or have values of another type; all of them are named.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        every = error.errors(include_url=False)
        found = [one for one in every if "str" not in one["loc"]] or every
        raise InputError(*[Problem(_said(one, document), where, REMEDY) for one in found[:MOST_ERRORS]]) from None


def _said(error: Any, document: Any) -> str:
    key = ".".join(_keys(error["loc"], document))
    if error["type"] == "missing":
        return f"the key {shown(key)} is missing"
    value = shown(error["input"])
    if error["type"] == "literal_error":
        return f"{shown(key)} is {value}; expected {error['ctx']['expected']}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    expected = EXPECTED.get(str(error["type"]), "").format_map(error.get("ctx", {}))
    if not key:
        return f"this is {value}; expected {expected or 'an object'}"
    return (
        f"{shown(key)} is {value}; expected {expected}" if expected else f"{shown(key)} is {value}, which is not valid"
    )


def _keys(parts: Sequence[str | int], value: Any) -> Iterator[str]:
    """The keys on the path of an error in ``value``, without the names of types, which can be names of keys, too."""
    for part in parts:
        there = isinstance(value, dict) and part in value
        if there or not _ALTERNATIVE.fullmatch(str(part)):
            yield str(part)
            inside = there or (isinstance(value, list) and isinstance(part, int) and part < len(value))
            value = value[part] if inside else None


def read_lines(path: Path, model: type[R]) -> list[R]:
    """Return the records of a JSON Lines file, one a line; none if there is no file.

    A last line that is cut off is omitted: the process that wrote it was killed.

    Raises:
        InputError: If another line is damaged.
    """
    if not path.is_file():
        return []
    found = []
    for number, line in lines_of(path):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            document = parse_json(line, where)
        except InputError:
            if not line.endswith("\n"):
                break
            raise
        found.append(validate(model, document, where))
    return found


def plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` as they read back from JSON: tuples are lists, paths are texts."""
    plain: dict[str, Any] = parse_json(dump(values), "")
    return plain


def dump(document: Any) -> str:
    """Return the JSON text of a record or a plain value, as all files of a run folder are written."""
    return mask_variables(json.dumps(document, ensure_ascii=False, indent=2, default=_plain)) + "\n"


def _plain(value: Any) -> Any:
    return value.document() if isinstance(value, Record) else str(value)


def dump_lines(records: Sequence[Record]) -> str:
    """Return JSON Lines, one record a line."""
    return "".join(json.dumps(record.document(), ensure_ascii=False, default=_plain) + "\n" for record in records)

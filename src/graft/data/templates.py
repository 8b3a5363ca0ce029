"""Templates with ``{column}`` placeholders, and where in one the completion begins.

A placeholder is a name in single braces; ``{{`` and ``}}`` are literal braces, and so are braces around anything that
is not a name, so that a template can contain JSON. ``{row.field}`` is a field of an object, and ``{turns.0}`` an item
of a list; a column whose name has that dot comes first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import regex

from graft.data.cells import decoded
from graft.data.example import as_text
from graft.data.turn_markers import TURN_MARKERS
from graft.data.values import listed_names
from graft.errors import InputError, Problems, nearest

_NAME = r"[\p{L}\p{Nl}\p{No}_][\p{L}\p{M}\p{N}\u200c\u200d_ .-]*"  # in any script
_TOKEN = regex.compile(rf"\{{\{{|\}}\}}|\{{({_NAME})\}}")


@dataclass(frozen=True)
class Template:
    """Literal texts and column names, alternating: ``parts[0] {names[0]} parts[1] …``."""

    parts: tuple[str, ...]
    names: tuple[str, ...]

    def fill(self, columns: Mapping[str, Any]) -> str:
        """Return the text with the values of ``columns``.

        Raises:
            InputError: For a placeholder without a value.
        """
        filled = [as_text(value_of(columns, name)) for name in self.names] + [""]
        return "".join(part + value for part, value in zip(self.parts, filled, strict=True))

    def columns(self, there: Iterable[str]) -> tuple[str, ...]:
        """Return the columns that the placeholders are in, each once."""
        known = set(there)
        return tuple(dict.fromkeys(column_of(name, known) or name for name in self.names))


def column_of(name: str, columns: Collection[str]) -> str | None:
    """Return the column that a placeholder is in: that of its name, or ``row`` for ``row.field``."""
    if name in columns:
        return name
    parts = name.split(".")
    heads = (".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))
    return next((head for head in heads if head in columns), None)


def value_of(columns: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column, or of a field within it: ``row.field``, ``turns.0.text``.

    Raises:
        InputError: When there is none, with the fields that there are.
    """
    column = column_of(name, columns)
    value = columns[column] if column is not None else None
    place = column or name
    for part in name[len(place) + 1 :].split(".") if place != name else ():
        value = decoded(value)
        inner = _part_of(value, part)
        if inner is None:
            there = f"its fields are: {listed_names(value)}" if isinstance(value, dict) else "it has no fields"
            there = f"it has {len(value)} items" if isinstance(value, list) else there
            raise InputError(f"{{{name}}} has no value: there is no {part!r} in {place!r}", remedy=there)
        value, place = inner, f"{place}.{part}"
    if value is None:
        raise InputError(f"{{{name}}} has no value")
    return value


def _part_of(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    is_place = isinstance(value, list) and part.isascii() and part.isdigit() and int(part) < len(value)
    return value[int(part)] if is_place else None


class SplitTemplate(NamedTuple):
    """The two parts of a template, and where the border is, in words."""

    prompt: Template
    completion: Template
    border: str


def parse_template(text: str) -> Template:
    """Return the literal texts and the placeholders of a template."""
    parts, names, literal, end = [], [], "", 0
    for match in _TOKEN.finditer(text):
        literal += text[end : match.start()]
        end = match.end()
        if match.group(1) is None:
            literal += match.group(0)[0]
        else:
            parts.append(literal)
            names.append(match.group(1))
            literal = ""
    return Template((*parts, literal + text[end:]), tuple(names))


def check_names(template: Template, columns: Iterable[str], option: str, problems: Problems) -> Template:
    """Return the template with the names of columns as they are written in the file.

    A name in another letter case is the column's if it can be only one. For each placeholder without a column a problem
    is added, with the columns that there are and the nearest name.
    """
    there = list(columns)
    names = []
    for name in template.names:
        found = _written(name, there)
        if found is None:
            near = nearest(name, there)
            hint = f"did you mean {{{near}}}? " if near else ""
            problems.add(f"{{{name}}} is not a column", option, f"{hint}the columns are: {listed_names(there)}")
        names.append(found or name)
    return Template(template.parts, tuple(names))


def _written(name: str, columns: Sequence[str]) -> str | None:
    """The name as the file writes it: the same, the only one in another spelling, or a field of such a column."""
    if column_of(name, columns) is not None:
        return name
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        alike = [column for column in columns if folded(column) == folded(".".join(parts[:count]))]
        if len(alike) == 1:
            return ".".join([alike[0], *parts[count:]])
    return None


def folded(name: str) -> str:
    """Return a name in lower case, its parts joined by underscores: ``Sentence A`` is ``sentence_a``."""
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


def split_template(template: Template, generation_prompt: str | None = None) -> SplitTemplate:
    """Split a template into the prompt's and the completion's part.

    The completion begins after the last turn marker before the last placeholder, and after the white space that
    follows the marker; without a marker, at the last placeholder.
    """
    last = template.parts[:-1]
    markers = [generation_prompt.rstrip()] if generation_prompt and generation_prompt.strip() else []
    markers += TURN_MARKERS
    for index in range(len(last) - 1, -1, -1):
        found = [(last[index].rfind(marker), marker) for marker in markers if marker in last[index]]
        if found:
            place, marker = max(found)
            stop = place + len(marker)
            stop += len(last[index][stop:]) - len(last[index][stop:].lstrip())
            cut = last[index]
            before = Template((*template.parts[:index], cut[:stop]), template.names[:index])
            after = Template((cut[stop:], *template.parts[index + 1 :]), template.names[index:])
            return SplitTemplate(before, after, f"after {marker!r}")
    count = len(template.names)
    if count == 0:
        return SplitTemplate(Template(("",), ()), template, "at the start: there is no placeholder")
    before = Template(template.parts[:count], template.names[: count - 1])
    after = Template(("", template.parts[-1]), template.names[-1:])
    return SplitTemplate(before, after, f"at the last placeholder, {{{template.names[-1]}}}")

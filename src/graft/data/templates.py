"""Templates with ``{column}`` placeholders, and where in one the completion begins.

A placeholder is a name in single braces; ``{{`` and ``}}`` are literal braces, and so are braces around anything that
is not a name, so that a template can contain JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graft.data.example import as_text
from graft.data.turn_markers import TURN_MARKERS
from graft.errors import Problems, nearest

_TOKEN = re.compile(r"\{\{|\}\}|\{([^\W\d][\w .-]*)\}")


@dataclass(frozen=True)
class Template:
    """Literal texts and column names, alternating: ``parts[0] {names[0]} parts[1] …``."""

    parts: tuple[str, ...]
    names: tuple[str, ...]

    def fill(self, columns: Mapping[str, Any]) -> str:
        """Return the text with the values of ``columns``."""
        filled = [as_text(columns[name]) for name in self.names] + [""]
        return "".join(part + value for part, value in zip(self.parts, filled, strict=True))


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


def check_names(template: Template, columns: Iterable[str], option: str, problems: Problems) -> None:
    """Add a problem for each placeholder without a column, with the columns there are and the nearest name."""
    there = list(columns)
    for name in template.names:
        if name not in there:
            near = nearest(name, there)
            hint = f"did you mean {{{near}}}? " if near else ""
            problems.add(f"{{{name}}} is not a column", option, f"{hint}the columns are: {', '.join(there)}")


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

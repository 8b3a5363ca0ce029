"""Templates with ``{column}`` placeholders, and where in one the completion begins.

A placeholder is a name in single braces; ``{{`` and ``}}`` are plain braces, and so is any brace around what is no
name, so that JSON can stand in a template as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graft.data.example import as_text
from graft.errors import Problems, nearest

_TOKEN = re.compile(r"\{\{|\}\}|\{([^\W\d][\w .-]*)\}")

TURN_MARKERS = (
    "<|start_header_id|>assistant<|end_header_id|>",
    "<|im_start|>assistant",
    "<|assistant|>",
    "<|Assistant|>",
    "<start_of_turn>model",
    "[/INST]",
    "### Response:",
    "### Answer:",
    "### Assistant:",
    "ASSISTANT:",
    "Assistant:",
)
"""How models and people mark the answer's turn."""


@dataclass(frozen=True)
class Template:
    """Literal texts and column names in turn: ``parts[0] {names[0]} parts[1] …``."""

    parts: tuple[str, ...]
    names: tuple[str, ...]

    def fill(self, columns: Mapping[str, Any]) -> str:
        filled = [as_text(columns[name]) for name in self.names] + [""]
        return "".join(part + value for part, value in zip(self.parts, filled, strict=True))


def parse_template(text: str) -> Template:
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
    """Every placeholder without a column is a problem, with the columns there are and the nearest."""
    there = list(columns)
    for name in template.names:
        if name not in there:
            near = nearest(name, there)
            hint = f"did you mean {{{near}}}? " if near else ""
            problems.add(f"{{{name}}} is not a column", option, f"{hint}there are: {', '.join(there)}")


def split_template(template: Template, generation_prompt: str | None = None) -> tuple[Template, Template, str]:
    """The prompt's and the completion's part, and what was taken for the border (for ``--dry_run``).

    The completion begins after the last turn marker that stands before the last placeholder, white space behind the
    marker included; where there is none, at the last placeholder.
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
            return before, after, f"after {marker!r}"
    count = len(template.names)
    if count == 0:
        return Template(("",), ()), template, "at the start: there is no placeholder"
    before = Template(template.parts[:count], template.names[: count - 1])
    after = Template(("", template.parts[-1]), template.names[-1:])
    return before, after, f"at the last placeholder, {{{template.names[-1]}}}"

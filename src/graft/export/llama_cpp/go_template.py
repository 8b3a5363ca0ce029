"""Segments of a chat template in the language of Go's text/template, with the variables that Ollama gives it."""

from __future__ import annotations

import unicodedata
from itertools import groupby

from graft.export.llama_cpp.segments import Segments


def go_template(segments: Segments) -> str:
    """The template: ``.Messages`` where histories are known, otherwise ``.System`` and ``.Prompt``."""
    header = _header(segments)
    asked = _wrapped(segments, ".Content" if segments.answering is not None else ".Prompt")
    if segments.answering is None:
        return f"{header}{asked}{literal(segments.asking)}"
    return (
        "{{ $first := true }}"
        "{{ range $i, $message := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
        '{{ if eq .Role "user" }}'
        f"{{{{ if $first }}}}{header}{{{{ $first = false }}}}{{{{ end }}}}"
        f"{asked}{{{{ if $last }}}}{literal(segments.asking)}{{{{ end }}}}"
        f'{{{{ else if eq .Role "assistant" }}}}{literal(segments.answering)}{{{{ .Content }}}}'
        f"{{{{ if not $last }}}}{literal(segments.again)}{{{{ end }}}}"
        "{{ end }}{{ end }}"
    )


def _header(segments: Segments) -> str:
    opening = literal(segments.opening)
    if segments.system is None:
        return opening
    before, after = map(literal, segments.system)
    name = "$.System" if segments.answering is not None else ".System"
    told = f"{before}{{{{ {name} }}}}{after}"
    if segments.default_system and not fits_modelfile(segments.default_system):
        other = f"{before}{{{{ {go_string(segments.default_system)} }}}}{after}"
    else:
        other = opening
    return f"{{{{ if {name} }}}}{told}{{{{ else }}}}{other}{{{{ end }}}}"


def _wrapped(segments: Segments, name: str) -> str:
    return f"{{{{ {name} }}}}".join(map(literal, segments.wrap))


def literal(text: str) -> str:
    """``text`` in a template: as it is, but for braces, quotes that could end a value, and characters that are lost."""
    runs = groupby(range(len(text)), key=lambda place: _must_be_escaped(text, place))
    pieces = [(escaped, "".join(text[place] for place in places)) for escaped, places in runs]
    return "".join(f"{{{{ {go_string(piece)} }}}}" if escaped else piece for escaped, piece in pieces)


def _must_be_escaped(text: str, place: int) -> bool:
    """A quote only where it could be one of three in a row: beside another, or at an end of the text."""
    if text[place] == '"':
        return place in (0, len(text) - 1) or '"' in (text[place - 1], text[place + 1])
    return text[place] == "{" or not _is_kept(text[place])


def go_string(text: str) -> str:
    """``text`` as a string of Go, in ASCII without a quote inside."""
    made = []
    for one in text:
        code = ord(one)
        if one in '"\\' or code < 0x20 or code == 0x7F:
            made.append(f"\\x{code:02x}")
        elif code < 0x7F:
            made.append(one)
        else:
            made.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return f'"{"".join(made)}"'


def fits_modelfile(text: str) -> bool:
    """Whether a Modelfile's reader keeps each character of ``text``, and does not take a part of it for the end."""
    return '"""' not in text and all(map(_is_kept, text))


def _is_kept(one: str) -> bool:
    """Whether Ollama's reader keeps the character: it drops what Go calls not printable, such as joiners of letters."""
    return one in " \n\t" or unicodedata.category(one)[0] not in "CZ"

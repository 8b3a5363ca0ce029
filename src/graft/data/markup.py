"""HTML that was left in text: tags, entities, and comments."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from html.entities import html5

_BLOCKS = (
    "p|div|li|ul|ol|h[1-6]|table|thead|tbody|tr|blockquote|center|hr|pre|section|article|header|footer|nav|aside|figure"
    "|form|dl|dt|dd"
)
_INLINE = "br|a|b|i|u|em|strong|span|font|img|td|th|tt|big|small|sup|sub|strike|code|nobr|wbr|iframe|label|button"
_ATTRIBUTES = r"(?:\s[^<>]{0,500})?"
_TAG = re.compile(rf"<(/?)({_BLOCKS}|{_INLINE})({_ATTRIBUTES})\s?/?>", re.IGNORECASE)
_UNSHOWN = re.compile(r"<(script|style)\b[^<>]{0,300}>.{0,20000}?</\1\s?>|<!--.{0,2000}?-->", re.IGNORECASE | re.DOTALL)
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31};|#\d{2,6};|#x[0-9A-Fa-f]{2,5};)")
_ALONE = re.compile(r"(?:br|hr|img|wbr)", re.IGNORECASE)
"""Tags without an end tag."""
_ATTRIBUTE = re.compile(
    r"""\b(?:href|src|class|style|id|color|size|face|align|width|height|target|rel)\s?=\s?["']?\w""", re.I
)
_CODE = re.compile(
    r"^[ \t]{0,40}(?:def |class |import |from \S{1,80} import |function\b|const |let |var |return\b|#include)"
    r"|^[ \t]{0,40}(?:public |print\b)|<\?|[;{}][ \t]{0,20}$|=>|\)\s{0,5}\{|^[ \t]{0,40}[@$]\w{1,60}\b.{0,200}[=(]"
    r"|^[ \t]{0,40}\w{1,60}\s?=\s?[\w\"'\[({]|<!DOCTYPE",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTED = re.compile(r"```.{0,20000}?(?:```|\Z)|`[^`\n]{1,300}`|^(?: {4}|\t)[^<\n][^\n]*$", re.DOTALL | re.MULTILINE)
"""Code in a text: in backticks, or indented."""
_ESCAPED_AGAIN = re.compile(r"&(?:amp;){2,}")
_MOST_PASSES = 20
"""Tags may be nested in tags, as text that was escaped several times has them."""
_ABOUT = re.compile(
    r"\b(?:x?html\d?|xml|svg|css|jsx|xslt|markup|web ?pages?|javascript|php|jquery|unescape\w*)\b|>['\"]?\s?tags?\b"
    r"|\btags?\s?['\"]?<|\b(?:character|named) entit",
    re.IGNORECASE,
)
"""What a text about HTML, or a program for it, says."""


def is_about_markup(texts: Iterable[str]) -> bool:
    """Return whether the texts of a row are about HTML, or are a program: then tags in them are meant.

    Args:
        texts: The texts of the row.
    """
    return any(_ABOUT.search(text) or _is_code(text) for text in texts)


def _is_code(text: str) -> bool:
    """Whether some lines are of a program: half of them, and two at least."""
    bare = _TAG.sub("", _ENTITY.sub("", text))
    lines = sum(1 for line in bare.splitlines() if line.strip())
    return len(_CODE.findall(bare)) >= max(2, lines / 2)


def leftover(text: str) -> tuple[int, int] | None:
    """Return where the first tag or entity is that was left over; None where there is none.

    Args:
        text: A text of a row that is not about markup.
    """
    if "<" not in text and "&" not in text:
        return None
    bare = _QUOTED.sub(lambda found: " " * len(found[0]), text)
    entity = next(filter(_is_known, _ENTITY.finditer(bare)), None)
    tag = _first_tag(bare)
    spans = [found.span() for found in (entity, tag, _UNSHOWN.search(bare)) if found]
    return min(spans) if spans else None


def _first_tag(text: str) -> re.Match[str] | None:
    """The first tag that is one for certain: alone, with attributes, with its end tag, or on the edge of a word."""
    found = list(_TAG.finditer(text))
    closed = {tag[2].lower() for tag in found if tag[1]}
    opened = {tag[2].lower() for tag in found if not tag[1]}
    for tag in found:
        name = tag[2].lower()
        is_paired = name in closed and name in opened
        if _ALONE.fullmatch(name) or is_paired or _ATTRIBUTE.search(tag[3]) or _is_edge(tag):
            return tag
    return None


def _is_edge(tag: re.Match[str]) -> bool:
    """Whether a tag without its other half stands before or behind text: ``<b>so``, ``so</b>``, ``So.<p>``.

    ``Vec<b> x`` is code, and ``FROM <table> WHERE`` has a name to fill in.
    """
    before, after = tag.string[: tag.start()][-1:], tag.string[tag.end() :][:1]
    is_block = re.fullmatch(_BLOCKS, tag[2], re.IGNORECASE) is not None
    if tag[1]:
        return bool(before) and (is_block or not (before.isspace() or after.isalnum()))
    if is_block and before in {"", "\n", ".", "!", "?", ">"}:
        return True
    return after.isalnum() and before not in {"<", "("} and (is_block or not before.isalnum())


def without_markup(text: str) -> str:
    """Return a text without tags and comments, with entities as characters, and with blocks on lines of their own.

    Code in backticks, and indented code, stays as it is.

    Args:
        text: A text in which ``leftover`` finds something.
    """
    for _ in range(_MOST_PASSES):  # of &amp;lt;br&amp;gt; the first leaves &lt;br&gt;
        if leftover(text) is None:
            break
        parts, at = [], 0
        for code in _QUOTED.finditer(text):
            parts += [_plain(text[at : code.start()]), code[0]]
            at = code.end()
        cleaned = "".join((*parts, _plain(text[at:])))
        if cleaned == text:
            break
        text = cleaned
    return text


def _plain(text: str) -> str:
    text = _ESCAPED_AGAIN.sub("&amp;", text)
    text = _UNSHOWN.sub(" ", text)
    text = _TAG.sub(_instead, text)
    text = _ENTITY.sub(_character, text)
    text = re.sub(r"[ \t]{1,200}\n", "\n", text)
    return re.sub(r"\n{3,200}", "\n\n", text)


def _is_known(entity: re.Match[str]) -> bool:
    return entity[1][0] == "#" or entity[1] in html5


def _character(entity: re.Match[str]) -> str:
    return html.unescape(entity[0]).replace("\u00a0", " ") if _is_known(entity) else entity[0]


def _instead(tag: re.Match[str]) -> str:
    """A line end for line breaks and blocks, a blank between cells, nothing for the rest."""
    name = tag[2].lower()
    if name == "br" or re.fullmatch(_BLOCKS, name):
        return "\n"
    return " " if name in {"td", "th"} else ""

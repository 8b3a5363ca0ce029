"""The page on which answers are judged: one file, with the hash of its own style and script as its only permissions."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any


def rating_page(sheet: dict[str, Any] | None = None) -> str:
    """Return the page.

    Args:
        sheet: What a rater judges without a server: ``id``, ``rater``, ``questions`` and ``items``; None asks the
            server that the page is from.
    """
    html, style, script = (_part(f"rating.{kind}") for kind in ("html", "css", "js"))
    # "<" and U+2028 would end the element or the line; as escapes they are the same text in JSON.
    data = json.dumps(sheet, ensure_ascii=True).replace("<", "\\u003c").replace("&", "\\u0026")
    parts = {"@POLICY@": policy(is_sheet=sheet is not None), "@STYLE@": style, "@SCRIPT@": script, "@SHEET@": data}
    pieces = [html]
    for name, value in parts.items():  # each once, and what was put in is not looked at again
        pieces = [part for piece in pieces for part in _around(piece, name, value)]
    return "".join(map(str, pieces))


def policy(is_sheet: bool = False) -> str:
    """Return the Content-Security-Policy of the page: its own style and script, and its own server; nothing else."""
    style, script = (_digest(_part(f"rating.{kind}")) for kind in ("css", "js"))
    connect = "'none'" if is_sheet else "'self'"
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src {connect}; "
        "base-uri 'none'; form-action 'none'; trusted-types 'none'; require-trusted-types-for 'script'"
    )


class _Put(str):
    """Text that was put in."""


def _around(piece: str, name: str, value: str) -> list[str]:
    before, found, after = ("", "", "") if isinstance(piece, _Put) else piece.partition(name)
    return [before, _Put(value), after] if found else [piece]


@cache
def _part(name: str) -> str:
    return files("graft.evaluation.human").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

"""Pages from templates: one style, at most one script of our own, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from graft.report.format import count
from graft.report.isolates import isolated
from graft.report.row_changes import cut, marked


def render_page(template: str, **context: Any) -> str:
    """Return a page with the style of all pages.

    Its policy allows that style, and of scripts at most the one of ``page.js``, by its hash: a template that does not
    name ``script_hash`` in its policy has no script.
    """
    style, script = _text("report.css"), _text("page.js")
    own = {"style": style, "style_hash": _digest(style), "script": script, "script_hash": _digest(script)}
    return _environment().get_template(template).render(**own, **context)


@cache
def _text(name: str) -> Markup:
    return Markup(files("graft.report").joinpath(f"templates/{name}").read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("graft.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"marked": marked, "cut": cut, "isolated": isolated}
    environment.globals |= {"count": count}
    return environment

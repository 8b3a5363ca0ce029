"""Pages from templates: one style, no script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from graft.report.format import count
from graft.report.row_changes import cut, marked


def render_page(template: str, **context: Any) -> str:
    """Return a page with the style of all pages; its policy allows that style and nothing else."""
    style = Markup(files("graft.report").joinpath("templates/report.css").read_text(encoding="utf-8"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _environment().get_template(template).render(style=style, style_hash=digest, **context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("graft.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"marked": marked, "cut": cut}
    environment.globals |= {"count": count}
    return environment

"""Text of a user's within a sentence, whatever its direction of writing."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

FSI, PDI = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
_ISOLATED = re.compile(f"{FSI}([^{PDI}]*){PDI}")


def isolated(sentence: str) -> Markup:
    """Return a sentence whose isolates are elements: ``<bdi>`` is what HTML has for them."""
    parts = _ISOLATED.split(sentence)
    return Markup("").join(
        Markup("<bdi>{}</bdi>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )

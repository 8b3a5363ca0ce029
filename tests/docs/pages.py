"""The documentation's pages and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
_FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    title: str | None
    text: str


class Command(NamedTuple):
    page: Path
    words: list[str]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: graft {' '.join(self.words)}"


def blocks(page: Path) -> list[Block]:
    """The fenced code blocks of a page."""
    return [Block(*match.groups()) for match in _FENCE.finditer(page.read_text(encoding="utf-8"))]


def commands(page: Path) -> Iterator[Command]:
    """The lines of a page's bash blocks that start graft, without the word graft."""
    for block in blocks(page):
        if block.language != "bash":
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.startswith("graft "):
                yield Command(page, [word for word in shlex.split(line, comments=True)[1:] if word != "…"])

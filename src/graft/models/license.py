"""The license of a base model, and what it means for commercial use."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path
from typing import Any

from graft.models.license_terms import UNKNOWN, terms_of

# Families whose license is the same for every size, by what their names look like.
_FAMILIES = (
    (r"llama-?4", "llama4"),
    (r"llama-?3\.3", "llama3.3"),
    (r"llama-?3\.2", "llama3.2"),
    (r"llama-?3\.1", "llama3.1"),
    (r"llama-?3(?![.\d])", "llama3"),
    (r"llama-?2(?![.\d])|code-?llama", "llama2"),
    (r"gemma-?4(?!\d)", "apache-2.0"),
    (r"gemma-?[123](?![.\d]*\d)|(^|/)gemma-", "gemma"),
    (r"smollm", "apache-2.0"),
    (r"tinyllama", "apache-2.0"),
    (r"(^|/)distilgpt2", "apache-2.0"),
    (r"(^|/)gpt2|dialogpt|(^|/)phi-[234]", "mit"),
)

_LICENSE_TEXTS = (
    (r"LLAMA (\d(?:\.\d)?) COMMUNITY LICENSE", r"llama\1"),
    (r"Gemma Terms of Use", "gemma"),
    (r"Apache License\s+Version 2\.0", "apache-2.0"),
    (r"MIT License|Permission is hereby granted, free of charge", "mit"),
)


def find_license(folder: Path, config: dict[str, Any], name: str = "") -> str:
    """The license by the model card, the license file, or the family's name; ``unknown`` when none says."""
    return _from_card(folder) or _from_text(folder) or _from_name(name, config) or UNKNOWN


def _from_card(folder: Path) -> str | None:
    """The ``license`` of the front matter of README.md, as the hub wants it."""
    front = front_matter(folder)
    found = ", ".join(front_matter_values(front, "license")) or UNKNOWN
    if found == "other":
        found = ", ".join(front_matter_values(front, "license_name")) or found
    return found if found != UNKNOWN else None


def front_matter(folder: Path) -> str:
    """Return the front matter of README.md, the model card; an empty string where there is none."""
    card = folder / "README.md"
    found = re.match(r"\ufeff?---[ \t]*\n(.*?)\n---", _beginning(card, 100_000), re.DOTALL) if card.is_file() else None
    return found[1] if found is not None else ""


def front_matter_values(text: str, key: str) -> list[str]:
    """Return what a card's front matter has for ``key``, in lower case: one text, or a list of them in either form."""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        if name.rstrip() != key or not colon:
            continue
        value = value.partition("#")[0].strip()
        below = takewhile(lambda item: item.startswith("-"), (item.strip() for item in lines[number:]))
        listed = value.strip("[]").split(",") if value else [item[1:] for item in below]
        return [found for one in listed if (found := one.strip().strip("'\"").lower())]
    return []


def _from_text(folder: Path) -> str | None:
    for file in sorted(folder.glob("LICEN[SC]E*")):
        text = _beginning(file, 8000)[:2000] if file.is_file() else ""
        for pattern, license in _LICENSE_TEXTS:
            if match := re.search(pattern, text, re.IGNORECASE):
                return match.expand(license)
    return None


def _beginning(file: Path, most: int) -> str:
    with file.open("rb") as stream:
        return stream.read(most).decode("utf-8", "replace").replace("\r\n", "\n")


def _from_name(name: str, config: dict[str, Any]) -> str | None:
    for text in (name, str(config.get("_name_or_path", ""))):
        for pattern, license in _FAMILIES:
            if re.search(pattern, text.replace("\\", "/").replace("_", "-").lower()):
                return license
    return None


def commercial_use(license: str | None) -> str:
    """One sentence: whether the license allows commercial use. A pointer, not legal advice."""
    return terms_of(license).sentence

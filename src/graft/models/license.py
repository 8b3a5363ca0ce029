"""The license of a base model, and what it means for commercial use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

UNKNOWN = "unknown"

# Families whose license is the same for every size, by what their names look like.
_FAMILIES = (
    (r"llama-?4", "llama4"),
    (r"llama-?3\.3", "llama3.3"),
    (r"llama-?3\.2", "llama3.2"),
    (r"llama-?3\.1", "llama3.1"),
    (r"llama-?3(?![.\d])", "llama3"),
    (r"llama-?2(?![.\d])|code-?llama", "llama2"),
    (r"gemma-?[123](?![.\d]*\d)|(^|/)gemma-", "gemma"),
    (r"smollm", "apache-2.0"),
    (r"tinyllama", "apache-2.0"),
    (r"(^|/)(distil)?gpt2|dialogpt|(^|/)phi-[234]", "mit"),
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
    card = folder / "README.md"
    if not card.is_file():
        return None
    front = re.match(r"\ufeff?---[ \t]*\n(.*?)\n---", _beginning(card, 100_000), re.DOTALL)
    if front is None:
        return None
    lines = dict(re.findall(r"^(license|license_name)\s*:[ \t]*['\"]?([^'\"\n#]+)", front[1], re.MULTILINE))
    found = lines.get("license", UNKNOWN).strip().lower()
    if found == "other":
        found = lines.get("license_name", found).strip().lower()
    return found if found != UNKNOWN else None


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
    license = (license or UNKNOWN).lower()
    if license in ("apache-2.0", "mit", "cc0-1.0", "unlicense", "cc-by-4.0", "isc") or license.startswith("bsd"):
        return "commercial use is allowed; keep the notice"
    if license.startswith("llama"):
        return (
            "commercial use is allowed below 700 million monthly users, under Meta's acceptable-use policy; "
            "the name must begin with Llama and 'Built with Llama' must be shown (from Llama 3 on)"
        )
    if license == "gemma":
        return "commercial use is allowed under Google's prohibited-use policy, which must be passed on"
    if "openrail" in license:
        return "commercial use is allowed under the license's use restrictions, which must be passed on"
    if re.search(r"(^|[-_])nc([-_.]|$)|research|non-?commercial", license):
        return "no commercial use"
    if license == UNKNOWN:
        return "the license is unknown: ask the model's authors before any commercial use"
    return f"read the license ({license}) before any commercial use"

"""The text form of a search space: ``learning_rate=1e-5..1e-3 log, lora_r=8..64 step 8, batch_size=8|16|32``."""

from __future__ import annotations

import re
from typing import Any

from graft.documents import shown
from graft.errors import InputError

EXAMPLE = "'learning_rate=1e-5..1e-3 log, lora_r=8..64 step 8, batch_size=8|16|32'"
_NEXT = re.compile(r",\s*(?=[A-Za-z_][\w.-]*\s*=)")
_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_RANGE = re.compile(rf"\A({_NUMBER})\s*\.\.\s*({_NUMBER})((?:\s+.*)?)", re.DOTALL)
_COUNTS = {"step": "step", "num": "num"}


def entries(text: str) -> list[tuple[str, Any]]:
    """Return the settings that the text of ``--search_space`` names, each with what stands behind its ``=``.

    A comma begins the next setting only before ``NAME=``, so that a value may have commas.

    Raises:
        InputError: If a part has no ``=``.
    """
    parts = [part.strip() for part in _NEXT.split(text.strip()) if part.strip()]
    found = [part.partition("=") for part in parts]
    wrong = [part for part, (name, sign, _) in zip(parts, found, strict=True) if not sign or not name or "|" in name]
    if wrong:
        what = f"--search_space has {shown(wrong[0])}, which is not of the form NAME=VALUES"
        raise InputError(what, remedy=f"such as {EXAMPLE}")
    return [(name.strip(), values.strip()) for name, _, values in found]


def entry(text: str) -> Any:
    """Return what stands behind a setting's ``=`` as a workflow file has it: a list of choices, or a mapping.

    Raises:
        ValueError: With what is wrong, if it is neither ``8|16|32`` nor ``8..64``.
    """
    if "|" in text:
        return [_plain(part.strip()) for part in text.split("|")]
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"is {shown(text)}, which is neither a range such as 8..64 nor a choice such as 8|16|32")
    made: dict[str, Any] = {"low": found[1], "high": found[2]}
    words = found[3].replace(",", " ").split()
    while words:
        word = words.pop(0)
        name, _, count = word.partition("=")
        if word == "log":
            made["log"] = True
        elif name in _COUNTS and (count or words):
            made[name] = count or words.pop(0)
        else:
            raise ValueError(f"has {shown(word)} behind the range; known are: log, step N, num N")
    return made


def _plain(text: str) -> Any:
    """A choice as text, which the setting reads; null stands for a setting that is not given."""
    return None if text in {"null", "None"} else text

"""Commands to copy into a shell: every word of a printed command is quoted here."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

_PLAIN = re.compile(r"[\w@%+=:,./\\~-]+", re.ASCII)


def quote(word: str | os.PathLike[str]) -> str:
    """Return ``word`` as it is typed in this system's shell.

    On Windows a word in double quotes is the same to cmd and PowerShell; one with ``$`` or a backquote, which
    PowerShell would replace there, is in single quotes.
    """
    text = os.fspath(word)
    if os.name != "nt":
        return shlex.quote(text)
    if _PLAIN.fullmatch(text):
        return text
    if "$" in text or "`" in text:
        return "'" + text.replace("'", "''") + "'"
    return '"' + text.replace('"', '\\"') + '"'


def path_word(path: str | os.PathLike[str]) -> str:
    """Return a path that is no option where a command reads it: ``-runs`` as ``./-runs``."""
    text = os.fspath(path)
    return f"./{text}" if text.startswith("-") else text


def command(*words: str | os.PathLike[str]) -> str:
    """Return the words as one line for the shell, each quoted; paths as they are read: ``-x`` as ``./-x``."""
    return " ".join(quote(path_word(word) if isinstance(word, Path) else word) for word in words)

"""Files that the settings of a tokenizer name: transformers would open them, wherever they are.

``"vocab": "/home/user/.ssh/id_rsa"`` makes the lines of that file the vocabulary, which is saved with each run. Which
settings are files depends on the class, and many of old files name a path on the machine of who wrote them. So a
setting is judged by its value: a path to an existing file outside the model folder is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graft.documents import read_object, read_text, shown
from graft.errors import Problems

SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
_CONTENT = ("vocab", "merges", "entity_vocab", "tokenizer_object", "init_inputs")
"""What classes of transformers take either as content or as the file with it; never saved in a configuration."""
_UNREAD = ("name_or_path", "special_tokens_map_file", "tokenizer_file")
"""Replaced by transformers with what the folder has."""
_TEXTS = ("chat_template", "added_tokens_decoder")
_LETTERS = "".join(f"(?:{letter}|\\\\u00{ord(letter):x})" for letter in "vocab")
_VOCABULARY = re.compile(f'"{_LETTERS}"\\s*:\\s*"', re.IGNORECASE)
"""In ``tokenizer.json``: the key is followed by a text. A token of this name is followed by a number."""
_SHARE = re.compile(r"[\\/]{2}[^\\/]")
_LONGEST = 4096
"""Characters of a path."""
_REMEDY = "if you trust the folder, remove this setting and put the vocabulary file into the folder"


def refuse_named_files(folder: Path) -> None:
    """Check that the settings of a tokenizer name no file outside its folder.

    Raises:
        InputError: With each setting that does.
    """
    problems = Problems()
    for file in (folder / name for name in SETTINGS):
        if file.exists():
            check_settings(read_object(file), file, problems)
    check_vocabularies(folder, problems)
    problems.raise_if_any()


def check_settings(settings: Mapping[str, Any], file: Path, problems: Problems) -> None:
    """Add a problem for each setting that names a file outside the folder.

    Args:
        settings: The content of ``file``.
        file: One of ``SETTINGS`` in the tokenizer's folder.
        problems: Takes what is wrong.
    """
    unread = _UNREAD if file.name == "tokenizer_config.json" else ("name_or_path",)
    for key, value in settings.items():
        if key not in _TEXTS and key not in unread and not key.endswith(("_token", "_tokens")):
            _check(key, value, file, problems)


def check_vocabularies(folder: Path, problems: Problems) -> None:
    """Add a problem for each ``tokenizer.json`` that has the name of a file in place of its vocabulary."""
    for file in folder.glob("tokenizer*.json"):
        if file.name != "tokenizer_config.json" and _VOCABULARY.search(read_text(file)):
            problems.add("'vocab' is a text; expected the tokens themselves", file, _REMEDY)


def _check(key: str, value: Any, file: Path, problems: Problems) -> None:
    if key in _CONTENT and value and (isinstance(value, str) or key == "init_inputs"):
        problems.add(f"{key!r} is {shown(value)}, which transformers would open as a file", file, _REMEDY)
        return
    for text in _texts(value):
        named = key == "fast_tokenizer_files" and Path(text).name != text
        if named or _leads_away(text, file.parent):
            problems.add(f"{key!r} names a file outside this folder: {shown(text)}", file, _REMEDY)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


def _leads_away(text: str, folder: Path) -> bool:
    """Whether there is a file at this path, relative to where graft runs, that is not in the folder."""
    if not text or len(text) > _LONGEST:
        return False
    if _SHARE.match(text):  # on Windows, looking for it would connect to another machine
        return True
    try:
        path = Path(text)
        found = path.exists() and not path.is_dir()
        return found and not path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # no path
        return False

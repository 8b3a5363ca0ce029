"""Hashes of what a run reads, by which a resumed run is told from one on other data."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from graft.config import DataSettings
from graft.data.sources import find_files, sha256_of
from graft.errors import InputError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "tekken.json",
)


def data_file_hashes(settings: DataSettings) -> dict[str, str]:
    """The SHA-256 of each data file that ``settings`` name, by its path; of the Hub's data sets none."""
    files: list[Path] = []
    for patterns in (settings.data_files, settings.eval_data_files):
        with suppress(InputError):  # whoever reads the rows says what is wrong with a path
            files += find_files(patterns or ())
    named = Path(settings.data_name).expanduser() if settings.data_name and not settings.data_files else None
    if named is not None and named.exists():
        files += [named] if named.is_file() else sorted(file for file in named.rglob("*") if file.is_file())
    return {str(file): sha256_of(file) for file in files}


def tokenizer_sha256(folder: Path) -> str | None:
    """The SHA-256 of the tokenizer's files in a model folder; None if there are none."""
    files = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    return sha256_of(*files) if files else None


def chat_template_sha256(tokenizer: Any) -> str | None:
    """The SHA-256 of the text of the chat template that ``tokenizer`` uses; None if it has none."""
    template = getattr(tokenizer, "chat_template", None)
    return hashlib.sha256(str(template).encode()).hexdigest() if template else None

"""Hashes of what a run reads, by which a resumed run is told from one on other data."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from graft.data.named_files import sha256_of

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


def tokenizer_sha256(folder: Path) -> str | None:
    """The SHA-256 of the tokenizer's files in a model folder; None if there are none."""
    files = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    return sha256_of(*files) if files else None


def chat_template_sha256(tokenizer: Any) -> str | None:
    """The SHA-256 of the text of the chat template that ``tokenizer`` uses; None if it has none."""
    template = getattr(tokenizer, "chat_template", None)
    return hashlib.sha256(str(template).encode()).hexdigest() if template else None

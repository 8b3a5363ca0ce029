"""The answers of a server, kept as they come: an evaluation that stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.files import append_line, saying_what_failed, write_whole
from graft.inference.server_records import AnswerRecord
from graft.runs.record import read_lines

ANSWERS = "answers.jsonl"


def request_key(url: str, body: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a request: the same address and body, the same answer."""
    text = json.dumps([url, body], ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class KeptAnswers:
    """Answers by the key of their request.

    Args:
        path: The file that they are read from and appended to; None keeps them in memory.

    Raises:
        InputError: If the file is damaged elsewhere than in its last line, which a killed process cut off.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._found: dict[str, AnswerRecord] = {}
        if path is not None and path.is_file():
            self._found = {record.key: record for record in read_lines(path, AnswerRecord)}
            _without_cut_line(path)

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> AnswerRecord:
        return self._found[key]

    def add(self, record: AnswerRecord) -> None:
        """Keep an answer.

        Raises:
            GraftError: If it cannot be written.
        """
        self._found[record.key] = record
        if self.path is not None:
            with saying_what_failed(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
            append_line(self.path, json.dumps(record.document(), ensure_ascii=False), private=True)


def _without_cut_line(path: Path) -> None:
    """Remove a last line without its end, so that the next answer begins a line."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        write_whole(path, whole)

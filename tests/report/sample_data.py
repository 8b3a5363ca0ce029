"""Rows with faults, for the page of the data doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MAIL = "ada.lovelace@example.com"
MARKUP = "<script>document.title='owned'</script><img src=x onerror=alert(1)> &amp; \x1b[31mred"
LONG = "one-word-without-any-place-to-break-it-" * 12


def clean() -> list[dict[str, Any]]:
    """Forty rows with nothing wrong."""
    words = ("harbor", "violin", "glacier", "pepper", "lantern", "meadow", "compass", "orchard")
    texts = [f"The {one} of number {n} stood beside a {words[n % 7]} {n * 37}" for n, one in enumerate(words * 5)]
    return [{"text": text, "label": ("good", "bad")[number % 2]} for number, text in enumerate(texts)]


def write(folder: Path) -> tuple[Path, Path]:
    """Write rows to train on, and rows that must not be among them."""
    rows = clean()
    against = rows[5:8]
    rows += [dict(rows[0]), dict(rows[1]), {**rows[2], "label": "bad" if rows[2]["label"] == "good" else "good"}]
    rows += [{"text": f"{MARKUP} write to {MAIL}", "label": "good"}] * 2
    rows += [{"text": f"{LONG} {MAIL}", "label": "bad"}, {"text": None, "label": "bad"}] * 2
    lines = [json.dumps(row) for row in rows]
    lines.insert(0, '{"text": "a line that is cut in the mid')
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "against.jsonl").write_text("".join(json.dumps(row) + "\n" for row in against), encoding="utf-8")
    return folder / "rows.jsonl", folder / "against.jsonl"

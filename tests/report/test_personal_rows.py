"""Reports of runs mask the personal data of rows; the files of rows stay as they are."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from graft.data.faults import Faults
from graft.errors import Problem
from graft.export.prompt_record import _first_row
from graft.report.card import render as render_card
from graft.report.doctor import diagnose
from graft.report.page import render
from graft.report.terminal import run_summary
from graft.runs.view import RunView
from report import sample_run

VALUES = ("jo@example.com", "+49 30 1234567", "4111 1111 1111 1111", "ghp_abcdefghijklmnopqrstuvwxyz0123456789")
PERSONAL = " ".join(VALUES)


@pytest.mark.parametrize("sample", [sample_run.free_text, sample_run.classification])
def test_no_report_of_a_run_shows_personal_data(sample: object, tmp_path: Path) -> None:
    run = sample(tmp_path)  # type: ignore[operator]
    for path in (run / "predictions.jsonl", *(run / "data").glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row in rows:
            for name in ("prompt", "reference") if row.get("answers") else ("prompt",):
                row[name] = f"{row[name]} {PERSONAL}" if isinstance(row.get(name), str) else row.get(name)
            row["answers"] = {name: f"{text} {PERSONAL}" for name, text in (row.get("answers") or {}).items()}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    view = RunView.read(run)
    pages = (render(view), render_card(view), str(run_summary(run)), str(diagnose(view)))
    assert [value for value in VALUES for page in pages if value in page] == []
    assert all(mask in pages[0] for mask in ("[e-mail]", "[phone]", "[card]", "[key]"))
    assert VALUES[0] in (run / "predictions.jsonl").read_text(encoding="utf-8")


def test_a_bundle_shows_a_row_without_personal_data(tmp_path: Path) -> None:
    def row(text: str) -> str:
        kept = {"prompt": [{"role": "user", "content": text}], "completion": "x", "origin": "rows.jsonl:1"}
        return json.dumps(kept) + "\n"

    (tmp_path / "data").mkdir()
    run = SimpleNamespace(path=tmp_path, manifest=SimpleNamespace(data=SimpleNamespace(kind="")))
    (tmp_path / "data" / "eval.jsonl").write_text(row(f"mail {PERSONAL}") + row("calm"), encoding="utf-8")
    shown = _first_row(run)  # type: ignore[arg-type]
    assert shown is not None and shown.input_text == "calm"
    (tmp_path / "data" / "eval.jsonl").write_text(row(PERSONAL), encoding="utf-8")
    assert _first_row(run) is None  # type: ignore[arg-type]


def test_errors_on_rows_mask_personal_data() -> None:
    faults = Faults()
    faults.take([Problem(f"this line is not JSON: {{{PERSONAL}", "rows.jsonl:1")])
    assert [str(problem) for problem in faults.said()] == [
        "rows.jsonl:1: this line is not JSON: {[e-mail] [phone] [card] [key]"
    ]

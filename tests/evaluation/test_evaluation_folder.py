"""What ``graft evaluate -o FOLDER`` leaves: a page to look at, and a folder that ``graft doctor`` reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graft.cli.main import main
from report.test_page import outline


def test_evaluate_leaves_a_page_and_doctor_reads_its_folder(
    tiny_llama: Path, rows_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--metrics", "exact_match", "perplexity", "--bootstrap_samples", "100", "--max_new_tokens", "4"]
    assert main(["evaluate", str(tiny_llama), str(rows_file), "-o", str(out), *options]) == 0
    assert f"report: {out / 'report.html'}" in capsys.readouterr().out
    page = (out / "report.html").read_text(encoding="utf-8")
    outline(page)
    assert "<title>out: evaluation report</title>" in page and "Perplexity" in page
    assert str(tmp_path) not in page
    assert main(["doctor", str(out)]) == 0
    said = capsys.readouterr().out
    assert "out (an evaluation): base: " in said and "6 rows" in said
    assert main(["doctor", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["evaluation"] == str(out) and found["findings"][-1]["kind"] == "few_rows"
    assert main(["doctor", str(out), "--fail_on", "note"]) == 3

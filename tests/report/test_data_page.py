"""doctor.html, doctor.json, and what is refused: the page of data with faults, and of data with nothing wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import graft
from graft.cli.main import main
from report import sample_data
from report.test_browser import CHROMIUM, browse, measure


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``graft doctor -o`` left."""
    folder = tmp_path_factory.mktemp("data")
    rows, against = sample_data.write(folder)
    assert main(["doctor", str(rows), "--against", str(against), "-o", str(folder / "out")]) == 0
    return folder / "out"


def test_the_page_has_every_finding(out: Path) -> None:
    page, document = (out / "doctor.html").read_text(encoding="utf-8"), json.loads((out / "doctor.json").read_bytes())
    assert document["findings"] and document["counts"]["error"]
    for finding in document["findings"]:
        assert f">{finding['kind']}" in page, finding
    assert "Not ready for training" in page and "rows.jsonl:1" in page
    assert all(len(finding["rows"]) == finding["count"] for finding in document["findings"])


def test_neither_the_machine_nor_personal_data_nor_markup_is_on_it(out: Path) -> None:
    page = (out / "doctor.html").read_text(encoding="utf-8")
    assert str(out.parent) not in page and out.parent.name not in page
    assert sample_data.MAIL not in page and "[e-mail]" in page
    assert "<script" not in page and "<img" not in page and "http-equiv" in page
    assert not re.search(r'(src|href)="(?!#)', page)


def test_nothing_wrong_is_said(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in sample_data.clean()), encoding="utf-8")
    assert main(["doctor", str(rows), "--checks", "unreadable", "-o", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "doctor.html").read_text(encoding="utf-8")
    assert "No problems found" in page and ">Ready<" in page


def test_findings_are_not_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, _ = sample_data.write(tmp_path)
    line = ["doctor", str(rows), "--checks", "unreadable", "-o", str(tmp_path / "out")]
    assert main(line) == 0
    before = (tmp_path / "out" / "doctor.json").stat().st_mtime_ns
    assert main(line) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert (tmp_path / "out" / "doctor.json").stat().st_mtime_ns == before
    assert main([*line, "--overwrite"]) == 0
    assert main([*line[:-1], str(rows)]) == 2
    assert "the output folder is a file" in capsys.readouterr().err


def test_the_same_from_python(tmp_path: Path) -> None:
    rows, against = sample_data.write(tmp_path)
    found = graft.doctor(rows, against=[against], checks=["unreadable", "leakage"])
    assert {finding.kind for finding in found} >= {"unreadable", "leakage"}
    assert found[0].severity == "error"
    with pytest.raises(graft.InputError, match="no such file"):
        graft.doctor([rows, tmp_path / "missing.jsonl"])


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
@pytest.mark.parametrize(("width", "unfolded"), [(400, True), (1400, True)])
def test_nothing_sticks_out(out: Path, width: int, unfolded: bool, tmp_path: Path) -> None:
    scroll_width, wide, opened, title = measure(out / "doctor.html", width, unfolded, tmp_path)
    assert scroll_width <= width and wide == [] and opened and title == "rows.jsonl: data report"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_the_policy_lets_the_style_in(out: Path, tmp_path: Path) -> None:
    seen = browse(out / "doctor.html", tmp_path / "profile", "--dump-dom")
    assert "Content Security Policy" not in seen.stderr and "rows.jsonl: data report" in seen.stdout

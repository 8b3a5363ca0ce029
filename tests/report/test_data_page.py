"""doctor.html, doctor.json, and what is refused: the page of data with faults, and of data with nothing wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import graft
from graft.cli.main import main
from graft.commands.doctor import Diagnosis
from graft.commands.doctor_pages import FILES, write_findings
from graft.data.checks import CheckedData, Finding, Side
from graft.data.example_set import ExampleSet
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
    assert page.count("<dt>Rows</dt>") == 1 and "<dt>Compared with</dt><dd>3 rows (against.jsonl)</dd>" in page
    assert all(len(finding["rows"]) == finding["count"] for finding in document["findings"])


def test_neither_the_machine_nor_personal_data_nor_markup_is_on_it(out: Path) -> None:
    page = (out / "doctor.html").read_text(encoding="utf-8")
    assert str(out.parent) not in page and out.parent.name not in page
    assert sample_data.MAIL not in page and "[e-mail]" in page
    assert "<script" not in page and "<img" not in page and "http-equiv" in page
    assert not re.search(r'(src|href)="(?!#)', page)


@pytest.mark.parametrize("as_header", [False, True])
def test_names_of_labels_and_columns_are_masked_in_every_output(
    as_header: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ("al@firma.example", "by@firma.example", "\u202eok\x9b")
    rows = [f"text <br /> of number {n}.,{labels[min(n % 20, 2)]}" for n in range(80)]
    header = "jo@firma.example,+49 30 1234567" if as_header else "text,label"
    data = tmp_path / "rows.csv"
    data.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    assert main(["doctor", str(data), "-o", str(tmp_path / "out")]) == 0
    assert main(["doctor", str(data), "--json"]) == 0
    caught = capsys.readouterr().out
    written = [path.read_text(encoding="utf-8") for path in sorted((tmp_path / "out").iterdir())]
    for text in (caught, *written):
        assert not re.search("firma|1234567|[\u202e\x9b]", text) and "[e-mail]" in text
    document = json.loads(written[1])
    assert as_header or document["labels"] == ["[e-mail]", "[e-mail]", "\\u202eok\\u009b"]
    rare = [finding for finding in document["findings"] if finding["kind"] == "rare_classes"]
    assert as_header or rare[0]["figures"]["labels"] == {"[e-mail]": 8}


def test_paths_in_rows_and_labels_stay_and_those_of_the_machine_do_not(tmp_path: Path) -> None:
    labels = ("/home/al/spam", "/home/by/spam")
    rows = [{"text": f"see /home/jo/{n} <br />", "label": labels[n % 20 == 0]} for n in range(80)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(["doctor", str(data), "--checks", "classes", "html", "-o", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "doctor.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in page and "rows.jsonl:1: text: see /home/jo/0" in page
    spam = re.findall('[^ >;“"]*spam', page)
    assert set(spam) == {*labels} and len(spam) >= 8


def test_findings_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text("old", encoding="utf-8")
    (tmp_path / "doctor.html").chmod(0o640)
    data = CheckedData(Side("train", [], ExampleSet.of([])))
    with pytest.raises(KeyError):  # a finding without what the review is made of
        write_findings(tmp_path, Diagnosis(data, [Finding("wrong_labels", "warning", "new")], ()))
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == dict.fromkeys(FILES, "old")
    write_findings(tmp_path, Diagnosis(data, [Finding("html", "warning", "new")], ()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["doctor.html", "doctor.json"]
    assert (tmp_path / "doctor.html").stat().st_mode & 0o777 == 0o640


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

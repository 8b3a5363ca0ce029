"""``graft doctor DATA``: the page in the terminal, the JSON document, exit codes, and settings that are wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graft.cli.console import Console
from graft.cli.main import main
from graft.data.checks import Finding
from graft.data.example import Origin
from graft.data.located import Located
from graft.report.findings import document_parts
from graft.report.findings_text import print_findings

BROKEN = '{"text": "a broken row", "label": "ba'


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Twenty rows of two classes; line 7 cannot be read."""
    lines = [json.dumps({"text": f"a row number {n} of its own", "label": ("good", "bad")[n % 2]}) for n in range(20)]
    lines.insert(6, BROKEN)
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["doctor", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_findings_by_severity_with_places_and_remedies(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, rows)
    assert code == 0
    assert "20 to train on" in out and "text, label" in out and "2: bad, good" in out
    assert "1 error" in out and "rows.jsonl:7" in out and "[unreadable]" in out and "remedy" in out
    assert "--model MODEL" in out and "-o OUT" in out
    assert "loading libraries" not in err and "checks" in err


def test_one_json_document(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, rows, "--json")
    document = json.loads(out)
    assert code == 0 and document["counts"]["error"] == 1
    assert document["data"]["train"] == {"source": str(rows), "rows": 20, "examples": 20}
    assert document["kind"] == "text/label" and document["labels"] == ["bad", "good"]
    assert "unreadable" in document["checks"] and "lengths" not in document["checks"]  # which needs a model
    error = document["findings"][0]
    assert (error["kind"], error["severity"], error["side"]) == ("unreadable", "error", "train")


@pytest.mark.parametrize(("severity", "code"), [("error", 3), ("warning", 3), ("note", 3)])
def test_fail_on_ends_with_3(rows: Path, severity: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    found, out, err = said(capsys, rows, "--checks", "unreadable", "--fail_on", severity)
    assert found == code and f"--fail_on {severity}: 1 error" in err and "rows.jsonl:7" in out


def test_fail_on_an_error_passes_data_without_one(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows.write_text(rows.read_text(encoding="utf-8").replace(BROKEN + "\n", ""), encoding="utf-8")
    assert said(capsys, rows, "--fail_on", "error", "--checks", "unreadable")[0] == 0


def test_everything_wrong_with_the_settings_at_once(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--checks", "unreadble", "--skip_checks", "nothing", "--show", "3", "--against", "no-such.jsonl")
    code, out, err = said(capsys, rows, *options)
    assert code == 2 and not out
    for words in ("did you mean unreadable?", "'nothing'", "--show prints", "--model MODEL", "no-such.jsonl"):
        assert words in err, (words, err)
    code, _, err = said(capsys, rows, "--chekcs", "unreadable")
    assert code == 2 and "did you mean checks" in err.replace("--", "")


def test_no_data_and_data_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys)
    assert code == 2 and "graft doctor DATA" in err
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    assert said(capsys, empty)[0] == 2
    assert said(capsys, tmp_path / "missing.jsonl")[0] == 2


def test_folders_with_data(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, rows.parent)
    assert code == 0 and "20 to train on" in out


def test_torch_is_not_imported(rows: Path) -> None:
    code = (
        "import sys; from graft.cli.main import main;"
        f"main(['doctor', {str(rows)!r}, '--skip_checks', 'wrong_labels']);"  # which takes an encoder if one is there
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'datasets')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rows_of_one_file_are_named_without_its_folder_and_commands_with_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "some data"
    folder.mkdir()
    lines = [json.dumps({"text": f"<p>row {n}</p> at x.jsonl:{n}", "label": "ab"[n % 2]}) for n in range(20)]
    for name in ("x.jsonl", "other.jsonl"):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    _, out, _ = said(capsys, "some data/x.jsonl", "--checks", "html")
    assert out.startswith("some data/x.jsonl: data") and out.count("some data") == 2
    assert "rows      x.jsonl:1, 2" in out and "evidence  x.jsonl:1: text: <p>row 0</p> at x.jsonl:0" in out
    assert "fix       graft prepare 'some data/x.jsonl' -o OUT --steps html\n" in out
    _, out, _ = said(capsys, "some data/x.jsonl", "--checks", "html", "--json")
    [found] = json.loads(out)["findings"]
    assert found["rows"][0] == "some data/x.jsonl:1" and found["evidence"][0].startswith("some data/x.jsonl:1: ")
    _, out, _ = said(capsys, "some data/x.jsonl", "--eval_data_files", "some data/other.jsonl", "--checks", "leakage")
    assert "rows      some data/other.jsonl:1" in out and "is trained on as some data/x.jsonl:1" in out
    long = "y" * 70 + ".jsonl"
    (folder / "x.jsonl").rename(long)
    _, out, _ = said(capsys, long, "--checks", "html")
    assert "fix       graft prepare DATA -o OUT --steps html\n" in out


def finding(**more: Any) -> Finding:
    places = Located(Origin("rows.jsonl", line) for line in range(1, 100))
    return Finding("near_duplicates", "warning", "99 rows are nearly equal", places, **more)


@pytest.mark.parametrize("width", [24, 40, 80])
def test_no_line_is_wider_than_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console()
    console.has_edge, console.width = True, width
    long = "a reason that is longer than a narrow terminal is wide, and \N{CJK UNIFIED IDEOGRAPH-8A9E}" * 3
    print_findings(console, [finding(why=long, remedy=long, fix="x" * 200, evidence=(long,), further=(long,))])
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\N{CJK UNIFIED IDEOGRAPH-8A9E}" in out
    assert max(map(len, out.splitlines())) <= width


def test_lines_of_a_pipe_are_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    command = f"graft prepare rows.jsonl --steps {'near_duplicates,' * 20}"
    print_findings(Console(), [finding(fix=command)])
    out = capsys.readouterr().out
    assert f"fix       {command}\n" in out
    assert "rows.jsonl:1, 2, 3, 4, 5 and 94 more" in out


def test_figures_become_json(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    figures = {"counts": np.arange(3), "share": np.float32(0.5), "none": float("nan"), 3: (1, None)}
    text = "".join(document_parts({"run": "x"}, [finding(figures=figures), finding()]))
    first, second = json.loads(text)["findings"]
    assert first["figures"] == {"counts": [0, 1, 2], "share": 0.5, "none": None, "3": [1, None]}
    assert first["count"] == len(first["rows"]) == 99 and first["rows"][98] == "rows.jsonl:99"
    assert second["figures"] == {}
    assert json.loads("".join(document_parts({}, [])))["findings"] == []

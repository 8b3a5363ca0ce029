"""Several runs side by side: in the terminal, as a page, and for programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from graft.cli.main import main
from graft.report.several_page import render
from graft.report.several_runs import SeveralRuns, distinct_names, document
from report import sample_run
from report.test_browser import CHROMIUM, measure
from report.test_page import outline, words


def edited(file: Path, **changes: Any) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(document | changes), encoding="utf-8")


def worse(run: Path, folder: Path, wrong: int) -> Path:
    """A copy of a run of which this many more rows are wrong, and with another weight decay."""
    shutil.copytree(run, folder)
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    right = [row for row in rows if row["scores"]["tuned"]["accuracy"] == 1.0]
    for row in right[:wrong]:
        row["scores"]["tuned"]["accuracy"] = 0.0
    (folder / "predictions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    predictors = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["predictors"]
    predictors["tuned"]["accuracy"]["value"] = (len(right) - wrong) / len(rows)
    edited(folder / "evaluation.json", predictors=predictors)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    edited(folder / "manifest.json", settings=manifest["settings"] | {"weight_decay": 0.5})
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """A run, one that is much worse, and one that is nearly as good."""
    first = tmp_path / "first"
    first.mkdir()
    sample_run.classification(first)
    return [first, worse(first, tmp_path / "much worse", 90), worse(first, tmp_path / "nearly", 1)]


def test_the_best_run_is_named_with_what_is_proven(runs: list[Path]) -> None:
    several = SeveralRuns.read(runs)
    assert several.verdict.startswith("A has the best accuracy, 0.8")
    assert several.verdict.endswith(": proven to be better than B, but not than C")
    (nearly, much) = several.differences
    assert (nearly.before, nearly.after, nearly.judgment, nearly.rows) == ("C", "A", "open", 571)
    assert much.judgment == "better" and much.difference.value == pytest.approx(90 / 571)
    assert much.difference.low is not None and much.difference.low > 0.1


def test_settings_that_differ_are_listed_and_no_others(runs: list[Path]) -> None:
    several = SeveralRuns.read(runs)
    assert [name for name, _ in several.settings] == ["weight_decay"]
    assert document(several)["settings"]["weight_decay"][1:] == [0.5, 0.5]
    assert ("Best step", ["99", "99", "99"]) in several.figures


def test_runs_on_different_rows_are_not_ranked_by_proof(runs: list[Path]) -> None:
    edited(runs[1] / "evaluation.json", data={"path": "other.jsonl", "rows": 571, "sha256": "0" * 64})
    several = SeveralRuns.read(runs)
    assert not several.same_rows and several.verdict.endswith("but the runs were compared on different rows")
    page = render(several)
    assert "compared on different rows" in words(page) and 'class="number good"' not in page


def test_the_page_has_curves_over_one_another_and_only_proven_colors(runs: list[Path]) -> None:
    page = render(SeveralRuns.read(runs))
    outline(page)
    assert "<script" not in page and page.count("curve several series-2") == 4 * 2  # wide and narrow
    assert "step 11: A " in page and ", B " in page
    assert 'class="number good"' not in page  # against C it is not proven
    assert 'class="number good"' in render(SeveralRuns.read(runs[:2]))


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_sticks_out(runs: list[Path], width: int, tmp_path: Path) -> None:
    edited(runs[2] / "manifest.json", task_name=sample_run.HOSTILE + "long" * 60)
    page = tmp_path / "page.html"
    page.write_text(render(SeveralRuns.read([*runs, *_unfinished(tmp_path)])), encoding="utf-8")
    scroll_width, wide, _, title = measure(page, width, False, tmp_path)
    assert scroll_width <= width and wide == [] and title != "owned"


def _unfinished(folder: Path) -> list[Path]:
    """A run that failed, an evaluation alone, and a run of texts."""
    found = [folder / name for name in ("failed", "evaluation", "texts")]
    for path in found:
        path.mkdir()
    sample_run.failed(found[0])
    sample_run.free_text(found[2])
    shutil.copy(folder / "first" / "evaluation.json", found[1])
    return found


def test_show_prints_them_and_writes_the_page(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [path.name for path in runs]
    assert main(["show", *names, "--html"]) == 0
    said = capsys.readouterr().out
    assert "A has the best accuracy" in said and "weight_decay" in said and "report: comparison.html" in said
    assert "A − B: accuracy +0.158 (95 % interval +0." in " ".join(said.split())
    assert main(["show", *names, "--html", "comparison.html", "--json"]) == 0  # a page of graft is replaced
    found = json.loads(capsys.readouterr().out)
    assert found["best"] == "A" and found["html"] == "comparison.html" and len(found["runs"]) == 3
    assert main(["show", names[0], "--html"]) == 0
    assert capsys.readouterr().out.strip().endswith("report.html") and (runs[0] / "report.html").is_file()


@pytest.mark.parametrize(
    ("words_", "said"),
    [
        (["first", "first"], "named twice"),
        (["first", "nowhere", "elsewhere"], "elsewhere"),
        (["first", "nearly", "--html", "notes.txt"], "is not replaced"),
        (["first", "--html", "nearly"], "the page of one run is its report.html"),
        (["first", "--html", "nearly", "first"], "--html takes one file"),
        (["first", "nearly", "--html", "first"], "this is a folder"),
        (["first", "nearly", "--htlm"], "unknown option --htlm"),
    ],
)
def test_what_cannot_be_shown_is_said(
    words_: list[str],
    said: str,
    runs: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    assert main(["show", *words_]) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_names_have_as_many_folders_as_tell_them_apart(tmp_path: Path) -> None:
    assert distinct_names([tmp_path / "a" / "run", tmp_path / "b" / "run"]) == ["a/run", "b/run"]
    assert distinct_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]

"""The page of an evaluation that is in no run, and what graft doctor reads from its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graft.report.evaluation_doctor import diagnose_evaluation
from graft.report.page import render
from graft.runs.view import RunView
from report import sample_run
from report.sample_evaluation import judged
from report.test_page import words


def kinds(view: RunView) -> list[str]:
    return [finding.kind for finding in diagnose_evaluation(view)]


def test_an_evaluation_no_better_than_guessing_is_found(tmp_path: Path) -> None:
    view = judged(tmp_path, [[0, 0, 40], [0, 0, 40], [0, 0, 120]])
    assert kinds(view) == ["poor_results", "labels_never_found"]
    text = words(render(view))
    assert "always predicting the most frequent label reaches 0.600" in text and "Findings and next steps" in text
    assert kinds(judged(tmp_path, [[40, 0, 0], [0, 40, 0], [0, 0, 120]])) == []


def test_answers_that_are_no_label_or_empty_or_cut_are_found(tmp_path: Path) -> None:
    judged(tmp_path, [[60, 0, 0, 20], [0, 60, 0, 20], [0, 0, 70, 10]])
    rows: list[dict[str, Any]] = [{"answers": {"tuned": "" if number < 20 else "x"}} for number in range(200)]
    (tmp_path / "predictions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    path = tmp_path / "evaluation.json"
    endpoint = {"name": "tuned", "url": "http://127.0.0.1", "model": "m", "cut": 7}
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"endpoint": endpoint}), encoding="utf-8")
    assert set(kinds(RunView.read(tmp_path))) == {"no_label", "empty_answers", "cut_answers"}


def test_differences_without_a_column_have_a_table(tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    document["predictors"]["int4"] = document["predictors"]["tuned"]
    ends = {"value": -0.012, "low": -0.03, "high": 0.006, "p": 0.2}
    document["differences"].append({"metric": "accuracy", "from": "tuned", "to": "int4", **ends})
    (run / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    text = words(render(RunView.read(run)))
    assert "Further differences , paired by row" in text and "tuned → int4 −0.012 −0.030 to +0.006 p = 0.20" in text


@pytest.mark.parametrize(("low", "colored"), [(0.02, "after good"), (-0.02, "after")])
def test_a_model_that_a_baseline_equals_is_not_colored(low: float, colored: str, tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    document["baselines"] = {"tfidf": {"accuracy": {"value": 0.84, "low": 0.8, "high": 0.87, "n": 571}}}
    ends = {"value": 0.01, "low": low, "high": 0.05, "p": 0.3}
    document["baseline_differences"] = [{"metric": "accuracy", "from": "tfidf", "to": "tuned", **ends}]
    (run / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    page = render(RunView.read(run))
    assert f'class="{colored}' in page and ("after good" in page) == (colored == "after good")
    assert "TF-IDF" in page.split('class="to-beat"')[1].split("</ul>")[0]
    assert ("not proven to be beaten" in page) == (low < 0)

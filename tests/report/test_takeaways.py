"""What the page says in words, and what it colors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from graft.report.bars import bars, full_bar
from graft.report.curves import curves
from graft.report.page import render
from graft.report.takeaways import takeaways
from graft.runs.view import RunView
from report import sample_run
from report.sample_evaluation import judged
from report.test_page import words


def said(view: RunView) -> list[str]:
    return [re.sub("[\u2068\u2069]", "", sentence).replace("\N{NO-BREAK SPACE}", " ") for sentence in takeaways(view)]


def test_a_label_of_any_script_keeps_the_sentence_in_order(tmp_path: Path) -> None:
    view = judged(tmp_path, [[90, 5, 5], [9, 36, 55], [5, 5, 90]], ["<b>", "محايد", "חיובי"])
    page = render(view).replace("\N{NO-BREAK SPACE}", " ")
    assert "<li><bdi>محايد</bdi>: 36 % found; 55 % are called <bdi>חיובי</bdi></li>" in page
    assert "<b>" not in page.split('<section id="takeaways">')[1].split("</section>")[0]


def test_a_weak_label_is_named_with_what_it_is_called_instead(tmp_path: Path) -> None:
    view = judged(tmp_path, [[90, 5, 5], [9, 36, 55], [5, 5, 90]])
    assert said(view)[0] == "neutral: 36 % found; 55 % are called positive"
    assert "positive is answered for 50 % of the rows and right for 33 %" in said(view)
    assert "neutral : 36" in words(render(view))


def test_answers_that_are_no_label_are_counted(tmp_path: Path) -> None:
    view = judged(tmp_path, [[90, 5, 5, 0], [10, 40, 10, 40], [5, 5, 90, 0]])
    assert said(view)[0] == "neutral: 40 % found; 40 % get no label, 10 % are called negative"
    assert "40 of 300 answers are none of the labels" in said(view)


def test_labels_that_are_all_found_are_one_sentence(tmp_path: Path) -> None:
    view = judged(tmp_path, [[90, 5, 5], [5, 80, 15], [5, 5, 90]])
    assert said(view) == ["Every label is found in 80 % of its rows or more; least of all neutral"]


def test_of_many_weak_labels_three_are_named(tmp_path: Path) -> None:
    labels = [f"label {index}" for index in range(40)]
    matrix = [[10 if column in (row, 0) else 0 for column in range(40)] for row in range(40)]
    found = said(judged(tmp_path, matrix, labels))
    assert found[0] == "label 1: 50 % found; 50 % are called label 0"
    assert found[3].startswith("36 more labels are found in less than 75 %")


def test_two_models_are_compared_by_label_and_by_row(tmp_path: Path) -> None:
    found = said(RunView.read(sample_run.classification(tmp_path)))
    assert any(re.fullmatch(r"Largest gain: neutral, \d+ % found by base and \d+ % by tuned", each) for each in found)
    assert any(re.fullmatch(r"Tuning fixed \d+ rows and broke \d+; \d+ are wrong now", each) for each in found)


def test_texts_are_compared_by_length_and_likeness(tmp_path: Path) -> None:
    found = said(RunView.read(sample_run.free_text(tmp_path)))
    assert any(each.startswith("Half of the answers have ") for each in found)
    rows = [
        {"reference": f"two words {n}", "answers": {"base": "x", "tuned": "the same" if n else ""}} for n in range(30)
    ]
    (tmp_path / "predictions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = said(RunView.read(tmp_path))
    assert "29 of 30 answers are the same text, which is right for 0" in found and "1 of 30 answers are empty" in found


def with_difference(run: Path, **ends: Any) -> str:
    """The page of a run with another difference of its accuracy."""
    path = run / "evaluation.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    next(each for each in document["differences"] if each["metric"] == "accuracy").update(ends)
    path.write_text(json.dumps(document), encoding="utf-8")
    return render(RunView.read(run))


@pytest.mark.parametrize(
    ("ends", "colored"),
    [
        ({"value": 0.2, "low": 0.1, "high": 0.3}, "after good"),
        ({"value": -0.2, "low": -0.3, "high": -0.1}, "after bad"),
        ({"value": 0.02, "low": -0.1, "high": 0.14}, "after"),
        ({"value": 0.02, "low": None, "high": None}, "after"),
    ],
)
def test_only_a_proven_difference_has_a_color(ends: dict[str, Any], colored: str, tmp_path: Path) -> None:
    page = with_difference(sample_run.classification(tmp_path), **ends)
    (hero,) = re.findall(r'class="(after[^"]*)"', page)
    assert hero.strip() == colored
    row = page[page.index('rowheader" scope="row">Accuracy') :].split("</tr>")[0]
    assert re.findall(r'class="number([^"]*)"><b>', row)[-1].strip() == colored.removeprefix("after").strip()
    style = page[: page.index("</style>")]
    assert ".leap .after .value { color: var(--tone, var(--ink)); }" in style


def test_the_headline_is_not_broken_before_a_number(tmp_path: Path) -> None:
    page = render(RunView.read(sample_run.classification(tmp_path)))
    verdict = page.split('<p class="verdict">')[1].split("</p>")[0]
    assert not re.search(r" [\d→+−%=<-]", verdict.replace("<span>", "").replace("</span>", ""))
    assert "accuracy\N{NO-BREAK SPACE}0." in verdict


def test_findings_stand_on_the_page_with_what_to_try(tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path / "a folder" if (tmp_path / "a folder").mkdir() is None else tmp_path)
    page = render(RunView.read(run))
    section = page[page.index('<section id="findings">') :].split("</section>")[0]
    assert "Overfitting" in section and "reduce capacity" in section
    assert str(tmp_path) not in page
    training = page[page.index('<section id="training">') :].split("</section>")[0]
    assert "Overfitting: since step" in training and "reduce capacity" not in training


def test_curves_show_their_values_under_the_pointer(tmp_path: Path) -> None:
    lines = [
        {"step": n, "loss": 1.0, "learning_rate": 2e-4 / n, "grad_norm": 100.0 / n**2, "rss_mb": 900.0 + n}
        for n in range(1, 400)
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = {curve.title: curve for curve in curves(RunView.read(tmp_path))}
    assert list(found) == ["Learning rate", "Gradient norm", "Memory in MB"]
    assert found["Memory in MB"].said == "highest 1.3 GB"
    chart = found["Learning rate"].chart
    assert "<title>step 5: 4e-05</title>" in chart and chart.count('class="sight"') <= 120
    assert 'class="sight"' in render(RunView.read(tmp_path))


def test_one_step_is_no_curve(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "learning_rate": 1e-4}', encoding="utf-8")
    assert curves(RunView.read(tmp_path)) == []


def test_bars_are_drawn_to_one_scale_that_is_said() -> None:
    counts = [("a", 45), ("b", 35), ("c", 20)]
    assert [round(bar.length) for bar in bars(counts)] == [90, 70, 40] and full_bar(counts) == "50%"
    assert bars([("a", 90), ("b", 10)])[0].length == 90 and full_bar([("a", 90), ("b", 10)]) == "100%"
    many = [(str(n), 1) for n in range(77)]
    assert full_bar(many) == "2%" and round(bars(many)[0].length) == 65
    assert bars([]) == []


def test_the_areas_under_the_pointer_are_not_seen(tmp_path: Path) -> None:
    """No other chart has their class, so that its color cannot fill them."""
    page = render(RunView.read(sample_run.classification(tmp_path)))
    style, body = page.split("</style>", 1)
    assert re.findall(r"[^}]*\.sight-area[^{]*\{([^}]*)\}", style) == [" fill: transparent; "]
    bands = re.findall(r'<g class="sight"><title>[^<]*</title><rect [^>]*class="([^"]*)"', body.replace("'", '"'))
    assert set(bands) == {"sight-area"}

"""Ticks, scales, figures in words, and what is shared between prompts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from graft.evaluation.metrics import metric_info
from graft.evaluation.metrics.classes import ACCURACY
from graft.evaluation.metrics.likelihood import PERPLEXITY
from graft.evaluation.metrics.sequences import BLEU
from graft.report import format as words
from graft.report import summary as facts
from graft.report import svg
from graft.report.card import card_data
from graft.report.charts import loss_chart
from graft.report.frame import Frame
from graft.report.page import render
from graft.report.row_changes import common_affixes, cut, find_changes, marked
from graft.runs.view import Difference, Estimate, Loss, RunView


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 110), (0.31, 1.9), (1e-6, 3e-6), (5, 5), (0, 0), (-2, 3)])
def test_ticks_cover_the_range_with_round_numbers(low: float, high: float) -> None:
    found = svg.ticks(low, high, 5)
    assert found[0] <= low and found[-1] >= high
    assert 2 <= len(found) <= 12
    assert found == sorted(set(found))


def test_log_ticks_cover_the_range() -> None:
    assert svg.log_ticks(0.3, 64) == pytest.approx([0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
    assert svg.log_ticks(1, 100)[0] == 1


def test_scales() -> None:
    assert svg.linear(0, 10, 100, 200)(5) == 150
    assert svg.logarithmic(1, 100, 0, 2)(10) == pytest.approx(1)


def test_svg_text_is_escaped() -> None:
    assert svg.text(1, 2.5, "<a & b>", "tick") == (
        '<text x="1" y="2.5" class="tick" text-anchor="start">&lt;a &amp; b&gt;</text>'
    )


def test_loss_chart_takes_one_curve_and_refuses_one_point() -> None:
    losses = [Loss(step, 2 / step) for step in range(1, 6)]
    chart = loss_chart(losses, [], None, Frame(300, 200), "x", "wide")
    assert chart is not None and "Held-out" not in chart
    assert loss_chart(losses[:1], [], None, Frame(300, 200), "x", "wide") is None


def test_losses_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    lines = [
        '{"step": 1, "loss": 2.0}',
        '{"step": 2, "loss": NaN}',
        '{"step": 3, "loss": null}',
        '{"step": 1, "loss": 1.5}',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert RunView.read(tmp_path).training_losses == [Loss(1, 1.5)]


GAIN = Difference.model_validate(
    {"metric": "accuracy", "from": "base", "to": "tuned", "value": 0.1, "low": -0.01, "high": 0.2}
)


def test_scores_in_words() -> None:
    assert ACCURACY.figure(0.85342) == "0.853"
    assert BLEU.figure(31.237) == "31.24"
    assert PERPLEXITY.figure(12345.6) == "12345.60"
    assert words.signed(ACCURACY, -0.0504) == "−0.050"
    assert words.signed(ACCURACY, -0.0001) == "0.000"
    assert words.interval_text(ACCURACY, Estimate(value=0.5, low=0.45, high=0.55)) == "0.450–0.550"
    assert (
        words.interval_text(
            ACCURACY,
            Difference.model_validate(
                {"metric": "accuracy", "from": "base", "to": "tuned", "value": 0.1, "low": -0.01, "high": 0.2}
            ),
        )
        == "−0.010 to +0.200"
    )
    assert words.interval_text(ACCURACY, Estimate(value=0.5)) == ""


def test_other_figures_in_words() -> None:
    assert words.duration(183) == "3 min 3 s" and words.duration(4000) == "1 h 6 min"
    assert words.share(0.0035) == "0.35%" and words.share(0.27) == "27%"
    assert words.figure(2e-4) == "0.0002" and words.figure(139399488) == "139,399,488"
    assert words.took("2026-05-04T10:00:00+00:00", "2026-05-04T10:01:30+00:00") == "1 min 30 s"
    assert words.took(None, "x") == "" and words.when("yesterday") == "yesterday"
    assert words.count(math.nan) == ""


def test_shared_parts_are_cut_between_words() -> None:
    prompts = [f"Classify the tone of this text:\n{text}\nAnswer in one word." for text in ("Yay!", "You?", "Yes")]
    assert common_affixes(prompts) == ("Classify the tone of this text:\n", "\nAnswer in one word.")
    assert common_affixes(["a long sentence that is the same"] * 2) == ("", "")


def test_prompts_that_are_all_alike_are_not_shown_twice() -> None:
    opening, ending = common_affixes(["the very same prompt each time"] * 5)
    assert len(opening) + len(ending) <= len("the very same prompt each time")


def test_words_that_are_not_in_the_reference_are_marked() -> None:
    assert marked("A <b> Tool", "a tool") == "A &lt;<mark>b</mark>&gt; Tool"


def test_long_texts_are_cut_at_words_and_lines() -> None:
    assert cut("short") == "short"
    assert len(cut("word " * 200)) <= 240
    assert cut("a\n" * 30).count("\n") == 5


def test_lower_perplexity_is_better(tmp_path: Path) -> None:
    row = '{"origin": "a:1", "prompt": "p", "reference": "r", "answers": {"base": "x", "tuned": "y"}, '
    row += '"scores": {"base": {"perplexity": 9.0}, "tuned": {"perplexity": 4.0}}}'
    (tmp_path / "predictions.jsonl").write_text(row, encoding="utf-8")
    changes = find_changes(RunView.read(tmp_path))
    assert changes is not None and len(changes.fixed) == 1 and not changes.broken


def test_a_metric_that_only_evaluation_json_knows_is_shown_with_its_own_title_digits_and_direction(
    tmp_path: Path,
) -> None:
    """As a report sees a user's own metric: its code may be gone."""
    figures = {"base": {"value": 31.0, "low": 28.0, "high": 34.0, "n": 50}}
    figures["tuned"] = {"value": 12.5, "low": 11.0, "high": 14.0, "n": 50}
    metric = {"title": "edit distance", "meaning": "edits", "direction": "lower", "digits": 1, "scale": None}
    document = {
        "data": {"path": "rows.jsonl", "rows": 50},
        "metrics": {"edits": {**metric, "hub_name": "levenshtein"}},
        "predictors": {name: {"edits": found} for name, found in figures.items()},
        "differences": [
            {"metric": "edits", "from": "base", "to": "tuned", "value": -18.5, "low": -21.0, "high": -16.0, "p": 0.001}
        ],
    }
    (tmp_path / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    view = RunView.read(tmp_path)
    assert facts.sentence(view).startswith("The tuned model is better: edit distance 31.0 → 12.5 (")
    page = render(view)
    assert "Edit distance" in page and "−18.5" in page and 'class="tag good"' in page and 'class="tag bad"' not in page
    (card,) = card_data(view).eval_results or ()
    assert (card.metric_type, card.metric_name, card.metric_value) == ("levenshtein", "Edit distance", 12.5)


def test_an_evaluation_of_an_older_version_is_described_by_the_metrics_built_in(tmp_path: Path) -> None:
    document = {
        "lower_is_better": ["perplexity", "mine"],
        "predictors": {"base": {"bleu": {"value": 20}}},
        "metrics": ["torn"],
    }
    assert metric_info(document, "bleu").heading == "BLEU" and metric_info(document, "bleu").digits == 2
    assert metric_info(document, "perplexity").lower_is_better and metric_info(document, "mine").lower_is_better
    assert metric_info(document, "another_one").heading == "Another one"
    wrong = {"metrics": {"accuracy": {"direction": "up"}}}
    assert metric_info(wrong, "accuracy").direction == "higher"

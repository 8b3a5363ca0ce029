"""Ticks, scales, figures in words, and what is shared between prompts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from graft.report import format as words
from graft.report import svg
from graft.report.charts import Frame, loss_chart
from graft.report.row_changes import cut, find_changes, marked, shared
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


def test_scores_in_words() -> None:
    assert words.score("accuracy", 0.85342) == "0.853"
    assert words.score("bleu", 31.237) == "31.24"
    assert words.score("perplexity", 12345.6) == "12345.60"
    assert words.signed("accuracy", -0.0504) == "−0.050"
    assert words.signed("accuracy", -0.0001) == "0.000"
    assert words.interval("accuracy", Estimate(0.5, 0.45, 0.55)) == "0.450–0.550"
    assert words.interval("accuracy", Difference("accuracy", "base", "tuned", 0.1, -0.01, 0.2)) == "−0.010 to +0.200"
    assert words.interval("accuracy", Estimate(0.5)) == ""


def test_other_figures_in_words() -> None:
    assert words.duration(183) == "3 min 3 s" and words.duration(4000) == "1 h 6 min"
    assert words.share(0.0035) == "0.35%" and words.share(0.27) == "27%"
    assert words.figure(2e-4) == "0.0002" and words.figure(139399488) == "139,399,488"
    assert words.took("2026-05-04T10:00:00+00:00", "2026-05-04T10:01:30+00:00") == "1 min 30 s"
    assert words.took(None, "x") == "" and words.when("yesterday") == "yesterday"
    assert words.count(math.nan) == ""


def test_shared_parts_are_cut_between_words() -> None:
    prompts = [f"Classify the tone of this text:\n{text}\nAnswer in one word." for text in ("Yay!", "You?", "Yes")]
    assert shared(prompts) == ("Classify the tone of this text:\n", "\nAnswer in one word.")
    assert shared(["a long sentence that is the same"] * 2) == ("", "")


def test_prompts_that_are_all_alike_are_not_shown_twice() -> None:
    opening, ending = shared(["the very same prompt each time"] * 5)
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

"""Metrics of one's own as small classes, and a cost matrix: values by hand, and failures that lose nothing."""

import json

import numpy as np
import pytest

import graft
from graft.cli.main import main
from graft.errors import InputError
from graft.evaluation import table
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.metrics import get_metric, select_metrics
from graft.evaluation.rows import EvaluationRows
from graft.inference.predictor import CompletionScore

LABELS = ["negative", "neutral", "positive"]
OWN = """
class Cost:
    title, direction, digits, scale, needs = "cost a row", "lower", 2, None, "choices"

    def rows(self, references, choices):
        return [0 if r == c else 5 if (r, c) == ("negative", "positive") else 1 for r, c in zip(references, choices)]


class Recall:
    needs = "choices"

    def rows(self, references, choices):
        return [[r == c == "negative", r == "negative"] for r, c in zip(references, choices)]

    def value(self, sums):
        return sums[0] / sums[1]


class Longest:
    direction, digits, scale = "lower", 1, None

    def corpus(self, references, answers):
        return max(map(len, answers))


class Surprise:
    needs, scale = "likelihoods", None

    def rows(self, references, likelihoods):
        return [-row[reference] for reference, row in zip(references, likelihoods)]


class Picky:
    def rows(self, references, answers):
        return [1 / (len(answer) - 3) for answer in answers]


class Nothing:
    def rows(self, references, answers):
        return [float("nan") if answer == "abc" else 1 for answer in answers]


class Wrong:
    needs, digits, direction, scale = "choises", "two", "up", 0

    def rows(self, references, answers):
        return [0 for _ in answers]
"""
COSTS = "right,negative,neutral,positive\nnegative,0,1,5\nneutral,1,0,1\npositive,2,1,0\n"


class Choosing:
    """A predictor that chooses a label for each row, and writes what it is told to."""

    def __init__(self, name, choices, answers=None):
        self.name, self.tokenizer = name, None
        self.choices, self.answers = choices, answers or choices

    def generate(self, examples, max_new_tokens, progress=None):
        return [self.answers[example.origin.line - 1] for example in examples]

    def score(self, examples, completions, progress=None):
        chosen = [self.choices[example.origin.line - 1] for example in examples]
        return [
            [CompletionScore(-0.5 if text == one else -2.0, 1) for text in texts]
            for texts, one in zip(completions, chosen, strict=True)
        ]


def rows_of(references, labels=None):
    from graft.data.example import Origin

    examples = [
        graft.AnswerExample(({"role": "user", "content": str(n)},), reference, Origin("rows.jsonl", n + 1))
        for n, reference in enumerate(references)
    ]
    return EvaluationRows(examples, labels, {"path": "rows.jsonl", "rows": len(examples)})


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN, encoding="utf-8")
    return path


REFERENCES = ["negative", "negative", "neutral", "positive"] * 10
BASE = ["positive", "negative", "positive", "positive"] * 10  # costs 5, 0, 1, 0
TUNED = ["neutral", "negative", "neutral", "negative"] * 10  # costs 1, 0, 0, 2


def both(metrics, tmp_path=None, **given):
    rows = rows_of(REFERENCES, LABELS)
    return evaluate([Choosing("base", BASE), Choosing("tuned", TUNED)], rows, Criteria(metrics, **given)).document


def figures(document, metric):
    return [found[metric]["value"] for found in document["predictors"].values()]


def test_a_class_of_ones_own_gives_a_number_a_row_with_title_direction_and_digits(own):
    found = both([f"{own}:Cost", "accuracy"])
    assert figures(found, "Cost") == [1.5, 0.5]  # 1 for (positive, negative)
    difference = found["differences"][0]
    assert difference["value"] == -1.0 and difference["low"] < -1.0 < difference["high"] < 0
    assert table.verdict(found).startswith("The tuned model is better: cost a row 1.50 → 0.50 (")


def test_sums_of_several_numbers_a_row_make_a_value(own):
    found = both([f"{own}:Recall"])
    assert figures(found, "Recall") == [0.5, 0.5]  # one of two negative rows
    low, high = (found["predictors"]["base"]["Recall"][side] for side in ("low", "high"))
    assert 0.2 < low < 0.5 < high < 0.8


def test_the_value_of_a_corpus_has_an_interval_from_resampled_rows(own):
    answers = ["a" * n for n in range(1, 41)]
    rows = rows_of(REFERENCES)
    predictors = [Choosing("base", BASE, answers), Choosing("tuned", TUNED, answers[:1] * 40)]
    result = evaluate(predictors, rows, Criteria([f"{own}:Longest"], bootstrap_samples=200))
    found = result.document["predictors"]["base"]["Longest"]
    resampled = np.random.default_rng(42).multinomial(40, np.full(40, 1 / 40), size=200)
    longest = [40 - int(np.argmax(row[::-1] > 0)) for row in resampled]
    assert found["value"] == 40 and found["low"] == np.percentile(longest, 2.5)
    assert result.document["differences"][0]["value"] == -39
    assert result.predictions[0]["scores"]["base"]["Longest"] is None  # a row alone has none


def test_likelihoods_come_by_label_and_without_labels_by_reference(own):
    assert figures(both([f"{own}:Surprise"]), "Surprise") == [1.25, 1.25]
    rows = rows_of(REFERENCES)
    found = evaluate([Choosing("base", BASE)], rows, Criteria([f"{own}:Surprise"])).document
    assert figures(found, "Surprise") == [1.25]


def test_all_that_is_wrong_with_a_class_is_said_at_once(own):
    with pytest.raises(InputError) as caught:
        get_metric(f"{own}:Wrong")
    said = str(caught.value)
    assert "needs is 'choises'" in said and "did you mean choices?" in said
    assert "digits is 'two'" in said and "direction is 'up'" in said and "scale is 0" in said


@pytest.mark.parametrize(
    ("name", "reason"), [("Picky", "ZeroDivisionError: division by zero"), ("Nothing", "no finite number")]
)
def test_a_metric_that_fails_on_some_rows_names_them_and_loses_nothing(own, name, reason):
    answers = ["abcd"] * 40
    answers[4] = answers[9] = "abc"
    rows = rows_of(REFERENCES)
    found = evaluate([Choosing("base", BASE, answers)], rows, Criteria([f"{own}:{name}", "exact_match"])).document
    assert list(found["predictors"]["base"]) == ["exact_match"]
    failed = found["failed_metrics"][name]
    assert reason in failed["error"] and failed["rows"] == ["rows.jsonl:5", "rows.jsonl:10"] and failed["count"] == 2
    assert f"{name} is missing here" in found["notes"][0] and "in 2 of 40 rows: rows.jsonl:5, 10" in found["notes"][0]


def test_where_the_only_metric_fails_those_that_fit_are_computed(own):
    found = evaluate([Choosing("base", BASE, ["abc"] * 40)], rows_of(REFERENCES), Criteria([f"{own}:Picky"])).document
    assert "exact_match" in found["predictors"]["base"] and "Picky" in found["failed_metrics"]


def test_graft_evaluate_prints_and_records_the_others_and_fails(own, tiny_llama, rows_file, tmp_path, capsys):
    own.write_text("def picky(references, answers):\n    return [1 / (len(r) - 8) for r in references]\n", "utf-8")
    out = tmp_path / "out"
    words = ["evaluate", str(tiny_llama), "--data_files", str(rows_file), "-o", str(out), "--max_new_tokens", "4"]
    assert main([*words, "--metrics", f"{own}:picky,exact_match", "--json"]) == 1
    assert list(json.loads(capsys.readouterr().out)["predictors"]["base"]) == ["exact_match"]
    assert main([*words, "--metrics", f"{own}:picky,exact_match"]) == 1
    printed = capsys.readouterr()
    assert "exact match" in printed.out
    assert f"{rows_file}:1" in printed.err and "ZeroDivisionError" in printed.err and "own.py:2" in printed.err
    assert "Traceback" not in printed.err
    assert json.loads((out / "evaluation.json").read_text(encoding="utf-8"))["failed_metrics"]["picky"]["count"] == 1


def test_a_run_is_finished_and_keeps_its_other_metrics_where_one_fails(own, tiny_llama, rows_file, tmp_path):
    own.write_text("def picky(references, answers):\n    return [1 / 0 for _ in answers]\n", encoding="utf-8")
    run = tmp_path / "run"
    graft.finetune(
        model_name_or_path=str(tiny_llama),
        data_files=str(rows_file),
        output_path=str(run),
        metrics=(f"{own}:picky", "perplexity"),
        max_steps=1,
        eval_share=0.5,
        bootstrap_samples=100,
    )
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["status"] == "finished" and manifest["scores"]["metric"] == "perplexity"
    assert "picky is missing here" in (run / "report.html").read_text(encoding="utf-8")


def test_a_cost_matrix_gives_the_expected_cost_of_a_row_with_its_paired_difference(tmp_path):
    path = tmp_path / "costs.csv"
    path.write_text(COSTS, encoding="utf-8")
    found = both([f"cost={path}"])
    assert figures(found, "cost") == [1.5, 0.75]  # (5 + 0 + 1 + 0) / 4, (1 + 0 + 0 + 2) / 4
    difference = found["differences"][0]
    assert difference["value"] == -0.75 and difference["low"] < -0.75 < difference["high"]
    assert table.verdict(found).startswith("The tuned model is ") and "cost 1.500 → 0.750" in table.verdict(found)
    assert found["metrics"]["cost"]["direction"] == "lower"
    assert table.metric_references(found) == [f"cost={path}"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_spreadsheet_in_another_order_is_read_and_an_unknown_answer_costs_the_most(tmp_path, separator):
    path = tmp_path / "costs.csv"
    lines = [",positive,negative,neutral", "positive,0,2,1", "", "negative,5,0,1", "neutral,1,1,0"]
    path.write_text("\ufeff" + "\r\n".join(lines).replace(",", separator) + "\r\n", encoding="utf-8")
    assert figures(both([f"cost={path}"]), "cost") == [1.5, 0.75]
    (metric,) = select_metrics([f"cost={path}"], REFERENCES, LABELS)
    from graft.evaluation.metrics import Predictions

    assert metric.rows(Predictions(["negative", "positive"], choices=["", "negative"])) == [5.0, 2.0]


def test_labels_that_a_cost_matrix_lacks_or_no_row_has_are_said_at_once(tmp_path):
    path = tmp_path / "costs.csv"
    path.write_text(COSTS.replace("neutral", "neutrl", 1).replace("positive,2", "postive,2"), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        both([f"cost={path}"])
    said = str(caught.value)
    assert "no column for the label 'neutral'" in said and "did you mean neutrl?" in said
    assert "the row 'postive' is not one of the labels" in said and "did you mean positive?" in said


def test_all_that_is_wrong_with_a_cost_matrix_is_said_with_its_lines(tmp_path):
    path = tmp_path / "costs.csv"
    path.write_text(",a,b,b\na,0,x,1\nb,1\nb,0,inf,0\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        get_metric(f"cost={path}")
    said = str(caught.value)
    assert "costs.csv:2: the cost of 'b' for 'a' is 'x'" in said and "costs.csv:3: the row of 'b' has 1 costs" in said
    assert "more than one column for 'b'" in said and "more than one row for 'b'" in said and "'inf'" in said
    for named, what in [(f"={path}", "NAME=FILE.csv"), ("cost=none.csv", "cannot be read")]:
        with pytest.raises(InputError, match=what):
            get_metric(named)
    (tmp_path / "empty.csv").write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match="no matrix of labels by labels"):
        get_metric(f"cost={tmp_path / 'empty.csv'}")


def test_a_cost_matrix_needs_classes(tmp_path):
    path = tmp_path / "costs.csv"
    path.write_text(COSTS, encoding="utf-8")
    with pytest.raises(InputError, match="cost requires classes as answers"):
        select_metrics([f"cost={path}"], ["free text"], None)

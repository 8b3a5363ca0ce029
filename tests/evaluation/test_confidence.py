"""Confidence in labels: against scikit-learn, by hand, and against models whose calibration is known."""

import json

import numpy as np
import pytest

import graft
from graft.cli.main import main
from graft.data.example import Origin
from graft.errors import InputError
from graft.evaluation.compare import evaluate
from graft.evaluation.confidence import (
    LabelScores,
    at_threshold,
    calibration,
    cross_fitted,
    fit_temperature,
    sureness_of,
    wilson,
)
from graft.evaluation.criteria import Criteria
from graft.evaluation.metrics import Predictions
from graft.evaluation.rows import EvaluationRows
from graft.inference.predictor import CompletionScore


def drawn(rows, temperature, seed=0):
    """Log-likelihoods that are ``temperature`` times too small: the right labels are drawn by the scaled ones."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (rows, 3))
    powers = np.exp(logits / temperature)
    shares = powers / powers.sum(axis=1, keepdims=True)
    right = (generator.random((rows, 1)) > shares.cumsum(axis=1)).sum(axis=1)
    return LabelScores(logits - 5.0, right)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_planted_is_found(temperature):
    assert fit_temperature(drawn(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


def test_a_temperature_has_the_lowest_negative_log_likelihood():
    scores = drawn(300, 2.0)
    rows = np.arange(300)

    def nll(temperature):
        return -np.log(scores.probabilities(temperature)[rows, scores.right]).mean()

    found = fit_temperature(scores)
    assert nll(found) <= min(nll(found * factor) for factor in (0.8, 0.99, 1.01, 1.25))


def test_no_row_is_scaled_by_a_temperature_that_it_helped_to_fit():
    scores = drawn(100, 2.0)
    before = cross_fitted(scores, 42)
    assert len(set(before.tolist())) == 5
    changed = scores.right.copy()
    changed[7] = (changed[7] + 1) % 3
    after = cross_fitted(LabelScores(scores.log_likelihoods, changed), 42)
    assert after[7] == before[7] and (after != before).sum() == 80


def test_the_calibration_error_by_hand():
    confidence = np.array([0.5, 0.5, 0.9, 0.9, 0.9, 0.95])
    correct = np.array([True, False, True, True, False, True])
    found = calibration(confidence, correct, 0)
    # Bins 7/15 to 8/15: |1 - 2 * 0.5|; 13/15 to 14/15: |2 - 2.7|; 14/15 to 1: |1 - 0.95|, over 6 rows.
    assert found["ece"] == pytest.approx((0 + 0.7 + 0.05) / 6, abs=1e-6)
    assert [(one["rows"], one["accuracy"]) for one in found["bins"]] == [(2, 0.5), (3, 0.666667), (1, 1.0)]
    assert [round(bound, 3) for bound in wilson(2, 3)] == [0.208, 0.939]  # R: prop.test(2, 3, correct = FALSE)
    assert wilson(3, 3)[1] == 1.0 and wilson(0, 3)[0] == 0.0


def test_calibrated_models_stay_below_what_chance_gives_and_others_do_not():
    below = 0
    for seed in range(40):
        scores = drawn(300, 1.0, seed)
        found = calibration(scores.probabilities().max(axis=1), scores.correct, seed)
        below += found["ece"] <= found["ece_by_chance"]
    assert below >= 34
    scores = drawn(300, 3.0)
    found = calibration(scores.probabilities().max(axis=1), scores.correct, 0)
    assert found["ece"] > 2 * found["ece_by_chance"]
    scaled = scores.probabilities(cross_fitted(scores, 0)).max(axis=1)
    assert calibration(scaled, scores.correct, 0)["ece"] < found["ece"] / 3


def test_abstaining_by_hand():
    confidence, correct = np.array([0.9, 0.8, 0.8, 0.4]), np.array([True, True, False, False])
    found = at_threshold(0.8, confidence, correct)
    assert found["answered"] == 3 and found["coverage"]["value"] == 0.75
    assert found["accuracy"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["accuracy"]["low"] < 0.6 < found["accuracy"]["high"]
    assert at_threshold(0.95, confidence, correct)["accuracy"] is None


class Drawn:
    """A predictor with the likelihoods of ``drawn``."""

    def __init__(self, name, scores, labels):
        self.name, self.tokenizer, self.labels = name, None, labels
        self.scores = scores

    def generate(self, examples, max_new_tokens, progress=None):
        return [""] * len(examples)

    def score(self, examples, completions, progress=None):
        rows = (self.scores.log_likelihoods[example.origin.line - 1] for example in examples)
        return [
            [CompletionScore(float(row[self.labels.index(text)]), 1) for text in texts]
            for row, texts in zip(rows, completions, strict=True)
        ]


LABELS = ["negative", "neutral", "positive"]


def evaluation(temperature=2.5, rows=300, metrics=("accuracy",), **given):
    scores = drawn(rows, temperature)
    examples = [
        graft.AnswerExample(({"role": "user", "content": str(n)},), LABELS[right], Origin("r", n + 1))
        for n, right in enumerate(scores.right.tolist())
    ]
    predictors = [Drawn("base", drawn(rows, 1.0, 1), LABELS), Drawn("tuned", scores, LABELS)]
    return evaluate(predictors, EvaluationRows(examples, LABELS, {"path": "r"}), Criteria(list(metrics), **given))


def test_the_section_of_an_evaluation():
    result = evaluation(abstain_below=0.8)
    found = result.document["confidence"]["predictors"]["tuned"]
    assert found["accuracy"] == pytest.approx(result.document["predictors"]["tuned"]["accuracy"]["value"], abs=1e-6)
    assert found["confidence"] > found["accuracy"] + 0.1 and found["scaled"]["temperature"] == pytest.approx(
        2.5, rel=0.3
    )
    assert found["scaled"]["ece"] < found["ece"] and found["scaled"]["nll"] < found["nll"]
    coverage = [point["coverage"]["value"] for point in found["curve"]]
    assert coverage == sorted(coverage) and coverage[0] == 0.05 and coverage[-1] == 1.0
    assert found["curve"][-1]["accuracy"]["value"] == pytest.approx(found["accuracy"], abs=1e-6)
    assert found["curve"][3]["accuracy"]["value"] > found["accuracy"]
    answered = [line["confidences"]["tuned"] >= 0.8 for line in result.predictions]
    assert sum(answered) == found["abstaining"]["answered"]
    assert "confidences" not in evaluation().predictions[0]


def test_a_temperature_is_applied_on_request():
    plain, scaled = evaluation(abstain_below=0.8), evaluation(abstain_below=0.8, temperature_scaling=True)
    sure = [result.document["confidence"]["predictors"]["tuned"]["abstaining"] for result in (plain, scaled)]
    assert sure[0]["answered"] > 2 * sure[1]["answered"]
    assert sure[1]["accuracy"]["value"] > sure[0]["accuracy"]["value"]
    labels = [[line["labels"] for line in result.predictions] for result in (plain, scaled)]
    assert labels[0] == labels[1]  # the likeliest label stays the same


def test_labels_are_scored_for_it_where_no_metric_needs_them():
    assert "tuned" in evaluation(metrics=["exact_match"], abstain_below=0.5).document["confidence"]["predictors"]
    assert "confidence" not in evaluation(metrics=["exact_match"]).document
    assert "confidence" not in evaluation(rows=10).document


def test_without_classes_or_likelihoods_it_is_refused_before_any_work(tiny_llama, rows_file, tmp_path):
    with pytest.raises(InputError, match="answers are not classes") as caught:
        graft.finetune(
            model_name_or_path=str(tiny_llama),
            data_files=str(rows_file),
            output_path=str(tmp_path / "run"),
            abstain_below=0.8,
            temperature_scaling=True,
        )
    assert "--abstain_below, --temperature_scaling" in str(caught.value) and not (tmp_path / "run").exists()
    silent = Drawn("served", drawn(30, 1.0), LABELS)
    silent.can_score = False
    examples = [graft.AnswerExample(({"role": "user", "content": "x"},), "neutral", Origin("r", 1))]
    with pytest.raises(InputError, match="served gives no likelihoods of labels"):
        evaluate([silent], EvaluationRows(examples, LABELS, {}), Criteria(["accuracy"], abstain_below=0.5))


def test_the_terminal_and_the_page_say_it(tiny_llama, tmp_path, capsys):
    rows = [{"text": f"thing {n}", "label": LABELS[n % 3], "part": "ab"[n % 2]} for n in range(120)]
    path, run = tmp_path / "rows.jsonl", tmp_path / "run"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = ["finetune", str(tiny_llama), str(path), "-o", str(run), "--max_steps", "1", "--eval_share", "0.6"]
    assert main([*words, "--bootstrap_samples", "100", "--by", "part"]) == 0
    printed = capsys.readouterr().out
    assert "part = a (" in printed and "expected calibration error" not in printed  # not asked for
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'id="confidence"' in page and 'id="slices"' in page and "perfectly calibrated" in page
    words = [
        "evaluate",
        str(run),
        "--bootstrap_samples",
        "100",
        "--abstain_below",
        "0.4",
        "--temperature_scaling",
        "true",
    ]
    assert main(words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "expected calibration error (ECE)" in printed and "Where it is at least 0.4 sure after scaling" in printed


def test_a_broken_model_whose_likelihoods_are_no_numbers_has_no_confidence():
    scores = [[CompletionScore(float("nan"), 1, False), CompletionScore(-1.0, 1, True)]] * 40
    found = Predictions(["a"] * 40, labels=["a", "b"], candidate_scores=scores)
    assert sureness_of({"broken": found}, Criteria()).section is None

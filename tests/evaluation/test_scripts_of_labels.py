"""Classes, fields, labels, tags and numbers in many scripts, by hand; the answers are in the other form of Unicode."""

import json
from unicodedata import normalize

import pytest

from graft.data.example import AnswerExample, Origin
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.metrics import Predictions, get_metric
from graft.evaluation.metrics.classes import confusion
from graft.evaluation.rows import EvaluationRows
from graft.export.cached_predictions import RecordedPredictor
from graft.inference.predictor import CompletionScore

approx = pytest.approx
LABELS = {
    # Two labels, and the digits 1 to 4.
    "Vietnamese": ("tích cực", "tiêu cực", "1234"),
    "Russian": ("положительный", "отрицательный", "1234"),
    "Greek": ("θετικό", "αρνητικό", "1234"),
    "Arabic": ("إيجابي", "سلبي", "١٢٣٤"),
    "Hebrew": ("חִיּוּבִי", "שְׁלִילִי", "1234"),
    "Hindi": ("अच्छा\u095b", "बुरा", "१२३४"),  # with a letter that NFC takes apart
    "Kannada": ("ಧನಾತ್ಮಕ\u0cca", "ಋಣಾತ್ಮಕ", "೧೨೩೪"),  # with a vowel sign of two parts
    "Tamil": ("நேர்மறை\u0bca", "எதிர்மறை", "௧௨௩௪"),
    "Thai": ("ดี", "แย่", "๑๒๓๔"),
    "Chinese": ("正面", "负面", "１２３４"),
    "Japanese": ("ポジティブ", "ネガティブ", "１２３４"),
    "Korean": ("긍정", "부정", "1234"),
}


def total(name, predictions):
    metric = get_metric(name)
    return float(metric.value(metric.checked_statistics(predictions).sum(axis=0, keepdims=True))[0])


def other(text):
    return normalize("NFD", text)


@pytest.mark.parametrize("language", LABELS)
def test_fields_and_lists_of_labels(language):
    good, bad, _ = LABELS[language]
    # Of two fields each one is right: 2 * 1 / (2 + 2).
    fields = Predictions(
        [json.dumps({good: good, "b": bad}, ensure_ascii=False)],
        answers=[json.dumps({other(good): other(good), "b": other(good)})],  # with escapes
    )
    assert total("field_f1", fields) == approx(1 / 2)
    assert total("json_valid", fields) == 1
    # One of two labels is named: 2 * 1 / (1 + 2).
    lists = Predictions([json.dumps([good, bad], ensure_ascii=False)], answers=[json.dumps([other(bad)])])
    assert total("label_f1", lists) == approx(2 / 3)


@pytest.mark.parametrize("language", LABELS)
def test_tags(language):
    good, bad = (label.replace(" ", "_") for label in LABELS[language][:2])
    wanted, given = f"B-{good} I-{good} O B-{bad}", f"B-{good} I-{good} O B-{good}"
    tags = Predictions([wanted], answers=[other(given)])
    # One of two entities is right on either side, and 3 of 4 tags.
    assert [total(name, tags) for name in ("entity_f1", "entity_precision", "entity_recall")] == [0.5, 0.5, 0.5]
    assert total("tag_accuracy", tags) == 3 / 4
    assert total("exact_match", Predictions([wanted], answers=[other(wanted)])) == 1


class Choosing(RecordedPredictor):
    """Finds one label of each row the likeliest."""

    def __init__(self, examples, choices, labels):
        scores = [
            {label: CompletionScore(0.0 if label == choice else -1.0, 1) for label in labels} for choice in choices
        ]
        super().__init__("base", None, examples, choices, scores)


@pytest.mark.parametrize("language", LABELS)
def test_classes_in_either_form_of_unicode(language):
    good, bad = (normalize("NFC", label) for label in LABELS[language][:2])
    wanted, choices = [other(good), good, bad, other(bad)], [good, bad, bad, bad]
    examples = [
        AnswerExample(({"role": "user", "content": f"{place}?"},), label, Origin("r.jsonl", place + 1))
        for place, label in enumerate(wanted)
    ]
    rows = EvaluationRows(examples, [bad, good], {"path": "r.jsonl", "rows": 4, "sha256": ""})
    metrics = ["accuracy", "macro_f1", "exact_match"]
    found = evaluate([Choosing(examples, choices, [bad, good])], rows, Criteria(metrics)).document
    assert found["labels"] == [bad, good] and found["notes"] == []
    # 3 of 4 are right; F1 is 2 * 1 / (1 + 2) of the one class and 2 * 2 / (3 + 2) of the other.
    values = {name: figures["value"] for name, figures in found["predictors"]["base"].items()}
    assert values == approx({"accuracy": 3 / 4, "macro_f1": (2 / 3 + 4 / 5) / 2, "exact_match": 3 / 4}, abs=1e-6)
    assert found["confusion"]["base"] == [[2, 0], [1, 1]] == confusion(rows.references, choices, [bad, good])


@pytest.mark.parametrize("language", LABELS)
def test_numbers_in_the_digits_of_the_script(language):
    one, two, three, four = LABELS[language][2]
    found = Predictions([one, two, three], answers=[two, one, three])
    # Deviations -1 0 1 and 0 -1 1: 1 / sqrt(2 * 2); the ranks are the same numbers.
    assert total("pearson", found) == approx(1 / 2)
    assert total("spearman", found) == approx(1 / 2)
    assert total("pearson", Predictions([one, two, four], answers=[two, three, four])) == approx(
        # Deviations -4/3 -1/3 5/3 and -1 0 1: 3 / sqrt(42/9 * 2).
        3 / (42 / 9 * 2) ** 0.5
    )


@pytest.mark.parametrize("language", LABELS)
def test_perplexity_is_of_the_reference_whatever_its_script(language):
    good, bad, _ = LABELS[language]
    found = Predictions([good, bad], scores=[CompletionScore(-2.0, 1), CompletionScore(-4.0, 3)])
    assert total("perplexity", found) == approx(2.718281828459045 ** (6 / 4))


@pytest.mark.parametrize(
    ("one", "two", "value"), [("👍", "👎", 0), ("👍", "👍!", 1), ("…", "!", 1), ("❤\ufe0f", "❤", 1)]
)
def test_symbols_where_there_are_no_words(one, two, value):
    assert total("token_f1", Predictions([one], answers=[two])) == value

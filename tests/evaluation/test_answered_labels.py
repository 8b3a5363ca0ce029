"""Classes of a predictor that writes and gives no likelihoods."""

import pytest

import graft
from graft.data.example import Origin
from graft.errors import InputError
from graft.evaluation.answered_label import NO_LABEL, answered_label
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.rows import EvaluationRows

TONES = ["negative", "neutral", "positive"]


class Writing:
    """Answers each row by a function of its place; a call of ``score`` is an error."""

    can_score = False
    tokenizer = None

    def __init__(self, answer, name="written"):
        self.name, self.answer = name, answer

    def generate(self, examples, max_new_tokens, progress=None):
        return [self.answer(example) for example in examples]


def labeled(count, labels=("a", "b")):
    return [
        graft.AnswerExample(({"role": "user", "content": str(n)},), labels[n % 2], Origin("rows.jsonl", n + 1))
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("positive", "positive"),
        (" Positive.\n", "positive"),
        ('"NEUTRAL"', "neutral"),
        ("**negative**", "negative"),
        ("The tone is positive.", NO_LABEL),
        ("positive or neutral", NO_LABEL),
        ("", NO_LABEL),
        ("...", NO_LABEL),
    ],
)
def test_an_answer_is_a_label_but_for_case_and_punctuation_around_it(answer, label):
    assert answered_label(answer, TONES) == label


@pytest.mark.parametrize(
    ("answer", "labels", "label"),
    [
        ("A", ["A", "a"], "A"),
        ("a", ["A", "a"], "a"),
        ("a.", ["A", "a"], NO_LABEL),
        ("C++", ["C", "C++"], "C++"),
        ("c", ["C", "C++"], "C"),
        ("?", ["?", "!"], "?"),
        ("caf\u0065\u0301", ["caf\u00e9", "bar"], "caf\u00e9"),
        ("सकारात्मक।", ["सकारात्मक", "नकारात्मक"], "सकारात्मक"),
        ("positivo", ["positivo", "Positivo "], "positivo"),
    ],
)
def test_an_equal_label_wins_and_a_doubtful_one_counts_for_none(answer, labels, label):
    assert answered_label(answer, labels) == label


def test_accuracy_of_answers_counts_what_is_no_label_as_wrong():
    written = Writing(
        lambda example: [example.completion.upper() + ".", "I do not know"][int(example.prompt_text) % 4 == 3]
    )
    found = evaluate(
        [written],
        EvaluationRows(labeled(40), ["a", "b"], {"path": "x", "rows": 40}),
        Criteria(bootstrap_samples=100),
    )
    figures = found.document["predictors"]["written"]
    assert list(figures) == ["accuracy", "macro_f1", "exact_match"]
    assert figures["accuracy"]["value"] == 0.75 and figures["exact_match"]["value"] == 0.0
    assert figures["macro_f1"]["value"] == pytest.approx((1.0 + 2 / 3) / 2, abs=1e-6)
    assert found.document["confusion"]["written"] == [[20, 0, 0], [0, 10, 10]]
    assert found.document["classes"]["written"]["b"] == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 20}
    assert [line["labels"]["written"] for line in found.predictions[:4]] == ["a", "b", "a", ""]
    assert "likelihoods" not in found.predictions[0]


def test_a_metric_that_needs_likelihoods_is_an_error_only_if_it_was_named():
    rows = EvaluationRows(labeled(20), None, {"path": "x", "rows": 20})
    found = evaluate([Writing(lambda example: "a")], rows, Criteria(bootstrap_samples=100))
    assert list(found.document["predictors"]["written"]) == ["exact_match", "token_f1"]
    with pytest.raises(InputError, match="perplexity cannot be measured: written gives no likelihoods") as caught:
        evaluate([Writing(lambda example: "a")], rows, Criteria(["exact_match", "perplexity"]))
    assert caught.value.problems[0].remedy == "--metrics exact_match"

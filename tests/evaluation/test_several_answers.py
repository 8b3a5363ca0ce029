"""Several right answers to a row: the best counts, or all references together, as the metric is defined."""

import pytest
from sacrebleu.metrics import BLEU, CHRF

from graft.data.example import AnswerExample, Origin
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.metrics import Predictions, get_metric
from graft.evaluation.predict import default_max_new_tokens
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.store import write_evaluation
from graft.export.cached_predictions import RecordedPredictor
from graft.runs.evaluation_document import read_predictions
from graft.runs.folder import RunFolder

ROWS = [
    # Right answers, the answer of the model.
    (("the red house", "a house that is red"), "a house that is red"),
    (("he went home", "he walked home early"), "he walked home"),
    (("no idea",), "no clue at all"),
]
PREDICTIONS = Predictions(
    [right[0] for right, _ in ROWS],
    answers=[answer for _, answer in ROWS],
    alternatives=[right[1:] for right, _ in ROWS],
)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("exact_match", [1, 0, 0]),
        # Of `he walked home` 2 of 3 words are in the first reference, 3 of 3 and of 4 in the second: 6/7.
        ("token_f1", [1, 6 / 7, 2 / 6]),
        ("rouge1", [1, 6 / 7, 2 / 6]),
        ("rouge2", [1, 4 / 5, 0]),
        ("rougeL", [1, 6 / 7, 2 / 6]),
    ],
)
def test_the_best_of_several_by_hand(name, wanted):
    assert get_metric(name).rows(PREDICTIONS) == pytest.approx(wanted, abs=1e-4)


def test_bleu_and_chrf_count_several_references_as_sacrebleu():
    theirs = [[right[place] if place < len(right) else None for right, _ in ROWS] for place in range(2)]
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF()), ("chrf++", CHRF(word_order=2))):
        sums = get_metric(name).checked_statistics(PREDICTIONS).sum(axis=0, keepdims=True)
        assert float(get_metric(name).value(sums)[0]) == pytest.approx(
            metric.corpus_score(list(PREDICTIONS.answers), theirs).score
        )


def test_fields_of_the_json_that_fits_best():
    references, others = ['{"a": 1, "b": 2}'], [('{"a": 1}', "[]")]
    found = Predictions(references, answers=['{"a": 1}'], alternatives=others)
    assert get_metric("field_f1").rows(found) == [1.0]
    assert get_metric("field_f1").rows(Predictions(references, answers=['{"a": 1}'])) == [round(2 / 3, 4)]


def test_a_function_of_ones_own_gets_the_first(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("def same(references, answers):\n    return [r == a for r, a in zip(references, answers)]\n")
    assert get_metric(f"{path}:same").rows(PREDICTIONS) == [0.0, 0.0, 0.0]


def test_an_evaluation_takes_them_from_the_examples(tmp_path):
    examples = [
        AnswerExample(
            ({"role": "user", "content": f"{place}?"},), right[0], Origin("r.jsonl", place + 1), alternatives=right[1:]
        )
        for place, (right, _) in enumerate(ROWS)
    ]
    base = RecordedPredictor("base", None, examples, [answer for _, answer in ROWS], [{}] * 3)
    rows = EvaluationRows(examples, None, {"path": "r.jsonl", "rows": 3, "sha256": ""})
    result = evaluate([base], rows, Criteria(["exact_match", "bleu"]))
    assert result.document["predictors"]["base"]["exact_match"]["value"] == pytest.approx(1 / 3)
    write_evaluation(RunFolder(tmp_path), result)
    lines = read_predictions(tmp_path)
    assert [line.reference for line in lines] == [right[0] for right, _ in ROWS]
    assert [line.references for line in lines] == [list(ROWS[0][0]), list(ROWS[1][0]), []]
    assert [line.scores["base"]["exact_match"] for line in lines] == [1, 0, 0]
    assert result.document["max_new_tokens"] == default_max_new_tokens(["he walked home early"])  # the longest of all

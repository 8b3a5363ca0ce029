"""Each metric against the library that people compare with."""

import math

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from graft.errors import GraftError, InputError
from graft.evaluation.metrics import METRICS, Predictions, default_metrics, get_metric, select_metrics
from graft.evaluation.metrics.classes import confusion, per_class
from graft.evaluation.metrics.structured import parsed
from graft.inference.predictor import CompletionScore

LABELS = ["a", "b", "c", "d"]
TEXTS = [
    ("the cat sat on the mat and looked at the moon", "the cat sat on a mat and looked at the sun"),
    ("it rained all day in the north of the country", "it rained in the north all day"),
    ("two men were seen", "nobody was seen"),
    ("short", "long and not the same"),
    ("an answer that is the same", "an answer that is the same"),
    ("nothing", ""),
]


def value(name, predictions):
    metric = get_metric(name)
    return float(metric.value(metric.statistics(predictions).sum(axis=0, keepdims=True))[0])


def texts(pairs=TEXTS):
    return Predictions([reference for reference, _ in pairs], answers=[answer for _, answer in pairs])


@given(st.lists(st.tuples(st.sampled_from(LABELS[:3]), st.sampled_from(LABELS)), min_size=1, max_size=60))
def test_classes_as_scikit_learn_counts_them(pairs):
    wanted, chosen = zip(*pairs, strict=True)
    predictions = Predictions(wanted, choices=chosen, labels=LABELS)
    assert value("accuracy", predictions) == pytest.approx(accuracy_score(wanted, chosen))
    assert value("macro_f1", predictions) == pytest.approx(f1_score(wanted, chosen, average="macro", zero_division=0))
    matrix = confusion(wanted, chosen, LABELS)
    assert matrix == confusion_matrix(wanted, chosen, labels=LABELS).tolist()
    theirs = precision_recall_fscore_support(wanted, chosen, labels=LABELS, zero_division=0)
    for index, label in enumerate(LABELS):
        ours = per_class(matrix, LABELS)[label]
        assert list(ours.values()) == pytest.approx([column[index] for column in theirs])


@pytest.mark.parametrize("pairs", [TEXTS, TEXTS[:3], TEXTS[:1], TEXTS[1:2], TEXTS[4:]])
def test_bleu_as_sacrebleu(pairs):
    predictions = texts(pairs)
    theirs = sacrebleu.corpus_bleu(predictions.answers, [predictions.references])
    assert value("bleu", predictions) == pytest.approx(theirs.score)


def test_bleu_of_each_row_as_sacrebleu():
    theirs = [sacrebleu.sentence_bleu(answer, [reference]).score for reference, answer in TEXTS]
    assert get_metric("bleu").rows(texts()) == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_rouge_as_rouge_score(name):
    scorer = RougeScorer([name], use_stemmer=False)
    theirs = [scorer.score(reference, answer)[name].fmeasure for reference, answer in TEXTS]
    assert value(name, texts()) == pytest.approx(np.mean(theirs))
    assert get_metric(name).rows(texts()) == pytest.approx(theirs, abs=1e-4)


def test_rouge_and_token_f1_read_other_alphabets():
    pairs = [("собака лает", "собака спит"), ("Ünlü söz", "ünlü söz!")]
    assert get_metric("rouge1").rows(texts(pairs)) == [0.5, 1.0]
    assert get_metric("token_f1").rows(texts(pairs)) == [0.5, 1.0]


def test_token_f1_by_hand():
    pairs = [("a a b", "a b b b"), ("a", "b"), ("...", "!"), ("a", "")]
    assert get_metric("token_f1").rows(texts(pairs)) == [round(2 * 2 / 7, 4), 0.0, 1.0, 0.0]


def test_exact_match_is_exact_but_for_blanks_around():
    assert get_metric("exact_match").rows(texts([("Ja", " Ja\n"), ("Ja", "ja"), ("Ja", "Ja.")])) == [1.0, 0.0, 0.0]


def test_fields_of_json_answers():
    wanted = '{"name": "Ann", "age": 3, "tags": ["x", "y"]}'
    answers = ['{"age": 3, "name": "Ann", "tags": ["y", "x"]}', '{"name": "Bo", "age": 3}', "no json", "[]"]
    predictions = texts([(wanted, answer) for answer in answers])
    assert get_metric("json_valid").rows(predictions) == [1.0, 1.0, 0.0, 1.0]
    assert get_metric("field_f1").rows(predictions) == [1.0, round(2 * 1 / 6, 4), 0.0, 0.0]
    assert value("field_f1", predictions) == pytest.approx(2 * 5 / (4 + 2 + 4 * 4))
    nested = texts([('{"a": {"b": 1, "c": null}}', '{"a": {"b": 1, "c": 2}}')])
    assert get_metric("field_f1").rows(nested) == [0.5]
    assert parsed("[" * 100_000) is None


def test_perplexity_is_over_tokens_not_rows():
    predictions = Predictions(["x", "y"], scores=[CompletionScore(-2.0, 4), CompletionScore(-6.0, 2)])
    assert value("perplexity", predictions) == pytest.approx(math.exp(8 / 6))
    assert math.isfinite(value("perplexity", Predictions(["x"], scores=[CompletionScore(-1e6, 1)])))


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.text("ab c.", max_size=12), st.text("ab c.", max_size=12)), min_size=2, max_size=8),
    st.integers(1, 7),
)
def test_sums_over_rows_are_all_a_metric_needs(pairs, cut):
    """Statistics of two parts together are those of the whole: what the bootstrap relies on."""
    for name in ("bleu", "rougeL", "token_f1", "exact_match", "field_f1", "json_valid"):
        metric = get_metric(name)
        whole = metric.statistics(texts(pairs))
        parts = [metric.statistics(texts(part)) for part in (pairs[:cut], pairs[cut:]) if part]
        assert np.allclose(whole, np.concatenate(parts))


def test_names_aliases_and_the_nearest():
    names = {"F1": "macro_f1", "ROUGE": "rougeL", "BLEU": "bleu", "em": "exact_match", "seqeval": "entity_f1"}
    assert {given: get_metric(given).name for given in names} == names
    with pytest.raises(InputError) as caught:
        select_metrics(["acuracy", "bleuu", "accuracy"], ["x"], None)
    said = str(caught.value)
    assert "did you mean accuracy?" in said and "did you mean bleu?" in said and "requires classes as answers" in said


def test_every_metric_is_there():
    assert all(get_metric(name).name == name for name in METRICS.builtin)


@pytest.mark.parametrize(
    ("references", "labels", "first"),
    [
        (["a", "b"], ["a", "b"], "accuracy"),
        (['{"a": 1}', "[]"], None, "field_f1"),
        (["Paris", "Rome"], None, "exact_match"),
        (["a long answer of many words"] * 2, None, "rougeL"),
    ],
)
def test_what_the_answers_are_tells_what_is_measured(references, labels, first):
    assert default_metrics(references, labels)[0] == first


def test_a_metric_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "def longer(references, answers):\n    return [len(a) > len(r) for r, a in zip(references, answers)]\n"
        "def wrong(references, answers):\n    return 1.0\n",
        encoding="utf-8",
    )
    metric = get_metric(f"{path}:longer")
    assert metric.name == "longer" and metric.rows(texts()) == [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    with pytest.raises(GraftError, match="one number for each row"):
        get_metric(f"{path}:wrong").rows(texts())
    with pytest.raises(InputError, match="no 'longest'"):
        get_metric(f"{path}:longest")


def test_a_metric_named_twice_is_measured_once_and_two_of_one_name_are_refused(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    for path in (one, two):
        path.write_text("def m(references, answers):\n    return [1.0] * len(answers)\n", encoding="utf-8")
    chosen = select_metrics(["em", "exact_match", f"{one}:m", f"{one}:m"], ["x"], None)
    assert [(metric.name, metric.reference) for metric in chosen] == [("exact_match", ""), ("m", f"{one}:m")]
    with pytest.raises(InputError, match="two metrics have the name m") as caught:
        select_metrics([f"{one}:m", f"{two}:m"], ["x"], None)
    assert str(one) in str(caught.value) and str(two) in str(caught.value)
    with pytest.raises(InputError, match="no metric is named"):
        select_metrics([], ["x"], None)

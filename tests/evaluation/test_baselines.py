"""Scores to beat: the most common answer, and TF-IDF with logistic regression."""

from __future__ import annotations

import random

import pytest

from graft.data.baselines import MOST_COMMON, TFIDF, baseline_answers
from graft.data.example import AnswerExample, ClassExample, MultiLabelExample, Origin, labels_text
from graft.data.example_set import ExampleSet
from graft.data.text_classifier import LONGEST, Unshared
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.table import rows as table_rows
from graft.evaluation.table import to_beat
from graft.runs.evaluation_document import EvaluationDocument
from graft.runs.record import validate

WORDS = {"fruit": ["apple", "pear", "plum", "fig"], "tool": ["hammer", "saw", "drill", "file"]}


def texts(count: int, seed: int = 0) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    labels = [draw.choice(["fruit", "fruit", "tool"]) for _ in range(count)]
    return [(" ".join(draw.choices(WORDS[label], k=3)) + f" no {draw.random():.3f}", label) for label in labels]


def test_the_baselines_answer_each_row():
    train = [ClassExample(text, label, Origin("a", 1)) for text, label in texts(80)]
    judged = [ClassExample(text, label, Origin("b", 1)) for text, label in texts(20, 1)]
    found = baseline_answers(train, judged)
    assert found[MOST_COMMON] == ["fruit"] * 20
    assert found[TFIDF] == [example.label for example in judged]


def test_an_instruction_that_all_rows_share_is_not_learned_from():
    prompts = [f"Classify the text.\n\n{text}\n\nLabel:" for text, _ in texts(9)]
    unshared = Unshared.of(prompts)
    assert [unshared(prompt) for prompt in prompts] == [text for text, _ in texts(9)]
    assert Unshared.of(["only one"])("only one") == "only one"
    assert len(unshared("x" * 99_999)) == LONGEST
    assert Unshared.of(["the same", "the same"])("the same") == "same"


def test_labeled_prompts_are_answered():
    made = [({"role": "user", "content": f"Which is it? {text}"}, label) for text, label in texts(80)]
    rows = [AnswerExample((message,), label, Origin("a", 1), label) for message, label in made]
    assert baseline_answers(rows[:60], rows[60:])[TFIDF] == [row.completion for row in rows[60:]]


def test_many_classes_are_learned():
    """The loss is a mean over rows: with many classes its gradient is small from the start, and no sign of the end."""
    rows = [ClassExample(f"w{n % 40} v{n % 7} u{n % 11} x{n}", f"c{n % 40}", Origin("a", 1)) for n in range(1600)]
    assert baseline_answers(rows[:1200], rows[1200:])[TFIDF] == [row.label for row in rows[1200:]]


def test_several_labels_have_a_model_each():
    draw = random.Random(0)
    rows = []
    for _ in range(120):
        labels = sorted(draw.sample(sorted(WORDS), draw.randint(0, 2)))
        words = [word for label in labels for word in draw.choices(WORDS[label], k=4)] or ["nothing"]
        rows.append(MultiLabelExample(" ".join(words), (*labels, "all"), Origin("a", 1)))
    found = baseline_answers(rows[:90], rows[90:])
    right = [labels_text(sorted(row.labels)) for row in rows[90:]]
    assert sum(map(str.__eq__, found[TFIDF], right)) > 25
    assert len(set(found[MOST_COMMON])) == 1


@pytest.mark.parametrize("text", ["", "…", "\n"])
def test_texts_without_words_are_no_obstacle(text):
    rows = [ClassExample(text, label, Origin("a", 1)) for label in "aab"]
    assert baseline_answers(rows, rows)[TFIDF] == ["a"] * 3


def test_one_class_and_no_rows_need_no_model():
    rows = [ClassExample("x", "a", Origin("a", 1))]
    assert baseline_answers(rows, rows) == {MOST_COMMON: ["a"]}
    assert baseline_answers([], rows) == {} == baseline_answers(rows, [])


class Guess:
    """Answers with the label whose letters come first."""

    name, tokenizer, can_score = "guess", None, False

    def generate(self, examples, max_new_tokens, progress=None):
        """The same label for all rows."""
        return ["fruit" for _ in examples]


def test_the_figures_stand_beside_those_of_the_models():
    train = [ClassExample(text, label, Origin("a", 1)) for text, label in texts(80)]
    judged = [ClassExample(text, label, Origin("b", n)) for n, (text, label) in enumerate(texts(20, 1), 1)]
    rows = EvaluationRows(judged, ["fruit", "tool"], {"path": "b", "rows": 20})
    found = evaluate([Guess()], rows, Criteria(bootstrap_samples=50), train=ExampleSet.of(train)).document
    assert found["baselines"][MOST_COMMON] == found["predictors"]["guess"]
    assert found["baselines"][TFIDF]["accuracy"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 20}
    assert validate(EvaluationDocument, found, "").baselines[TFIDF]["macro_f1"].value == 1.0
    assert len(table_rows(found)[0]) == 2  # the models alone: the baselines are a sentence
    common = table_rows(found)[0][1]
    said = f"Scores to beat (accuracy): most common {common}, TF-IDF 1.000 (1.000–1.000)."
    assert to_beat(found).startswith(f"{said} From TF-IDF to guess: −")
    assert to_beat({**found, "baselines": {}}) == ""

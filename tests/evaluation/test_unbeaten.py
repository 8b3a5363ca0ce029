"""A model is judged against its base and against what costs nothing: the commonest answer, TF-IDF, the input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graft.data.baselines import COPIED, MOST_COMMON, TFIDF, text_answers
from graft.data.example import AnswerExample, ClassExample, Origin, TaggedExample
from graft.data.example_set import ExampleSet
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.table import headline, to_beat, verdict
from graft.runs.evaluation_document import EvaluationDocument
from graft.runs.record import validate

ORIGIN = Origin("rows.jsonl", 1)


class Answers:
    """Answers with what a function says of the row."""

    tokenizer, can_score = None, False

    def __init__(self, name, answer):
        self.name, self.answer = name, answer

    def generate(self, examples, max_new_tokens, progress=None):
        """An answer for each row."""
        return [self.answer(example) for example in examples]


def classes(rows: int) -> list[ClassExample]:
    """Six in ten rows are fruit; only every second text tells."""
    found = []
    for place in range(rows):
        label = "fruit" if place % 10 < 6 else "tool"
        telling = {"fruit": "apple", "tool": "hammer"}[label] if place % 2 else "thing"
        found.append(ClassExample(f"{telling} number {place}", label, ORIGIN))
    return found


def judged(base, tuned):
    rows = EvaluationRows(classes(100), ["fruit", "tool"], {"path": "b", "rows": 100})
    models = [Answers("base", base), Answers("tuned", tuned)]
    train = ExampleSet.of(classes(200))
    return evaluate(models, rows, Criteria(["accuracy"], bootstrap_samples=200), train=train).document


def wrong(example):
    return "tool" if example.label == "fruit" else "fruit"


def test_always_the_commonest_answer_is_not_called_better_than_guessing():
    document = judged(wrong, lambda example: "fruit")
    assert verdict(document).startswith(
        "The tuned model is better than its base, but worse than TF-IDF and not measurably better than always giving "
        "the most common answer: accuracy 0.000 → 0.600, TF-IDF 0."
    )
    assert "From most common to tuned: 0.000 (0.000 to 0.000), p = 1.00." in to_beat(document)
    scores = headline(document)
    assert scores["unbeaten"] == [TFIDF, MOST_COMMON] and scores["baselines"][MOST_COMMON] == 0.6
    kept = validate(EvaluationDocument, document, "").baseline_differences
    assert {(d.before, d.after) for d in kept} == {(a, b) for a in (MOST_COMMON, TFIDF) for b in ("base", "tuned")}


def test_a_model_that_beats_all_of_them_is_said_to():
    document = judged(lambda example: "fruit", lambda example: example.label)
    assert verdict(document).startswith("The tuned model is better than its base and the baselines: accuracy 0.600 → ")
    assert ", TF-IDF 0." in verdict(document) and "From" not in to_beat(document)
    assert headline(document)["unbeaten"] == []


def test_no_better_than_either():
    document = judged(lambda example: "fruit", lambda example: "fruit")
    assert verdict(document).startswith(
        "The tuned model is not measurably different from its base, and worse than TF-IDF and not measurably better"
    )


def test_one_model_alone_is_compared_with_the_baselines():
    rows = EvaluationRows(classes(100), ["fruit", "tool"], {"path": "b", "rows": 100})
    train = ExampleSet.of(classes(200))
    alone = [Answers("tuned", lambda example: "fruit")]
    found = evaluate(alone, rows, Criteria(["accuracy"], bootstrap_samples=200), train=train).document
    assert "n = 100. It is worse than TF-IDF and not measurably better than always giving the" in verdict(found)


def texts(rows: int) -> list[AnswerExample]:
    """A rewriting task in which most of the text stays."""
    return [
        AnswerExample(
            ({"role": "user", "content": f"Correct the text.\n\n{n} is the cat that sat on on the warm mat of {n}"},),
            f"{n} is the cat that sat on the warm mat of {n}",
            ORIGIN,
        )
        for n in range(rows)
    ]


def test_copying_the_input_is_the_baseline_of_texts():
    def kept(example):
        return example.completion.replace("warm mat", "old rug")

    rows = EvaluationRows(texts(40), None, {"path": "b", "rows": 40})
    models = [Answers("base", lambda example: "a text"), Answers("tuned", kept)]
    criteria = Criteria(["rougeL", "exact_match"], bootstrap_samples=200)
    document = evaluate(models, rows, criteria, train=ExampleSet.of(texts(80))).document
    assert document["baselines"][COPIED]["rougeL"]["value"] > document["predictors"]["tuned"]["rougeL"]["value"]
    assert "better than its base, but worse than copying the input: ROUGE-L" in verdict(document)
    without = evaluate(models, rows, criteria).document
    assert without["baselines"][COPIED] == document["baselines"][COPIED]


def test_the_answers_of_the_baselines_of_texts():
    rows = texts(20)
    assert text_answers(rows, rows)[COPIED][3] == "3 is the cat that sat on on the warm mat of 3"
    assert list(text_answers(rows, rows)) == [COPIED]  # no answer is common
    same = [AnswerExample(row.prompt, "yes" if n < 3 else f"no, {n}", ORIGIN) for n, row in enumerate(rows)]
    assert text_answers(same, rows)[MOST_COMMON] == ["yes"] * 20
    assert text_answers([], rows[:1])[COPIED] == [rows[0].prompt[0]["content"]]
    tagged = [TaggedExample(("a",), ("O",), ORIGIN)]
    assert text_answers(tagged, tagged) == {}


@pytest.mark.parametrize("lost", ["baseline_differences", "baselines"])
def test_an_evaluation_of_an_older_version_is_judged_as_before(lost):
    document = judged(wrong, lambda example: "fruit")
    del document[lost]
    assert verdict(document).startswith("The tuned model is better: accuracy 0.000 → 0.600 (95 %")


def test_the_doctor_and_the_page_say_it(tmp_path: Path):
    from graft.report import card, page
    from graft.report.doctor import diagnose
    from graft.report.terminal import run_summary
    from graft.runs.view import RunView

    document = judged(wrong, lambda example: "fruit")
    (tmp_path / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    view = RunView.read(tmp_path)
    (found,) = [finding for finding in diagnose(view) if finding.kind == "poor_results"]
    assert "better than its base, and not better than a baseline" in found.title
    assert any("From most common to tuned" in said for said in found.evidence)
    said = "better than its base, but worse than TF-IDF and not measurably better than always giving the most common"
    assert said in page.render(view) and said in card.render(view)
    shown = run_summary(tmp_path)
    assert said in shown["verdict"] and shown["baseline_differences"] == document["baseline_differences"]

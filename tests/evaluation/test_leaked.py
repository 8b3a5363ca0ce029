"""Scores without the rows that the training data has: those of an evaluation of the other rows alone."""

import contextlib
import io
import json
import random

import numpy as np
import pytest

from graft.cli.results import print_evaluation, print_result
from graft.commands.evaluate import evaluate_model
from graft.data.example import AnswerExample, Origin
from graft.data.example_set import ExampleSet
from graft.errors import InputError
from graft.evaluation import table
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.leaked import leaked_rows
from graft.evaluation.rows import EvaluationRows
from graft.report.terminal import run_summary
from graft.runs.evaluation_document import read_evaluation
from small_runs import tune

TEXTS = ["".join(random.Random(n).choices("abcdefghijklmnopqrstuvwxyz     ", k=50)) for n in range(60)]


def examples(texts, answer="four"):
    return [
        AnswerExample(({"role": "user", "content": text},), answer, Origin("f", line))
        for line, text in enumerate(texts, 1)
    ]


class Answering:
    tokenizer, can_score = None, False

    def __init__(self, name, answer):
        self.name, self.answer = name, answer

    def generate(self, examples, max_new_tokens, progress=None):
        return [self.answer(example) for example in examples]


def judged(rows, train=None):
    base = Answering("base", lambda example: "four" if example.origin.line % 5 == 0 else "no")
    tuned = Answering("tuned", lambda example: "four" if example.origin.line < 12 or example.origin.line % 2 else "no")
    found = EvaluationRows(rows, None, {"path": "x", "rows": len(rows)})
    criteria = Criteria(["exact_match", "bleu"], bootstrap_samples=100)
    return evaluate([base, tuned], found, criteria, train=train).document


def test_the_scores_are_those_of_the_other_rows_alone():
    rows, near = examples(TEXTS[:40]), [f"{text}!" for text in TEXTS[6:11]]
    train = ExampleSet.of(examples([*TEXTS[40:], *TEXTS[:6], *near]))
    leaked = leaked_rows(train, rows)
    assert leaked is not None and (leaked.known, leaked.near) == (6, 5)
    assert np.flatnonzero(leaked.is_leaked).tolist() == list(range(11))
    found, alone = judged(rows, train), judged(rows[11:])
    without = found["without_leaked"]
    assert (without["rows"], without["known"], without["near"]) == (29, 6, 5)
    assert without["predictors"] == alone["predictors"] and without["differences"] == alone["differences"]
    assert found["predictors"] == judged(rows)["predictors"] and alone["without_leaked"] is None
    said = table.without_leaked(found)
    parts = "6 have a prompt of the training rows, 5 have a near duplicate in the training rows"
    assert said.startswith(f"11 of 40 rows are not new to the tuned model ({parts}). ")
    assert "Without them: exact match base" in said and said.endswith("n = 29.")


def test_where_nothing_leaks_nothing_is_said():
    rows = examples(TEXTS[:20])
    for train in (ExampleSet.of(examples(TEXTS[20:])), ExampleSet.of([]), None):
        found = judged(rows, train)
        assert found["without_leaked"] is None and table.without_leaked(found) == ""


def test_no_rows_are_an_error_also_with_training_rows():
    with pytest.raises(InputError, match="there are no rows to evaluate on"):
        judged([], ExampleSet.of(examples(TEXTS)))


def test_where_all_rows_leak_none_is_left_to_judge_by():
    rows = examples(TEXTS[:5])
    found = judged(rows, ExampleSet.of(examples(TEXTS)))
    assert found["without_leaked"] == {"rows": 0, "known": 5, "near": 0, "predictors": {}, "differences": []}
    assert table.without_leaked(found).endswith("no row is left to judge by.")


def test_all_answers_of_a_conversation_are_left_out_with_its_last():
    def chat(text, line):
        first = {"role": "user", "content": "Hello there, what is new?"}
        then = ({"role": "assistant", "content": "a"}, {"role": "user", "content": text})
        return [AnswerExample((first,), "a", Origin("f", line)), AnswerExample((first, *then), "b", Origin("f", line))]

    rows = [*chat(TEXTS[0], 1), *chat(TEXTS[1], 2)]
    train = ExampleSet.of(chat(f"{TEXTS[0]}!", 1)[1:])
    leaked = leaked_rows(train, rows)
    assert leaked is not None and leaked.is_leaked.tolist() == [True, True, False, False] and leaked.near == 2


@pytest.fixture
def files(tmp_path):
    def write(name, texts):
        rows = [{"text": text, "label": ("good", "poor")[n % 2]} for n, text in enumerate(texts)]
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


def test_a_run_says_its_scores_without_the_rows_that_it_was_trained_on(tiny_llama, files, tmp_path):
    train, held = files("train.jsonl", TEXTS[:40]), files("held.jsonl", [*TEXTS[:2], f"{TEXTS[2]}!", *TEXTS[40:52]])
    run = tune(
        tiny_llama, train, tmp_path / "run", eval_data_files=str(held), eval_share=None, evaluate=True, max_steps=2
    )
    found = read_evaluation(run)
    assert found is not None and found.without_leaked is not None
    without = found.without_leaked
    assert (without.rows, without.known, without.near) == (12, 2, 1)
    assert set(without.predictors) == {"base", "tuned"} and without.predictors["tuned"]["accuracy"].n == 12
    said = table.without_leaked(found.document())
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        print_result(run, as_json=False)
    pages = [(run / name).read_text(encoding="utf-8") for name in ("report.html", "README.md")]
    for shown in (printed.getvalue(), *pages):
        assert "3 of 15 rows are not new to the tuned model" in " ".join(shown.split())
    assert run_summary(run)["without_leaked"]["rows"] == 12 and "n = 12" in said

    new, old = files("new.jsonl", TEXTS[52:]), files("old.jsonl", [*TEXTS[52:58], TEXTS[5].upper(), *TEXTS[58:]])
    options = {"bootstrap_samples": 100, "output_path": tmp_path / "out"}
    assert evaluate_model(run, new, **options)["without_leaked"] is None
    again = evaluate_model(run, old, **options)
    assert again["without_leaked"]["known"] == 1 and again["without_leaked"]["rows"] == 8
    with contextlib.redirect_stdout(printed):
        print_evaluation(again)
    assert "1 of 9 rows is not new" in " ".join(printed.getvalue().split())

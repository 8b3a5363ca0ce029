"""Files to examples on two sides."""

import json
from collections import Counter

import pytest

from graft.config import DataSettings
from graft.data.pipeline import prepare, read_examples
from graft.data.provenance import PROVENANCE
from graft.errors import InputError


@pytest.fixture
def prepared(tmp_path):
    def run(rows, seed=42, **settings):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return prepare(DataSettings(data_files=(str(path),), **settings), seed)

    return run


ROWS = [{"text": f"text {n}", "label": ("a", "b", "b")[n % 3]} for n in range(60)]


def test_what_was_decided_is_said(prepared):
    found = prepared(ROWS)
    assert {inference.name for inference in found.inferred} == {"columns", "instruction", "eval_share", "labels"}
    assert Counter(e.completion for e in found.eval) == {"a": 4, "b": 8}
    assert found.summary["labels"] == {"b": 32, "a": 16} and found.summary["warnings"] == []


def test_doubles_are_counted(prepared):
    found = prepared([*ROWS, ROWS[0]])
    assert found.summary["duplicates"] == 1
    (said,) = found.summary["warnings"]
    assert "1 duplicate row was removed" in said and "rows.jsonl:61" in said


def test_shares_and_sizes(prepared):
    assert len(prepared(ROWS, eval_share=0.5).eval) == 30
    assert len(prepared(ROWS, max_eval_samples=5).eval) == 5
    assert len(prepared(ROWS, max_train_samples=30).train) == 24
    found = prepared(ROWS, train_split="train[:40]", eval_split="train[40:]")
    assert [e.origin.line for e in found.eval] == list(range(41, 61))


def test_rows_are_drawn_from_all_of_a_sorted_file_and_it_is_said(prepared):
    ordered = sorted(ROWS, key=lambda row: row["label"])
    found = prepared(ordered, max_train_samples=30)
    assert Counter(e.completion for e in [*found.train, *found.eval]) == {"a": 10, "b": 20}
    (said,) = [inference for inference in found.inferred if inference.name == "max_train_samples"]
    assert (said.value, said.why) == (30, "sampled from 60 rows with the seed, with the same mix of answers")
    assert [e.origin for e in found.train] == [e.origin for e in prepared(ordered, max_train_samples=30).train]
    assert [e.origin for e in found.train] != [e.origin for e in prepared(ordered, 7, max_train_samples=30).train]
    first = prepared(ordered, train_split="train[:24]", eval_split="train[24:]", max_train_samples=30)
    assert [e.origin.line for e in first.train] == list(range(1, 25))
    assert all(inference.name != "max_train_samples" for inference in first.inferred)


def test_what_is_wrong_on_both_sides_is_said_together(prepared, tmp_path):
    held = tmp_path / "held.jsonl"
    held.write_text('{"text": "x"}\n', encoding="utf-8")
    with pytest.raises(InputError) as caught:
        prepared([*ROWS, {"text": "x", "label": ""}], eval_data_files=(str(held),))
    assert [problem.where.rpartition("/")[2] for problem in caught.value.problems] == ["rows.jsonl:61", "held.jsonl:1"]


ADDED = {PROVENANCE: {"step": "augment", "source": "rows.jsonl:1"}}


def test_rows_that_a_program_added_are_trained_on_and_never_judged_by(prepared):
    found = prepared([*ROWS, *({**row, "text": f"more {row['text']}"} | ADDED for row in ROWS)])
    assert not any(example.origin.added for example in found.eval)
    assert sum(example.origin.added for example in found.train) > 20
    assert not [inference for inference in found.inferred if inference.name == "columns_not_read"]


def test_given_rows_to_judge_by_that_a_program_added_are_refused_unless_it_is_asked_for(prepared, tmp_path):
    judged = tmp_path / "eval.jsonl"
    rows = [ROWS[0] | {"text": "one"}, ROWS[1] | {"text": "two"} | ADDED]
    judged.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(InputError, match="a row of those to judge by was added by graft prepare") as caught:
        prepared(ROWS, eval_data_files=(str(judged),))
    assert caught.value.problems[0].where == f"{judged}:2"
    with pytest.raises(InputError, match="was added by graft prepare"):
        read_examples(DataSettings(data_files=(str(judged),)))
    assert len(read_examples(DataSettings(data_files=(str(judged),), ignore_columns=(PROVENANCE,))).examples) == 2

"""Rows with several right answers: how they are read, kept, and what is no such thing."""

import json

import pytest

from graft.config import DataSettings, build
from graft.data.columns import recognize
from graft.data.example_set import content
from graft.data.pipeline import find_labels, read_examples
from graft.data.quality import to_examples
from graft.data.rows import as_row, from_row
from graft.data.sources import load_rows


def examples(tmp_path, *rows, **settings):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return read_examples(build(DataSettings, {"data_files": (str(path),), **settings}))


def answers(tmp_path, *rows):
    return [(one.reference, one.alternatives) for one in examples(tmp_path, *rows).examples]


SQUAD = {"text": ["Norman", "the Normans", "Norman"], "answer_start": [3, 1, 3]}
TRIVIA = {"value": "Sunset Blvd", "aliases": ["Sunset Boulevard"], "type": "WikipediaEntity"}


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"question": "Who?", "answer": ["Ann", "Anna", "Ann "]}, ("Ann", ("Anna",))),
        ({"question": "Who?", "context": "Long ago", "answers": SQUAD}, ("Norman", ("the Normans",))),
        ({"question": "Where?", "answer": TRIVIA}, ("Sunset Blvd", ("Sunset Boulevard",))),
        ({"prompt": "Capital?", "answer": ["Paris", "the city of Paris"]}, ("Paris", ("the city of Paris",))),
        ({"prompt": "6 x 7?", "answers": [42, "forty-two"]}, ("42", ("forty-two",))),
        ({"prompt": "Capital?", "references": ["巴黎", "巴黎市"]}, ("巴黎", ("巴黎市",))),
        ({"instruction": "Translate", "input": "dog", "references": ["Hund", "der Hund"]}, ("Hund", ("der Hund",))),
        ({"input": "dog", "answers": "['Hund', 'Köter']"}, ("Hund", ("Köter",))),  # as pandas writes a list to CSV
        ({"prompt": "a", "completion": "b", "references": ["c", "b", "d"]}, ("b", ("c", "d"))),
        ({"text": "Long", "summary": "short", "references": ["short", "brief"]}, ("short", ("brief",))),
        ({"question": "Who?", "answer": ["Ann"]}, ("Ann", ())),
        ({"question": "Who?", "answer": "Ann"}, ("Ann", ())),
        # One answer: a list in a column that is written as it stands, numbers, and references that are sources.
        ({"prompt": "List", "completion": ["a", "b"]}, ('["a", "b"]', ())),
        ({"prompt": "List", "answer": [1, 2]}, ("[1, 2]", ())),
        ({"prompt": "a", "completion": "b", "references": ["https://example.org/1", "Smith 2003"]}, ("b", ())),
    ],
)
def test_what_several_answers_are(tmp_path, row, wanted):
    assert answers(tmp_path, row) == [wanted]


def test_of_a_conversation_the_last_answer_has_them(tmp_path):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    more = [{"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Ciao"}]
    row = {"messages": [*turns, *more], "references": ["Ciao", "Goodbye"]}
    assert answers(tmp_path, row) == [("Hello", ()), ("Ciao", ("Goodbye",))]
    row = {"prompt": "Hi", "history": [["a", "b"]], "answer": ["Hello", "Hey"]}
    assert answers(tmp_path, row) == [("b", ()), ("Hello", ("Hey",))]


def test_labels_are_no_alternatives(tmp_path):
    rows = [{"text": f"t{place}", "labels": ["a", "b"][: 1 + place % 2]} for place in range(8)]
    assert [one.alternatives for one in examples(tmp_path, *rows).examples] == [()] * 8
    classes = [{"text": f"t{place}", "label": "ab"[place % 2], "references": ["a", "b"]} for place in range(20)]
    read = examples(tmp_path, *classes)
    assert read.mapping.labels == ["a", "b"] and not any(one.alternatives for one in read.examples)


def test_answers_that_repeat_are_classes_only_where_each_row_has_one(tmp_path):
    rows = [{"prompt": f"p{place}", "answer": ["yes", "no"][place % 2]} for place in range(20)]
    assert find_labels(examples(tmp_path, *rows).examples) == ["no", "yes"]
    rows[3]["answer"] = ["no", "nope"]
    assert find_labels(examples(tmp_path, *rows).examples) is None


def test_the_plan_says_how_many_rows_have_several(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": "a", "completion": "b", "references": ["b", "c"]},
        {"prompt": "d", "completion": "e", "references": ["https://example.org"]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    loaded = load_rows(build(DataSettings, {"data_files": (str(path),)}))
    mapping = recognize(loaded.train, DataSettings())
    to_examples(loaded.train, mapping)
    said = {line.name: (line.value, line.why) for line in mapping.notes.lines()}
    assert said["several_answers"][0] == 1 and "any of them is right in an evaluation" in said["several_answers"][1]
    assert said["references_not_read"][0] == 1 and said["references_not_read"][1].endswith("rows.jsonl:2")


def test_a_run_keeps_them_and_they_are_not_learned(tmp_path):
    (one,) = examples(tmp_path, {"question": "Who?", "answer": ["Ann", "Anna"]}).examples
    row = as_row(one)
    assert row["completion"] == "Ann" and row["references"] == ["Ann", "Anna"]
    assert from_row(json.loads(json.dumps(row))) == one
    assert answers(tmp_path, row) == [("Ann", ("Anna",))]  # a file of a run's data folder
    (alone,) = examples(tmp_path, {"question": "Who?", "answer": "Ann"}).examples
    assert "references" not in as_row(alone)
    assert content(one) == content(alone)

"""Labels: in one spelling, with names for numbers, and several in a row however they are written."""

import json

import pytest

from data_rows import made
from graft.config import DataSettings
from graft.data.classes import Classes
from graft.data.columns import recognize
from graft.data.columns.labeled import labeled_texts
from graft.data.columns.tagged import tagged_words
from graft.data.quality import to_examples
from graft.errors import InputError


def read(by, *columns, labels=None, **settings):
    rows = made(*columns)
    mapping = by(rows, DataSettings(**settings), None, labels)
    return mapping, list(to_examples(rows, mapping))


def labeled(*labels, name="label"):
    return [{"text": f"t{n}", name: label} for n, label in enumerate(labels)]


def said(mapping, name):
    return next((inferred.value for inferred in mapping.inferred if inferred.name == name), None)


@pytest.mark.parametrize("by", [recognize, labeled_texts])
def test_labels_that_differ_in_case_or_blanks_are_one_class_by_its_usual_name(by):
    mapping, found = read(by, *labeled("POS", "pos ", "pos", "very  good", "Very good", "neg"))
    assert mapping.labels == ["neg", "pos", "very  good"]
    assert [example.reference for example in found] == ["pos", "pos", "pos", "very  good", "very  good", "neg"]
    assert said(mapping, "label_spelling") == ["POS = pos", "Very good = very  good"]
    same, _ = read(by, *labeled("a", "b"))
    assert said(same, "label_spelling") is None


@pytest.mark.parametrize("by", [recognize, labeled_texts])
def test_rows_of_a_model_that_knows_its_classes_have_their_spelling(by):
    mapping, found = read(by, *labeled("POS", "Neg", "other"), labels=["neg", "pos"])
    assert mapping.labels == ["neg", "pos"] and [example.reference for example in found] == ["pos", "neg", "other"]
    assert Classes.of([], known=["Pos", "pos"]).name(" Pos", None) == "Pos"


def test_a_head_that_gets_its_classes_by_templates_has_one_spelling_of_each():
    rows = [{"a": f"t{n}", "b": ("Yes", "yes", "yes ", "no")[n % 4]} for n in range(8)]
    _, found = read(labeled_texts, *rows, prompt_template="{a}", completion_template="{b}")
    assert {example.reference for example in found} == {"yes", "no"}


def test_answers_that_are_no_classes_stay_as_they_are():
    _, found = read(recognize, {"prompt": "a", "completion": "Yes"}, {"prompt": "b", "completion": "yes"})
    assert [example.completion for example in found] == ["Yes", "yes"]
    _, found = read(recognize, *labeled(*(f"Free Text {n}" for n in range(50)), "free text 1"))
    assert found[-1].completion == "free text 1"


@pytest.mark.parametrize("by", [recognize, labeled_texts])
@pytest.mark.parametrize("labels", [(0, 1, 1), ("0", "1", "1"), (0.0, 1.0, 1.0), (0, "pos", "POS")])
def test_numbers_get_the_names_that_are_given(by, labels):
    mapping, found = read(by, *labeled(*labels), label_names="neg,pos")
    assert mapping.labels == ["neg", "pos"] and [example.reference for example in found] == ["neg", "pos", "pos"]
    with pytest.raises(InputError, match=r"rows\.jsonl:3: the class 2 has no name: --label_names has those of 0 to 1"):
        read(by, *labeled(0, 1, 2), label_names="neg,pos")


@pytest.mark.parametrize("by", [recognize, labeled_texts])
def test_classes_that_are_numbers_without_names_are_said(by):
    mapping, _ = read(by, *labeled(1, 0, 10, 2))
    assert said(mapping, "class_names") == ["0", "1", "2", "10"] and mapping.labels == ["0", "1", "10", "2"]


TAGGED = {"tokens": ["Ann", "Lee", "met", "Bo"], "ner_tags": [1, 2, 0, 1]}


@pytest.mark.parametrize(
    "tags", [[1, 2, 0, 1], ["1", "2", "0", "1"], "[1, 2, 0, 1]", "[1 2 0 1]", [1.0, 2.0, 0.0, 1.0]]
)
def test_tags_that_are_numbers_need_names(tags):
    for by in (recognize, tagged_words):
        with pytest.raises(InputError, match="the tags are numbers, and the data set has no names for them") as caught:
            read(by, {**TAGGED, "ner_tags": tags})
        assert "--label_names O,B-per,I-per" in str(caught.value)
        with pytest.raises(InputError, match="the tag 2 has no name"):
            read(by, {**TAGGED, "ner_tags": tags}, label_names="O,B-per")
    _, found = read(tagged_words, {**TAGGED, "ner_tags": tags}, label_names="O,B-per,I-per")
    assert found[0].tags == ("B-per", "I-per", "O", "B-per")
    _, found = read(recognize, {**TAGGED, "ner_tags": tags}, label_names="O,B-per,I-per")
    assert json.loads(found[0].completion) == {"per": ["Ann Lee", "Bo"]}


@pytest.mark.parametrize("by", [recognize, tagged_words])
@pytest.mark.parametrize(
    ("tokens", "tags", "what"),
    [
        (["a", None], ["O", "O"], "word 2 is missing"),
        (["a", "b"], ["O", None], "tag 2 is missing"),
        (["a", "b"], ["O"], "they have 2 and 1 items"),
        ("['a' ... 'b']", "['O' ... 'O']", "NumPy shortened the cell"),
        ("a b", "O O", "must be lists"),
    ],
)
def test_words_and_tags_that_cannot_be_read(by, tokens, tags, what):
    with pytest.raises(InputError, match=r"rows\.jsonl:1") as caught:
        read(by, {"tokens": tokens, "tags": tags})
    assert what in str(caught.value)


@pytest.mark.parametrize("by", [recognize, tagged_words])
@pytest.mark.parametrize(
    ("tokens", "tags"),
    [
        ('["Rome", "it\'s"]', '["B-loc", "O"]'),
        ("['Rome', \"it's\"]", "['B-loc', 'O']"),
        ("['Rome' \"it's\"]", "['B-loc' 'O']"),
    ],
)
def test_lists_in_cells_as_programs_write_them(by, tokens, tags):
    _, found = read(by, {"tokens": tokens, "tags": tags})
    assert found[0].reference in {"B-loc O", '{"loc": "Rome"}'}
    assert "Rome it's" in found[0].input_text


def test_the_numbers_of_spans_are_named_too():
    row = {"text": "in Rome", "spans": [{"start": 3, "end": 7, "label": 1}]}
    _, found = read(tagged_words, row, label_names="none,city")
    assert found[0].tags == ("O", "B-city")
    with pytest.raises(InputError, match="the tags are numbers"):
        read(tagged_words, row)


@pytest.mark.parametrize(
    "cells",
    [
        [["a", "b"], ["a"], ["c", "b"], []],
        ["['a', 'b']", "['a']", "['c', 'b']", "[]"],
        ["['a' 'b']", "['a']", "['c' 'b']", "[]"],
        ['["a", "b"]', '["a"]', '["c", "b"]', "[]"],
        ["a|b", "A", "c | b", ""],
        ["a;b", "a", "c; b", ""],
        ["a, b", "a", "c, b", ""],
    ],
)
def test_several_labels_however_a_cell_has_them(cells):
    rows = labeled(*cells, "b|c" if "|" in cells[0] else "c", "c", name="labels")
    mapping, found = read(labeled_texts, *rows)
    assert mapping.names == ["a", "b", "c"] and mapping.labels is None
    assert [example.labels for example in found[:4]] == [("a", "b"), ("a",), ("b", "c"), ()]


@pytest.mark.parametrize(
    "cells",
    [
        ["Arts, Crafts", "Health, Beauty", "Arts, Crafts"],
        ["1,5", "2,5", "1,5", "2,0", "1,0"],
        ["yes|no", "yes|no", "maybe"],
        ["a", "b"],
    ],
)
def test_signs_that_belong_to_the_names_of_classes(cells):
    mapping, found = read(labeled_texts, *labeled(*cells))
    assert mapping.labels == sorted(set(cells)) and [example.reference for example in found] == cells
    assert said(mapping, "label_separator") is None


def test_the_separator_that_is_given_wins():
    mapping, _ = read(labeled_texts, *labeled("a|b", "c"), label_separator="|")
    assert mapping.names == ["a", "b", "c"]
    mapping, _ = read(labeled_texts, *labeled("a|b", "a", "b", "b"), label_separator="none")
    assert mapping.labels == ["a", "a|b", "b"]
    mapping, _ = read(labeled_texts, *labeled("a|b", "a", "b", "b"))
    assert said(mapping, "label_separator") == "|"
    mapping, _ = read(labeled_texts, *labeled("0,1", "1"), label_separator=",", label_names="no,yes")
    assert mapping.names == ["no", "yes"]


def flags(*rows):
    return [
        {"id": n, "text": f"t{n}", **dict(zip(("toxic", "insult", "threat"), row, strict=True))}
        for n, row in enumerate(rows)
    ]


@pytest.mark.parametrize("kind", [int, str, bool, float])
def test_a_column_of_0_and_1_for_each_label(kind):
    rows = [(kind(a), kind(b), kind(0)) for a, b in ((1, 1), (0, 1), (0, 0), (1, 0))]
    mapping, found = read(labeled_texts, *flags(*rows))
    assert [example.labels for example in found] == [("insult", "toxic"), ("insult",), (), ("toxic",)]
    assert said(mapping, "label_columns") == ["toxic", "insult", "threat"]
    written, found = read(recognize, *flags(*rows))
    assert [json.loads(example.completion) for example in found][:3] == [["toxic", "insult"], ["insult"], []]
    assert "Name all labels" in found[0].prompt[0]["content"] and written.names == ["insult", "threat", "toxic"]
    with pytest.raises(InputError, match=r"rows\.jsonl:4: the column 'insult' of a label must be 0 or 1, not 2"):
        read(labeled_texts, *flags((1, 0, 0), (0, 1, 0), (0, 0, 0), (0, 2, 0)), label_columns="toxic,insult")


@pytest.mark.parametrize("by", [recognize, labeled_texts])
def test_columns_of_which_each_row_has_one_are_classes(by):
    mapping, found = read(by, *flags((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0)))
    assert mapping.labels == ["insult", "threat", "toxic"] and said(mapping, "class_columns")
    assert [example.reference for example in found] == ["toxic", "insult", "threat", "toxic"]
    with pytest.raises(InputError, match=r"rows\.jsonl:2: this row has none of the labels"):
        read(by, *flags((1, 0, 0), (0, 0, 0), (1, 0, 0)), labels=mapping.labels)


def test_columns_that_are_no_labels():
    for row in (
        {"text": "a", "rank": 1, "score": 1},
        {"text": "a", "n": 0},
        {"text": "a", "x": 0, "summary": "s", "y": 1},
    ):
        mapping, _ = read(recognize, *[{**row} for _ in range(5)])
        assert mapping.kind in {"text", "text/summary"}
    with pytest.raises(InputError, match="no such columns: rude"):
        read(labeled_texts, *flags((1, 0, 0)), label_columns="toxic,rude")

"""What columns are for, when a head is to be trained."""

from __future__ import annotations

import json

import pytest

from graft.config import DataSettings
from graft.data.columns.labeled import labeled_texts
from graft.data.columns.pairs import text_pairs
from graft.data.columns.tagged import tagged_words
from graft.data.example import Origin
from graft.data.pipeline import prepare
from graft.data.readers import Row
from graft.errors import InputError


def rows(*columns):
    return [Row(dict(values), Origin("rows.jsonl", line)) for line, values in enumerate(columns, 1)]


def examples(recognize, *columns, **settings):
    given = rows(*columns)
    mapping = recognize(given, DataSettings(**settings))
    return [made for row in given for made in mapping.convert(row.columns, row.origin)]


def test_a_text_stays_as_it_is_and_its_class_is_the_answer():
    (made,) = examples(labeled_texts, {"text": "fine", "label": 1})
    assert (made.text, made.label) == ("fine", "1")


def test_columns_of_other_names_come_by_templates_or_by_their_roles():
    row = {"title": "A", "body": "b", "tone": "calm", "prompt": "p", "response": "calm "}
    (made,) = examples(labeled_texts, row, prompt_template="{title}: {body}", completion_template="{tone}")
    assert (made.text, made.label) == ("A: b", "calm")
    (made,) = examples(labeled_texts, {"prompt": "p", "response": "calm "})
    assert (made.text, made.label) == ("p", "calm")


def test_several_labels_may_be_none():
    made = examples(labeled_texts, {"text": "a", "labels": ["y", "x", "y"]}, {"text": "b", "labels": []})
    assert [example.labels for example in made] == [("x", "y"), ()]
    assert [example.reference for example in made] == ['["x", "y"]', "[]"]


def test_spans_become_tags():
    span = {"start": 0, "end": 8, "label": "full name"}
    (made,) = examples(tagged_words, {"text": "Ann Long, 12", "spans": [span, [10, 12, "age"]]})
    assert made.words == ("Ann", "Long", ",", "12")
    assert made.tags == ("B-full_name", "I-full_name", "O", "B-age")


@pytest.mark.parametrize(
    ("spans", "said"),
    [
        ([{"start": 0, "end": 99, "label": "x"}], "not within the 8"),
        ([{"start": 3, "end": 4, "label": "x"}], "covers no word"),
        ([{"start": 0, "end": 3, "label": "x"}, {"start": 0, "end": 7, "label": "y"}], "overlaps another"),
        ([{"start": 0, "label": "x"}], "start, end and label"),
        ("none", "must be a list"),
    ],
)
def test_a_wrong_span_is_named_by_its_line(spans, said):
    with pytest.raises(InputError, match=said) as caught:
        examples(tagged_words, {"text": "Ann Long", "spans": spans})
    assert "rows.jsonl:1" in str(caught.value)


def test_tags_are_a_list_as_long_as_the_tokens(tmp_path):
    file = tmp_path / "rows.jsonl"
    lines = [{"tokens": ["a", "b"], "tags": ["x", "y"]}] * 3 + [{"tokens": ["a"], "tags": ["x", "y"]}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(InputError, match="the same length") as caught:
        prepare(DataSettings(data_files=(str(file),)), 0, recognize=tagged_words)
    assert "rows.jsonl:4" in str(caught.value)


def test_tags_kept_as_json_are_tags():
    (made,) = examples(tagged_words, {"tokens": '["a", "b"]', "ner_tags": '["O", "B-x"]'})
    assert made.words == ("a", "b") and made.tags == ("O", "B-x")


def test_class_numbers_of_a_data_set_are_their_names():
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    from graft.data.sources import rows_of_dataset

    features = Features({"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=["O", "B-PER"]))})
    data = Dataset.from_dict({"tokens": [["in", "Ann"]], "ner_tags": [[0, 1]]}, features=features)
    assert next(rows_of_dataset(data, "hub train")).columns["ner_tags"] == ["O", "B-PER"]


def test_a_pairs_label_is_a_likeness_from_0_to_1():
    pair = {"sentence1": "a", "sentence2": "b"}
    made = examples(text_pairs, {**pair, "score": 5.0}, {**pair, "score": 2.5}, {**pair, "score": 0})
    assert [example.similarity for example in made] == [1, 0.5, 0]
    made = examples(text_pairs, {**pair, "label": 1}, {**pair, "label": False}, pair_label="different")
    assert [example.similarity for example in made] == [0, 1]
    with pytest.raises(InputError, match="a number of at least 0, not 'paraphrase'"):
        examples(text_pairs, {**pair, "label": "paraphrase"})
    with pytest.raises(InputError, match=r"a number of at least 0, not 1000+…"):
        examples(text_pairs, {**pair, "label": 10**400})


def test_pairs_that_share_one_text_are_not_the_same(tmp_path):
    file = tmp_path / "rows.jsonl"
    lines = [{"sentence1": "a", "sentence2": f"b{n}", "label": n % 2} for n in range(20)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = prepare(DataSettings(data_files=(str(file),)), 0, recognize=text_pairs)
    assert len(found.train) + len(found.eval) == 20 and found.mapping.labels is None

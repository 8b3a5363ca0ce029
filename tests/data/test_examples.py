"""Every variant of an example, in the run folder and back."""

import json
from dataclasses import replace

import pytest

from graft.data.example import (
    AnswerExample,
    ClassExample,
    MultiLabelExample,
    Origin,
    PairExample,
    TaggedExample,
    expect,
)
from graft.data.rows import as_row, from_row
from graft.errors import InputError

HERE = Origin("rows.jsonl", 3)
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
EXAMPLES = [
    AnswerExample(({"role": "user", "content": "Hi"},), "Hello.", HERE),
    AnswerExample(({"role": "user", "content": "Hi"},), "good", HERE, label="good"),
    AnswerExample(({"role": "user", "content": "Hi"},), "", HERE, tools=[{"name": "f"}], answer=CALL),
    AnswerExample("### Answer:", " yes", HERE),
    ClassExample("fine", "good", HERE),
    MultiLabelExample("fine", ("a, b", "ü"), HERE),
    MultiLabelExample("fine", (), HERE),
    TaggedExample(("in", "Rome"), ("O", "B-city"), HERE),
    PairExample("a", "b", 0.333333, HERE),
]
AS_0_1_WROTE_THEM = [
    ({"prompt": "fine", "completion": "good", "label": "good"}, ClassExample("fine", "good", HERE)),
    ({"prompt": "fine", "completion": '["a, b", "ü"]'}, MultiLabelExample("fine", ("a, b", "ü"), HERE)),
    (
        {"prompt": "in Rome", "completion": "O B-city", "words": ["in", "Rome"]},
        TaggedExample(("in", "Rome"), ("O", "B-city"), HERE),
    ),
    ({"prompt": "a", "completion": "0.5", "second": "b"}, PairExample("a", "b", 0.5, HERE)),
    ({"prompt": "### Answer:", "completion": "[1]"}, AnswerExample("### Answer:", "[1]", HERE)),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_a_row_of_the_run_folder_is_the_example_again(example):
    assert from_row(json.loads(json.dumps(as_row(example), ensure_ascii=False))) == example


@pytest.mark.parametrize(("row", "example"), AS_0_1_WROTE_THEM)
def test_rows_of_older_run_folders_are_read(row, example):
    kind = "text/labels" if isinstance(example, MultiLabelExample) else ""
    assert from_row({**row, "origin": "rows.jsonl:3"}, kind) == example


def test_a_task_that_gets_rows_of_another_says_so():
    assert expect(EXAMPLES[4], ClassExample) is EXAMPLES[4]
    with pytest.raises(InputError, match="expected a TaggedExample, got a ClassExample"):
        expect(replace(EXAMPLES[4], text="other"), TaggedExample)

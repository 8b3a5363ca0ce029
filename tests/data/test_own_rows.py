"""The rows that a run keeps are data, too: they give the examples that they were written from."""

import pytest

from graft.config import DataSettings
from graft.data.columns import recognize
from graft.data.example import AnswerExample, Origin
from graft.data.readers import Row
from graft.data.rows import as_row

PROMPT = ({"role": "user", "content": "Is it so?"},)
CALL = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "look"}}]}
TOOLS = [{"type": "function", "function": {"name": "look"}}]
EXAMPLES = [
    AnswerExample(PROMPT, "yes", Origin("rows.jsonl", 1), label="yes"),
    AnswerExample(PROMPT, "no", Origin("rows.jsonl", 2), label="no"),
    AnswerExample(PROMPT, "", Origin("rows.jsonl", 3), tools=TOOLS, answer=CALL, template_kwargs={"a": 1}),
    AnswerExample("Q: ", "b", Origin("rows.jsonl", 4)),
]


@pytest.mark.parametrize(
    "settings",
    [
        {"instruction": "Answer.", "system_prompt": "Be brief."},
        {"text_template": "Q: {question}\nA: {answer_text}"},
        {"prompt_template": "{question}", "completion_template": "{answer_text}"},
        {"response_template": "[/INST]"},
    ],
)
def test_they_give_the_same_examples_whatever_the_runs_settings_make_of_other_rows(settings):
    rows = [Row(as_row(example), example.origin) for example in EXAMPLES]
    mapping = recognize(rows, DataSettings(**settings))
    assert [mapping.convert(row.columns, row.origin) for row in rows] == [[example] for example in EXAMPLES]


def test_templates_for_their_columns_are_used():
    rows = [Row(as_row(example), example.origin) for example in EXAMPLES[3:]]
    mapping = recognize(rows, DataSettings(text_template="{prompt}-> {completion}"))
    assert mapping.kind == "text_template"


def test_labels_that_are_the_answers_are_no_verdicts_on_them():
    rows = [Row({"prompt": "a", "completion": word, "label": word}, Origin("r", 1)) for word in ("good", "bad")]
    mapping = recognize(rows, DataSettings(ignore_columns=("label",)))
    assert mapping.kind == "prompt/completion"

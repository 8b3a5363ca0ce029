"""What stands beside prompts and answers is read, or said not to be read."""

import json

import pytest

from data_rows import examples_of
from graft.config import DataSettings
from graft.data.pipeline import prepare
from graft.errors import InputError

USER = {"role": "user", "content": "q"}
BOT = {"role": "assistant", "content": "a"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}
ANSWERED = [
    {"prompt": "q", "completion": "a"},
    {"prompt": [USER], "completion": [BOT]},
    {"instruction": "q", "output": "a"},
    {"question": "q", "answer": "a"},
    {"query": "q", "response": "a"},
    {"input": "q", "output": "a"},
]
SHAPES = [{"messages": [USER, BOT]}, {"conversations": [USER, BOT]}, *ANSWERED]


def lines(mapping):
    return {line.name: line.value for line in mapping.notes.lines()}


@pytest.mark.parametrize("row", SHAPES)
@pytest.mark.parametrize("name", ["system", "system_prompt"])
def test_a_system_message_beside_every_shape(row, name):
    _, found = examples_of({**row, name: "S"}, {**row, name: None}, {**row, name: ""})
    assert [example.prompt[0]["content"] for example in found] == ["S", "q", "q"]
    _, found = examples_of({**row, name: "S"}, system_prompt="mine")
    assert found[0].prompt == ({"role": "system", "content": "mine"}, USER)


@pytest.mark.parametrize("row", SHAPES)
def test_what_the_template_gets_beside_every_shape(row):
    kwargs = {"enable_thinking": False}
    _, found = examples_of({**row, "tools": json.dumps([TOOL]), "chat_template_kwargs": json.dumps(kwargs)})
    assert found[0].tools == [TOOL] and found[0].template_kwargs == kwargs and found[0].completion == "a"
    with pytest.raises(InputError, match="chat_template_kwargs must be an object"):
        examples_of({**row, "chat_template_kwargs": "no"})


@pytest.mark.parametrize("row", SHAPES)
def test_rows_can_be_switched_off_in_every_shape(row):
    mapping, found = examples_of({**row, "weight": 0}, row)
    assert len(found) == 1 and lines(mapping) == {"rows_not_trained": 1}


@pytest.mark.parametrize("row", ANSWERED)
@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_beside_an_answer(row, name):
    _, found = examples_of({**row, name: "Hm."}, {**row, name: None})
    assert found[0].answer == {**BOT, "reasoning_content": "Hm."} and found[1].answer is None
    with pytest.raises(InputError, match=f"{name} must be what the model thinks.*, not true"):
        examples_of({**row, name: True})


@pytest.mark.parametrize("row", ANSWERED)
@pytest.mark.parametrize("history", [[["h", "b"]], '[["h", "b"]]', [{**USER, "content": "h"}, {**BOT, "content": "b"}]])
def test_history_beside_an_answer(row, history):
    mapping, found = examples_of({**row, "history": history, "system": "S"})
    system, asked = {"role": "system", "content": "S"}, {"role": "user", "content": "h"}
    assert [example.completion for example in found] == ["b", "a"]
    assert found[0].prompt == (system, asked)
    assert found[1].prompt == (system, asked, {"role": "assistant", "content": "b"}, USER)
    assert [line.value for line in mapping.inferred if line.name == "history"] == ["trained"]


@pytest.mark.parametrize("history", ["earlier", [["h"]], [["h", None]], {"h": "b"}])
def test_history_that_is_none(history):
    with pytest.raises(InputError, match=r"^rows\.jsonl:1: .*history"):
        examples_of({"instruction": "q", "output": "a", "history": history})


def test_which_system_message_is_used():
    own = {"messages": [{"role": "system", "content": "own"}, USER, BOT]}
    mapping, found = examples_of({**own, "system": "column"}, {**own, "system": "own"}, own)
    assert {example.prompt[0]["content"] for example in found} == {"own"} and len(found[0].prompt) == 2
    assert lines(mapping) == {"system_column_not_read": 1}
    mapping, found = examples_of(own, {**own, "system": "x"}, system_prompt="mine")
    assert [example.prompt[0]["content"] for example in found] == ["mine", "mine"] and len(found[0].prompt) == 2
    assert lines(mapping) == {"system_messages_replaced": 2}
    with pytest.raises(InputError, match="system and system_prompt, which differ"):
        examples_of({**own, "system": "x", "system_prompt": "y"})


def test_prompts_answers_are_context_and_those_of_the_completion_are_trained():
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": {}}}]}
    row = {"prompt": [USER, BOT, USER], "completion": [call, {"role": "tool", "content": "3"}, BOT]}
    mapping, found = examples_of(row)
    assert [len(example.prompt) for example in found] == [3, 5] and found[0].answer["tool_calls"]
    assert lines(mapping) == {"answers_not_trained": 1}


def test_columns_that_are_not_read_are_named():
    rows = [{**SHAPES[0], "id": n, "source": "web" if n else None, "empty": ""} for n in range(3)]
    mapping, _ = examples_of(*rows)
    assert lines(mapping) == {"columns_not_read": ["id", "source"]}
    mapping, _ = examples_of({"text": "t", "other": "o"}, text_template="{text}")
    assert lines(mapping) == {"columns_not_read": ["other"]}


@pytest.mark.parametrize(
    ("row", "lost"),
    [
        ({"messages": [USER, BOT], "history": [["h", "b"]]}, "history"),
        ({"messages": [USER, BOT], "reasoning": "Hm."}, "reasoning"),
        ({"messages": [USER, BOT], "conversations": [USER, BOT]}, "conversations"),
        ({"messages": [USER, BOT], "images": ["x.png"]}, "images"),
        ({"prompt": "q", "completion": "a", "label": "sports"}, "label"),
        ({"prompt": "q", "completion": "a", "messages": None, "context": "c"}, "context"),
        ({"text": "t", "summary": "s", "system": "S"}, "system"),
        ({"text": "t", "label": "x", "Tools": [TOOL]}, "Tools"),
        ({"text": "t", "label": "x", "weight": 0}, "weight"),
    ],
)
def test_a_known_column_that_would_be_lost(row, lost):
    others = {name: value for name, value in row.items() if name != lost}
    with pytest.raises(InputError) as caught:
        examples_of(others, row, row)
    (problem,) = caught.value.problems
    assert problem.where == "rows.jsonl:2" and f"the column {lost!r} would be lost" in problem.what
    assert "2 rows have it" in problem.what and f"--ignore_columns {lost}" in problem.remedy


def test_columns_that_are_left_out_on_purpose(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [{"messages": [{**USER, "content": f"q{n}"}, {**BOT, "content": f"a{n}"}], "history": [n]} for n in range(9)]
    file.write_text("".join(json.dumps({**row, "id": 1}) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(InputError, match="the column 'history' would be lost"):
        prepare(DataSettings(data_files=(str(file),)), 0)
    found = prepare(DataSettings(data_files=(str(file),), ignore_columns=("history",)), 0)
    assert len(found.train) + len(found.eval) == 9
    assert [line.value for line in found.inferred if line.name == "columns_not_read"] == [["id"]]
    with pytest.raises(InputError, match="no row has the column 'histori'") as caught:
        prepare(DataSettings(data_files=(str(file),), ignore_columns=("histori", "id")), 0)
    assert "did you mean history?" in str(caught.value)


@pytest.mark.parametrize("row", [*SHAPES[:2], SHAPES[3]])
def test_an_instruction_is_not_put_before_messages(row):
    with pytest.raises(InputError, match="--instruction is put before texts"):
        examples_of(row, instruction="Say")


def test_texts_and_messages_are_not_joined():
    with pytest.raises(InputError, match="the prompt is made of instruction, input, and one of them is messages"):
        examples_of({"instruction": "q", "input": [USER], "output": "a"})
    with pytest.raises(InputError, match="the prompt is empty"):
        examples_of({"prompt": [], "completion": "a"})
    _, found = examples_of({"input": [USER], "output": "a"})
    assert found[0].prompt == (USER,)


@pytest.mark.parametrize("system", [{"x": 1}, [{"type": "image"}]])
def test_a_system_column_that_is_no_text(system):
    with pytest.raises(InputError, match="the system column has a part that is not text"):
        examples_of({**SHAPES[0], "system": system})


def test_a_column_of_another_name_that_holds_messages():
    with pytest.raises(InputError, match="body holds messages"):
        examples_of({"custom_id": "x", "body": {"messages": [USER, BOT]}})

"""Messages of every spelling are read in one form, or refused by row."""

import json

import pytest

from data_rows import examples_of
from graft.errors import InputError

USER = {"role": "user", "content": "q"}
BOT = {"role": "assistant", "content": "a"}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"x": 1}}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def read(*turns, **beside):
    """The messages of a conversation as they are read: all before its last answer, and that."""
    _, found = examples_of({"messages": list(turns), **beside})
    last = found[-1]
    return [*last.prompt, last.answer or {"role": "assistant", "content": last.completion}]


def refused(*turns, **beside):
    with pytest.raises(InputError, match=r"^rows\.jsonl:1: ") as caught:
        read(*turns, **beside)
    return str(caught.value)


@pytest.mark.parametrize("human", ["human", "Human", "USER", " user ", "prompter"])
@pytest.mark.parametrize("model", ["gpt", "ChatGPT", "chatbot", "Bing", "bard", "assistant", "model", "bot", "AI"])
def test_speakers_of_any_spelling(human, model):
    assert read({"from": human, "value": "q"}, {"from": model, "value": "a"}) == [USER, BOT]
    assert read({"role": human, "content": "q"}, {"role": model, "content": "a"}) == [USER, BOT]


@pytest.mark.parametrize("name", ["tool", "tool_response", "Tool-Response", "observation", "function", "ipython"])
def test_what_tools_return(name):
    assert read(USER, BOT, {"from": name, "value": "3"}, BOT)[2] == {"role": "tool", "content": "3"}
    assert read(USER, BOT, {"role": name, "content": {"sum": 3}}, BOT)[2]["content"] == '{"sum": 3}'


def test_an_unknown_role_is_named_with_the_nearest():
    said = refused({"role": "usre", "content": "q"}, BOT)
    assert "message 1 has the unknown role 'usre'" in said and "did you mean user?" in said and "human" in said
    assert "message 2 has no role" in refused(USER, {"content": "a"})


@pytest.mark.parametrize("arguments", [{"x": 1}, '{"x": 1}', ' {"x": 1} '])
def test_calls_of_every_form(arguments):
    function = {"name": "add", "arguments": arguments}
    wanted = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    forms = [
        {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]},
        {"role": "assistant", "content": "", "tool_calls": [{"function": function}]},
        {"role": "assistant", "tool_calls": [function]},
        {"role": "assistant", "content": None, "function_call": function, "tool_calls": None},
        {"role": "assistant", "content": None, "tool_calls": json.dumps([{"function": function}])},
        {"from": "function_call", "value": json.dumps(function)},
        {"from": "function_call", "value": json.dumps([function])},
        {"role": "tool_call", "content": function},
        {"role": "Tool Call", "content": json.dumps({"name": "add", "parameters": {"x": 1}})},
    ]
    for form in forms:
        assert read(USER, form) == [USER, wanted], form


def test_the_id_of_a_call_and_what_answers_it_are_kept():
    call = {**CALL, "id": "c1"}
    answer = {"role": "tool", "content": "3", "tool_call_id": "c1", "name": "add"}
    turns = [USER, {"role": "assistant", "content": "", "tool_calls": [call]}, answer, BOT]
    assert read(*turns) == turns


def test_calls_that_follow_an_answer_are_one_turn():
    call = {"from": "function_call", "value": json.dumps(CALL["function"])}
    assert read(USER, call, call)[1:] == [{"role": "assistant", "content": "", "tool_calls": [CALL, CALL]}]
    assert read(USER, BOT, call)[1:] == [{**BOT, "tool_calls": [CALL]}]
    thought = {"from": "function_call", "value": "<think>\nHm.\n</think>\n" + json.dumps(CALL["function"])}
    assert read(USER, thought)[1] == {**BOT, "content": "<think>\nHm.\n</think>", "tool_calls": [CALL]}


@pytest.mark.parametrize("arguments", ["nope", "[1]", "{'x': 1}", 3, [1]])
def test_arguments_that_are_no_object(arguments):
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": arguments}}]}
    assert "message 2: the arguments of the call of add are not a JSON object" in refused(USER, call)
    assert "message 2 is not a tool call" in refused(USER, {"from": "function_call", "value": "add(1)"})


@pytest.mark.parametrize(
    "tools",
    [
        [TOOL],
        json.dumps([TOOL]),
        [TOOL["function"]],
        json.dumps([TOOL["function"]]),
        [json.dumps(TOOL)],
        TOOL,
        [{"type": "function", **TOOL["function"]}],
        [{"name": "add", "input_schema": {"type": "object"}}],
        [{"name": "add", "parameters": '{"type": "object"}'}],
    ],
)
def test_tools_of_every_form(tools):
    for column in ("tools", "functions"):
        assert examples_of({"messages": [USER, BOT], column: tools})[1][0].tools == [TOOL]


@pytest.mark.parametrize("tools", ["add", ["add"], [{"type": "web_search"}], [3], 3])
def test_tools_that_are_none(tools):
    assert "tool" in refused(USER, BOT, tools=tools)
    assert examples_of({"messages": [USER, BOT], "tools": "[]"})[1][0].tools is None


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "thought"])
def test_thoughts(name):
    assert read(USER, {**BOT, name: "Hm."})[1] == {**BOT, "reasoning_content": "Hm."}
    parts = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "a"}]
    assert read(USER, {**BOT, "content": parts})[1] == {**BOT, "reasoning_content": "Hm."}
    assert read(USER, {**BOT, name: ""}) == [USER, BOT]
    assert "reasoning" in refused(USER, {**BOT, "reasoning_content": "Hm.", "thinking": "Well."})


def test_content_in_parts_wherever_it_stands():
    parts = [{"type": "text", "text": "q"}, "r", {"type": "input_text", "text": "s"}]
    for role in ("system", "user", "assistant", "tool"):
        turn = {"role": role, "content": parts}
        wanted = {"role": role, "content": "qrs" if role != "tool" else json.dumps(parts)}
        assert read(turn, USER, BOT)[0] == wanted if role != "tool" else read(USER, turn, BOT)[1] == wanted
    texts = [{"type": "text", "text": "q"}, {"type": "text", "text": "r"}]
    assert read(USER, BOT, {"role": "tool", "content": texts}, BOT)[2]["content"] == "qr"
    assert read(USER, {"role": "assistant", "content": parts})[1]["content"] == "qrs"


@pytest.mark.parametrize("kind", ["image", "image_url", "input_audio", "video"])
@pytest.mark.parametrize("role", ["user", "tool"])
def test_parts_that_are_no_text(kind, role):
    assert f"type '{kind}'" in refused(USER, {"role": role, "content": [{"type": kind, kind: "x.png"}]}, BOT)


@pytest.mark.parametrize("name", ["weight", "loss", "train", "trainable", "training"])
@pytest.mark.parametrize(("off", "on"), [(0, 1), (False, True), ("false", "true"), (0.0, 1.0), ("0", None)])
def test_turns_that_are_switched_off(name, off, on):
    for one, other, last in (("role", "content", "assistant"), ("from", "value", "gpt")):
        turns = [{one: "user", other: "q"}, {one: last, other: "no", name: off}]
        turns += [{one: "user", other: "q"}, {one: last, other: "a", name: on}]
        mapping, found = examples_of({"conversations": turns})
        assert [example.completion for example in found] == ["a"]
        assert all(name not in message for message in found[0].prompt) and found[0].answer is None
        assert [(line.name, line.value) for line in mapping.notes.lines()] == [("answers_not_trained", 1)]


@pytest.mark.parametrize("weight", [0.5, 2, -1, "maybe", [1]])
def test_a_weight_between(weight):
    assert f"message 2 has weight {weight!r}" in refused(USER, {**BOT, "weight": weight})
    assert f"the row has weight {weight!r}" in refused(USER, BOT, weight=weight)


def test_rows_that_are_switched_off_are_counted_unless_all_are():
    off = {"messages": [USER, {**BOT, "weight": 0}]}
    mapping, found = examples_of(off, {"messages": [USER, BOT]}, {"messages": [USER, BOT], "train": False})
    assert len(found) == 1
    (line,) = mapping.notes.lines()
    assert (line.name, line.value) == ("rows_not_trained", 2) and "rows.jsonl:1" in line.why
    with pytest.raises(InputError, match="no row has an answer that is trained"):
        examples_of(off, off)


@pytest.mark.parametrize(
    "value",
    [
        json.dumps([USER, BOT]),
        json.dumps({"messages": [USER, BOT]}),
        {"messages": [USER, BOT]},
        {"conversations": [USER, BOT]},
        [[USER, BOT]],
        [json.dumps(USER), json.dumps(BOT)],
        {"role": ["user", "assistant"], "content": ["q", "a"]},
        str([USER, BOT]),
    ],
)
def test_conversations_that_stand_within_something(value):
    for column in ("messages", "conversations", "turns"):
        _, found = examples_of({column: value})
        assert (found[0].prompt, found[0].completion) == ((USER,), "a")


def test_role_and_from_may_both_be_there():
    assert read(USER, {"role": "assistant", "from": "GPT", "content": "a", "value": "a"}) == [USER, BOT]
    assert "role and from, which differ" in refused(USER, {**BOT, "from": "human"})


def test_contents_and_parts_as_gemini_has_them():
    turns = [{"role": "user", "parts": [{"text": "q"}]}, {"role": "model", "parts": [{"text": "a"}]}]
    _, found = examples_of({"contents": turns, "systemInstruction": {"role": "system", "parts": [{"text": "S"}]}})
    assert found[0].prompt == ({"role": "system", "content": "S"}, USER) and found[0].completion == "a"


def test_what_stands_beside_nested_messages():
    mapping, found = examples_of({"messages": {"messages": [USER, BOT], "tools": [TOOL], "system": "S", "id": 7}})
    assert found[0].tools == [TOOL] and found[0].prompt[0] == {"role": "system", "content": "S"}
    assert mapping.notes.lines()[0].value == ["id"]


def test_keys_of_messages_are_read_or_said():
    mapping, found = examples_of(
        {"messages": [{**USER, "name": "Ann", "id": 1}, {**BOT, "rating": 5, "refusal": None}]}
    )
    assert found[0].prompt[0]["name"] == "Ann" and found[0].answer is None
    (line,) = mapping.notes.lines()
    assert (line.name, line.value) == ("message_keys_not_read", ["id", "rating"])
    for name, value in (("refusal", "I can't"), ("audio", {"id": "x"}), ("images", ["x.png"]), ("train_detail", [1])):
        assert f"message 2 has {name}, which would be lost" in refused(USER, {**BOT, name: value})


def test_messages_without_content():
    for turns in ([{"role": "user"}, BOT], [USER, {"role": "assistant", "content": None}], [USER, {"from": "gpt"}]):
        assert "has no content" in refused(*turns)
    assert read({"role": "system", "content": ""}, USER, BOT)[0] == {"role": "system", "content": ""}
    assert read(USER, BOT, {"role": "tool", "content": None}, BOT)[2]["content"] == ""
    assert "the answer is empty" in refused(USER, {**BOT, "content": " ", "reasoning": "Hm."})

"""Every role that is recognized, and what examples it makes."""

import json

import pytest

from data_rows import examples_of
from graft.data.pipeline import find_labels
from graft.errors import InputError

USER = {"role": "user", "content": "Hi"}
BOT = {"role": "assistant", "content": "Hello."}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}]


def contents(example):
    return [(message["role"], message["content"]) for message in example.prompt]


def test_messages_with_every_answer_an_example():
    row = {"messages": [{"role": "system", "content": "S"}, USER, BOT, {"role": "user", "content": "2?"}, BOT]}
    mapping, found = examples_of(row)
    assert mapping.kind == "messages"
    assert [example.completion for example in found] == ["Hello.", "Hello."]
    assert contents(found[0]) == [("system", "S"), ("user", "Hi")]
    assert contents(found[1])[2:] == [("assistant", "Hello."), ("user", "2?")]
    assert all(example.answer is None for example in found)


def test_messages_that_carry_no_weight_are_not_learned():
    _, found = examples_of({"messages": [USER, {**BOT, "weight": 0}, USER, {**BOT, "content": "Yes"}]})
    assert [example.completion for example in found] == ["Yes"]


def test_messages_with_tools_and_a_call():
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": "{}"}}]}
    read = [{"type": "function", "function": {"name": "add", "arguments": {}}}]
    turns = [USER, call, {"role": "tool", "content": "3"}, BOT]
    _, found = examples_of({"messages": turns, "tools": TOOLS}, {"messages": turns, "tools": None})
    assert found[0].tools == TOOLS and found[2].tools is None
    assert found[0].answer == {"role": "assistant", "content": "", "tool_calls": read} and found[0].completion == ""
    assert found[1].answer is None and contents(found[1])[-1] == ("tool", "3")


def test_messages_kept_as_a_json_text_as_csv_files_do():
    _, found = examples_of({"messages": json.dumps([USER, BOT]), "tools": json.dumps(TOOLS)})
    assert found[0].completion == "Hello." and found[0].tools == TOOLS


@pytest.mark.parametrize("turns", [[USER], [BOT], [{"role": "alien", "content": "x"}], "no list", []])
def test_messages_that_cannot_be_learned_from(turns):
    with pytest.raises(InputError, match=r"rows\.jsonl:1"):
        examples_of({"messages": turns})


def test_sharegpt():
    row = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}], "system": "S"}
    mapping, found = examples_of(row)
    assert mapping.kind == "conversations"
    assert contents(found[0]) == [("system", "S"), ("user", "Hi")] and found[0].completion == "Hello."
    with pytest.raises(InputError, match="message 1 has the unknown role 'alien'"):
        examples_of({"conversations": [{"from": "alien", "value": "x"}]})


@pytest.mark.parametrize("answer", ["completion", "response", "answer", "output", "chosen", "target"])
def test_prompt_and_answer(answer):
    mapping, found = examples_of({"prompt": "Hi", answer: "Hello.", "id": 7})
    assert mapping.kind == f"prompt/{answer}"
    assert (contents(found[0]), found[0].completion) == ([("user", "Hi")], "Hello.")


def test_prompt_and_completion_as_messages():
    _, found = examples_of({"prompt": [USER, BOT, USER], "completion": [{**BOT, "content": "Yes"}]})
    assert len(found) == 1 and found[0].completion == "Yes" and len(found[0].prompt) == 3


@pytest.mark.parametrize("chosen", [[BOT], [USER, BOT]])
def test_preferences_with_the_chosen_answer_as_messages(chosen):
    row = {"prompt": "Hi", "chosen": chosen, "rejected": [USER, BOT]}
    _, found = examples_of(row, column_mapping="chosen")
    assert [(contents(example), example.completion) for example in found] == [([("user", "Hi")], "Hello.")]


def test_alpaca_with_and_without_input():
    mapping, found = examples_of(
        {"instruction": "Add.", "output": "3"},
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Add.", "input": "", "output": 3.0},
    )
    assert mapping.kind == "instruction"
    assert [contents(example)[0][1] for example in found] == ["Add.", "Add.\n\n1 2", "Add."]
    assert {example.completion for example in found} == {"3"}


def test_question_and_answer_with_context_and_squads_answers():
    row = {"question": "Who?", "context": "Ann did.", "answers": {"text": ["Ann", "ann"], "answer_start": [0, 0]}}
    mapping, found = examples_of(row)
    assert mapping.kind == "question/answer"
    assert contents(found[0]) == [("user", "Ann did.\n\nWho?")] and found[0].completion == "Ann"


def test_text_and_label_get_an_instruction_that_names_the_classes():
    mapping, found = examples_of(*[{"text": f"t{n}", "label": ("good", "bad")[n % 2]} for n in range(4)])
    assert mapping.labels == ["bad", "good"] and found[0].label == found[0].completion == "good"
    assert contents(found[0])[0][1] == "Classify the text as one of: bad, good. Answer with one of these only.\n\nt0"
    _, own = examples_of({"tweet": "t", "tone": "x"}, instruction="Tone?", system_prompt="S")
    assert contents(own[0]) == [("system", "S"), ("user", "Tone?\n\nt")]


def test_labels_that_are_hardly_ever_the_same_are_answers_not_classes():
    mapping, found = examples_of(*[{"text": f"t{n}", "label": f"a free text {n}"} for n in range(60)])
    assert mapping.labels is None and contents(found[3]) == [("user", "t3")]


def test_number_labels_are_words():
    mapping, _ = examples_of(*[{"text": f"t{n}", "label": n % 2} for n in range(4)])
    assert mapping.labels == ["0", "1"]


def test_a_text_and_its_summary():
    mapping, found = examples_of({"article": "long", "highlights": "short"})
    assert mapping.kind == "text/summary" and contents(found[0]) == [("user", "Summarize the text.\n\nlong")]


def test_input_and_output_of_the_walkthroughs_json():
    mapping, found = examples_of({"input": "a", "output": "b"})
    assert mapping.kind == "input/output" and (contents(found[0]), found[0].completion) == ([("user", "a")], "b")


def test_tokens_and_tags():
    row = {"tokens": ["Ann", "Lee", "met", "Bo", "in", "Rome"], "tags": ["B-PER", "I-PER", "O", "B-PER", "O", "B-LOC"]}
    mapping, found = examples_of(row)
    assert mapping.kind == "tokens/tags"
    assert json.loads(found[0].completion) == {"PER": ["Ann Lee", "Bo"], "LOC": "Rome"}
    _, plain = examples_of({"tokens": ["5", "Elm", "St"], "tags": ["Number", "Street", "Street"]})
    assert json.loads(plain[0].completion) == {"Number": "5", "Street": "Elm St"}
    with pytest.raises(InputError, match="the same length"):
        examples_of({"tokens": ["a"], "tags": ["O", "O"]})
    with pytest.raises(InputError, match="the tags are numbers, and the data set has no names for them"):
        examples_of({"tokens": ["a"], "tags": [3]})


def test_text_alone_is_trained_on_whole():
    mapping, found = examples_of({"text": "Once upon a time"})
    assert mapping.kind == "text" and (found[0].prompt, found[0].completion) == ("", "Once upon a time")


def test_windows_line_ends_and_blanks_behind_the_answer():
    _, found = examples_of({"prompt": "Hi", "completion": "a\r\nb  \n"})
    assert found[0].completion == "a\nb"


def test_classes_are_found_where_answers_are_few_and_short():
    _, few = examples_of(*[{"prompt": f"p{n}", "completion": ("yes", "no")[n % 2]} for n in range(10)])
    _, many = examples_of(*[{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(10)])
    assert find_labels(few) == ["no", "yes"] and find_labels(many) is None

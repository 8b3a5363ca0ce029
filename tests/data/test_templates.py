"""Templates: placeholders, and where the completion begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_rows import examples_of
from graft.config import DataSettings
from graft.data.columns import shape_prompt
from graft.data.example import as_text
from graft.data.templates import parse_template, split_template
from graft.errors import InputError

LLAMA = (
    "<|start_header_id|>user<|end_header_id|>\\n{phrase}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\\n{tone}"
)
CODES = "### Language: {programming_language} \\n### Question: {prompt} \\n### Answer: {response}"


def one(row, template, generation_prompt=None):
    settings = DataSettings(text_template=template)
    mapping, found = examples_of(row, text_template=settings.text_template, generation_prompt=generation_prompt)
    return found[0].prompt, found[0].completion, mapping.inferred[0].value


def test_the_walkthroughs_llama_template():
    prompt, completion, border = one({"phrase": "Oh no", "tone": "sad"}, LLAMA)
    assert prompt == (
        "<|start_header_id|>user<|end_header_id|>\nOh no<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
    )
    assert completion == "sad" and "assistant" in border


def test_the_walkthroughs_tiny_codes_template():
    row = {"programming_language": "C", "prompt": "Why?", "response": "So."}
    prompt, completion, border = one(row, CODES)
    assert prompt == "### Language: C \n### Question: Why? \n### Answer:"
    assert completion == " So." and "### Answer:" in border


def test_the_walkthroughs_dialogue_template():
    assert one({"input": "Hi", "output": "Hello"}, "User: {input}\\nAssistant: {output}")[:2] == (
        "User: Hi\nAssistant:",
        " Hello",
    )


def test_the_models_own_marker_and_no_marker_at_all():
    assert one({"a": "x", "b": "y", "c": "z"}, "{a}<bot>{b} / {c}", "<bot>\n")[:2] == ("x<bot>", "y / z")
    prompt, completion, border = one({"a": "x", "b": "y"}, "Q {a} A {b}!")
    assert (prompt, completion) == ("Q x A", " y!") and border == "at the last placeholder, {b}"


def test_the_last_marker_counts_and_one_behind_the_last_placeholder_does_not():
    template = parse_template("Assistant: {a} User: {b} Assistant: {c} Assistant:")
    before, after, _ = split_template(template)
    assert before.names == ("a", "b") and after.names == ("c",) and after.parts == ("", " Assistant:")


def test_braces_that_are_no_placeholders():
    template = parse_template('{{plain}} {"a": {x}, "b": [{y}]} {} {1}')
    assert template.names == ("x", "y")
    assert template.fill({"x": 1, "y": "z"}) == '{plain} {"a": 1, "b": [z]} {} {1}'


def test_values_stand_as_people_write_them():
    assert [as_text(value) for value in ("ü", 3, 3.0, 2.5, True, ["ü"], {"a": None})] == [
        "ü",
        "3",
        "3",
        "2.5",
        "true",
        '["ü"]',
        '{"a": null}',
    ]


@pytest.mark.parametrize("template", [LLAMA, "User: {input}\\nAssistant: {output}"])
def test_what_is_typed_in_chat_stands_where_the_rows_text_stood(template):
    settings = DataSettings(text_template=template)
    prompt = shape_prompt("Oh no", settings)
    names = parse_template(settings.text_template).names
    row = dict(zip(names, ("Oh no", "sad"), strict=True))
    assert prompt == one(row, template)[0]


NAMES = st.from_regex(r"[a-zäé東][\wа-я .-]{0,8}", fullmatch=True)
LITERALS = st.text(alphabet=st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(LITERALS, NAMES), min_size=1, max_size=5), LITERALS, st.data())
def test_filling_is_joining(parts, end, data):
    """Prompt and completion together are the filled template, wherever the border is."""
    template = parse_template("".join(f"{literal}{{{name}}}" for literal, name in parts) + end)
    row = {name: data.draw(st.text(max_size=8)) for _, name in parts}
    assert template.names == tuple(name for _, name in parts)
    filled = "".join(literal + row[name] for literal, name in parts) + end
    before, after, _ = split_template(template, data.draw(st.sampled_from([None, "<|im_start|>assistant\n", "A"])))
    assert template.fill(row) == before.fill(row) + after.fill(row) == filled


@given(st.text(max_size=30))
def test_a_text_with_its_braces_doubled_is_that_text(text):
    template = parse_template(text.replace("{", "{{").replace("}", "}}"))
    assert template.names == () and template.fill({}) == text


def test_fields_of_objects_and_items_of_lists_by_dots():
    row = {
        "row": {"q": "Why?", "a": {"text": ["So.", "No."]}},
        "json": '{"q": "Who?"}',
        "row.q": "of the column itself",
    }
    assert one(row, "{row.a.text.1} {json.q} {row.q}")[:2] == ("No. Who?", " of the column itself")
    del row["row.q"]
    assert one(row, "{row.q} {row.a.text.0}")[:2] == ("Why?", " So.")
    with pytest.raises(InputError, match=r"rows\.jsonl:1: \{row\.b\} has no value: there is no 'b' in 'row'") as caught:
        one(row, "{json.q} {row.b}")
    assert "its fields are: q, a" in str(caught.value)
    with pytest.raises(InputError, match=r"there is no '2' in 'row\.a\.text'"):
        one(row, "{json.q} {row.a.text.2}")
    with pytest.raises(InputError, match=r"\{raw\.q\} is not a column"):
        one(row, "{raw.q} {json.q}")


def test_a_column_in_another_spelling_is_that_column_if_it_can_be_only_one():
    assert one({"Frage": "a", "Die Antwort": "b"}, "{frage} {die_antwort}")[:2] == ("a", " b")
    assert one({"A": {"B": "a"}, "c": "b"}, "{a.B} {C}")[:2] == ("a", " b")
    with pytest.raises(InputError, match=r"\{text\} is not a column"):
        one({"Text": "a", "TEXT": "b"}, "{text} {TEXT}")


def test_line_ends_of_what_is_typed_are_those_of_rows():
    assert shape_prompt("a\r\nb", None)[0]["content"] == "a\nb"

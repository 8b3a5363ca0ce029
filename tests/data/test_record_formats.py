"""The page on record formats says what the code does: every cell of its matrix is tried."""

import re
from pathlib import Path

import pytest

from data_rows import examples_of
from graft.data.speakers import NAMES
from graft.errors import InputError

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "record-formats.md").read_text(encoding="utf-8")
USER = {"role": "user", "content": "q"}
BOT = {"role": "assistant", "content": "a"}
SHARED = {"from": "human", "value": "q"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"x": 1}}}
TEMPLATES = "`--prompt_template`, `--completion_template`"
FORMS = {
    "`messages`": {"messages": [USER, BOT]},
    "`conversations`": {"conversations": [SHARED, {"from": "gpt", "value": "a"}]},
    "`prompt`, `completion` as messages": {"prompt": [USER], "completion": [BOT]},
    "`prompt`, `completion`": {"prompt": "q", "completion": "a"},
    "`instruction`, `input`, `output`": {"instruction": "q", "input": "", "output": "a"},
    "`question`, `context`, `answer`": {"question": "q", "context": None, "answer": "a"},
    "`input`, `output`": {"input": "q", "output": "a"},
    "`text`, `label`": {"text": "q", "label": "a"},
    "`text`, `summary`": {"text": "q", "summary": "a"},
    "`tokens`, `tags`": {"tokens": ["q"], "tags": ["O"]},
    "`text`": {"text": "q"},
    TEMPLATES: {"frage": "q", "antwort": "a"},
}
VALUES = {
    "system": "S",
    "tools": [TOOL],
    "chat_template_kwargs": {"enable_thinking": False},
    "history": [["h", "b"]],
    "reasoning": "Hm.",
    "weight": 0,
    "images": ["x.png"],
    "id": 7,
}


def matrix():
    """(form, column, what the page says) of each cell."""
    lines = PAGE[PAGE.index("| form |") :].split("\n\n")[0].splitlines()
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(row[0], head.strip("`"), cell) for row in rows for head, cell in zip(heads[1:], row[1:], strict=True)]


CELLS = matrix()


def converted(form, *rows):
    templates = {"prompt_template": "{frage}", "completion_template": "{antwort}"} if form == TEMPLATES else {}
    return examples_of(*rows, **templates)


@pytest.mark.parametrize(("form", "column", "said"), [cell for cell in CELLS if cell[1] in VALUES])
def test_a_column_beside_a_form(form, column, said):
    plain, row = FORMS[form], {**FORMS[form], column: VALUES[column]}
    if said == "error":
        with pytest.raises(InputError, match=f"the column '{column}' would be lost") as caught:
            converted(form, row, plain)
        assert f"--ignore_columns {column}" in str(caught.value)
        return
    mapping, found = converted(form, row, plain)
    unread = [line.value for line in mapping.notes.lines() if line.name == "columns_not_read"]
    assert unread == ([[column]] if said == "named" else [])
    if said == "read":
        evidence = {
            "system": lambda: found[0].prompt[0] == {"role": "system", "content": "S"},
            "tools": lambda: found[0].tools == [TOOL],
            "chat_template_kwargs": lambda: found[0].template_kwargs == VALUES["chat_template_kwargs"],
            "history": lambda: [example.completion for example in found] == ["b", "a", "a"],
            "reasoning": lambda: found[0].answer["reasoning_content"] == "Hm.",
            "weight": lambda: [example.origin.line for example in found] == [2],
        }
        assert evidence[column]()


def with_answer(form, answer):
    """The form with another answer, in the words of the form."""
    row = FORMS[form]
    if "conversations" in row:
        said = {{"role": "from", "content": "value"}.get(key, key): value for key, value in answer.items()}
        return {"conversations": [SHARED, said, SHARED, {"from": "gpt", "value": "last"}]}
    turns = [answer, USER, {**BOT, "content": "last"}]
    return {"messages": [USER, *turns]} if "messages" in row else {"prompt": [USER], "completion": turns}


@pytest.mark.parametrize(("form", "column", "said"), [cell for cell in CELLS if cell[1] not in VALUES])
def test_what_a_turn_has(form, column, said):
    if said == "–":
        assert not any(isinstance(turn, dict) for value in FORMS[form].values() for turn in list(value or ()))
        return
    parts = [{"type": "text", "text": "p"}, {"type": "text", "text": "q"}]
    answer, wanted = {
        "weight of a turn": ({**BOT, "weight": 0}, [("last", None)]),
        "tool calls": ({**BOT, "content": None, "tool_calls": [CALL]}, [("", [CALL]), ("last", None)]),
        "content in parts": ({**BOT, "content": parts}, [("pq", None), ("last", None)]),
    }[column]
    _, found = converted(form, with_answer(form, answer))
    assert [(example.completion, (example.answer or {}).get("tool_calls")) for example in found] == wanted


def test_the_matrix_is_whole():
    assert {cell[0] for cell in CELLS} == set(FORMS)
    assert {cell[1] for cell in CELLS} >= set(VALUES) and len(CELLS) == len(FORMS) * 11
    assert {cell[2] for cell in CELLS} == {"read", "error", "named", "–"}


def test_the_spellings_of_roles_are_those_of_the_code():
    section = PAGE[PAGE.index("| role |") : PAGE.index("An unknown role")]
    assert set(re.findall(r"`([\w.]+)`", section)) == {name for names in NAMES.values() for name in names}

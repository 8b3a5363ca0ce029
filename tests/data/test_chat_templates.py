"""Conversations by the templates of real families: the exact tokens, and which of them are trained.

``golden_tokens.json`` holds them; ``python tests/data/test_chat_templates.py --record`` writes it anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from graft.config import DataSettings
from graft.data.chat_template import Renderer
from graft.data.columns import recognize
from graft.data.example import Origin
from graft.data.readers import Row
from graft.data.tokenize import encode, prompt_token_ids
from graft.errors import InputError
from templates import FAMILIES, template_tokenizer

GOLDEN = Path(__file__).with_name("golden_tokens.json")
HERE = Origin("rows.jsonl", 1)


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def call(name, **arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": {}}}]
ROWS = {
    "one turn": {"messages": [user("What is 2 + 2?"), assistant("It is 4.")]},
    "system": {"messages": [{"role": "system", "content": "Be brief."}, user("Hi"), assistant("Yes?")]},
    "two turns": {"messages": [user("a"), assistant("b"), user("c"), assistant("d")]},
    "reasoning": {"messages": [user("a"), assistant("b", reasoning_content="First b."), user("c"), assistant("d")]},
    "reasoning at the end": {"messages": [user("a"), assistant("b", reasoning_content="It must be b.")]},
    "reasoning in the text": {"messages": [user("a"), assistant("<think>\nIt must be b.\n</think>\n\nb")]},
    "blanks": {"messages": [user("  a\n"), assistant(" b ")]},
    "tools": {
        "messages": [
            user("Oslo?"),
            assistant("", tool_calls=[call("weather", city="Oslo", days=None)]),
            {"role": "tool", "content": "rain"},
            assistant("It rains."),
        ],
        "tools": TOOLS,
    },
    "blanks and lines": {"messages": [user("x"), assistant("- one\n\n- two\n")]},
}


def examples_of(row):
    return recognize([Row(row, HERE)], DataSettings()).convert(row, HERE)


def rendered(family, name):
    """What the golden file has of a row: its tokens and where training begins, or why it is refused."""
    tokenizer = template_tokenizer(family)
    renderer = Renderer(tokenizer)
    found = []
    for example in examples_of(ROWS[name]):
        try:
            row = encode(example, renderer, 9999)
        except InputError as error:
            found.append({"refused": str(error)})
        else:
            trained = tokenizer.decode(row.input_ids[row.prompt_length :])
            found.append({"trained": trained, "prompt_length": row.prompt_length, "ids": row.input_ids})
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ROWS)
def test_the_tokens_and_what_is_trained_are_as_recorded(family, name):
    assert rendered(family, name) == json.loads(GOLDEN.read_text(encoding="utf-8"))[family][name]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ROWS)
def test_the_tokens_are_those_of_the_whole_conversation(family, name):
    tokenizer = template_tokenizer(family)
    renderer = Renderer(tokenizer)
    for example in examples_of(ROWS[name]):
        answer = example.answer or assistant(example.completion)
        try:
            row = encode(example, renderer, 9999)
        except InputError:
            continue
        messages = [renderer.template._message(message) for message in (*example.prompt, answer)]
        whole = tokenizer.apply_chat_template(messages, tools=example.tools, tokenize=True)["input_ids"]
        assert whole[: len(row.input_ids)] == row.input_ids
        assert tokenizer.decode(whole[len(row.input_ids) :]).strip() in ("", tokenizer.eos_token)
        asked = prompt_token_ids(example, renderer)
        assert row.input_ids[: len(asked)] == asked
        if family == "smollm3":
            continue
        assert row.prompt_length == len(asked)
        prompt = tokenizer.apply_chat_template(messages[:-1], tools=example.tools, add_generation_prompt=True)
        if family != "deepseek-r1-distill":  # whose generation prompt opens reasoning that its answers don't have
            assert prompt["input_ids"] == asked


def test_what_a_template_marks_is_what_is_trained():
    tokenizer = template_tokenizer("smollm3")
    for name in ("one turn", "two turns", "tools"):
        for example in examples_of(ROWS[name]):
            row = encode(example, Renderer(tokenizer), 9999)
            messages = [*example.prompt, example.answer or assistant(example.completion)]
            whole = tokenizer.apply_chat_template(
                messages, tools=example.tools, return_assistant_tokens_mask=True, return_dict=True
            )
            earlier = sum(message["role"] == "assistant" for message in example.prompt)
            ones = [place for place, one in enumerate(whole["assistant_masks"]) if one]
            starts = [place for place in ones if place - 1 not in ones]
            assert row.prompt_length == starts[earlier]
            assert row.input_ids == whole["input_ids"][: ones[-1] + 1]


if __name__ == "__main__" and "--record" in sys.argv:
    recorded = {family: {name: rendered(family, name) for name in ROWS} for family in FAMILIES}
    lines = [
        f"{json.dumps(family)}: {{\n"
        + ",\n".join(f"{json.dumps(n)}: {json.dumps(r, ensure_ascii=False)}" for n, r in rows.items())
        + "}"
        for family, rows in recorded.items()
    ]
    GOLDEN.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")

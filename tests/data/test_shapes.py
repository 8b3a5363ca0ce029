"""One conversation, written in every shape and file format that can hold it, gives the same examples."""

from __future__ import annotations

import csv
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from graft.config import DataSettings
from graft.data.columns import recognize
from graft.data.example import Origin
from graft.data.quality import to_examples
from graft.data.readers import load_file

ORIGIN = Origin("rows", 1)
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "d",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


@dataclass(frozen=True)
class Exchange:
    """A prompt and the answer to it, perhaps after a tool call; ``trained`` says nothing where it is None."""

    prompt: str
    answer: str
    thought: str | None = None
    arguments: dict[str, Any] | None = None
    trained: bool | None = None

    def messages(self) -> list[dict[str, Any]]:
        """The turns in the one form, with ``weight`` where something is said."""
        weight = {} if self.trained is None else {"weight": int(self.trained)}
        thought = {} if self.thought is None else {"reasoning_content": self.thought}
        turns: list[dict[str, Any]] = [{"role": "user", "content": self.prompt}]
        if self.arguments is not None:
            call = {"type": "function", "function": {"name": "weather", "arguments": self.arguments}}
            turns.append({"role": "assistant", "content": "", "tool_calls": [call], **weight})
            turns.append({"role": "tool", "content": '{"sky": "blue"}'})
        return [*turns, {"role": "assistant", "content": self.answer, **thought, **weight}]


@dataclass(frozen=True)
class Talk:
    """A conversation, and what stands beside it."""

    exchanges: list[Exchange]
    system: str | None
    tools: bool
    kwargs: dict[str, Any] | None

    def messages(self) -> list[dict[str, Any]]:
        """All turns in the one form, without the system message."""
        return [turn for exchange in self.exchanges for turn in exchange.messages()]

    def beside(self, text: bool = False) -> dict[str, Any]:
        """The columns beside the turns, tools as JSON text or not."""
        tools = {"tools": json.dumps(TOOLS) if text else TOOLS} if self.tools else {}
        kwargs = {"chat_template_kwargs": self.kwargs} if self.kwargs is not None else {}
        return {**tools, **kwargs}

    def plain(self) -> bool:
        """Whether all but the last exchange are a prompt and an answer, as pairs can hold them."""
        return all(e.arguments is None and e.thought is None and e.trained is None for e in self.exchanges[:-1])

    def examples(self) -> list[tuple[Any, ...]]:
        """What is to come of it."""
        before = [] if self.system is None else [{"role": "system", "content": self.system}]
        found = []
        for turn in self.messages():
            weight = turn.pop("weight", 1)
            if turn["role"] == "assistant" and weight:
                answer = turn if len(turn) > 2 else None
                found.append((tuple(before), turn["content"], answer, TOOLS if self.tools else None, self.kwargs))
            before = [*before, turn]
        return found


texts = st.text("ab{}[]\"'<>:, \nñ東", min_size=1, max_size=9).map(str.strip).filter(bool)
exchanges = st.builds(
    Exchange,
    texts,
    texts,
    st.none() | texts,
    st.none() | st.fixed_dictionaries({"city": texts}, optional={"days": st.integers(0, 9)}),
    st.sampled_from([None, None, True, False]),
)
talks = st.builds(
    Talk,
    st.lists(exchanges, min_size=1, max_size=3),
    st.none() | texts,
    st.booleans(),
    st.none() | st.fixed_dictionaries({"enable_thinking": st.booleans()}),
).filter(lambda talk: bool(talk.examples()))


def openai(talk: Talk) -> dict[str, Any]:
    """As OpenAI writes it: arguments as text, content null beside calls, the system message first."""
    turns = [] if talk.system is None else [{"role": "system", "content": talk.system}]
    for turn in talk.messages():
        calls = [
            {
                "type": "function",
                "function": {"name": "weather", "arguments": json.dumps(call["function"]["arguments"])},
            }
            for call in turn.get("tool_calls", ())
        ]
        turns.append({**turn, "content": None, "tool_calls": calls} if calls else turn)
    return {"messages": turns, **talk.beside()}


def spelled(talk: Talk) -> dict[str, Any]:
    """With content in parts, other names of roles and keys, and the system message and the tools as columns."""
    names = {"user": "USER", "assistant": "Model", "tool": "ipython"}
    keys = {"reasoning_content": "thinking", "weight": "train"}
    turns = []
    for turn in talk.messages():
        half = len(turn["content"]) // 2
        parts = [{"type": "text", "text": part} for part in (turn["content"][:half], turn["content"][half:])]
        turns.append(
            {
                **{keys.get(key, key): value for key, value in turn.items() if key not in ("role", "content")},
                "role": names[turn["role"]],
                "content": parts,
            }
        )
    bare = {"functions": json.dumps([TOOLS[0]["function"]])} if talk.tools else {}
    kwargs = {"chat_template_kwargs": talk.kwargs} if talk.kwargs else {}
    return {"messages": turns, "system": talk.system, "id": 7, **bare, **kwargs}


def legacy(talk: Talk) -> dict[str, Any]:
    """With ``function_call`` and the role ``function``, in an object with its own tools."""
    turns: list[dict[str, Any]] = []
    for turn in talk.messages():
        calls = turn.pop("tool_calls", None)
        if calls:
            turn |= {"content": None, "function_call": calls[0]["function"]}
        turns.append({**turn, "role": "function", "name": None} if turn["role"] == "tool" else turn)
    return {"messages": {"messages": turns, "system": talk.system, **talk.beside(text=True)}}


def sharegpt(talk: Talk) -> dict[str, Any]:
    """As ShareGPT writes it: speakers, calls as JSON texts, and a weight."""
    names = {"user": "human", "assistant": "gpt", "tool": "observation"}
    turns = [] if talk.system is None else [{"from": "system", "value": talk.system}]
    for turn in talk.messages():
        said = {"from": names[turn["role"]], "value": turn["content"]}
        if "tool_calls" in turn:
            said = {"from": "function_call", "value": json.dumps(turn["tool_calls"][0]["function"])}
        more = {key: turn[key] for key in ("reasoning_content", "weight") if key in turn}
        turns.append({**said, **more})
    return {"conversations": turns, **talk.beside(text=True)}


def prompt_completion(talk: Talk) -> dict[str, Any]:
    """With message lists; answers of the prompt are trained where their weight is 1."""
    *before, last = talk.exchanges
    context = [replace(e, trained=e.trained is not False) for e in before]
    asked, *answers = last.messages()
    prompt = [turn for exchange in context for turn in exchange.messages()]
    return {"prompt": [*prompt, asked], "completion": answers, "system_prompt": talk.system, **talk.beside()}


def with_history(talk: Talk, prompt: str, answer: str, pairs: bool) -> dict[str, Any] | None:
    """The last exchange as texts, and those before it as ``history``."""
    *before, last = talk.exchanges
    off = last.trained is not None and (last.trained is False or any(e.trained is not None for e in before))
    if last.arguments is not None or off or (pairs and not talk.plain()):
        return None
    history: Any = [[e.prompt, e.answer] for e in before]
    if not pairs:
        history = [turn for exchange in before for turn in exchange.messages()]
    row = {prompt: last.prompt, answer: last.answer, "reasoning": last.thought, "history": history or None}
    weight = {} if last.trained is None else {"weight": int(last.trained)}
    return {**row, "system": talk.system, **weight, **talk.beside()}


def chosen(talk: Talk) -> dict[str, Any] | None:
    """A preference whose rejected answer differs in the last turn alone."""
    if len(talk.examples()) != 1 or talk.exchanges[-1].trained is False or talk.exchanges[-1].arguments is not None:
        return None
    turns = [{key: value for key, value in turn.items() if key != "weight"} for turn in talk.messages()]
    rejected = [*turns[:-1], {"role": "assistant", "content": "rejected: " + turns[-1]["content"]}]
    return {"chosen": turns, "rejected": rejected, "system": talk.system, **talk.beside()}


SHAPES = {
    "openai": openai,
    "spelled": spelled,
    "legacy": legacy,
    "sharegpt": sharegpt,
    "prompt/completion": prompt_completion,
    "prompt/completion with history": lambda talk: with_history(talk, "prompt", "completion", False),
    "alpaca with pairs": lambda talk: with_history(talk, "instruction", "output", True),
    "question/answer with pairs": lambda talk: with_history(talk, "question", "answer", True),
    "input/output with history": lambda talk: with_history(talk, "input", "output", False),
    "chosen": chosen,
}


def in_lines(row: dict[str, Any], folder: Path) -> Path:
    path = folder / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return path


def in_parquet(row: dict[str, Any], folder: Path) -> Path:
    """Arrow pads objects with nulls; pairs and messages of one type are lists."""
    path = folder / "rows.parquet"
    parquet.write_table(pa.Table.from_pylist([row]), path)
    return path


def as_json_texts(row: dict[str, Any], folder: Path) -> Path:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()}
    return _in_csv({name: "" if text == "null" else text for name, text in texts.items()}, folder)


def as_pandas_writes(row: dict[str, Any], folder: Path) -> Path:
    """Lists and objects as Python writes them."""
    return _in_csv({name: "" if value is None else str(value) for name, value in row.items()}, folder)


def _in_csv(texts: dict[str, str], folder: Path) -> Path:
    path = folder / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(texts))
        writer.writeheader()
        writer.writerow(texts)
    return path


FORMATS = {"jsonl": in_lines, "parquet": in_parquet, "csv": as_json_texts, "pandas": as_pandas_writes}


def examples_of(path: Path, shape: str) -> list[tuple[Any, ...]]:
    rows = load_file(path)
    mapping = recognize(rows, DataSettings(column_mapping="chosen" if shape == "chosen" else None))
    found = to_examples(rows, mapping)
    return [(e.prompt, e.completion, e.answer, e.tools, e.template_kwargs) for e in found]


@pytest.mark.parametrize("file", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
@given(talk=talks)
@settings(max_examples=15)
def test_every_shape_in_every_format_gives_the_same_examples(shape, file, talk):
    row = SHAPES[shape](talk)
    if row is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = FORMATS[file](row, Path(folder))
        assert examples_of(path, shape) == talk.examples()


def test_the_conversations_have_what_they_are_to_have():
    """Else the property would hold of nothing."""
    full = Exchange("p", "a", "t", {"city": "Oslo"}, True)
    talk = Talk([full, replace(full, trained=False), Exchange("p", "b")], "S", True, {"enable_thinking": False})
    assert len(talk.examples()) == 3 and [found[1] for found in talk.examples()] == ["", "a", "b"]
    assert all(SHAPES[name](Talk([Exchange("p", "a")], "S", True, None)) for name in SHAPES)

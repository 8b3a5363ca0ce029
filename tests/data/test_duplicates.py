"""Duplicates are rows that are equal in all that is read and learned of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_rows import examples_of
from graft.config import DataSettings
from graft.data import duplicates
from graft.data.duplicates import find_duplicates
from graft.data.example import (
    AnswerExample,
    ClassExample,
    MultiLabelExample,
    Origin,
    PairExample,
    TaggedExample,
    shown_places,
)
from graft.data.example_set import ExampleSet
from graft.data.pipeline import prepare
from graft.errors import InputError

CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo", "days": 1}}}
TOOL = {"type": "function", "function": {"name": "weather", "description": "", "parameters": {}}}
ASKED = {"role": "user", "content": "Weather in Oslo?"}
HERE = Origin("f", 1)


@pytest.fixture
def prepared(tmp_path):
    def run(*files, **settings):
        paths = [tmp_path / f"rows{number}.jsonl" for number in range(len(files))]
        for path, rows in zip(paths, files, strict=True):
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return prepare(DataSettings(data_files=tuple(map(str, paths)), **settings), 42)

    return run


def answer(prompt="p", completion="c", **more):
    messages = prompt if isinstance(prompt, tuple) else ({"role": "user", "content": prompt},)
    return AnswerExample(messages, completion, **{"origin": HERE, **more})


DIFFERENT = [
    answer("polish", "no"),
    answer("Polish", "no"),
    answer("polish ", "no"),
    answer("polish", "No"),
    answer("if x:\n    y\nz", "no"),
    answer("if x:\n    y\n    z", "no"),
    AnswerExample("polish", "no", HERE),
    answer("polish", "no", tools=[TOOL]),
    answer("polish", "no", tools=[TOOL, TOOL]),
    answer("polish", "no", label="no"),
    answer(({"role": "system", "content": "polish"},), "no"),
    answer(({"role": "user", "content": "polish", "name": "Ada"},), "no"),
    answer(({"role": "system", "content": "S"}, {"role": "user", "content": "polish"}), "no"),
    answer((ASKED,), "", answer={"role": "assistant", "content": "", "tool_calls": [CALL]}),
    answer((ASKED,), "", answer={"role": "assistant", "content": "", "tool_calls": [CALL, CALL]}),
    answer((ASKED,), "", answer={"role": "assistant", "content": "", "reasoning_content": "Hm."}),
    answer((ASKED, {"role": "assistant", "content": "", "tool_calls": [CALL]}), "x"),
    answer((ASKED, {"role": "assistant", "content": ""}), "x"),
    answer("n", "x", tools=[{"n": 1}]),
    answer("n", "x", tools=[{"n": 1.0}]),
    answer("n", "x", tools=[{"n": True}]),
    answer("n", "x", tools=[{"n": "1"}]),
    ClassExample("polish", "no", HERE),
    ClassExample("Polish", "no", HERE),
    MultiLabelExample("polish", ("no",), HERE),
    MultiLabelExample("polish", ("no", "yes"), HERE),
    TaggedExample(("new", "york"), ("B", "I"), HERE),
    TaggedExample(("new york",), ("B I",), HERE),
    PairExample("a", "b", 0.5, HERE),
    PairExample("b", "a", 0.5, HERE),
    PairExample("a", "b", 0.25, HERE),
]


def numbered(examples):
    return [replace(example, origin=Origin("f", line)) for line, example in enumerate(examples, 1)]


@pytest.mark.parametrize("stored", [list, iter])
def test_rows_that_differ_in_anything_are_kept_and_equal_ones_are_not(stored):
    given = ExampleSet.of(stored(numbered([*DIFFERENT, *DIFFERENT[::-1]])))
    found = find_duplicates(given)
    count = len(DIFFERENT)
    assert found.is_first.tolist() == [True] * count + [False] * count
    assert found.repeated.tolist() == list(range(count, 2 * count))
    assert found.firsts.tolist() == list(range(count))[::-1]


def test_rows_are_compared_themselves_whatever_their_hashes():
    """All hashes equal: what decides is the rows."""
    given = ExampleSet.of(iter(numbered([*DIFFERENT, *DIFFERENT])))
    same = np.zeros(len(given), np.uint64)
    found = find_duplicates(replace(given, inputs=same, targets=same))
    assert found.is_first.tolist() == [True] * len(DIFFERENT) + [False] * len(DIFFERENT)


def test_many_rows_are_compared_in_passes(monkeypatch):
    rows = numbered([answer(f"p{n % 1500}", "c" * (n % 7)) for n in range(3000)])
    whole = find_duplicates(ExampleSet.of(iter(rows)))
    monkeypatch.setattr(duplicates, "BYTES_AT_ONCE", 10_000)
    parts = find_duplicates(ExampleSet.of(iter(rows)))
    assert np.array_equal(whole.repeated, parts.repeated) and np.array_equal(whole.firsts, parts.firsts)
    seen: dict[tuple[str, str], int] = {}
    firsts = [seen.setdefault((row.input_text, row.completion), place) for place, row in enumerate(rows)]
    assert whole.is_first.tolist() == [first == place for place, first in enumerate(firsts)]


def test_the_order_of_a_messages_keys_means_nothing():
    def backwards(message):
        return dict(reversed(message.items()))

    said = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    given = [
        answer((message,), "", answer=last) for message, last in ((ASKED, said), (backwards(ASKED), backwards(said)))
    ]
    assert find_duplicates(ExampleSet.of(numbered(given))).is_first.tolist() == [True, False]


turns = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "X", "x y"])), min_size=1, max_size=3)


@given(st.lists(turns, min_size=1, max_size=12))
def test_a_conversation_is_a_duplicate_as_a_whole(conversations):
    rows = [
        {
            "messages": [
                {"role": r, "content": c} for asked, said in talk for r, c in (("user", asked), ("assistant", said))
            ]
        }
        for talk in conversations
    ]
    _, examples = examples_of(*rows)
    found = find_duplicates(examples)
    kept = {examples[place].origin.line - 1 for place in np.flatnonzero(found.is_first).tolist()}
    assert kept == {number for number, talk in enumerate(conversations) if talk not in conversations[:number]}
    assert found.is_first.sum() == sum(len(conversations[number]) for number in kept)


WORDS = ["us", "polish", "march", "turkey", "may", "china", "nice", "reading", "mobile", "job"]
CASED = [
    {"prompt": f"A name? {form}", "completion": f"{form == word}"} for word in WORDS for form in (word, word.title())
]


def test_prompts_that_differ_in_case_are_rows_of_their_own_and_no_contradiction(prepared):
    found = prepared(CASED)
    assert len(found.train) + len(found.eval) == 20
    assert found.summary["duplicates"] == 0 and found.summary["warnings"] == []


def test_the_same_prompt_and_answer_with_other_tools_is_another_row(prepared):
    def row(n, tools):
        return {"messages": [ASKED, {"role": "assistant", "content": f"a{n}"}], "tools": tools}

    other = {**TOOL, "function": {**TOOL["function"], "name": "forecast"}}
    rows = [row(n, tools) for n in range(6) for tools in ([TOOL], [TOOL, other], [TOOL])]
    rows += [
        {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "a"}]} for n in range(20)
    ]
    found = prepared(rows)
    assert found.summary["duplicates"] == 6
    assert "rows0.jsonl:3, 6, 9, 12, 15 and 1 more" in found.summary["warnings"][0]


def test_what_was_removed_is_said_with_lines_and_the_option_that_keeps_it(prepared):
    rows = [{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(30)]
    found = prepared(rows, [{"prompt": "new", "completion": "c"}, *rows[3:11]])
    kept = [*found.train, *found.eval]
    assert len(kept) == 31 and [e.origin.line for e in kept if "rows1" in e.origin.file] == [1]
    (said,) = found.summary["warnings"]
    assert said.startswith("8 duplicate rows were removed: ") and said.endswith("; --keep_duplicates trains on them")
    assert "rows1.jsonl:2, 3, 4, 5, 6 and 3 more (the first is equal to " in said and "rows0.jsonl:4)" in said
    assert found.summary["duplicates"] == 8


def test_kept_duplicates_are_trained_on_and_stay_on_one_side(prepared):
    rows = [{"text": f"t{n}", "label": "rare" if n % 9 == 0 else "usual"} for n in range(90)]
    up = [*rows, *(row for row in rows if row["label"] == "rare"), *(row for row in rows if row["label"] == "rare")]
    found = prepared(up, keep_duplicates=True)
    train, held = ([e.input_text for e in side] for side in (found.train, found.eval))
    assert len(train) + len(held) == 110 and not set(train) & set(held)
    assert found.summary["duplicates"] == 0
    assert found.summary["warnings"][0].startswith("20 duplicate rows kept, as --keep_duplicates says: ")
    assert found.summary["labels"]["rare"] == sum("rare" in e.reference for e in found.train) > 20


def test_rows_that_seem_to_be_enough_are_said_to_be_duplicates(prepared):
    with pytest.raises(InputError) as caught:
        prepared([{"prompt": f"p{n % 3}", "completion": f"c{n % 3}"} for n in range(60)])
    said = str(caught.value)
    assert "only 3 rows" in said and "57 duplicate rows were removed" in said and "--keep_duplicates" in said


def test_a_file_named_twice_is_twice_as_many_rows_if_duplicates_are_kept(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"p{n}", "completion": f"c{n}"}) + "\n" for n in range(20)), "utf-8")
    twice = {"data_files": (str(path), str(path))}
    assert prepare(DataSettings(**twice), 42).summary["duplicates"] == 20
    found = prepare(DataSettings(**twice, keep_duplicates=True), 42)
    assert len(found.train) + len(found.eval) == 40
    assert not {e.origin for e in found.train} & {e.origin for e in found.eval}


def test_what_most_conversations_begin_with_is_not_judged(prepared):
    def talk(n):
        hello = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi!"}]
        return {"messages": [*hello, {"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}]}

    found = prepared([talk(n) for n in range(20)])
    assert len(found.train) == 32 and sum(e.completion == "Hi!" for e in found.train) == 16
    assert [e.completion[0] for e in found.eval] == ["a"] * 4 and found.summary["duplicates"] == 0


def test_texts_alone_are_no_contradictions(prepared):
    found = prepared([{"text": f"text {n}"} for n in range(20)])
    assert found.summary["warnings"] == []


def test_places_are_shortened():
    places = [Origin(file, line) for file in ("a", "b") for line in (1, 2)]
    assert shown_places(places) == "a:1, 2, b:1, 2"
    assert shown_places([Origin("a", n) for n in range(9)]) == "a:0, 1, 2, 3, 4 and 4 more"
    assert shown_places(places, 1000) == "a:1, 2, b:1, 2 and 996 more"

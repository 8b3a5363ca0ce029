"""Held-out rows: the same mix, no text on both sides, decided by the seed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_rows import examples_of
from graft.data.example import AnswerExample, Origin
from graft.data.example_set import ExampleSet, prompt_key
from graft.data.split import hold_out, sample, usual_share
from graft.errors import InputError


def example(prompt, completion, line):
    return AnswerExample(({"role": "user", "content": prompt},), completion, Origin("f", line))


def rows(counts):
    made = [(f"{label} {n}", label) for label, count in counts.items() for n in range(count)]
    return ExampleSet.of([example(prompt, label, line) for line, (prompt, label) in enumerate(made, 1)])


def test_the_mix_of_classes_is_the_same_on_both_sides():
    examples = rows({"a": 500, "b": 100, "c": 10})
    train, held = hold_out(examples, 0.2, 42, ["a", "b", "c"])
    assert Counter(e.completion for e in held) == {"a": 100, "b": 20, "c": 2}
    assert sorted(e.origin.line for e in [*train, *held]) == list(range(1, 611))
    assert [e.origin.line for e in held] == sorted(e.origin.line for e in held)


def test_the_seed_decides():
    examples = rows({"a": 50, "b": 50})
    first, again, other = (list(hold_out(examples, 0.2, seed, ["a", "b"]).held_out) for seed in (1, 1, 2))
    assert first == again != other


def test_ten_to_twenty_percent_by_size():
    assert [usual_share(n) for n in (10, 500, 1250, 2000, 10**6)] == [0.2, 0.2, pytest.approx(0.15), 0.1, 0.1]


def test_a_conversation_stays_on_one_side():
    turns = [
        {"messages": [{"role": "user", "content": f"{n} first"}, {"role": "assistant", "content": "a"}] * 3}
        for n in range(30)
    ]
    _, examples = examples_of(*turns)
    train, held = hold_out(examples, 0.2, 42)
    assert not {e.origin for e in train} & {e.origin for e in held}
    assert len(train) + len(held) == 90 and len(held) == 18


def test_conversations_that_all_begin_alike_are_held_out_whole():
    def turn(n):
        hello = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi!"}]
        return {"messages": [*hello, {"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "a"}]}

    _, examples = examples_of(*map(turn, range(20)))
    train, held = hold_out(examples, 0.2, 42)
    assert not {e.origin for e in train} & {e.origin for e in held} and len(held) == 8


def test_a_class_whose_rows_all_have_one_prompt_stays_where_it_can_be_learned():
    same = [example("same", label, n) for n, label in enumerate(["z", "y", "z"], 100)]
    train, held = hold_out(ExampleSet.of([*rows({"a": 20, "b": 20}), *same]), 0.2, 42, ["a", "b", "y", "z"])
    assert {e.completion for e in train} == {"a", "b", "y", "z"} and {e.completion for e in held} == {"a", "b"}


def test_prompts_that_differ_in_case_only_are_on_both_sides_where_there_are_no_others():
    spelled = ["".join(c.upper() if n >> i & 1 else c for i, c in enumerate("upper case")) for n in range(32)]
    train, held = hold_out(ExampleSet.of([example(prompt, str(n), n) for n, prompt in enumerate(spelled)]), 0.2, 42)
    assert len(train) == 26 and len(held) == 6 and not {e.input_text for e in train} & {e.input_text for e in held}


def test_nothing_can_be_held_out_of_one_prompt():
    with pytest.raises(InputError, match="same prompt"):
        hold_out(ExampleSet.of([example("Same", str(n), n) for n in range(9)]), 0.2, 42)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["p", "P ", "q", "r\n", "r", "s", "t", "u"]), st.sampled_from("ab"), st.integers(0, 9)
        ),
        min_size=2,
        max_size=40,
    ),
    st.floats(0.05, 0.5),
    st.integers(0, 5),
    st.booleans(),
)
def test_no_text_is_ever_on_both_sides(given_rows, share, seed, with_labels):
    made = [example(f"{prompt}", label, 100 + line) for line, (prompt, label, _) in enumerate(given_rows)]
    examples = ExampleSet.of(made)
    try:
        train, held = hold_out(examples, share, seed, ["a", "b"] if with_labels else None)
    except InputError:
        return
    assert len(train) + len(held) == len(examples) and train and held
    compared = prompt_key if len(set(map(prompt_key, made))) > 1 else AnswerExample.input_text.fget
    assert not {compared(e) for e in train} & {compared(e) for e in held}


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(2, 40), min_size=1),
    st.integers(2, 100),
    st.integers(0, 9),
)
def test_a_sample_has_as_many_rows_as_were_asked_for_in_the_same_mix(counts, wanted, seed):
    examples = rows(counts)
    drawn, of = sample(examples, wanted, seed, list(counts))
    assert of == len(examples) and len(drawn) == min(wanted, len(examples))
    assert [e.origin.line for e in drawn] == sorted({e.origin.line for e in drawn})
    if wanted >= 2 * len(counts):
        for label, count in Counter(e.completion for e in drawn).items():
            exact = wanted * counts[label] / len(examples)
            assert count == counts[label] or count >= 2
            assert count <= max(2, exact + 1)
        assert {e.completion for e in drawn} == set(counts)
    assert list(drawn) == list(sample(examples, wanted, seed, list(counts)).examples)


def test_a_sample_is_drawn_from_the_whole_file_and_keeps_conversations_whole():
    turns = ExampleSet.of([example(f"turn {n}", f"answer {n}", 1 + n // 3) for n in range(90)])
    drawn, of = sample(turns, 10, 42)
    assert of == 30 and set(Counter(e.origin.line for e in drawn).values()) == {3} and len(drawn) == 30
    assert max(e.origin.line for e in drawn) > 15
    assert [e.origin for e in drawn] != [e.origin for e in sample(turns, 10, 7)[0]]

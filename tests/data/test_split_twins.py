"""Near twins are held out together, and rows that a program made go with what they were made from."""

import random

import numpy as np
import pytest

from data_rows import examples_of
from graft.config import DataSettings
from graft.data.example import AnswerExample, Origin
from graft.data.example_set import ExampleSet, source_key
from graft.data.near import near_twins
from graft.data.pipeline import prepare
from graft.data.provenance import PROVENANCE
from graft.data.split import hold_out
from graft.errors import InputError

LETTERS = "abcdefghijklmnopqrstuvwxyz      "


def texts(count, seed=0):
    chance = random.Random(seed)
    return ["".join(chance.choices(LETTERS, k=60)) for _ in range(count)]


def examples(prompts, label="ab"):
    return ExampleSet.of(
        [
            AnswerExample(({"role": "user", "content": prompt},), label[n % len(label)], Origin("f", n + 1))
            for n, prompt in enumerate(prompts)
        ]
    )


def lines(chosen):
    return [example.origin.line for example in chosen]


@pytest.mark.parametrize("labels", [None, ["a", "b"]])
@pytest.mark.parametrize("seed", range(4))
def test_no_held_out_row_has_a_near_twin_in_training(labels, seed):
    alone = texts(120)
    made = examples([*alone, *(f"{text}!" for text in alone[:40]), *(f"{text}?!" for text in alone[:10])])
    train, held = hold_out(made, 0.2, seed, labels)
    assert len(train) + len(held) == 170 and 30 <= len(held) <= 38
    assert (near_twins(held, train).places < 0).all()
    assert any(line > 120 for line in lines(held)) and any(line > 120 for line in lines(train))


def test_without_near_twins_the_split_is_as_if_they_were_not_looked_for(monkeypatch):
    import graft.data.split as split

    made = examples([f"text {n}" for n in range(50)] + texts(50))
    found = hold_out(made, 0.2, 42, ["a", "b"])
    monkeypatch.setattr(split, "_with_twins", lambda _, groups: groups)
    without = hold_out(made, 0.2, 42, ["a", "b"])
    assert (lines(found.train), lines(found.held_out)) == (lines(without.train), lines(without.held_out))


def test_a_chain_of_twins_is_on_one_side():
    long = "".join(texts(2, seed=4))
    chain = [long[start : start + 60] for start in (0, 3, 6, 9)]
    for seed in range(8):
        made = examples([*texts(60, seed=3), *chain])
        held = set(lines(hold_out(made, 0.2, seed).held_out))
        assert len({61, 62, 63, 64} & held) in (0, 4) and len(held) >= 12


def test_what_a_large_part_of_the_rows_have_in_common_does_not_keep_them_together():
    """Of four kinds of rows each has an instruction of its own: none is in more than half, and all are alike."""
    kinds = [text * 3 for text in texts(4, seed=9)]
    made = examples([f"{kinds[n % 4]} {n}" for n in range(200)])
    held = hold_out(made, 0.2, 42).held_out
    assert len(held) == 40 and len({(line - 1) % 4 for line in lines(held)}) == 4


def provenance(source=None, kind="copy"):
    return {PROVENANCE: {"step": "augment", "kind": kind, **({"source": "f:1", "of": source} if source else {})}}


def with_copies(rows, copies=1):
    """Rows, and behind them copies that a program made of each, which look like others altogether."""
    _, known = examples_of(*rows)
    keys = [source_key(example) for example in known]
    made = [
        {"text": text, "label": rows[n % len(rows)]["label"], **provenance(keys[n % len(rows)])}
        for n, text in enumerate(texts(copies * len(rows), seed=77))
    ]
    return [*rows, *made]


def test_added_rows_are_not_held_out_and_not_trained_on_where_their_source_is_held_out():
    rows = [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(texts(50))]
    _, made = examples_of(*with_copies(rows, copies=3))
    train, held = hold_out(made, 0.2, 42, ["a", "b"])
    held_lines = set(lines(held))
    assert len(held) == 10 and max(held_lines) <= 50
    copies_of_held = {line + 50 * copy for line in held_lines for copy in (1, 2, 3)}
    assert set(lines(train)) == set(range(1, 201)) - held_lines - copies_of_held
    assert lines(train) == sorted(lines(train))


def test_added_rows_do_not_change_which_rows_are_held_out():
    rows = [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(texts(50))]
    plain = hold_out(examples_of(*rows)[1], 0.2, 42, ["a", "b"])
    added = hold_out(examples_of(*with_copies(rows))[1], 0.2, 42, ["a", "b"])
    assert lines(plain.held_out) == lines(added.held_out)


def test_added_rows_whose_source_is_gone_or_that_have_none_are_trained_on():
    rows = [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(texts(40))]
    sources = ["0" * 16, None] * 3
    made = [{"text": text, "label": "a", **provenance(sources[n])} for n, text in enumerate(texts(6, 5))]
    _, found = examples_of(*rows, *made)
    train, held = hold_out(found, 0.2, 42)
    assert set(range(41, 47)) <= set(lines(train)) and len(train) + len(held) == 46


def test_data_that_a_program_made_altogether_cannot_be_held_out():
    rows = [{"text": text, "label": "ab"[n % 2], **provenance()} for n, text in enumerate(texts(20))]
    with pytest.raises(InputError, match="a program added all rows"):
        hold_out(examples_of(*rows)[1], 0.2, 42)


def test_what_is_left_out_is_said(tmp_path):
    import json

    rows = [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(texts(60))]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in with_copies(rows)), encoding="utf-8")
    found = prepare(DataSettings(data_files=(str(path),)), 42)
    said = [each.why for each in found.inferred if each.name == "eval_share"]
    assert f"{len(found.eval)} added rows left out: they were made from held-out rows" in said
    assert "12 of 60 rows, with the same mix of answers" in said
    assert not any(example.origin.added for example in found.eval)
    assert np.count_nonzero(found.train.sources == 0) == 60 - len(found.eval)

"""Steps for rows that are equal to others, or nearly: what goes, what stays, what is logged, and that twice is once."""

import json
import random

import pytest

from graft.commands.prepare import prepare_data, settings_class
from graft.config import build

TEXTS = ["".join(random.Random(n).choices("abcdefghijklmnopqrstuvwxyz     ", k=50)).strip() for n in range(40)]


def row(text, label="good", **more):
    return {"text": text, "label": label, **more}


@pytest.fixture
def prepared(tmp_path):
    def read(path):
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def run(train, held_out=(), **settings):
        number = len(list(tmp_path.iterdir()))
        files = {"data_files": train, "eval_data_files": held_out}
        paths = {}
        for name, rows in files.items():
            if rows:
                path = tmp_path / f"{number}-{name}.jsonl"
                path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
                paths[name] = str(path)
        out = tmp_path / f"{number}-out"
        prepare_data(build(settings_class(), {**paths, "output_path": str(out), **settings}))
        return read(out / "train.jsonl"), read(out / "eval.jsonl"), read(out / "changes.jsonl")

    return run


def lines(changes):
    return [(int(each["origin"].rsplit(":", 1)[1]), each["side"]) for each in changes]


ALONE = [row(text, ("good", "bad")[n % 2]) for n, text in enumerate(TEXTS)]


def test_rows_that_differ_stay_as_they_are(prepared):
    train, held, changes = prepared(ALONE[:30], ALONE[30:], steps=("near_duplicates",))
    assert (train, held, changes) == (ALONE[:30], ALONE[30:], [])


def test_of_equal_rows_the_first_stays_on_each_side_and_train_loses_what_is_judged(prepared):
    rows = [*ALONE[:20], ALONE[3], row(TEXTS[4], "bad"), ALONE[30], ALONE[5], ALONE[5]]
    held = [*ALONE[30:], ALONE[31]]
    train, kept, changes = prepared(rows, held)
    assert train == [*ALONE[:20], row(TEXTS[4], "bad")] and kept == ALONE[30:]
    assert lines(changes) == [(21, "train"), (23, "train"), (24, "train"), (25, "train"), (11, "eval")]
    assert {each["step"] for each in changes} == {"duplicates"} and {each["action"] for each in changes} == {"dropped"}
    assert changes[0]["why"].startswith("equal to ") and changes[0]["why"].endswith(".jsonl:4")
    assert changes[1]["why"].endswith(".jsonl:1") and "eval_data_files" in changes[1]["why"]
    again, held_again, nothing = prepared(train, kept)
    assert (again, held_again, nothing) == (train, kept, [])


def test_the_step_can_be_left_out(prepared):
    train, _, changes = prepared([*ALONE[:10], ALONE[0]], skip_steps=("duplicates",))
    assert len(train) == 11 and changes == []


def test_near_duplicates_go_only_if_they_are_asked_for_and_only_with_the_same_answer(prepared):
    rows = [*ALONE[:20], row(f"{TEXTS[0]}!"), row(f"{TEXTS[1]}!", "good"), row(TEXTS[2].upper()), row(f"{TEXTS[2]}??")]
    assert len(prepared(rows)[0]) == 24
    train, _, changes = prepared(rows, steps=("near_duplicates",))
    assert train == [*ALONE[:20], rows[21]] and lines(changes) == [(21, "train"), (23, "train"), (24, "train")]
    assert changes[0]["why"].startswith("nearly equal to ") and changes[0]["why"].endswith(".jsonl:1")
    assert prepared(train, steps=("near_duplicates",))[2] == []


def test_near_twins_of_what_is_judged_go_whatever_their_answer_and_the_judged_stay(prepared):
    held = [row(f"{TEXTS[0]}!", "bad"), row(TEXTS[1].upper(), "bad"), *ALONE[30:], row(f"{TEXTS[31]}!", "bad")]
    train, kept, changes = prepared(ALONE[:30], held, steps=("near_duplicates",))
    assert train == ALONE[2:30] and kept == held
    assert lines(changes) == [(1, "train"), (2, "train")]


def test_the_threshold_asks_for_the_step_and_decides(prepared):
    rows = [*ALONE[:20], row(f"{TEXTS[0]} and on")]
    assert len(prepared(rows, near_threshold=0.95)[0]) == 21
    assert len(prepared(rows, near_threshold=0.7)[0]) == 20


def test_conversations_go_whole_and_others_stay_whole(prepared):
    def chat(*texts):
        return {"messages": [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]}

    chats = [chat(TEXTS[n], "yes", TEXTS[n + 1], "no") for n in range(0, 12, 2)]
    near = chat(TEXTS[2], "yes", f"{TEXTS[3]}!", "no")
    rows = [*chats, chats[1], near, chat(TEXTS[0], "yes")]
    train, _, changes = prepared(rows, [chats[4], chat(TEXTS[20], "yes", TEXTS[21], "no")], steps=("near_duplicates",))
    assert train == [*chats[:4], chats[5], chat(TEXTS[0], "yes")]
    assert sorted((each["step"], line) for each, (line, _) in zip(changes, lines(changes), strict=True)) == [
        ("duplicates", 5),
        ("duplicates", 7),
        ("near_duplicates", 8),
    ]


def test_rows_that_a_program_added_are_no_repetition_unless_they_are_judged(prepared):
    added = {"graft_provenance": {"step": "augment", "kind": "case", "source": "x:1"}}
    rows = [*ALONE[:20], row(TEXTS[0].upper(), **added), row(f"{TEXTS[2]}!", **added), row(f"{TEXTS[30]}!", **added)]
    train, _, changes = prepared(rows, ALONE[30:], steps=("near_duplicates",))
    assert len(train) == 22 and lines(changes) == [(23, "train")]


def test_files_without_rows_to_read_are_left_alone(prepared):
    texts = [{"text": text} for text in (*TEXTS, TEXTS[0], f"{TEXTS[1]}!")]
    train, _, changes = prepared(texts, steps=("near_duplicates",))
    assert [each["text"] for each in train] == TEXTS and lines(changes) == [(41, "train"), (42, "train")]

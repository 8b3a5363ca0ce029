"""Steps that change labels: spellings, a mapping, decisions of a review, and rows that are likely wrong."""

from __future__ import annotations

import json

import pytest

from graft.commands.prepare import prepare_data, settings_class
from graft.config import DataSettings, build
from graft.data.checks import run_checks
from graft.data.review import REVIEW, write_review
from graft.errors import InputError
from graft.planning.checked_data import read_data
from label_rows import WORDS, labeled_rows, write_rows
from notes import Notes


def prepared(data, output, **given):
    return prepare_data(build(settings_class(), {"data_files": str(data), "output_path": str(output), **given}))


def rows_of(folder, name="train"):
    return read_lines(folder / f"{name}.jsonl")


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def labels_of(folder):
    return [row["label"] for row in rows_of(folder)]


def turn(role, text):
    return {"role": role, "content": text}


def reviewed(tmp_path, rows, decide):
    """The data, and its review with the lines as ``decide`` changes them."""
    data = write_rows(tmp_path / "rows.jsonl", rows)
    checked = read_data(DataSettings(data_files=(str(data),)), None, 42, None)
    path = write_review(run_checks(checked, ["wrong_labels"]), checked, tmp_path)
    assert path == tmp_path / REVIEW
    lines = read_lines(path)
    write_rows(path, [{**line, **decide(line)} for line in lines])
    return data, path, lines


def test_spellings_become_one_without_being_asked_and_nothing_else_does(tmp_path):
    rows, _ = labeled_rows(60)
    rows += [{"text": "a plum", "label": "Fruit"}, {"text": "a fig", "label": "fruits"}, {"text": "fig", "label": 3}]
    done = prepared(write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "out")
    assert labels_of(tmp_path / "out")[60:] == ["fruit", "fruits", 3]
    assert done.changes["labels"] == {"changed": 1}
    (change,) = read_lines(tmp_path / "out" / "changes.jsonl")
    assert (change["before"], change["after"], change["column"]) == ("Fruit", "fruit", "label")
    again = prepared(tmp_path / "out" / "train.jsonl", tmp_path / "again")
    assert not again.changes.get("labels") and rows_of(tmp_path / "again") == rows_of(tmp_path / "out")


@pytest.mark.parametrize("form", ["words", "yaml", "json"])
def test_a_mapping_renames_labels(tmp_path, form):
    rows, _ = labeled_rows(60)
    rows += [{"text": "a plum", "label": "FRUT"}, {"text": "a fig", "label": "frut"}]
    (tmp_path / "map.yaml").write_text("frut: fruit\ntool: thing\n", encoding="utf-8")
    (tmp_path / "map.json").write_text('{"frut": "fruit", "tool": "thing"}', encoding="utf-8")
    given = "frut=fruit, tool=thing" if form == "words" else str(tmp_path / f"map.{form}")
    prepared(write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "out", label_mapping=given)
    assert labels_of(tmp_path / "out")[60:] == ["fruit", "fruit"]
    assert set(labels_of(tmp_path / "out")) == {"fruit", "thing", "animal"}
    again = prepared(tmp_path / "out" / "train.jsonl", tmp_path / "again", label_mapping=given)
    assert not again.changes.get("labels")


def test_entries_of_a_mapping_that_rename_nothing_are_named(tmp_path):
    rows, _ = labeled_rows(60)
    notes, data = Notes(), write_rows(tmp_path / "rows.jsonl", rows)
    mapping = "frut=fruit,animl=fruit,tool=tools"
    given = {"data_files": str(data), "output_path": str(tmp_path / "out"), "label_mapping": mapping}
    done = prepare_data(build(settings_class(), given), notes)
    assert done.changes["labels"]["changed"] == labels_of(tmp_path / "out").count("tools")
    listed = "animl (did you mean animal?), frut"  # not fruit, which frut becomes
    assert notes.texts == [f"--label_mapping: no row has these labels: {listed}"]


def test_a_mapping_of_labels_that_no_row_has_is_refused_with_the_nearest(tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", labeled_rows(60)[0])
    with pytest.raises(InputError, match=r"no row has the label 'frut'.*\n.*did you mean fruit.*\n.*'gone'"):
        prepared(data, tmp_path / "out", label_mapping="frut=x,gone=y")
    (tmp_path / "map.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(InputError, match="expected a mapping"):
        prepared(data, tmp_path / "out", label_mapping=str(tmp_path / "map.json"))
    write_rows(data, [{"prompt": f"Say {n}", "completion": f"free text {n}"} for n in range(60)])
    with pytest.raises(InputError, match="these rows have no labels"):
        prepared(data, tmp_path / "out", label_mapping="a=b")


def test_labels_of_messages_lists_cells_and_tags_are_renamed_where_they_are(tmp_path):
    cases = {
        "messages": [
            {
                "messages": [
                    {"role": "user", "content": f"is it {n}?"},
                    {"role": "assistant", "content": "yess"[: 3 + n % 2]},
                ]
            }
            for n in range(30)
        ],
        "labels": [{"text": f"text {n}", "labels": ["yes", "yess"][: 1 + n % 2]} for n in range(30)],
        "cells": [{"text": f"text {n}", "labels": json.dumps(["yes", "yess"][: 1 + n % 2])} for n in range(30)],
        "tags": [{"tokens": ["so", f"{n}"], "tags": ["O", "yess"]} for n in range(30)],
    }
    for name, rows in cases.items():
        data = write_rows(tmp_path / f"{name}.jsonl", rows)
        prepared(data, tmp_path / name, label_mapping="yess=no")
        expected = [json.loads(json.dumps(row).replace("yess", "no")) for row in rows]
        assert rows_of(tmp_path / name) == expected, name


def test_a_review_is_applied_row_by_row_and_only_once(tmp_path):
    rows, flipped = labeled_rows(150, flips=12)
    rows[0]["text"] += " mail ada@example.org"

    def decide(line):
        action = ["keep", "drop", "relabel"][line["line"] % 3]
        return {"action": action} | ({"new_label": "tool"} if line["line"] % 2 and action == "relabel" else {})

    data, path, lines = reviewed(tmp_path, rows, decide)
    assert {line["action"] for line in lines} == {"keep"} and {line["line"] for line in lines} & flipped
    assert list(lines[0]) == ["file", "line", "text", "label", "suggestion", "score", "action", "hash"]
    prepared(data, tmp_path / "out", review=str(path))
    expected = list(rows)
    for line in lines:
        number = line["line"]
        if number % 3 == 2:
            expected[number - 1] = {**rows[number - 1], "label": "tool" if number % 2 else line["suggestion"]}
    dropped = {line["line"] - 1 for line in lines if line["line"] % 3 == 1}
    assert rows_of(tmp_path / "out") == [row for place, row in enumerate(expected) if place not in dropped]
    again = prepared(tmp_path / "out" / "train.jsonl", tmp_path / "again", review=str(path))
    assert not again.changes.get("review") and rows_of(tmp_path / "again") == rows_of(tmp_path / "out")


def test_a_review_shows_the_text_as_it_is_and_knows_it_when_the_classes_are_others(tmp_path):
    rows, _ = labeled_rows(150, flips=12)
    rows = [{"text": row["text"].replace(" ", "\n", 1), "label": row["label"]} for row in rows]
    rows += [{"text": f"rose {n}", "label": "tools"} for n in range(2)]
    data, path, lines = reviewed(tmp_path, rows, lambda line: {"action": "drop"})
    assert all(line["text"] == rows[line["line"] - 1]["text"] for line in lines)
    prepared(data, tmp_path / "mapped", label_mapping="tools=tool")
    done = prepared(tmp_path / "mapped" / "train.jsonl", tmp_path / "out", review=str(path))
    assert done.changes["review"] == {"dropped": len(lines)}


def test_a_review_of_conversations_changes_the_last_answer(tmp_path):
    rows, _ = labeled_rows(150, flips=12)
    rows = [{"messages": [turn("user", row["text"]), turn("assistant", row["label"])]} for row in rows]
    data, path, lines = reviewed(tmp_path, rows, lambda line: {"action": "relabel"})
    assert all(line["text"] == rows[line["line"] - 1]["messages"][0]["content"] for line in lines)
    prepared(data, tmp_path / "out", review=str(path))
    now = rows_of(tmp_path / "out")
    assert [now[line["line"] - 1]["messages"][1]["content"] for line in lines] == [each["suggestion"] for each in lines]


def test_a_review_shows_no_personal_data(tmp_path):
    rows, flipped = labeled_rows(150, flips=12)
    for number in flipped:
        rows[number - 1]["text"] += " mail ada@example.org"
    _, path, _ = reviewed(tmp_path, rows, lambda line: {})
    text = path.read_text(encoding="utf-8")
    assert "ada@" not in text and "[e-mail]" in text


def test_everything_wrong_with_a_review_is_said_at_once(tmp_path):
    rows, _ = labeled_rows(150, flips=12)
    wrong = [{"action": "dorp"}, {"action": "relabel", "new_label": "fruti"}, {"lable": "x"}, {"hash": 7}]
    data, path, _ = reviewed(tmp_path, rows, lambda line: wrong.pop(0) if wrong else {})
    with pytest.raises(InputError) as caught:
        prepared(data, tmp_path / "out", review=str(path))
    said = [(problem.where, problem.remedy) for problem in caught.value.problems]
    assert [where.rpartition(":")[2] for where, _ in said] == ["1", "2", "3", "4"]
    assert "did you mean drop?" in said[0][1] and "did you mean fruit?" in said[1][1] and "label?" in said[2][1]
    assert not (tmp_path / "out").exists()


def test_a_review_of_other_rows_is_refused(tmp_path):
    rows, _ = labeled_rows(150, flips=12)
    data, path, lines = reviewed(tmp_path, rows, lambda line: {"action": "relabel"})
    changed = [{**row, "text": row["text"] + " now"} for row in rows]
    write_rows(data, changed)
    with pytest.raises(InputError, match="has changed since the review") as caught:
        prepared(data, tmp_path / "out", review=str(path))
    assert len(caught.value.problems) == len(lines)
    write_rows(data, rows[:1])
    other = write_rows(tmp_path / "other.jsonl", changed)
    with pytest.raises(InputError, match="no row of the review is in the data"):
        prepared(other, tmp_path / "out", review=str(path))
    with pytest.raises(InputError, match="--review"):
        prepared(other, tmp_path / "out", steps="review")


def test_suspects_are_left_out_where_that_gains_and_only_once(tmp_path):
    rows, flipped = labeled_rows(450, flips=90)
    for row in rows:  # many words of their own, which a model learns with the wrong labels
        row["text"] += " " + " ".join(f"w{(hash_of(row['text']) + n) % 700}" for n in range(6))
    data = write_rows(tmp_path / "rows.jsonl", rows)
    done = prepared(data, tmp_path / "out", drop_suspects=True)
    gone = {int(line["origin"].rpartition(":")[2]) for line in read_lines(tmp_path / "out" / "changes.jsonl")}
    assert len(gone & flipped) > 0.9 * len(gone) and done.rows["train"] == 450 - len(gone)
    again = prepared(tmp_path / "out" / "train.jsonl", tmp_path / "again", drop_suspects=True)
    notes = Notes()
    given = {"data_files": str(tmp_path / "again" / "train.jsonl"), "output_path": str(tmp_path / "third")}
    third = prepare_data(build(settings_class(), {**given, "drop_suspects": True}), notes)
    assert third.rows == again.rows == done.rows and not third.changes.get("suspects")
    assert "suspects: this step already ran on these rows; nothing more was removed" in notes.texts


def hash_of(text):
    return sum(map(ord, text)) * 7919


def test_without_a_gain_suspects_stay_and_the_figures_are_said(tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", labeled_rows(300)[0])
    with pytest.raises(InputError, match=r"not shown to help.*1\.000 → 1\.000.*without the worst 5%"):
        prepared(data, tmp_path / "out", drop_suspects=True)
    write_rows(data, [{"prompt": f"Say {n}", "completion": f"free text {n}"} for n in range(60)])
    with pytest.raises(InputError, match="only among rows with classes"):
        prepared(data, tmp_path / "out", drop_suspects=True)
    assert not (tmp_path / "out").exists() and WORDS


def test_a_review_is_folded_like_labels_and_decides_once_on_each_row(tmp_path):
    rows, _ = labeled_rows(150, flips=12)
    data, path, lines = reviewed(tmp_path, rows, lambda line: {"action": "relabel", "new_label": " Fruit "})
    prepared(data, tmp_path / "out", review=str(path))
    assert all(rows_of(tmp_path / "out")[line["line"] - 1]["label"] == "fruit" for line in lines)
    again = read_lines(path)
    write_rows(path, [*again, {**again[0], "action": "drop"}, {**again[1], "line": 7_000}])
    write_rows(tmp_path / "moved.jsonl", [*again, {**again[0], "file": "gone.jsonl", "hash": "0" * 16}])
    notes, given = Notes(), {"data_files": str(data), "review": str(tmp_path / "moved.jsonl")}
    prepare_data(build(settings_class(), {**given, "output_path": str(tmp_path / "moved")}), notes)
    said = "lines of the review are about rows that are not in the data"
    assert notes.texts[0] == f"{tmp_path / 'moved.jsonl'}:{len(again) + 1}: 1 of {len(again) + 1} {said}"
    with pytest.raises(InputError) as caught:
        prepared(data, tmp_path / "twice", review=str(path))
    said = [str(problem) for problem in caught.value.problems]
    assert len(said) == 2 and f"decided twice: here and at {path}:1" in said[0] and "no row at" in said[1]


def test_a_review_that_drops_one_of_two_rows_with_the_same_text_leaves_the_other_when_it_runs_again(tmp_path):
    rows, _ = labeled_rows(150, flips=12)
    data, path, lines = reviewed(tmp_path, rows, lambda line: {"action": "drop"})
    twin = {**rows[lines[0]["line"] - 1], "label": lines[0]["suggestion"]}
    write_rows(data, [*rows, twin])
    first = prepared(data, tmp_path / "out", review=str(path), skip_steps="duplicates")
    notes = Notes()
    given = {"data_files": str(tmp_path / "out" / "train.jsonl"), "output_path": str(tmp_path / "again")}
    options = build(settings_class(), {**given, "review": str(path), "skip_steps": "duplicates"})
    again = prepare_data(options, notes)
    assert again.rows == first.rows and twin in rows_of(tmp_path / "again")
    assert any(
        f"{len(lines)} of {len(lines)} lines of the review are about rows that are not" in text for text in notes.texts
    )

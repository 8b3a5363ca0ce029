"""What the doctor says of labels: how many, in which forms, which are likely wrong, and whether more would help."""

from __future__ import annotations

import json
import shlex
from typing import Any

import numpy as np
import pytest

from graft.config import DataSettings
from graft.data.checks import CheckedData, Finding, run_checks
from graft.data.checks.learning_curve import measure
from graft.data.class_rows import ClassRows
from graft.data.label_variants import Variant, find_variants
from graft.planning.checked_data import read_data
from label_rows import WORDS, labeled_rows, write_rows

CHECKS = ("classes", "label_variants", "wrong_labels", "learning_curve")


def checked(path, *names: str, **settings: Any) -> list[Finding]:
    return run_checks(read(path, **settings), names)


def read(path, **settings: Any) -> CheckedData:
    return read_data(DataSettings(data_files=(str(path),), **settings), None, 42, None)


def lines(finding: Finding) -> set[int]:
    return {origin.line for origin in finding.rows}


def test_rows_of_clean_classes_have_no_warning(tmp_path):
    rows, _ = labeled_rows()
    found = checked(write_rows(tmp_path / "rows.jsonl", rows), *CHECKS)
    assert [finding.kind for finding in found] == ["learning_curve"]
    assert found[0].figures["accuracy"][-1] == 1.0 and found[0].figures["most_common"] == pytest.approx(1 / 3)
    assert "hardly help" in found[0].title


def test_rare_classes_and_imbalance_are_named_with_their_rows(tmp_path):
    rows, _ = labeled_rows(60)
    rows += [{"text": f"the red rose {n}", "label": "flower"} for n in range(2)]
    rows += [{"text": f"apple plum pear {n}", "label": "fruit"} for n in range(60)]
    found = {each.kind: each for each in checked(write_rows(tmp_path / "rows.jsonl", rows), "classes")}
    assert lines(found["rare_classes"]) == {61, 62} and found["rare_classes"].figures["labels"] == {"flower": 2}
    assert found["class_imbalance"].figures["labels"]["fruit"] == 80 and not found["class_imbalance"].rows


def test_classes_that_training_lacks_are_named_on_their_side(tmp_path):
    rows, _ = labeled_rows(60)
    train = write_rows(tmp_path / "train.jsonl", rows)
    judged = write_rows(tmp_path / "eval.jsonl", [*rows[:9], {"text": "a rose", "label": "flower"}])
    (found,) = checked(train, "classes", eval_data_files=(str(judged),))
    assert (found.kind, found.side, lines(found)) == ("unknown_classes", "eval", {10})


def test_rare_tags_are_a_note(tmp_path):
    rows = [{"tokens": ["Ada", "runs", "home"], "tags": ["B-PER", "O", "O"]} for _ in range(30)]
    rows.append({"tokens": ["Rome"], "tags": ["B-LOC"]})
    (found,) = checked(write_rows(tmp_path / "rows.jsonl", rows), "classes")
    assert (found.kind, found.severity, lines(found)) == ("rare_classes", "note", {31})


def test_free_text_has_no_finding_about_labels(tmp_path):
    rows = [{"prompt": f"Say {n}", "completion": f"word {n} and more"} for n in range(120)]
    assert checked(write_rows(tmp_path / "rows.jsonl", rows), *CHECKS) == []


VARIANTS = [
    ({"positive": 90, "Positive ": 3}, {"Positive ": ("positive", "spelling")}),
    ({"caf\u00e9": 9, "cafe\u0301": 2}, {"cafe\u0301": ("caf\u00e9", "spelling")}),
    ({"not ok": 9, "not-ok!": 2}, {"not-ok!": ("not ok", "punctuation")}),
    ({"sport": 9, "sports": 2, "city": 5, "cities": 4}, {"sports": ("sport", "plural"), "cities": ("city", "plural")}),
    ({"box": 9, "boxes": 3}, {"boxes": ("box", "plural")}),
    (
        {"positive": 90, "positve": 3, "nuetral": 2, "neutral": 50},
        {"positve": ("positive", "typo"), "nuetral": ("neutral", "typo")},
    ),
    ({"road closed": 90, "raod closed": 3}, {"raod closed": ("road closed", "typo")}),
    ({"good": 90, "goood": 3, "Goood": 2}, {"goood": ("good", "typo"), "Goood": ("good", "typo")}),
]


@pytest.mark.parametrize(("counts", "expected"), VARIANTS)
def test_labels_that_may_be_one_are_found(counts, expected):
    assert set(find_variants(counts)) == {Variant(label, *found) for label, found in expected.items()}


@pytest.mark.parametrize(
    "names",
    [
        ("legal", "illegal"),
        ("like", "unlike"),
        ("internal", "external"),
        ("positive", "negative"),
        ("class1", "class2"),
        ("class a", "class b"),
        ("1", "2"),
        ("B-LOC", "I-LOC"),
        ("C", "C++"),
        ("-1", "1"),
        ("care", "careless"),
        ("yes", "yet"),
        ("business", "busines class"),
    ],
)
def test_labels_that_mean_another_thing_are_left_alone(names):
    assert find_variants({names[0]: 500, names[1]: 4}) == []
    assert find_variants({names[1]: 500, names[0]: 4}) == []


def test_a_word_of_similar_frequency_is_no_typing_error():
    assert find_variants({"cause": 60, "clause": 50}) == []


def test_forms_of_labels_are_named_with_rows_and_a_mapping_is_proposed(tmp_path):
    rows, _ = labeled_rows(90)
    rows += [{"text": f"a plum {n}", "label": label} for n, label in enumerate(["Fruit", "frut", "tools"])]
    spelled, doubtful = sorted(
        checked(write_rows(tmp_path / "rows.jsonl", rows), "label_variants"), key=lambda each: each.severity
    )
    assert (spelled.severity, lines(spelled)) == ("note", {91})
    assert (doubtful.severity, lines(doubtful)) == ("warning", {92, 93})
    assert doubtful.figures["mapping"] == {"frut": "fruit", "tools": "tool"}
    assert "frut=fruit" in doubtful.fix


@pytest.mark.parametrize("joined", [lambda labels: labels, json.dumps])
def test_forms_of_several_labels_are_found(tmp_path, joined):
    rows = [{"text": f"text {n}", "labels": joined(["fruit", "tool"] if n % 2 else ["fruit"])} for n in range(60)]
    rows.append({"text": "text x", "labels": joined(["fruits", "tool"])})
    found = checked(write_rows(tmp_path / "rows.jsonl", rows), "label_variants")
    assert [(each.kind, lines(each)) for each in found] == [("label_variants", {61})]


def test_tags_that_differ_in_case_are_a_warning(tmp_path):
    rows = [{"tokens": ["Ada", "runs"], "tags": ["PERSON", "O"]} for _ in range(30)]
    rows.append({"tokens": ["Bob"], "tags": ["Person"]})
    (found,) = checked(write_rows(tmp_path / "rows.jsonl", rows), "label_variants")
    assert (found.severity, lines(found)) == ("warning", {31})


def test_wrong_labels_are_found_and_removal_is_offered_where_it_gains(tmp_path):
    rows, flipped = labeled_rows(400, flips=60)
    found = checked(write_rows(tmp_path / "rows.jsonl", rows), "wrong_labels")[0]
    assert lines(found) <= flipped and len(found.rows) == 25
    suspect = found.figures["suspects"][0]
    words = rows[suspect["line"] - 1]["text"].split()
    assert set(words) & set(WORDS[suspect["suggestion"]]) and suspect["label"] == rows[suspect["line"] - 1]["label"]
    assert all(label["suggestion"] != label["label"] for label in found.figures["suspects"])
    assert found.severity == ("warning" if found.figures["gain"]["shown"] else "note")


def test_labels_that_texts_tell_nothing_of_have_no_suspects(tmp_path):
    rows = [{"text": f"row {n} of nothing", "label": "ab"[n * n // 3 % 2]} for n in range(300)]
    assert checked(write_rows(tmp_path / "rows.jsonl", rows), "wrong_labels") == []


def test_a_class_that_collects_the_suspects_is_called_ambiguous(tmp_path):
    rows, _ = labeled_rows(600)
    for number, row in enumerate(rows):
        if row["label"] == "tool" and number % 5 == 0:
            row["label"] = "animal" if number % 2 else "fruit"
    found = {each.kind: each for each in checked(write_rows(tmp_path / "rows.jsonl", rows), "wrong_labels")}
    assert found["ambiguous_class"].figures["class"] == "tool" and found["ambiguous_class"].severity == "note"


def test_large_data_is_sampled_and_embeddings_are_averaged_in(tmp_path):
    rows, flipped = labeled_rows(300, flips=20)
    data = read(write_rows(tmp_path / "rows.jsonl", rows))
    sampled = ClassRows.of(data.train.examples, 42, most=120)
    assert sampled is not None and len(sampled.texts) == 120 and sampled.sampled and sampled.total == 300
    asked: list[int] = []

    def embed(texts):
        asked.append(len(texts))
        return np.array([[word in text for word in ("apple", "saw", "dog")] for text in texts], np.float32)

    data.embed = embed
    (found, *_) = run_checks(data, ["wrong_labels"])
    assert asked == [300] and "embeddings" in found.why and len(lines(found) & flipped) >= 15


def test_the_curve_rises_where_rows_are_few_for_many_words(tmp_path):
    names = [f"word{n}" for n in range(400)]
    rows = [{"text": f"{names[n % 400]} {names[(n * 7) % 400]} x{n}", "label": "ab"[n % 400 % 2]} for n in range(1200)]
    data = read(write_rows(tmp_path / "rows.jsonl", rows))
    curve = measure(ClassRows.of(data.train.examples, 42), 42)
    assert curve[0].accuracy < curve[1].accuracy < curve[2].accuracy and curve[2].gain > 2 * curve[2].gain_error


@pytest.mark.parametrize("form", ["positive ", " positive", "positive\t", "positive\n", "Positive "])
def test_blanks_around_a_label_are_a_form_of_it(tmp_path, form):
    rows = [{"text": f"text {n} here", "label": ("positive", "negative")[n % 2]} for n in range(40)]
    rows += [{"text": f"more {n}", "label": form} for n in range(2)]
    (found,) = checked(write_rows(tmp_path / "rows.jsonl", rows), "label_variants")
    assert (found.severity, lines(found)) == ("note", {41, 42})
    assert found.title.startswith("2 rows have labels that differ from another only in ")
    assert json.dumps(form) in found.evidence[0] and '"positive" (20)' in found.evidence[0]


@pytest.mark.parametrize(("form", "of"), [("not-ok", "not ok"), ("it's a $tools", "it's a $tool")])
def test_a_proposed_mapping_survives_the_shell_and_the_option(tmp_path, form, of):
    rows = [{"text": f"text {n} here", "label": (of, "fine")[n % 2]} for n in range(40)]
    (found,) = checked(write_rows(tmp_path / "a.jsonl", [*rows, {"text": "x", "label": form}]), "label_variants")
    assert shlex.split(found.fix)[-2:] == ["--label_mapping", f"{form}={of}"] and "the rarest has 1 row" in found.why


@pytest.mark.parametrize("label", ["not-ok, really", "not-ok=really"])
def test_a_mapping_that_cannot_be_typed_goes_into_a_file(tmp_path, label):
    rows = [{"text": f"text {n} here", "label": ("not ok really", "fine")[n % 2]} for n in range(40)]
    (found,) = checked(write_rows(tmp_path / "a.jsonl", [*rows, {"text": "x", "label": label}]), "label_variants")
    assert found.fix == "graft prepare DATA -o OUT --label_mapping mapping.json" and "mapping.json" in found.remedy
    assert found.figures["mapping"] == {label: "not ok really"}


def test_a_mistyped_label_is_no_rare_class(tmp_path):
    rows, _ = labeled_rows(60)
    rows += [{"text": "a plum", "label": "frut"}, {"text": "a rose", "label": "flower"}]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    found = {each.kind: each for each in checked(path, "classes", "label_variants")}
    assert lines(found["rare_classes"]) == {62} and lines(found["label_variants"]) == {61}
    assert "frut" not in str(found.get("class_imbalance", ""))


@pytest.mark.parametrize("columns", [("text", "label"), ("prompt", "completion")])
def test_a_single_class_is_an_error(tmp_path, columns):
    rows = [dict(zip(columns, (f"text {n}", "good"), strict=True)) for n in range(30)]
    (found,) = checked(write_rows(tmp_path / "rows.jsonl", rows), "classes")
    assert (found.kind, found.severity) == ("one_answer", "error") and "'good'" in found.title

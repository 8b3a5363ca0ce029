"""JSON in the shapes that programs write it in, under any ending."""

import json

import pandas as pd
import pytest

from graft.config import DataSettings
from graft.data.readers import load_file
from graft.data.sources import load_rows
from graft.errors import InputError

ROWS = [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}, {"text": "three", "label": "a"}]
FRAME = pd.DataFrame(ROWS)


def rows_of(path, document, **how):
    path.write_text(document if isinstance(document, str) else json.dumps(document, **how), encoding="utf-8")
    return [row.columns for row in load_file(path)]


@pytest.mark.parametrize("ending", ["json", "jsonl", "ndjson"])
@pytest.mark.parametrize(
    "text",
    [
        *(FRAME.to_json(orient=orient) for orient in ("columns", "index", "split", "records", "table")),
        FRAME.set_index(pd.Index(["x", "y", "z"])).to_json(orient="index"),
        FRAME.to_json(orient="records", lines=True),
        FRAME.to_json(orient="columns", indent=2),
        json.dumps(FRAME.to_dict(orient="list")),
        json.dumps({"data": FRAME.to_dict(orient="list"), "version": 1}),
        json.dumps(ROWS, indent=4),
        json.dumps(ROWS),
        "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]",
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        " ".join(map(json.dumps, ROWS)),
        json.dumps({"version": "1.0", "data": ROWS}),
        json.dumps({"train": ROWS}),
        json.dumps({"rows": [{"row_idx": n, "row": row, "truncated_cells": []} for n, row in enumerate(ROWS)]}),
    ],
)
def test_the_same_rows_in_every_shape(tmp_path, ending, text):
    assert rows_of(tmp_path / f"rows.{ending}", text) == ROWS


def test_rows_of_the_datasets_server_have_names_of_classes(tmp_path):
    names = {"names": ["a", "b"], "_type": "ClassLabel"}
    features = [{"feature_idx": 0, "name": "text", "type": {}}, {"feature_idx": 1, "name": "label", "type": names}]
    rows = [{"row_idx": n, "row": {**row, "label": "ab".index(row["label"])}} for n, row in enumerate(ROWS)]
    assert rows_of(tmp_path / "rows.json", {"features": features, "rows": rows, "num_rows_total": 3}) == ROWS


def test_objects_one_after_the_other_are_named_by_the_lines_they_begin_on(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows_of(path, "\n\n".join(json.dumps(row, indent=2) for row in ROWS))
    assert [row.origin.line for row in load_file(path)] == [1, 6, 11]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        {"tokens": ["a", "b"], "tags": ["O", "O"]},
        {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]},
        {"text": "one", "label": "a"},
        {"text": "one", "labels": ["a", "b"]},
        {"question": "q", "answers": {"text": ["a"], "answer_start": [0]}},
    ],
)
def test_an_object_that_is_a_row_stays_one(tmp_path, row):
    assert rows_of(tmp_path / "rows.json", row) == rows_of(tmp_path / "rows.jsonl", row) == [row]


def test_columns_of_lists_are_rows_with_lists(tmp_path):
    table = {"tokens": [["a", "b"], ["c"]], "tags": [["O", "X"], ["O"]]}
    assert rows_of(tmp_path / "rows.json", table) == [
        {"tokens": ["a", "b"], "tags": ["O", "X"]},
        {"tokens": ["c"], "tags": ["O"]},
    ]


def test_an_object_of_splits_has_them(tmp_path):
    path = tmp_path / "rows.json"
    splits = {"info": "x", "train": ROWS, "dev": ROWS[:2], "test": {"text": ["t"], "label": ["a"]}}
    path.write_text(json.dumps(splits), encoding="utf-8")
    loaded = load_rows(DataSettings(data_files=(str(path),)))
    assert (len(loaded.train), len(loaded.eval)) == (3, 2)
    assert len(load_rows(DataSettings(data_name=str(path)), prefer=("test",)).train) == 1
    (tmp_path / "other.jsonl").write_text(json.dumps(ROWS[0]), encoding="utf-8")
    apart = load_rows(DataSettings(data_files=(str(tmp_path / "other.jsonl"),), eval_data_files=(str(path),)))
    assert (len(apart.train), len(apart.eval)) == (1, 2)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            {"version": "2.0", "data": [{"title": "T", "paragraphs": [{"context": "c", "qas": []}]}]},
            "nested form of SQuAD",
        ),
        ({"text": ["a", "b"], "label": ["a"]}, "differ in length: text has 2, label has 1"),
        ({"users": ROWS, "items": ROWS}, "several tables: users, items"),
        ({"columns": ["text"], "data": [["a", "b"]]}, "must have 1 values each"),
        (["a", "b"], "row 1 is not an object with named columns: a"),
        ("3", "expected a list of objects"),
        ('{"text": "a",\n "label": }', r"rows\.json:2"),
    ],
)
def test_other_shapes_are_named(tmp_path, document, said):
    with pytest.raises(InputError, match=said):
        rows_of(tmp_path / "rows.json", document)


def test_a_damaged_line_of_json_lines_is_still_named_by_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1,}\n{"a": 2}\n{"a": 3\n', encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_file(path)
    assert [problem.where for problem in caught.value.problems] == [f"{path}:1", f"{path}:3"]

"""Names of classes that a data set records beside the numbers."""

import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from graft.data.features import named, whole_number
from graft.data.readers import load_file

CLASS = {"names": ["neg", "pos"], "_type": "ClassLabel"}
TAG = {"names": ["O", "B-PER", "I-PER"], "_type": "ClassLabel"}
FEATURES = {
    "text": {"dtype": "string", "_type": "Value"},
    "label": CLASS,
    "ner_tags": {"feature": TAG, "_type": "Sequence"},
    "meta": {"kind": CLASS},
}
ROWS = [
    {"text": "a", "label": 1, "ner_tags": [1, 2, 0], "meta": {"kind": 0}},
    {"text": "b", "label": 0, "ner_tags": [0]},
]
NAMED = [
    {"text": "a", "label": "pos", "ner_tags": ["B-PER", "I-PER", "O"], "meta": {"kind": "neg"}},
    {"text": "b", "label": "neg", "ner_tags": ["O"]},
]
CARD = """---
license: mit
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': neg
          '1': pos
  - name: ner_tags
    sequence:
      class_label:
        names: {'0': O, '1': B-PER, '2': I-PER}
  - name: meta
    struct:
    - name: kind
      dtype:
        class_label:
          names: [neg, pos]
---
# A data set
"""


def columns_of(path):
    return [{name: value for name, value in row.columns.items() if value is not None} for row in load_file(path)]


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_the_schema_of_parquet_and_arrow_has_them(tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    table = pa.Table.from_pylist(ROWS).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    )
    if ending == "parquet":
        parquet.write_table(table, path)
    else:
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table)
    assert columns_of(path) == NAMED


def test_a_schema_with_other_metadata_is_read_as_it_stands(tmp_path):
    for metadata in ("", "{}", "[1]", '{"info": 3}', '{"info": {"features": []}}', "no json"):
        table = pa.Table.from_pylist(ROWS).replace_schema_metadata({"huggingface": metadata})
        parquet.write_table(table, tmp_path / "rows.parquet")
        assert columns_of(tmp_path / "rows.parquet")[0]["label"] == 1


@pytest.mark.parametrize(
    ("beside", "text"),
    [
        ("README.md", CARD),
        ("dataset_info.json", json.dumps({"features": FEATURES})),
        ("dataset_infos.json", json.dumps({"default": {"features": FEATURES}})),
    ],
)
@pytest.mark.parametrize("name", ["rows.jsonl", "data/rows.jsonl", "rows.parquet"])
def test_what_describes_a_data_set_beside_its_files_has_them(tmp_path, beside, text, name):
    (tmp_path / beside).write_text(text, encoding="utf-8")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    assert columns_of(path) == NAMED


def test_cells_of_csv_with_numbers_as_text(tmp_path):
    (tmp_path / "README.md").write_text(CARD, encoding="utf-8")
    (tmp_path / "rows.csv").write_text("text,label\na,1\nb,neg\nc,7\nd,-1\n", encoding="utf-8")
    assert [columns.get("label") for columns in columns_of(tmp_path / "rows.csv")] == ["pos", "neg", "7", None]


def test_configurations_that_differ_say_nothing(tmp_path):
    other = {"label": {**CLASS, "names": ["a", "b"]}}
    infos = {"one": {"features": FEATURES}, "two": {"features": other}}
    (tmp_path / "dataset_infos.json").write_text(json.dumps(infos), encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS[0]), encoding="utf-8")
    assert columns_of(tmp_path / "rows.jsonl")[0] == {
        **ROWS[0],
        "ner_tags": NAMED[0]["ner_tags"],
        "meta": NAMED[0]["meta"],
    }


@pytest.mark.parametrize(
    "text",
    ["no front matter", "---\n", "---\na: [\n---\n", "---\ndataset_info: &a [*a]\nb: class_label\n---\n", "\xff"],
)
def test_another_readme_beside_the_files_changes_nothing(tmp_path, text):
    (tmp_path / "README.md").write_bytes(text.encode("latin-1"))
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS[0]), encoding="utf-8")
    assert columns_of(tmp_path / "rows.jsonl") == [ROWS[0]]


def test_a_sequence_of_objects_is_kept_as_lists_by_name():
    feature = {"feature": {"kind": CLASS, "n": {"dtype": "int64"}}, "_type": "Sequence"}
    assert named({"kind": [0, 1], "n": [3, 4]}, feature) == {"kind": ["neg", "pos"], "n": [3, 4]}
    assert named([{"kind": 0}], [{"kind": CLASS}]) == [{"kind": "neg"}]
    assert named([True, 1.0, -1, 9], {"feature": CLASS, "_type": "List"}) == [True, "pos", None, 9]


def test_a_number_of_a_class_may_have_any_blank_beside_it():
    assert [whole_number(text) for text in ("2", " 2\x1d", "\u20033.0", "2\x1d3", "")] == [2, 2, 3, None, None]

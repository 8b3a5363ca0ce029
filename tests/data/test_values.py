"""Values of cells: what is missing, and what text they have, in every format alike."""

import json
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from graft.config import DataSettings
from graft.data.columns import recognize
from graft.data.example import as_text
from graft.data.quality import to_examples
from graft.data.readers import load_file
from graft.data.values import Unreadable, missing, plain, without_padding
from graft.errors import InputError


def examples_in(path):
    rows = load_file(path)
    return list(to_examples(rows, recognize(rows, DataSettings())))


@pytest.mark.parametrize(
    "value",
    [None, float("nan"), np.float32("nan"), np.float64("nan"), Decimal("nan"), pd.NA, pd.NaT, np.datetime64("NaT")],
)
def test_no_value(value):
    assert missing(value) and plain(value) is None and plain([{"a": value}]) == [{"a": None}]


@pytest.mark.parametrize(
    "value", ["", "nan", "None", "null", 0, 0.0, False, [], {}, Decimal(0), np.array([float("nan")])]
)
def test_a_value_though_empty_or_called_nan(value):
    assert not missing(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 13, 5), "2024-02-29T13:05:00"),
        (time(13, 5), "13:05:00"),
        (timedelta(days=1, hours=2, milliseconds=500), "P1DT2H0.5S"),
        (timedelta(0), "PT0S"),
        (-timedelta(minutes=90), "-PT1H30M"),
        (b"caf\xc3\xa9", "café"),
        (np.int64(7), "7"),
        (np.float32(2.5), "2.5"),
        (np.bool_(True), "true"),
        (np.array(["a", "b"], object), '["a", "b"]'),
        (np.datetime64("2024-02-29T13:05:00.000000001"), "2024-02-29T13:05:00.000000001"),
        (pd.Timestamp("2024-02-29 13:05"), "2024-02-29T13:05:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([Decimal("1.5"), date(2024, 2, 29), b"x", float("nan")], '["1.5", "2024-02-29", "x", null]'),
        ([("a", 1), ("b", None)], '{"a": 1, "b": null}'),
        (2**70, "1180591620717411303424"),
        (1e300, "1e+300"),
        (float("-inf"), "-Infinity"),
        (1.0, "1"),
        (None, ""),
        ("a\r\nb\rc", "a\r\nb\rc"),
    ],
)
def test_the_text_of_a_value(value, text):
    assert as_text(value) == text


def test_a_value_without_a_text_is_an_error_wherever_it_stands():
    for value in (b"\xff\xd8", [b"\xff\xd8"], {"image": {"bytes": b"\xff\xd8"}}, object()):
        with pytest.raises(InputError, match=r"2 bytes that are not UTF-8|a value of the type object"):
            as_text(value)


def test_nan_in_json_is_no_answer(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "completion": NaN}\n{"prompt": "b", "completion": "NaN"}\n', encoding="utf-8")
    with pytest.raises(InputError) as caught:
        examples_in(path)
    assert [problem.where for problem in caught.value.problems] == [f"{path}:1"]
    assert "empty column: completion" in str(caught.value)


def test_nan_in_a_column_of_numbers_is_no_answer(tmp_path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"prompt": ["a", "b", "c"], "completion": [1.0, np.nan, 2.0]}).to_parquet(path)
    with pytest.raises(InputError, match=r"rows\.parquet:2: empty column: completion") as caught:
        examples_in(path)
    assert len(caught.value.problems) == 1


def test_nan_within_cells_of_csv_is_content(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("prompt,completion\na,nan\nb,None\nc,N/A\n", encoding="utf-8")
    assert [example.completion for example in examples_in(path)] == ["nan", "None", "N/A"]


def test_rows_of_parquet_are_those_of_json_lines(tmp_path):
    """Arrow gives every struct the fields of all, and those that a row lacks are null."""
    rows = [
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]}], "n": n}
        for n, call in enumerate([{"name": "f", "arguments": {"city": "Oslo"}}, {"name": "g", "arguments": {"a": 1}}])
    ]
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    assert [row.columns for row in load_file(path)] == rows
    assert without_padding({"a": [None, {"b": None, "c": 0}], "d": None}) == {"a": [None, {"c": 0}]}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array([b"caf\xc3\xa9", None], pa.binary()), ["café", None]),
        (pa.array([["a"], None], pa.list_view(pa.string())), [["a"], None]),
        (pa.array([["a"], ["b"]], pa.list_(pa.string(), 1)), [["a"], ["b"]]),
        (pa.array([[("k", 1)], [("l", None)]], pa.map_(pa.string(), pa.int64())), [{"k": 1}, {}]),
        (pa.array([Decimal("1.50"), None]), ["1.50", None]),
        (
            pa.array([0, 1], pa.timestamp("ns", "UTC")),
            ["1970-01-01T00:00:00+00:00", "1970-01-01T00:00:00.000000001+00:00"],
        ),
        (pa.array([90_000_000, None], pa.duration("us")), ["PT1M30S", None]),
        (pa.array([1, 2], pa.float16()), [1.0, 2.0]),
        (pa.array([None, None]), [None, None]),
    ],
)
def test_columns_of_arrow(tmp_path, column, values):
    path = tmp_path / "rows.arrow"
    table = pa.table({"x": column})
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    assert [row.columns["x"] for row in load_file(path)] == values


def test_a_value_that_python_cannot_hold_is_an_error_if_it_is_read(tmp_path):
    path = tmp_path / "rows.parquet"
    far = pa.array([0, 10**7], pa.int32()).cast(pa.date32())
    table = pa.table({"prompt": ["a", "b"], "completion": ["x", "y"], "when": far, "photo": [b"\xff\xd8", b"\xff"]})
    parquet.write_table(table, path)
    assert [example.completion for example in examples_in(path)] == ["x", "y"]
    parquet.write_table(table.drop_columns(["completion"]).rename_columns(["prompt", "completion", "photo"]), path)
    with pytest.raises(InputError, match=r"rows\.parquet:2: column 'completion': this row holds a date32"):
        examples_in(path)
    parquet.write_table(table.drop_columns(["completion"]).rename_columns(["prompt", "x", "completion"]), path)
    with pytest.raises(InputError, match=r"column 'completion': this row holds 2 bytes that are not UTF-8"):
        examples_in(path)
    assert isinstance(load_file(path)[1].columns["x"], Unreadable)


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_line_ends_within_texts_are_the_same_in_prompts_and_answers(tmp_path, name):
    path, row = tmp_path / name, {"prompt": "a\r\nb", "completion": "c\r\nd"}
    if path.suffix == ".csv":
        path.write_bytes(b'prompt,completion\r\n"a\r\nb","c\r\nd"\r\n')
    elif path.suffix == ".jsonl":
        path.write_text(json.dumps(row), encoding="utf-8")
    else:
        parquet.write_table(pa.Table.from_pylist([row]), path)
    [example] = examples_in(path)
    assert (example.prompt[-1]["content"], example.completion) == ("a\nb", "c\nd")


def test_names_of_columns_are_read_without_blanks_and_empty_ones_as_pandas_names_them(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbf,text , label,,\n0,a,pos,,\n1,b,neg,,note\n")
    assert [row.columns for row in load_file(path)] == [
        {"Unnamed: 0": "0", "text": "a", "label": "pos"},
        {"Unnamed: 0": "1", "text": "b", "label": "neg", "Unnamed: 4": "note"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text('{" text": "a", "label\\ufeff": "x"}\n', encoding="utf-8")
    assert load_file(path)[0].columns == {"text": "a", "label": "x"}
    for text in ('{"a": 1, "a ": 2}', '{"a": 1, "a ": 3}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="these columns would have the same name: 'a', 'a '"):
            load_file(path)

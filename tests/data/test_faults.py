"""All faults of a file, and of several, are said together: a few of each kind, and how many there are."""

import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from graft.config import DataSettings
from graft.data.checks import run_checks
from graft.data.pipeline import prepare, read_examples
from graft.errors import InputError
from graft.planning.checked_data import read_data

GOOD = '{"prompt": "a%d", "completion": "b%d"}'


def faults_of(*files, **settings):
    with pytest.raises(InputError) as caught:
        prepare(DataSettings(data_files=tuple(map(str, files)), **settings), 0)
    with pytest.raises(InputError) as evaluated:
        read_examples(DataSettings(data_files=tuple(map(str, files)), **settings))
    assert str(evaluated.value) == str(caught.value) or "eval_data_files" in settings
    return [str(problem).split("\n")[0].replace(f"{files[0].parent}/", "") for problem in caught.value.problems]


def written(path, *lines):
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    return path


def test_reading_and_checks_of_rows_are_said_together(tmp_path):
    lines = [
        GOOD % (1, 1),
        "{broken",
        '{"prompt": "p", "completion": ""}',
        '{"prompt": "p"}',
        "[1]",
        "caf\udce9",
        GOOD % (2, 2),
    ]
    assert faults_of(written(tmp_path / "rows.jsonl", *lines)) == [
        "rows.jsonl:2: this line is not JSON (Expecting property name enclosed in double quotes): {broken",
        "rows.jsonl:5: expected a JSON object with named columns, got [1]",
        "rows.jsonl:6: the file is not UTF-8; it seems to be Latin-1 (or Windows-1252)",
        "rows.jsonl:3: the answer is empty",
        "rows.jsonl:4: missing column: completion (the columns are prompt)",
    ]


def test_faults_of_all_files_and_of_held_out_rows_too(tmp_path):
    one = written(tmp_path / "one.jsonl", GOOD % (1, 1), "{broken")
    other = written(tmp_path / "other.csv", "prompt,completion", "a,b,c", "d,", 'e,"f"x', "g,h")
    table = pa.Table.from_pylist([{"prompt": "a", "completion": "b"}, {"prompt": b"\xff", "completion": "c"}])
    held = tmp_path / "held.parquet"
    parquet.write_table(table, held)
    said = faults_of(one, other, eval_data_files=(str(held),))
    places = [line.split(": ")[0] for line in said]
    assert places == ["one.jsonl:2", "other.csv:2", "other.csv:4", "other.csv:3", "held.parquet:2"]
    assert "other.csv:3: the answer is empty" in said and "other.csv:2: 3 cells, but the header has 2" in said


def test_many_faults_are_counted_by_kind(tmp_path):
    lines = [*[GOOD % (n, n) for n in range(10)], *["{broken"] * 1000, *['{"prompt": "p", "completion": ""}'] * 300]
    said = faults_of(written(tmp_path / "rows.jsonl", *lines))
    assert len(said) == 22
    assert said[10] == "and 990 more of this kind: this line is not JSON"
    assert (
        said[11] == "rows.jsonl:1011: the answer is empty"
        and said[21] == "and 290 more of this kind: the answer is empty"
    )


def test_a_single_kind_names_twenty(tmp_path):
    said = faults_of(written(tmp_path / "rows.jsonl", *[GOOD % (n, n) for n in range(9)], *["nothing"] * 500))
    assert len(said) == 21 and said[-1] == "and 480 more like these"


def test_what_differs_in_every_row_is_counted_as_one(tmp_path):
    rows = [json.dumps({"messages": [{"role": f"r{chr(97 + n % 26)}{n}", "content": "x"}]}) for n in range(400)]
    said = faults_of(written(tmp_path / "rows.jsonl", *rows))
    assert len(said) == 21 and said[-1].startswith("and 380 more")


UNANSWERED = '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant"}]}'


@pytest.mark.parametrize(
    ("lines", "title"),
    [
        (["null", "[1]", "3", '"x"'], "4 rows: Expected a JSON object with named columns"),
        ([UNANSWERED] * 2, "message 2 (assistant) has no content"),
        (['{"prompt": "p"}', '{"prompt": "q"}'], "missing column: completion"),
    ],
)
def test_the_title_of_a_kind_says_what_is_wrong(tmp_path, lines, title):
    good = [GOOD % (n, n) for n in range(5)] if "messages" not in lines[0] else []
    data = read_data(DataSettings(data_files=(str(written(tmp_path / "rows.jsonl", *good, *lines)),)), None, 42, None)
    (finding,) = run_checks(data, ["unreadable"])
    assert title.lower() in finding.title.lower() and len(finding.rows) == len(lines)

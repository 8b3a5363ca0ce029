"""The same rows in every format, and how they are found."""

import json
import lzma
import os

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from graft.config import DataSettings
from graft.data.named_files import unchanged
from graft.data.pipeline import read_examples
from graft.data.readers import load_file
from graft.data.sources import find_files, load_rows, take
from graft.errors import InputError

ROWS = [{"text": 'Straße, "ñandú"\n東京', "label": "good"}, {"text": "привет\tdu", "label": "bad"}]


def write_jsonl(path):
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")


def write_json(path):
    path.write_text(json.dumps(ROWS), encoding="utf-8")


def write_wrapped(path):
    path.write_text(json.dumps({"version": "1.0", "data": ROWS}), encoding="utf-8")


def write_csv(path, delimiter=","):
    def quoted(text):
        return '"' + text.replace('"', '""') + '"'

    lines = [delimiter.join(map(quoted, row)) for row in ([*ROWS[0]], *[row.values() for row in ROWS])]
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("utf-8-sig"))


def write_tsv(path):
    write_csv(path, "\t")


def write_semicolons(path):
    write_csv(path, ";")


def write_parquet(path):
    parquet.write_table(pa.Table.from_pylist(ROWS), path)


def write_arrow(path, kind=ipc.new_file):
    table = pa.Table.from_pylist(ROWS)
    with kind(str(path), table.schema) as writer:
        writer.write_table(table)


def write_arrow_stream(path):
    write_arrow(path, ipc.new_stream)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("r.jsonl", write_jsonl),
        ("r.ndjson", write_jsonl),
        ("r.json", write_json),
        ("r.json", write_wrapped),
        ("r.json", write_jsonl),
        ("R.JSONL", write_jsonl),
        ("r.csv", write_csv),
        ("r.csv", write_semicolons),
        ("r.tsv", write_tsv),
        ("r.parquet", write_parquet),
        ("r.arrow", write_arrow),
        ("r.arrow", write_arrow_stream),
    ],
)
def test_the_same_rows_in_every_format(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    rows = load_file(path)
    assert [row.columns for row in rows] == ROWS
    assert {row.origin.file for row in rows} == {str(path)}


def test_a_row_is_named_by_the_line_it_begins_on(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text('text,label\n"two\nlines",a\n\none,b\n', encoding="utf-8")
    assert [row.origin.line for row in load_file(path)] == [2, 5]
    path = tmp_path / "r.jsonl"
    path.write_text('\n{"a": 1}\n\n{"a": 2}\n', encoding="utf-8")
    assert [row.origin.line for row in load_file(path)] == [2, 4]


def test_line_separators_within_a_text_do_not_end_a_line(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"a": "one\u2028two\u0085three"}\n', encoding="utf-8")
    assert load_file(path)[0].columns == {"a": "one\u2028two\u0085three"}


def test_a_byte_order_mark_is_no_letter(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"a": "x"}\n')
    assert load_file(path)[0].columns == {"a": "x"}


def test_a_cell_longer_than_pythons_own_limit(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(f"text,label\n{'long ' * 50_000},a\n", encoding="utf-8")
    assert len(load_file(path)[0].columns["text"]) == 250_000


def test_globs_and_several_files_in_order(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "c.csv"):
        (tmp_path / name).write_text('{"a": "x"}\n' if name != "c.csv" else "a\nx\n", encoding="utf-8")
    assert [path.name for path in find_files([str(tmp_path / "*.jsonl")])] == ["a.jsonl", "b.jsonl"]
    loaded = load_rows(DataSettings(data_files=(str(tmp_path / "*.jsonl"), str(tmp_path / "c.csv"))))
    assert len(loaded.train) == 3 and loaded.eval is None
    with pytest.raises(InputError) as caught:
        find_files([str(tmp_path), str(tmp_path / "d.jsonl")])
    assert len(caught.value.problems) == 2


def test_a_loaders_name_beside_the_files_it_is_for(tmp_path):
    path = tmp_path / "x.json"
    write_json(path)
    assert len(load_rows(DataSettings(data_name="json", data_files=(str(path),))).train) == 2
    with pytest.raises(InputError, match="both given"):
        load_rows(DataSettings(data_name="other", data_files=(str(path),)))


def test_a_folder_of_files_has_their_splits(tmp_path):
    for split, count in (("train", 5), ("test", 3), ("validation", 2)):
        lines = "".join(f'{{"a": "{split} {n}"}}\n' for n in range(count))
        (tmp_path / f"rows-{split}.jsonl").write_text(lines, encoding="utf-8")
    loaded = load_rows(DataSettings(data_name=str(tmp_path)))
    assert (len(loaded.train), len(loaded.eval)) == (5, 2)
    assert loaded.source.path == str(tmp_path) and len(loaded.source.sha256) == 64
    other = load_rows(DataSettings(data_name=str(tmp_path), train_split="test", eval_split="train[:2]"))
    assert (len(other.train), len(other.eval)) == (3, 2)


def test_rows_to_evaluate_on_are_the_test_split(tmp_path):
    from graft.data.pipeline import read_examples

    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text(
            "".join(f'{{"prompt": "{split} {n}", "completion": "c"}}\n' for n in range(3)), encoding="utf-8"
        )
    read = read_examples(DataSettings(data_name=str(tmp_path)))
    assert [example.prompt[0]["content"] for example in read.examples] == ["test 0", "test 1", "test 2"]


def test_a_datasets_folder_with_named_classes(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    table = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    table.save_to_disk(str(tmp_path / "one"))
    assert [row.columns["label"] for row in load_rows(DataSettings(data_name=str(tmp_path / "one"))).train] == [
        "yes",
        "no",
    ]
    datasets.DatasetDict({"train": table, "validation": table.select([0])}).save_to_disk(str(tmp_path / "two"))
    loaded = load_rows(DataSettings(data_name=str(tmp_path / "two")))
    assert (len(loaded.train), len(loaded.eval)) == (2, 1)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("train", list(range(10))),
        ("train[:4]", [0, 1, 2, 3]),
        ("train[4:6]", [4, 5]),
        ("train[-2:]", [8, 9]),
        ("train[:50%]", [0, 1, 2, 3, 4]),
        ("train[90%:]", [9]),
        ("train[:2]+test", [0, 1, 100]),
        ("train[:2] + train[8:]", [0, 1, 8, 9]),
    ],
)
def test_slices(spec, wanted):
    assert list(take({"train": list(range(10)), "test": [100]}, spec, "--train_split")) == wanted


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_line_that_is_not_utf_8_is_named_wherever_it_is(tmp_path, ending):
    """Files are read in pieces, which do not end where lines do."""
    path = tmp_path / f"rows.{ending}"
    line = b'{"text": "a", "label": "b"}\n' if ending == "jsonl" else b"a,b\n"
    start = b"" if ending == "jsonl" else b"text,label\n"
    path.write_bytes(start + line * 30_000 + line.replace(b"a", b"\xe9") + line * 1000)
    with pytest.raises(InputError, match="it seems to be Latin-1") as caught:
        load_file(path)
    assert f"rows.{ending}:{30_001 + start.count(10)}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.csv", "text\tlabel\nHello, world\ta\nwell; yes\tb\n"),
        ("r.csv", "text|label\nHello, world|a\nwell; yes|b\n"),
        ("r.csv", 'text;label\n"Hello, world";a\n"well; yes";b\n'),
        ("r.tsv", 'text,label\n"Hello, world",a\n"well; yes",b\n'),
        ("r.csv", 'sep=;\r\ntext;label\r\n"Hello, world";a\r\n"well; yes";b\r\n'),
        ("r.csv", '"text","label"\n"Hello, world","a"\n"well; yes","b"\n'),
    ],
)
def test_what_separates_cells_is_told_by_the_header_and_the_rows(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    rows = load_file(tmp_path / name)
    assert [row.columns for row in rows] == [
        {"text": "Hello, world", "label": "a"},
        {"text": "well; yes", "label": "b"},
    ]
    assert rows[0].origin.line == text.split("Hello")[0].count("\n") + 1


def test_signs_within_sentences_separate_nothing(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text('text\n"Hello, world; yes|no"\nplain\tindeed\n', encoding="utf-8")
    assert [row.columns["text"] for row in load_file(path)] == ["Hello, world; yes|no", "plain\tindeed"]
    path.write_text("id;text, long\n1;a, b\n2;c\n", encoding="utf-8")
    assert [row.columns for row in load_file(path)] == [
        {"id": "1", "text, long": "a, b"},
        {"id": "2", "text, long": "c"},
    ]


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
@pytest.mark.parametrize(("name", "write"), [("r.jsonl", write_jsonl), ("r.json", write_json), ("r.csv", write_csv)])
def test_compressed_files(tmp_path, ending, name, write):
    write(tmp_path / name)
    packed = tmp_path / f"{name}.{ending}"
    with pa.CompressedOutputStream(str(packed), {"gz": "gzip", "zst": "zstd"}.get(ending, "bz2")) as stream:
        stream.write((tmp_path / name).read_bytes())
    if ending == "xz":
        packed.write_bytes(lzma.compress((tmp_path / name).read_bytes()))
    assert [row.columns for row in load_file(packed)] == ROWS
    packed.write_bytes(packed.read_bytes()[:40])
    with pytest.raises(InputError, match="the file cannot be read"):
        load_file(packed)


@pytest.mark.parametrize(
    ("name", "start", "said"),
    [
        ("r.xlsx", b"PK\x03\x04", "save the sheet as CSV UTF-8"),
        ("r.csv", b"PK\x03\x04\x14", "this file is an Excel workbook or a zip archive"),
        ("r.jsonl", b"\x1f\x8b\x08", "its name ends in .gz"),
        ("r.csv", b"PAR1\x15", "this file is Parquet"),
        ("r.parquet", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("r.json", b"\n<!DOCTYPE html><html>", "this file is a web page"),
        ("r.txt", b"one\ntwo", 'Lines: {"text": "…"}'),
        ("r.parquet.gz", b"\x1f\x8b\x08", "of compressed files, only JSON, JSON Lines, CSV and TSV are read"),
        ("r.zip", b"PK\x03\x04", "unpack the archive"),
    ],
)
def test_other_files_are_named_as_what_they_are(tmp_path, name, start, said):
    (tmp_path / name).write_bytes(start)
    with pytest.raises(InputError) as caught:
        load_file(tmp_path / name)
    assert said in str(caught.value)


@pytest.mark.parametrize("names", [("Text", "LABEL"), ("text ", "Label"), (" TEXT", "label"), ("text", "label")])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_known_names_of_columns_in_any_spelling(tmp_path, names, ending):
    path, table = tmp_path / f"r.{ending}", pa.Table.from_pylist([dict(zip(names, "ab", strict=True))])
    if ending == "csv":
        path.write_text(f"{','.join(names)}\na,b\n", encoding="utf-8")
    elif ending == "jsonl":
        path.write_text(json.dumps(table.to_pylist()[0]), encoding="utf-8")
    else:
        parquet.write_table(table, path)
    assert load_rows(DataSettings(data_files=(str(path),))).train[0].columns == {"text": "a", "label": "b"}
    as_written = load_rows(
        DataSettings(data_files=(str(path),), prompt_template="{text}", completion_template="{label}")
    )
    assert list(as_written.train[0].columns) == [name.strip() for name in names]


def test_a_known_name_that_is_there_is_not_given_to_another_column(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"text": "a", "Text": "b", "Sentence A": "c", "Frage": "d"}', encoding="utf-8")
    found = load_rows(DataSettings(data_files=(str(path),))).train[0].columns
    assert found == {"text": "a", "Text": "b", "sentence_a": "c", "Frage": "d"}
    path.write_text('{"Text": "a", "TEXT": "b"}\n{"Text": "a", "TEXT": "b"}', encoding="utf-8")
    with pytest.raises(InputError, match="these columns would have the same name: 'Text', 'TEXT'") as caught:
        load_rows(DataSettings(data_files=(str(path),)))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data_name": ""}, "--data_name: the value is empty"),
        ({"data_name": "  "}, "--data_name: the value is empty"),
        ({"data_files": ""}, "a file name is empty"),
        ({"data_name": "text"}, "'text' is the name of a loader of `datasets`"),
        ({"data_name": "json"}, "'json' is the name of a loader of `datasets`"),
        ({"data_name": "~nosuchuser/x.jsonl"}, "not a valid path"),
        ({"data_files": "~nosuchuser/x.jsonl"}, "not a valid path"),
        ({"data_files": "secret.jsonl", "train_split": f"train[:{'9' * 5000}]"}, "not of the form"),
    ],
)
def test_a_name_that_is_none_reads_nothing(tmp_path, monkeypatch, settings, said):
    """`datasets` would read every file of that kind below the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("secret.txt", "secret.jsonl"):
        (tmp_path / name).write_text('{"text": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=said):
        load_rows(DataSettings(**settings))


def test_the_splits_of_a_folder_are_told_by_folders_too_and_hidden_files_are_not_data(tmp_path):
    for name in ("train/a.jsonl", "test/a.jsonl", ".cache/b.jsonl", ".b.jsonl", "dataset_infos.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'{{"text": "{name}"}}', encoding="utf-8")
    assert [row.columns["text"] for row in load_rows(DataSettings(data_name=str(tmp_path))).train] == ["train/a.jsonl"]
    test = load_rows(DataSettings(data_name=str(tmp_path), train_split="test")).train
    assert [row.columns["text"] for row in test] == ["test/a.jsonl"]


@pytest.mark.parametrize("option", ["data_files", "eval_data_files"])
@pytest.mark.parametrize("name", ["", "  ", "a.jsonl,", ",a.jsonl", "a.jsonl, ,a.jsonl", ["a.jsonl", ""], ()])
def test_an_empty_name_among_others_is_an_error(tmp_path, monkeypatch, name, option):
    """An unset variable in a list of files would leave out what it should have named."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="is empty") as caught:
        load_rows(DataSettings(**{"data_files": ("a.jsonl",), option: name}))
    assert f"--{option}" in str(caught.value)


def test_the_plan_says_which_files_of_a_folder_are_read(tmp_path):
    for name in ("a.jsonl", "b/c.jsonl", "notes.txt", ".d.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_jsonl(tmp_path / name)
    loaded = load_rows(DataSettings(data_name=str(tmp_path)))
    assert [said.value for said in loaded.inferred] == [["a.jsonl", "b/c.jsonl"]]
    assert [*loaded.files] == [str(tmp_path / "a.jsonl"), str(tmp_path / "b" / "c.jsonl")]


def test_links_in_a_circle_end_nothing(tmp_path):
    (tmp_path / "self").symlink_to(tmp_path)
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    write_jsonl(tmp_path / "a.jsonl")
    assert len(load_rows(DataSettings(data_name=str(tmp_path))).train) == 2
    with pytest.raises(InputError, match=r"loop\.jsonl: no such file"):
        find_files([str(tmp_path / "loop.jsonl")])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.parametrize("name", ["data_name", "data_files", "eval_data_files"])
def test_a_pipe_or_a_device_is_not_opened(tmp_path, name):
    """To open a pipe waits for somebody who writes to it."""
    pipe = tmp_path / "x.jsonl"
    os.mkfifo(pipe)
    write_jsonl(tmp_path / "a.jsonl")
    given = {} if name == "data_name" else {"data_files": (str(tmp_path / "a.jsonl"),)}
    with pytest.raises(InputError, match="this is a pipe, not a file"):
        load_rows(DataSettings(**{**given, name: str(pipe)}))
    with pytest.raises(InputError, match="this is a device, not a file"):
        load_rows(DataSettings(**{**given, name: "/dev/zero"}))
    assert len(load_rows(DataSettings(data_name=str(tmp_path))).train) == 2


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    write_jsonl(path)
    with pytest.raises(InputError, match=r"a\.jsonl: this file changed while it was read"), unchanged([path]):
        path.write_text('{"text": "other"}', encoding="utf-8")


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("name", ["closed.jsonl", "closed/a.jsonl"])
def test_a_file_without_permission(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    write_jsonl(tmp_path / name)
    (tmp_path / name.split("/", maxsplit=1)[0]).chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o11)
    os.seteuid(65534)
    try:
        with pytest.raises(InputError, match="Permission denied"):
            load_rows(DataSettings(data_files=(str(tmp_path / name),)))
    finally:
        os.seteuid(0)


def damage(state, name, entry):
    found = json.loads(state.read_text(encoding="utf-8"))
    state.write_text(json.dumps({**found, name: entry}), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        ("_data_files", None, "must be a list"),
        ("_data_files", [7], "must be a list"),
        ("_data_files", [{"filename": 7}], "not the name of a file in this folder"),
        ("_data_files", [{"filename": "../../secret.arrow"}], "not the name of a file in this folder"),
        ("_data_files", [{"filename": "gone.arrow"}], "this file is missing"),
        ("_indices_files", [{"filename": "i.arrow"}], "an indices mapping selects the rows"),
        ("_format_columns", [7], "must be a list of names"),
        ("_format_columns", "text", "must be a list of names"),
    ],
)
def test_a_datasets_folder_with_a_damaged_description(tmp_path, name, entry, said):
    from datasets import Dataset

    Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    settings = DataSettings(data_name=str(tmp_path / "saved"))
    assert len(load_rows(settings).train) == 2
    damage(tmp_path / "saved" / "state.json", name, entry)
    with pytest.raises(InputError, match=said):
        load_rows(settings)


def test_a_column_with_a_name_that_is_no_text(tmp_path):
    path = tmp_path / "a.arrow"
    with ipc.new_stream(str(path), pa.schema({"text_of_the_row": pa.string()})) as writer:
        writer.write_table(pa.table({"text_of_the_row": ["a"]}))
    path.write_bytes(path.read_bytes().replace(b"text_of_the_row", b"text_of_the_\xff\xfe\xf9"))
    with pytest.raises(InputError, match="the names of the columns cannot be read"):
        load_file(path)


def test_a_damaged_arrow_file_is_refused_and_the_process_goes_on(tmp_path):
    """To read values that lead out of the file ended the process (SIGSEGV)."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0, 99_999_999]), pa.array(["a", "b"]), safe=False)
    table = pa.table({"text": texts, "label": ["x", "y"]})
    for name, kind in (("file.arrow", ipc.new_file), ("stream.arrow", ipc.new_stream)):
        with kind(str(tmp_path / name), table.schema) as writer:
            writer.write_table(table)
        with pytest.raises(InputError, match="cannot be read as arrow"):
            load_file(tmp_path / name)


def test_values_that_python_cannot_hold_are_refused_where_they_are_read(tmp_path):
    days = pa.array([2**62, 0], pa.int64()).view(pa.timestamp("us"))
    table = pa.table({"prompt": ["a", "b"], "completion": ["c", "d"], "when": days})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert len(load_file(tmp_path / "a.parquet")) == 2
    settings = DataSettings(
        data_files=(str(tmp_path / "a.parquet"),), prompt_template="{when}", completion_template="{prompt}"
    )
    with pytest.raises(InputError, match=r"a\.parquet:1: column 'when'.*cannot be read"):
        read_examples(settings)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_a_value_nested_too_deeply_is_refused_by_its_row(tmp_path, ending):
    deep = "x"
    for _ in range(90):
        deep = [deep]
    rows = [{"prompt": "a", "completion": "b"}, {"prompt": deep, "completion": "c"}]
    path = tmp_path / f"a.{ending}"
    if ending == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    elif ending == "json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text(f"prompt,completion\na,b\n{json.dumps(deep)},c\n", encoding="utf-8")
    if ending == "csv":  # a text in a cell stays one
        assert len(read_examples(DataSettings(data_files=(str(path),))).examples) == 2
        return
    with pytest.raises(InputError, match="nested too deeply"):
        read_examples(DataSettings(data_files=(str(path),)))

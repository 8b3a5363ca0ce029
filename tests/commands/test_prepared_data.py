"""``graft prepare``: which steps run, what is written, and who reads it."""

import json
import os
import stat
from pathlib import Path

import pytest

import graft
from graft.cli.main import main
from graft.commands.prepare import prepare_data, settings_class
from graft.config import DataSettings, build
from graft.data.sources import load_rows
from graft.errors import InputError
from graft.files import TEMPORARY
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.manifest import read_data

ROWS = [{"text": f" row {number} ", "label": "ab"[number % 2], "note": number} for number in range(8)]


@pytest.fixture
def rows(tmp_path):
    return write(tmp_path / "rows.jsonl", ROWS)


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def prepare(output, **given):
    return prepare_data(build(settings_class(), {"output_path": output, **given}))


def texts(rows):
    return [row.columns["text"] for row in rows]


def test_rows_keep_their_columns_and_every_change_has_a_line(rows, tmp_path):
    done = prepare(tmp_path / "out", data_files=rows)
    assert read(tmp_path / "out" / "train.jsonl") == [{**row, "text": row["text"].strip()} for row in ROWS]
    changes = read(tmp_path / "out" / "changes.jsonl")
    assert len(changes) == 8 and done.changes["blanks"] == {"changed": 8}
    place = f"{rows}:1"
    first = {"step": "blanks", "action": "changed", "origin": place, "side": "train", "column": "text"}
    assert changes[0] == {**first, "before": " row 0 ", "after": "row 0", "why": "blanks around it"}
    manifest = read_data(tmp_path / "out")
    assert manifest.sources["train"].path == str(rows) and manifest.files == {
        str(rows): manifest.sources["train"].sha256
    }
    assert manifest.rows == {"train": 8} and manifest.seed == 42
    assert folder_kind(tmp_path / "out") is FolderKind.DATA


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_rows_are_for_this_user_alone(rows, tmp_path):
    prepare(tmp_path / "out", data_files=rows)
    for name in ("train.jsonl", "changes.jsonl"):
        assert stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) == 0o600


def test_its_settings_file_does_it_again(rows, tmp_path, capsys):
    prepare(tmp_path / "out", data_files=rows, skip_steps="blanks", seed=7)
    assert main(["prepare", "--config", str(tmp_path / "out" / "config.yaml"), "-o", str(tmp_path / "again")]) == 0
    assert read_data(tmp_path / "again").seed == 7
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == (tmp_path / "again" / "train.jsonl").read_bytes()
    assert "8 rows were read, 8 were written" in capsys.readouterr().out


def test_python_prepares_data_as_the_command_does(rows, tmp_path):
    done = graft.prepare(rows, tmp_path / "out", steps=["unreadable"], seed=3)
    assert done.rows == {"train": 8} and done.changes == {"blanks": {"changed": 8}, **_idle(done)}
    assert folder_kind(Path(done)) is FolderKind.DATA
    with pytest.raises(InputError, match="pass --overwrite"):
        graft.prepare(str(rows), tmp_path / "out")
    assert graft.prepare([rows], tmp_path / "out", overwrite=True).manifest.seed == 42


def _idle(done):
    return {step: {} for step in done.changes if step != "blanks"}


def test_everything_wrong_with_the_names_of_steps_is_said_at_once(rows, tmp_path):
    with pytest.raises(InputError) as refused:
        prepare(None, data_files=rows, steps="blank,unreadable,unreadable", skip_steps="blanks,nothing")
    said = str(refused.value)
    assert (
        "no step called 'blank'" in said and "did you mean blanks?" in said and "'unreadable' is named 2 times" in said
    )
    assert "no step called 'nothing'" in said and "no output folder is given" in said
    with pytest.raises(InputError, match="'unreadable' runs only on request"):
        prepare(tmp_path / "out", data_files=rows, skip_steps="unreadable")
    with pytest.raises(InputError, match="'blanks' is in --steps, too"):
        prepare(tmp_path / "out", data_files=rows, steps="blanks", skip_steps="blanks")
    assert not (tmp_path / "out").exists()


def test_rows_that_cannot_be_read_are_refused_unless_the_step_for_them_is_asked_for(tmp_path):
    good = [json.dumps(row) for row in ROWS]
    lines = [*good[:2], "{bad", *good[2:4], "[1]", json.dumps({"text": "no label"}), *good[4:]]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as refused:
        prepare(tmp_path / "out", data_files=path)
    assert f"{path}:3" in str(refused.value) and f"{path}:6" in str(refused.value)
    assert "--steps unreadable" in str(refused.value) and not (tmp_path / "out").exists()
    done = prepare(tmp_path / "out", data_files=path, steps="unreadable")
    assert done.changes["unreadable"] == {"dropped": 3} and done.rows == {"train": 8}
    dropped = [line for line in read(tmp_path / "out" / "changes.jsonl") if line["action"] == "dropped"]
    assert [line["origin"] for line in dropped] == [f"{path}:{number}" for number in (3, 6, 7)]
    assert "missing column: label" in dropped[2]["why"]


def test_values_without_text_are_refused_with_the_option_that_leaves_them_out(tmp_path):
    from datasets import Dataset

    table = Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"], "image": [b"\xff\xfe", b"\xff"]})
    table.to_parquet(str(tmp_path / "rows.parquet"))
    with pytest.raises(InputError, match="--ignore_columns image"):
        prepare(tmp_path / "out", data_files=tmp_path / "rows.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
    prepare(tmp_path / "out", data_files=tmp_path / "rows.parquet", ignore_columns="image")
    assert read(tmp_path / "out" / "train.jsonl") == [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]


@pytest.fixture
def split(tmp_path):
    """A prepared folder with three sides."""
    for name in ("train", "dev", "test"):
        write(
            tmp_path / "data" / f"{name}.jsonl",
            [{"text": f"{name} {row['text']}", "label": row["label"]} for row in ROWS],
        )
    prepare(tmp_path / "out", data_name=str(tmp_path / "data"))
    return tmp_path / "out"


def test_the_sides_of_a_prepared_folder_are_read_as_what_they_are(split, tmp_path):
    assert sorted(path.name for path in split.iterdir()) == [
        *("changes.jsonl", "config.yaml", "eval.jsonl", "manifest.json", "test.jsonl", "train.jsonl")
    ]
    for settings in (DataSettings(data_name=str(split)), DataSettings(data_files=str(split))):
        loaded = load_rows(settings)
        assert loaded.eval is not None and loaded.test is not None
        sides = {"train": loaded.train, "dev": loaded.eval, "test": loaded.test}
        for name, rows in sides.items():
            assert len(rows) == 8 and all(text.startswith(name) for text in texts(rows))
    judged = load_rows(DataSettings(data_files=str(split)), prefer=("test", "validation", "train"))
    assert all(text.startswith("test") for text in texts(judged.train))
    held = load_rows(DataSettings(data_files=str(tmp_path / "data" / "train.jsonl"), eval_data_files=str(split)))
    assert held.eval is not None and all(text.startswith("dev") for text in texts(held.eval))
    assert prepare(tmp_path / "again", data_name=str(split)).rows == {"train": 8, "eval": 8, "test": 8}
    assert read(tmp_path / "again" / "changes.jsonl") == []


def test_a_prepared_folder_is_described(split, capsys):
    assert main(["show", str(split)]) == 0
    out = capsys.readouterr().out
    assert "24 rows were read, 24 were written" in out and "test            8 rows" in out and "blanks" in out
    assert main(["show", str(split), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sides"]["eval"]["rows"] == 8


def test_the_log_is_never_read_as_rows(split):
    with pytest.raises(InputError, match="log of graft prepare"):
        load_rows(DataSettings(data_files=str(split / "*.jsonl")))
    (split / "train.jsonl").unlink(), (split / "eval.jsonl").unlink(), (split / "test.jsonl").unlink()
    with pytest.raises(InputError, match="has lost its files of rows"):
        load_rows(DataSettings(data_name=str(split)))


def test_only_a_prepared_folder_is_replaced_and_never_the_one_that_is_read(split, rows, tmp_path):
    with pytest.raises(InputError, match="pass --overwrite"):
        prepare(split, data_files=rows)
    for data in ({"data_name": str(split)}, {"data_files": split / "train.jsonl"}):
        with pytest.raises(InputError, match="the output folder"):
            prepare(split, overwrite=True, **data)
    with pytest.raises(InputError, match="the output folder is in that of the data"):
        prepare(tmp_path / "data" / "inner", data_name=str(tmp_path / "data"))
    with pytest.raises(InputError, match="the output folder is a folder with data files"):
        prepare(tmp_path / "data", data_files=rows, overwrite=True)
    (split / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"files that graft prepare did not write: notes.txt"):
        prepare(split, data_files=rows, overwrite=True)
    (split / "notes.txt").unlink()
    assert prepare(split, data_files=rows, overwrite=True).rows == {"train": 8}
    assert not (split / "eval.jsonl").exists()
    assert not any(path.name.endswith(TEMPORARY) for path in tmp_path.iterdir())


def test_nothing_is_left_when_a_step_is_interrupted(rows, tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(
        "class Stopped:\n    name, title = 'stopped', 'stop'\n    def apply(self, sides, context):\n"
        "        return {'train': (row if row.columns['note'] < 5 else stop() for row in sides['train'])}\n"
        "def stop():\n    raise KeyboardInterrupt\n",
        encoding="utf-8",
    )
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "out", data_files=rows, steps=f"{tmp_path / 'own.py'}:Stopped")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["own.py", "rows.jsonl"]


def test_files_that_options_name_are_not_replaced(rows, tmp_path):
    done = prepare(tmp_path / "out", data_files=rows, steps="split", test_share=0.25)
    before = (done.output / "test.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"the data is in the output folder: .*test\.jsonl"):
        prepare(done.output, data_files=rows, overwrite=True, augment="case", against=str(done.output / "test.jsonl"))
    assert (done.output / "test.jsonl").read_bytes() == before


def test_a_dry_run_of_a_workflow_shows_no_secret_of_a_server(rows, tmp_path, capsys):
    step = {"type": "prepare", "config": {"endpoint": "http://127.0.0.1:9/v1?api_key=QUERYSECRET99"}}
    step["config"]["endpoint_body"] = json.dumps({"x_api_key": "BODYSECRET77"})
    document = {"data_files": str(rows), "passes": {"p": step}}
    (tmp_path / "w.yaml").write_text(json.dumps(document), encoding="utf-8")
    assert main(["run", "--config", str(tmp_path / "w.yaml"), "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert "127.0.0.1:9/v1" in out and "SECRET" not in out


def test_findings_do_not_go_into_the_folder_of_the_data_and_a_review_of_other_data_goes(tmp_path, capsys):
    write(tmp_path / "data" / "rows.jsonl", ROWS)
    for output in (tmp_path / "data", tmp_path / "data" / "in"):
        assert main(["doctor", str(tmp_path / "data"), "-o", str(output)]) == 2
        assert "data" in capsys.readouterr().err and not (output / "doctor.json").exists()
    write(tmp_path / "found" / "review.jsonl", [{"file": "other.jsonl"}])
    assert main(["doctor", str(tmp_path / "data"), "-o", str(tmp_path / "found"), "--overwrite"]) == 0
    assert (tmp_path / "found" / "doctor.html").exists() and not (tmp_path / "found" / "review.jsonl").exists()

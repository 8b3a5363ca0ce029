"""``graft prepare`` and ``graft doctor``: what is refused before anything is read, sent, or written, and how."""

import json
import re

import pytest

from answering_server import answering
from graft.cli.main import main
from graft.commands.doctor import diagnose_data
from graft.commands.doctor import settings_class as doctor_settings
from graft.commands.prepare import prepare_data, settings_class
from graft.config import build
from graft.data.provenance import PROVENANCE
from graft.errors import GraftError, InputError

ROWS = [{"text": f"this is the {n}th text", "label": "ab"[n % 2]} for n in range(12)]
UNANSWERED = [{"text": "it has no label"}, {"text": "it has a null", "label": None}, {"text": "empty", "label": " "}]
RETURNS_NONE = """
class Step:
    name, title = "own", "do nothing"
    def apply(self, sides, context): pass

class Other(Step):
    def apply(self, sides, context): return OTHER[self.case](list(sides["train"]))

OTHER = {
    "text": lambda rows: {"train": "abc"},
    "later": lambda rows: {"train": [rows[0], 3]},
    "generated": lambda rows: {"train": (row.columns for row in rows)},
    "none": lambda rows: {"train": None},
    "sides": lambda rows: {"training": rows},
    "number": lambda rows: {"train": rows, 1: rows},
    "empty": lambda rows: {"train": []},
}
for case in OTHER:
    globals()[case] = type(case, (Other,), {"name": case, "case": case})

class Check:
    name, title = "own", "Nothing"
    def examine(self, data, config): pass

class Checked:
    name, title = "own", "do nothing"
    def check(self, config): return 1 / 0
    def apply(self, sides, context): return sides
"""


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "rows.jsonl", ROWS)


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(RETURNS_NONE, encoding="utf-8")
    return path


def write(path, rows):
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def prepare(output, **given):
    return prepare_data(build(settings_class(), {"output_path": output, **given}))


def test_unreadable_lines_and_rows_without_an_answer_are_named_together_and_dropped_by_one_step(tmp_path):
    path = write(tmp_path / "rows.jsonl", [*ROWS, *UNANSWERED, '{"text": bro'])
    with pytest.raises(InputError) as caught:
        prepare(tmp_path / "out", data_files=path)
    *rows, last = caught.value.problems
    assert sorted(problem.where for problem in rows) == [f"{path}:{line}" for line in (13, 14, 15, 16)]
    assert "--steps unreadable" in last.what and not (tmp_path / "out").exists()
    done = prepare(tmp_path / "out", data_files=path, steps="unreadable")
    assert done.changes["unreadable"] == {"dropped": 4} and read(tmp_path / "out" / "train.jsonl") == ROWS


def test_rows_without_an_answer_are_refused_on_every_side(data, tmp_path):
    judged = write(tmp_path / "judged.jsonl", [{"text": "one", "label": "a"}, *UNANSWERED])
    with pytest.raises(InputError) as caught:
        prepare(tmp_path / "out", data_files=data, eval_data_files=judged)
    assert [problem.where for problem in caught.value.problems[:-1]] == [f"{judged}:{line}" for line in (2, 3, 4)]


def test_settings_names_and_files_are_refused_together_before_anything_is_sent(data, tmp_path, capsys):
    prompts = write(tmp_path / "prompts.jsonl", [{"text": "is it a?"}])
    none = str(tmp_path / "none.jsonl")
    with answering(lambda text: "a") as server:
        words = ["prepare", data, "-o", str(tmp_path / "out"), "--generate", prompts, "--endpoint", server.url]
        wrong = ["--augmnt", "case", "--steps", "htlm,augment", "--augment_copies", "0", "--against", none]
        files = ["--review", none, "--label_mapping", none, "--augment_templates", none]
        assert main([*words, *wrong, *files]) == 2
        assert not server.bodies()
    said = capsys.readouterr().err
    assert "--augmnt" in said and "'htlm'" in said and "--augment_copies" in said
    assert said.count(f"{none}: no such file") == 4
    assert "loading libraries" not in said


def test_settings_and_names_of_checks_are_refused_together(data, tmp_path, capsys):
    wrong = ["--checks", "htlm", "--skip_checks", "dupes", "--show", "-1", "--against", str(tmp_path / "none")]
    assert main(["doctor", data, *wrong]) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in ("'htlm'", "'dupes'", "--show", "none: no such file"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Step", "returned None, not rows by side"),
        ("text", "returned a value of type str as a row of the side 'train'"),
        ("later", "returned a value of type int as a row of the side 'train'"),
        ("generated", "returned a value of type dict as a row of the side 'train'"),
        ("none", "returned None as the rows of the side 'train'"),
        ("sides", "returned the sides 'training'; expected train"),
        ("number", "returned the sides 'train', 1; expected train"),
        ("empty", "no row is left to train on"),
    ],
)
def test_a_step_that_returns_no_rows_is_named(data, own, tmp_path, name, said):
    step = f"{own}:{name}"
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        prepare(tmp_path / "out", data_files=data, steps=[step])
    assert step in str(caught.value) and not (tmp_path / "out").exists()


def test_a_step_that_fails_is_named_and_graft_is_not(data, own, tmp_path):
    step = f"{own}:Checked"
    with pytest.raises(GraftError, match=r"the step .* failed") as caught:
        prepare(tmp_path / "out", data_files=data, steps=[step])
    assert caught.value.problems[0].where.startswith(str(own)) and not (tmp_path / "out").exists()


def test_a_check_that_returns_nothing_is_named_and_graft_is_not(data, own):
    settings = build(doctor_settings(), {"data_files": data, "checks": [f"{own}:Check"]})
    with pytest.raises(GraftError, match=r"the check .* failed") as caught:
        diagnose_data(settings)
    assert caught.value.problems[0].where == str(own)


@pytest.mark.parametrize(
    "forged",
    [{"step": "augment", "of": "x", "copy": "zz"}, {"step": "augment", "of": ["x"]}, {"step": 7}, "augment", ["step"]],
)
def test_a_value_in_the_column_of_provenance_that_graft_did_not_write_says_nothing(tmp_path, forged):
    rows = [{**row, PROVENANCE: forged} for row in ROWS]
    done = prepare(tmp_path / "out", data_files=write(tmp_path / "rows.jsonl", rows), augment="case")
    assert done.changes["augment"] == {"added": len(rows)}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_new_tokens", 5),
        ("model_revision", "main"),
        ("teacher", "model"),
        ("against", "rows.jsonl"),
        ("endpoint", "http://localhost:1/v1"),
    ],
)
def test_options_that_no_step_reads_are_refused(data, tmp_path, monkeypatch, option, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"--{option} (is read|applies) only"):
        prepare(tmp_path / "out", data_files=data, **{option: value})


def test_the_length_of_rows_in_tokens_is_no_option(data, tmp_path):
    with pytest.raises(InputError, match="unknown option --max_length"):
        prepare(tmp_path / "out", data_files=data, max_length=100)

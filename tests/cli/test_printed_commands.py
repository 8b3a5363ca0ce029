"""Paths as users have them: with commas, blanks, quotes, leading dashes and ``~``, given and printed."""

import shlex
import shutil
from pathlib import Path

import pytest

from graft.cli.main import main
from graft.config import DataSettings, GenerateAdapterSettings, build
from graft.data.sources import find_files
from graft.errors import InputError
from graft.export.onnx.lora_adapter import name_paths
from graft.planning.settings import finetune_settings
from graft.runs.kind import FolderKind, what_to_do
from graft.runs.remedies import repeat_command
from graft.shell import command, quote

ODD = ["my run", "it's", "a$HOME", "ünïcode", "a;b", "two  blanks", 'say "hi"', "back`tick`"]


@pytest.mark.parametrize("name", ODD)
def test_printed_words_are_read_back_by_a_shell(name):
    assert shlex.split(command("graft", "chat", Path(name))) == ["graft", "chat", name]
    assert shlex.split(repeat_command(name, "overfitting", {}))[-1] == f"{name}-again"
    assert shlex.split(what_to_do(FolderKind.RUN, Path(name))) == ["graft", "show", name]


def test_a_path_with_a_leading_dash_is_no_option():
    assert command("graft", "show", Path("-run")) == "graft show ./-run"
    assert command("graft", "finetune", "--resume") == "graft finetune --resume"


@pytest.mark.parametrize(
    ("word", "shown"),
    [("runs\\a", "runs\\a"), ("my run", '"my run"'), ("a$b c", "'a$b c'"), ("it's", '"it\'s"'), ("ü", '"ü"')],
)
def test_words_on_windows(monkeypatch, word, shown):
    monkeypatch.setattr("graft.shell.os.name", "nt")
    assert quote(word) == shown


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jsonl", "b.jsonl", "c,d.jsonl", "e, f.jsonl", "x,1.csv", "x,2.csv"):
        Path(name).write_text("", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("a.jsonl,b.jsonl", ["a.jsonl", "b.jsonl"]),
        ("a.jsonl, b.jsonl", ["a.jsonl", "b.jsonl"]),
        ("c,d.jsonl", ["c,d.jsonl"]),
        ("a.jsonl,c,d.jsonl", ["a.jsonl", "c,d.jsonl"]),
        ("e, f.jsonl,a.jsonl", ["e, f.jsonl", "a.jsonl"]),
        ("x,*.csv", ["x,1.csv", "x,2.csv"]),
        (["c,d.jsonl", "a.jsonl,b.jsonl"], ["c,d.jsonl", "a.jsonl", "b.jsonl"]),
        (["a.jsonl", "x,?.csv"], ["a.jsonl", "x,1.csv", "x,2.csv"]),
    ],
)
def test_a_file_by_the_whole_name_wins_over_a_list(files, given, read):
    settings = build(DataSettings, {"data_files": given, "eval_data_files": given})
    assert [str(file) for file in find_files(settings.data_files)] == read
    assert settings.data_files == settings.eval_data_files
    assert [str(file) for file in find_files(given if isinstance(given, list) else [given])] == read


def test_a_missing_file_with_a_comma_is_said_by_both_readings(files):
    settings = build(DataSettings, {"data_files": "a.jsonl,none.jsonl"})
    with pytest.raises(InputError) as caught:
        find_files(settings.data_files)
    assert "none.jsonl: no such file" in str(caught.value) and "'a.jsonl,none.jsonl'" in str(caught.value)


def test_adapters_with_commas_and_equal_signs_in_their_paths(files):
    for name in ("one,two", "a=b"):
        Path(name).mkdir()
    settings = build(GenerateAdapterSettings, {"adapter_paths": "tone=one,two,other=a=b"})
    assert settings.adapter_paths == ("tone=one,two", "other=a=b")
    assert name_paths(settings.adapter_paths) == {"tone": Path("one,two"), "other": Path("a=b")}


def test_home_is_the_same_in_every_path_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    settings = finetune_settings({"output_path": "~/run", "logging_dir": "~/logs", "adapter_path": "~/adapter"})
    assert settings.output_path == tmp_path / "run"
    assert settings.logging_dir == tmp_path / "logs"
    assert settings.adapter_path == tmp_path / "adapter"


def test_a_template_and_a_configuration_are_found_at_home(tmp_path, monkeypatch, capsys):
    from graft.models.chat_templates import read_chat_template

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "chat.jinja").write_text("{{ messages }}", encoding="utf-8")
    assert read_chat_template("~/chat.jinja") == "{{ messages }}"
    (tmp_path / "settings.yaml").write_text("learning_rate: fast\n", encoding="utf-8")
    assert main(["finetune", "--config=~/settings.yaml"]) == 2
    assert "learning_rate" in capsys.readouterr().err


def test_the_card_of_a_run_with_an_odd_name_has_commands_that_work(tmp_path):
    from graft.report.card import write_card

    folder = shutil.copytree(Path(__file__).parents[1] / "fixtures" / "run-0.1", tmp_path / "it's my run")
    text = write_card(folder).read_text(encoding="utf-8")
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("graft ")]
    assert len(lines) == 4 and all("it's my run" in line for line in lines)

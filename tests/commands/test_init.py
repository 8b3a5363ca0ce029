"""``graft init``: the file that it writes runs, whatever the data is like."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from graft.cli.main import main
from graft.commands.init import look
from graft.commands.init_file import scalar
from graft.config import InitSettings
from graft.models.catalog import read_catalog
from graft.planning.model_choice import suggest
from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder

CLASSES = [{"text": f"a {word} day, number {n}", "label": word} for n in range(24) for word in ("good", "bad")]
QUESTIONS = [{"instruction": f"What is number {n}?", "output": f"It is the number {n}."} for n in range(48)]
CHATS = [
    {"messages": [{"role": "user", "content": f"Hi {n}"}, {"role": "assistant", "content": f"Hello, number {n}."}]}
    for n in range(48)
]
TAGS = [{"tokens": ["Ada", "went", "home", str(n)], "ner_tags": ["B-PER", "O", "O", "O"]} for n in range(48)]
OWN = [{"asked": f"What is number {n}?", "said": f"It is the number {n}.", "number": n} for n in range(48)]
GERMAN = [
    {"text": f"Das Wetter ist heute wirklich {wort}, und morgen wird es wohl ebenso ({n}).", "label": wort}
    for n in range(24)
    for wort in ("schön", "schlecht")
]


def data_file(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("rows", "options", "encoder"),
    [
        (CLASSES, [], False),
        (CLASSES, [], True),
        ([*CLASSES, CLASSES[0], {"text": "a <b>good</b> day", "label": "good"}], [], False),
        (QUESTIONS, [], False),
        (CHATS, ["--max_length", "64"], False),
        (TAGS, [], True),
        (OWN, ["--prompt_template", "${asked}\\n\\tAnswer:", "--completion_template", "{said}"], False),
    ],
    ids=["classes", "encoder", "prepared", "instructions", "chats", "tags", "templates"],
)
def test_the_file_runs(
    here: Path,
    rows: Sequence[Mapping[str, Any]],
    options: list[str],
    encoder: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = tiny_bert_folder(here) if encoder else tiny_model_folder(here)
    data = data_file(here, rows)
    assert main(["init", str(data), "--yes", "--model", str(model), *options, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written["file"] == "workflow.yaml"
    assert main(["run", "--config", "workflow.yaml", "--dry_run", "--json"]) == 0
    passes = json.loads(capsys.readouterr().out)
    assert [each["pass"] for each in passes] == written["passes"]
    assert passes[-1]["settings"]["model_name_or_path"] == str(model)
    quick = ["--max_steps", "1", "--bootstrap_samples", "100", *([] if encoder else ["--max_new_tokens", "4"])]
    assert main(["run", "--config", "workflow.yaml", *quick]) == 0
    run = here / "runs" / "rows"
    run = run / "tune" if len(passes) > 1 else run
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["status"] == "finished"
    assert f"graft show {run.relative_to(here)}" in written["next"]


def test_what_the_checks_find_becomes_a_pass(here: Path) -> None:
    rows = [*CLASSES, CLASSES[0], {"text": "a <b>good</b> day <br> mail ada@lovelace.org", "label": "good"}]
    assert main(["init", str(data_file(here, rows)), "--yes", "-o", "found.yaml"]) == 0
    text = Path("found.yaml").read_text(encoding="utf-8")
    prepare = yaml.safe_load(text)["passes"]["prepare"]
    assert prepare["type"] == "prepare" and "html" in prepare["steps"] and "privacy" not in prepare["steps"]
    assert "privacy]" in text and "ada@lovelace.org" not in text
    assert main(["init", str(data_file(here, CLASSES)), "--yes", "-o", "clean.yaml"]) == 0
    assert "prepare" not in yaml.safe_load(Path("clean.yaml").read_text(encoding="utf-8"))["passes"]


def test_a_file_is_never_replaced_unless_it_is_asked_for(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, file = data_file(here, CLASSES), here / "workflow.yaml"
    file.write_text("mine", encoding="utf-8")
    assert main(["init", str(data), "--yes"]) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "mine"
    assert main(["init", str(data), "--yes", "--overwrite"]) == 0
    assert file.read_text(encoding="utf-8").startswith("# Written by graft init")
    assert main(["init", str(data), "--yes", "-o", str(here)]) == 2


def test_mistakes_are_said_before_anything_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, own = data_file(here, CLASSES), here / "own.jsonl"
    own.write_text(json.dumps(OWN[0]) + "\n", encoding="utf-8")
    for words, said in (
        ([], "no data is given"),
        ([str(data), "--goal", "speed"], "goal"),
        ([str(data), "--models", "x"], "did you mean"),
        ([str(data), "--model", "Qwen3-06B"], "did you mean qwen3-0.6b?"),
        (["nothing.jsonl"], "nothing.jsonl"),
        ([str(own)], '--prompt_template "{asked}"'),
    ):
        assert main(["init", *words, "--yes"]) == 2
        assert said in capsys.readouterr().err
    assert not (here / "workflow.yaml").exists()


def test_the_model_fits_the_rows(here: Path) -> None:
    def best(rows: Sequence[Mapping[str, Any]], **settings: Any) -> Any:
        return look(InitSettings(data_files=(str(data_file(here, rows)),), **settings)).suggestions("time")[0]

    assert best(CLASSES).name == "all-minilm-l6-v2" and best(CLASSES).method == "full"
    assert best(QUESTIONS).name == "smollm2-135m-instruct"
    assert "de" in best(GERMAN).model.languages and best(GERMAN).model.kind == "encoder"
    assert best(CLASSES, task="text-generation").model.kind == "causal"


def test_goals_and_memory_decide_among_models() -> None:
    catalog = {model.id: model for model in read_catalog()}
    quality = suggest("causal", "de", "quality", 64_000)
    size = suggest("causal", "de", "size", 64_000)
    assert quality[0].model.parameters > size[0].model.parameters
    assert all("de" in catalog[one.model.id].languages for one in quality)
    assert not {one.model.id for one in quality if one.model.gated or one.model.license == "qwen-research"}
    tight = suggest("causal", None, "quality", 8_000)
    assert tight and all(one.memory_mb <= 6_400 for one in tight)
    assert "qlora" not in {one.method for one in tight}  # its base is loaded in float32, too
    assert suggest("causal", "xx", "time", 64_000) == []
    assert max(one.model.parameters for one in suggest("causal", None, "quality", 64_000, gpu=True)) > 3e9


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "yes",
        "a: b",
        "{column}\n",
        "# no comment",
        " x ",
        "1e-4",
        "",
        "ü",
        ["a, b", "-c"],
        True,
        0.1,
        "*",
        "a #b",
    ],
)
def test_values_are_read_back_as_they_are(value: Any, tmp_path: Path) -> None:
    from graft.yaml_text import parse

    assert parse(f"key: {scalar(value)}\n", "file", "")["key"] == value


def test_without_a_terminal_it_asks_nothing_and_says_so(here: Path) -> None:
    data = data_file(here, QUESTIONS)
    command = [sys.executable, "-m", "graft.cli.main", "init", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert "the defaults are taken" in done.stderr
    assert "graft run --config workflow.yaml --dry_run" in done.stdout


def test_in_a_terminal_it_asks_what_the_data_does_not_say(here: Path) -> None:
    data = data_file(here, QUESTIONS)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "graft.cli.main", "init", str(data)]
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        said = _answer(ours, [("[1] ", "3"), ("[1] ", "9"), ("[1] ", "2"), ("[1] ", "gguf")])
        process.kill() if process.poll() is None and "next:" not in said else None
        assert process.wait(60) == 0, said
    assert "What matters most?" in said and "give a number from 1 to 5" in said and "Export the tuned model?" in said
    written = yaml.safe_load((here / "workflow.yaml").read_text(encoding="utf-8"))
    assert written["model"] == re.findall(r"^  2  (\S+)", said, re.MULTILINE)[1]
    assert written["passes"]["export"] == {"type": "export", "format": "gguf"}


def _answer(terminal: int, answers: Sequence[tuple[str, str]]) -> str:
    """Type each answer once its prompt is there; return all that was shown until the other side is closed."""
    shown, since, left = "", 0, [*answers]
    while select.select([terminal], [], [], 60)[0]:
        try:
            shown += os.read(terminal, 4096).decode("utf-8", "replace")
        except OSError:  # the other side is closed
            break
        if left and left[0][0] in shown[since:]:
            since = len(shown)
            os.write(terminal, f"{left.pop(0)[1]}\n".encode())
    return shown

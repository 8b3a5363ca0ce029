"""A workflow that is killed in any of its passes and run again leaves the same bytes as one that was not killed."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys

import pytest
import yaml

from graft.runs.manifest import read_workflow_manifest
from small_runs import question_file
from tiny_models import tiny_model_folder

KILLED_AT = """
import os, sys
part, last, sent, seen = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), 0


def hook(event, arguments):
    global seen
    if event != "open" or not isinstance(arguments[0], str) or not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        return
    if part in arguments[0] and not arguments[0].endswith(".lock"):
        seen += 1
        if seen == last:
            os.kill(os.getpid(), sent)


sys.addaudithook(hook)
from graft.cli.main import main

sys.exit(main(sys.argv[4:]))
"""
"""Runs graft, and sends it a signal when it opens the nth file for writing whose path has a given part."""
PASSES = {
    "clean": {"type": "prepare"},
    "lora": {
        "type": "LoRA",
        "max_steps": 6,
        "eval_steps": 2,
        "save_steps": 2,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-2,
        "evaluate": False,
    },
    "judge": {"type": "evaluate", "bootstrap_samples": 100},
    "merge": {},
    "speed": {"type": "speed", "max_new_tokens": 4, "repeats": 1},
    "report": {},
}
KILLS = {
    "clean": ("/flow/.clean", 3),
    "lora": ("/flow/lora/checkpoints", 6),
    "judge": ("/flow/judge", 2),
    "merge": ("/flow/.merge", 5),
    "speed": ("/flow/speed", 1),
    "report": ("/flow/report", 2),
}
"""Where each pass is killed: at the nth file of its own that it opens for writing."""
TIMES = re.compile(r"seconds|took|started|finished|date|created|per_second|_mb$|found|memory|^key$")
LOGS = {"metrics.jsonl", "events.jsonl", "report.html", "README.md", "speed.json", "manifest.json", "config.yaml"}


def written(folder):
    """The SHA-256 of each output: of JSON without times; logs, pages and records of times are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.name in LOGS or "/checkpoints/" in name or path.name.startswith("."):
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            content = json.dumps(untimed(json.loads(content)), sort_keys=True).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def untimed(value):
    if isinstance(value, dict):
        return {name: untimed(each) for name, each in value.items() if not TIMES.search(name)}
    return [untimed(each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    rows = question_file(folder)
    model = tiny_model_folder(folder, "gpt2")
    document = {"model_name_or_path": str(model), "data_files": str(rows), "output_path": str(folder / "flow")}
    text = yaml.safe_dump({**document, "passes": PASSES}, sort_keys=False)
    (folder / "flow.yaml").write_text(text, encoding="utf-8")
    return folder


def graft(folder, part="never", last=0, sent=9):
    words = [sys.executable, "-c", KILLED_AT, part, str(last), str(int(sent)), "run", str(folder / "flow.yaml")]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_workflow_killed_in_each_pass_leaves_the_same_bytes(files):
    done = graft(files)
    assert done.returncode == 0, done.stderr
    expected = written(files / "flow")
    shutil.move(files / "flow", files / "once")  # records name places, so the other way starts at the same one
    names = list(PASSES)
    for number, (name, (part, last)) in enumerate(KILLS.items()):
        done = graft(files, part, last)
        assert done.returncode == -signal.SIGKILL, (name, done.stderr)
        found = read_workflow_manifest(files / "flow")
        assert [one.name for one in found.passes if one.status == "finished"] == names[:number]
        assert (found.passes[-1].name, found.passes[-1].status, found.status) == (name, "running", "running")
        if number > 1 and names[number - 1] == "lora":
            assert "Resuming from checkpoint-2" in done.stderr, done.stderr
        assert re.findall(r"pass (\w+): kept", done.stderr) == names[: max(0, number - 1)]
    done = graft(files)
    assert done.returncode == 0, done.stderr
    assert "pass report runs again: it was interrupted" in done.stderr
    assert read_workflow_manifest(files / "flow").status == "finished"
    assert {"lora/adapter/adapter_model.safetensors", "merge/model.safetensors", "report/report.json"} <= set(expected)
    assert written(files / "flow") == expected
    assert not [path for path in (files / "flow").iterdir() if path.name.endswith(".graft-tmp")]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for one process")
def test_an_interrupted_pass_ends_with_130_and_says_how_to_go_on(files, tmp_path):
    document = yaml.safe_load((files / "flow.yaml").read_text(encoding="utf-8"))
    document |= {"passes": {"clean": PASSES["clean"], "more": PASSES["clean"]}, "output_path": str(tmp_path / "flow")}
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    done = graft(tmp_path, "/flow/.more", 2, signal.SIGINT)
    assert done.returncode == 130
    assert "interrupted in the pass more" in done.stderr and "flow.yaml goes on with this pass" in done.stderr
    found = read_workflow_manifest(tmp_path / "flow")
    assert [one.status for one in found.passes] == ["finished", "interrupted"] and found.status == "interrupted"
    done = graft(tmp_path)
    assert done.returncode == 0 and "pass clean: kept" in done.stderr, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_search_pass_that_is_killed_goes_on_to_the_same_trials(files, tmp_path):
    document = yaml.safe_load((files / "flow.yaml").read_text(encoding="utf-8"))
    space = {"learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True}, "lora_r": [4, 8]}
    quick = {"max_steps": 2, "eval_steps": 1, "per_device_train_batch_size": 8, "evaluate": False, "num_trials": 4}
    passes = {"tune": {"type": "search", "search_space": space, **quick}, "merge": {}}
    document |= {"passes": passes, "output_path": str(tmp_path / "flow")}
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    assert graft(tmp_path).returncode == 0
    expected = found_by_search(tmp_path / "flow")
    shutil.move(tmp_path / "flow", tmp_path / "once")
    for part, last, kept in (("/flow/tune/", 1, 0), ("/flow/tune/trials.jsonl", 3, 2), ("/flow/tune/best/", 2, 4)):
        done = graft(tmp_path, part, last)
        assert done.returncode == -signal.SIGKILL, (part, done.stderr)
        trials = tmp_path / "flow/tune/trials.jsonl"
        assert len(trials.read_text(encoding="utf-8").splitlines() if trials.exists() else ()) == kept, part
    done = graft(tmp_path)
    assert done.returncode == 0 and "pass tune runs again: it was interrupted" in done.stderr, done.stderr
    assert found_by_search(tmp_path / "flow") == expected


def found_by_search(flow):
    """The trials of the search, without times, and the hash of the model that was merged from its winner."""
    trials = (flow / "tune/trials.jsonl").read_text(encoding="utf-8").splitlines()
    merged = hashlib.sha256((flow / "merge/model.safetensors").read_bytes()).hexdigest()
    return [untimed(json.loads(line)) for line in trials], merged

"""``graft runs`` lists what graft has written, and ``graft runs clean`` frees what nothing needs."""

import json
import os
import shutil

import pytest
import yaml
from filelock import FileLock

from graft.cli.main import main
from graft.runs.manifest import read_workflow_manifest
from tiny_models import tiny_model_folder

QUICK = {"max_steps": 2, "eval_steps": 1, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "evaluate": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workflow of two passes, one of which the file no longer has."""
    folder = tmp_path_factory.mktemp("stored")
    rows = folder / "rows.jsonl"
    lines = [{"input": f"How are you, {name}?", "output": f"{name} is fine"} for name in map(chr, range(97, 121))]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    model = tiny_model_folder(folder, "gpt2")
    common = {"model_name_or_path": str(model), "data_files": str(rows), "output_path": str(folder / "out" / "flow")}
    passes = {"clean": {"type": "prepare"}, "old": {"type": "prepare"}, "lora": {"type": "LoRA", **QUICK}}
    for left_out in ((), ("old",)):
        now = {name: one for name, one in passes.items() if name not in left_out}
        path = folder / "flow.yaml"
        path.write_text(yaml.safe_dump({**common, "passes": now}, sort_keys=False), encoding="utf-8")
        assert main(["run", str(path)]) == 0
    checkpoints = folder / "out" / "flow" / "lora" / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    (checkpoints / "large.bin").write_bytes(b"0" * 500_000)
    return folder


@pytest.fixture
def out(made, tmp_path):
    shutil.copytree(made / "out", tmp_path / "out", symlinks=True)
    return tmp_path / "out"


def listed(out, capsys):
    capsys.readouterr()
    assert main(["runs", str(out), "--json"]) == 0
    return {os.path.relpath(one["path"], out): one for one in json.loads(capsys.readouterr().out)}


def cleaned(out, capsys, *words, code=0):
    capsys.readouterr()
    assert main(["runs", "clean", str(out), *words]) == code
    said = capsys.readouterr()
    return said.out + said.err


def test_what_is_there_is_listed_with_its_size_and_what_made_it(out, capsys):
    found = listed(out, capsys)
    assert {name: (one["kind"], one["status"]) for name, one in found.items()} == {
        "flow": ("workflow", "finished"),
        "flow/clean": ("data", "finished"),
        "flow/lora": ("run", "finished"),
        "flow/old": ("data", "finished"),
    }
    assert found["flow"]["score"] == "2 of 2 passes" and found["flow/lora"]["score"].startswith("held-out loss")
    assert found["flow/lora"]["made_by"] == "pass lora of flow" and found["flow/lora"]["date"]
    before = found["flow/lora"]["bytes"]
    os.link(out / "flow/lora/checkpoints/large.bin", out / "flow/lora/checkpoints/again.bin")
    assert listed(out, capsys)["flow/lora"]["bytes"] == before >= 500_000
    assert main(["runs", str(out)]) == 0
    said = capsys.readouterr().out
    assert "4 in all" in said and "workflow" in said


def test_clean_frees_checkpoints_and_results_that_no_workflow_keeps(out, capsys):
    (out / "flow" / "mine").mkdir()
    (out / "flow" / "mine" / "notes.txt").write_text("mine", encoding="utf-8")
    said = cleaned(out, capsys, "--dry_run")
    assert "checkpoints of a finished run" in said and "the workflow no longer has a pass old" in said
    assert "would be freed" in said and (out / "flow/old").is_dir()
    assert "nobody can be asked" in cleaned(out, capsys, code=2)
    assert "there is nothing to free" in cleaned(out, capsys, "--older_than", "1d", "--yes")
    said = cleaned(out, capsys, "--yes")
    assert "\nfreed " in said
    assert not (out / "flow/old").exists() and not (out / "flow/lora/checkpoints").exists()
    assert (out / "flow/lora/adapter").is_dir() and (out / "flow/mine/notes.txt").is_file()
    assert read_workflow_manifest(out / "flow").former == []
    assert "there is nothing to free" in cleaned(out, capsys, "--yes")


def test_clean_keeps_what_is_in_use_referred_to_or_somebody_elses(out, capsys):
    with FileLock(out / "flow/lora/.lock"), FileLock(out / "flow/.lock"):
        assert "there is nothing to free" in cleaned(out, capsys, "--yes")
    (out / "flow/old/notes.txt").write_text("mine", encoding="utf-8")
    assert "it has files that graft did not write: notes.txt" in cleaned(out, capsys, "--dry_run")
    (out / "flow/old/notes.txt").unlink()
    run = json.loads((out / "flow/lora/manifest.json").read_text(encoding="utf-8"))
    run["settings"]["data_name"] = str(out / "flow/old")
    (out / "flow/lora/manifest.json").write_text(json.dumps(run), encoding="utf-8")
    said = cleaned(out, capsys, "--yes")
    assert f"kept  {out / 'flow/old'}: {out / 'flow/lora'} refers to it" in said
    assert (out / "flow/old").is_dir() and not (out / "flow/lora/checkpoints").exists()


def test_what_failed_goes_on_request_and_not_with_files_of_others(out, capsys):
    run = json.loads((out / "flow/lora/manifest.json").read_text(encoding="utf-8"))
    failed = out / "failed"
    shutil.copytree(out / "flow/lora", failed)
    (failed / "manifest.json").write_text(json.dumps({**run, "status": "failed"}), encoding="utf-8")
    cleaned(out, capsys, "--yes")
    assert (failed / "checkpoints").is_dir()
    (failed / "mine.txt").write_text("mine", encoding="utf-8")
    assert "graft did not write: mine.txt" in cleaned(out, capsys, "--yes", "--incomplete")
    (failed / "mine.txt").unlink()
    assert "this run failed" in cleaned(out, capsys, "--yes", "--incomplete")
    assert not failed.exists()


def test_wrong_options_are_said(out, capsys):
    said = cleaned(out, capsys, "--older_than", "soon", "--yess", code=2)
    assert "'soon' is not a time" in said and "unknown option --yess" in said and "did you mean yes" in said
    capsys.readouterr()
    assert main(["runs", str(out), "--yes"]) == 2
    assert "these options belong to graft runs clean" in capsys.readouterr().err
    assert main(["runs", str(out / "nowhere")]) == 2

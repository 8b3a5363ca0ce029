"""``graft runs`` lists what graft has written, and ``graft runs clean`` frees what nothing needs."""

import json
import os
import shutil

import pytest
import yaml
from filelock import FileLock

from graft.cli.main import main
from graft.commands.clean import clean, plan_clean
from graft.commands.stored import stored_below
from graft.runs.manifest import read_workflow_manifest
from small_runs import question_file
from tiny_models import tiny_model_folder

QUICK = {"max_steps": 2, "eval_steps": 1, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "evaluate": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workflow of two passes, one of which the file no longer has."""
    folder = tmp_path_factory.mktemp("stored")
    rows = question_file(folder)
    model = tiny_model_folder(folder, "gpt2")
    common = {"model_name_or_path": str(model), "data_files": str(rows), "output_path": str(folder / "out" / "flow")}
    passes = {"clean": {"type": "prepare"}, "old": {"type": "prepare"}, "lora": {"type": "LoRA", **QUICK}}
    for left_out in ((), ("old",)):
        now = {name: one for name, one in passes.items() if name not in left_out}
        path = folder / "flow.yaml"
        path.write_text(yaml.safe_dump({**common, "passes": now}, sort_keys=False), encoding="utf-8")
        assert main(["run", str(path)]) == 0
    checkpoints = folder / "out" / "flow" / "lora" / "checkpoints" / "checkpoint-2"
    checkpoints.mkdir(parents=True, exist_ok=True)
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
    large = out / "flow/lora/checkpoints/checkpoint-2/large.bin"
    os.link(large, large.with_name("again.bin"))
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


def edited(path, **values):
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**found, **values}), encoding="utf-8")


@pytest.mark.parametrize("name", [".git", ".env"])
def test_hidden_files_of_others_are_kept_too(out, capsys, name):
    shutil.copytree(out / "flow/lora", out / "failed")
    edited(out / "failed/manifest.json", status="failed")
    for folder in (out / "failed", out / "flow/old", out / "flow/lora/checkpoints"):
        (folder / name).write_text("mine", encoding="utf-8")
    said = cleaned(out, capsys, "--yes", "--incomplete")
    assert said.count(f"it has files that graft did not write: {name}") == 3
    assert len(list(out.rglob(name))) == 3


def test_a_result_that_was_edited_is_kept(out, capsys):
    rows = out / "flow/old/train.jsonl"
    rows.write_text(rows.read_text(encoding="utf-8").replace("fine", "well"), encoding="utf-8")
    assert f"{out / 'flow/old'}: it was changed after the pass" in cleaned(out, capsys, "--yes")
    assert "well" in rows.read_text(encoding="utf-8")


@pytest.mark.parametrize("output", ["../mine", "{mine}", "lora", "old/../../mine", ""])
@pytest.mark.parametrize("status", ["finished", "running"])
def test_a_forged_record_leads_to_nothing_outside_and_to_no_current_result(out, capsys, output, status):
    mine = out / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine", encoding="utf-8")
    manifest = out / "flow/manifest.json"
    former = json.loads(manifest.read_text(encoding="utf-8"))["former"][0]
    former |= {"output": output.format(mine=mine), "entries": ["thesis.txt"], "status": status, "artifact": None}
    edited(manifest, former=[former, {**former, "name": former["output"]}])
    cleaned(out, capsys, "--yes")
    assert (mine / "thesis.txt").is_file() and (out / "flow/lora/adapter").is_dir()


def test_the_checkpoints_of_another_program_are_kept(out, capsys):
    other = out / "webapp"
    (other / "checkpoints/checkpoint-1").mkdir(parents=True)
    (other / "manifest.json").write_text(json.dumps({"name": "app", "status": "finished"}), encoding="utf-8")
    cleaned(out, capsys, "--yes")
    assert (other / "checkpoints/checkpoint-1").is_dir()


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege")
def test_links_are_followed_neither_by_what_goes_nor_by_its_lock(out, capsys, tmp_path):
    mine = tmp_path / "mine"
    (mine / "checkpoint-1").mkdir(parents=True)
    (mine / "letter.txt").write_text("mine", encoding="utf-8")
    shutil.rmtree(out / "flow/lora/checkpoints")
    (out / "flow/lora/checkpoints").symlink_to(mine, target_is_directory=True)
    shutil.rmtree(out / "flow/old")
    (out / "flow/old").symlink_to(mine, target_is_directory=True)
    (out / "flow/.lock").unlink(missing_ok=True)
    (out / "flow/.lock").symlink_to(mine / "letter.txt")
    cleaned(out, capsys, "--yes", "--incomplete")
    assert (mine / "checkpoint-1").is_dir() and (mine / "letter.txt").read_text(encoding="utf-8") == "mine"


def test_what_changes_after_the_plan_is_left(out):
    shutil.copytree(out / "flow/lora", out / "again")
    edited(out / "again/manifest.json", status="interrupted")
    plan = plan_clean(stored_below(out), incomplete=True)
    assert {one.path for one in plan.removals} == {
        out / "again",
        out / "flow/old",
        out / "flow/lora/checkpoints",
    }
    edited(out / "again/manifest.json", status="finished")  # somebody resumed it
    (out / "flow/old/notes.txt").write_text("mine", encoding="utf-8")
    with FileLock(out / "flow/lora/.lock"):
        _, left = clean(plan)
    assert sorted(left) == [
        f"{out / 'again'}: it changed meanwhile",
        f"{out / 'flow/lora/checkpoints'}: another graft process is using this folder",
        f"{out / 'flow/old'}: it has files that graft did not write: notes.txt",
    ]
    assert (out / "again/adapter").is_dir() and (out / "flow/old/notes.txt").is_file()
    assert (out / "flow/lora/checkpoints").is_dir()


def test_a_former_result_that_another_process_trains_on_is_left(out, capsys):
    shutil.rmtree(out / "flow/old")
    shutil.copytree(out / "flow/lora", out / "flow/old")
    manifest = json.loads((out / "flow/manifest.json").read_text(encoding="utf-8"))
    former = {**manifest["former"][0], "entries": [one.name for one in (out / "flow/old").iterdir()], "artifact": None}
    edited(out / "flow/manifest.json", former=[former])
    with FileLock(out / "flow/old/.lock"):
        assert "another graft process is using this folder" in cleaned(out, capsys, "--yes", code=1)
    assert (out / "flow/old/adapter").is_dir()
    cleaned(out, capsys, "--yes")
    assert not (out / "flow/old").exists()


@pytest.mark.parametrize("named", ["{old}/*.jsonl", "train={old}", "~nobody-there/x", "{old}"])
def test_a_reference_may_be_a_pattern_or_have_a_name(out, capsys, named):
    run = json.loads((out / "flow/lora/manifest.json").read_text(encoding="utf-8"))
    edited(
        out / "flow/lora/manifest.json",
        settings={**run["settings"], "data_files": [named.format(old=out / "flow/old")]},
    )
    cleaned(out, capsys, "--yes")
    assert (out / "flow/old").is_dir() is ("{old}" in named)


def test_wrong_options_are_said(out, capsys):
    said = cleaned(out, capsys, "--older_than", "soon", "--yess", code=2)
    assert "'soon' is not a time" in said and "unknown option --yess" in said and "did you mean yes" in said
    capsys.readouterr()
    assert main(["runs", str(out), "--yes"]) == 2
    assert "these options belong to graft runs clean" in capsys.readouterr().err
    assert main(["runs", str(out / "nowhere")]) == 2

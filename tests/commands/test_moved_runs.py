"""Runs that were moved, zipped, packed by tar, linked to a base that is gone, or put on read-only media."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from graft.cli.main import main
from graft.models.base import open_run_or_model
from small_runs import tune
from tiny_models import tiny_gguf, tiny_model_folder

PROMPT = "lovely cake number 7"
FEW = {"max_steps": 10, "max_eval_samples": 6, "max_train_samples": 24, "evaluate": True, "max_new_tokens": 4}


@pytest.fixture
def place(tmp_path):
    """A folder with a base; ``home`` is where a run is moved to."""
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    tiny_model_folder(tmp_path / "work")
    return tmp_path / "work"


def trained(place, tone, name="run", **settings):
    return tune(place / "tiny-llama", tone, place / name, **(FEW | settings))


def said(capsys, *words):
    """The exit code of ``graft WORDS``, what it printed, and what it said on the side."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def answers(capsys, run, *more):
    """A run's answer to a prompt, and its figures on its held-out rows."""
    code, answer, error = said(capsys, "chat", run, "--prompt", PROMPT, "--max_new_tokens", 6, *more)
    assert code == 0 and answer.strip(), error
    code, document, error = said(capsys, "evaluate", run, "--json", "--max_new_tokens", 4, *more)
    assert code == 0, error
    return answer, json.loads(document)["predictors"]


def recorded(run):
    return json.loads((run / "manifest.json").read_text(encoding="utf-8"))["base"]


def packed(run, home, how):
    """Pack the run, remove it and its base, and unpack it in ``home``."""
    if how == "zip":
        archive = shutil.make_archive(str(home / "run"), "zip", run.parent, run.name)
    else:
        archive = str(home / "run.tar.gz")
        with tarfile.open(archive, "w:gz", dereference=how == "tar -h") as file:
            file.add(run, run.name)
    shutil.rmtree(run.parent)
    shutil.unpack_archive(archive, home / "unpacked", filter=None if how == "zip" else "fully_trusted")
    return home / "unpacked" / run.name


@pytest.mark.parametrize("method", ["lora", "qlora"])
@pytest.mark.parametrize("how", ["zip", "tar"])
def test_a_packed_run_answers_the_same_without_its_base(place, tone, tmp_path, capsys, method, how):
    run = trained(place, tone, method=method)
    before = answers(capsys, run)
    assert answers(capsys, packed(run, tmp_path / "home", how)) == before


def test_a_full_run_without_its_base_is_judged_alone(place, tone, tmp_path, capsys):
    run = trained(place, tone, method="full")
    base, (answer, both) = recorded(run), answers(capsys, run)
    (place / "tiny-llama").rename(tmp_path / "elsewhere")
    moved = shutil.move(run, tmp_path / "home" / "run")
    before = (moved / "evaluation.json").read_bytes()
    code, out, _ = said(capsys, "evaluate", moved, "--json", "--max_new_tokens", 4)
    document = json.loads(out)
    assert code == 0 and document["predictors"] == {"tuned": both["tuned"]}
    assert base["name"] in (note := " ".join(document["notes"])) and base["sha256"] in note
    code, out, error = said(capsys, "evaluate", moved, "--max_new_tokens", 4)
    assert code == 0 and base["name"] in error and base["sha256"] in error and "--base" in error
    assert (moved / "evaluation.json").read_bytes() == before, "the base's figures are kept"
    assert "not recorded" in error
    assert answers(capsys, moved, "--base", tmp_path / "elsewhere") == (answer, both)
    other = tiny_model_folder(tmp_path, seed=5)
    code, _, error = said(capsys, "evaluate", moved, "--base", other)
    assert code == 2 and base["sha256"] in error and "SHA-256 of its weights differs" in error
    assert said(capsys, "evaluate", moved, "--base", other, "--allow_base_mismatch", "-o", tmp_path / "o")[0] == 0


def test_a_base_beside_the_run_is_found_where_both_were_moved(place, tone, tmp_path):
    run = trained(place, tone, name="runs/run", method="full", evaluate=False)
    assert recorded(run)["path"] == "../../tiny-llama"
    place.rename(tmp_path / "home" / "project")
    from graft.models.base import untuned

    moved = tmp_path / "home" / "project" / "runs" / "run"
    assert untuned(open_run_or_model(moved)).path == (tmp_path / "home/project/tiny-llama").resolve()


@pytest.fixture
def another_disk(place):
    """A folder on another file system, to which there are no hard links."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == place.stat().st_dev or not os.access(memory, os.W_OK):
        pytest.skip("there is no second file system")
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_run_linked_to_its_base_says_so_and_takes_it_from_elsewhere(place, another_disk, tone, tmp_path, capsys):
    model = shutil.copytree(place / "tiny-llama", another_disk / "base")
    run = tune(model, tone, place / "run", **FEW)
    before, base = answers(capsys, run), recorded(run)
    assert (run / "model" / "model.safetensors").is_symlink()
    for command in ("show", "doctor"):
        _, out, _ = said(capsys, command, run)
        assert "tar -chzf" in out and str(another_disk) in "".join(out.split())
    whole = shutil.copytree(run, tmp_path / "whole")  # follows links, as cp -rL does
    shutil.rmtree(model)
    moved = packed(run, tmp_path / "home", "tar")
    for words in (["chat", moved, "--prompt", "x"], ["evaluate", moved], ["auto-opt", moved, "-o", tmp_path / "out"]):
        code, _, error = said(capsys, *words)
        assert code == 2 and base["name"] in error and base["sha256"] in error and "--base PATH" in error, error
    assert base["sha256"] in "".join(said(capsys, "show", moved)[1].split())
    assert answers(capsys, whole) == before
    shutil.copytree(whole / "model", tmp_path / "found again")
    assert answers(capsys, moved, "--base", tmp_path / "found again") == before


def test_copy_base_makes_a_run_whole(place, another_disk, tone):
    model = shutil.copytree(place / "tiny-llama", another_disk / "base")
    run = tune(model, tone, place / "run", **FEW, copy_base=True)
    weights = run / "model" / "model.safetensors"
    assert not weights.is_symlink() and weights.stat().st_nlink == 1


def hub_cache(place, home):
    """The base as the Hub's client keeps it: links into ``blobs``."""
    cache = home / "hub" / "models--someone--tiny"
    snapshot = cache / "snapshots" / ("a" * 40)
    for folder in (cache / "blobs", cache / "refs", snapshot):
        folder.mkdir(parents=True)
    (cache / "refs" / "main").write_text("a" * 40, encoding="utf-8")
    for number, file in enumerate(sorted((place / "tiny-llama").iterdir())):
        shutil.copyfile(file, cache / "blobs" / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    return home


def test_a_base_from_the_hub_is_named_by_its_id_and_not_needed(place, tone, tmp_path, capsys):
    home = hub_cache(place, tmp_path / "hf")
    data = shutil.copyfile(tone, place / "tone.jsonl")
    words = ["finetune", "someone/tiny", data, "-o", place / "run", "--max_steps", 10, "--max_new_tokens", 4]
    words += ["--learning_rate", 1e-2, "--max_train_samples", 24]
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub"), "HF_HUB_OFFLINE": "1"}
    python = [sys.executable, "-m", "graft.cli.main"]
    done = subprocess.run([*python, *map(str, words)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    config = json.loads((place / "run/adapter/adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "someone/tiny"
    before = answers(capsys, place / "run")
    shutil.rmtree(home)
    assert answers(capsys, packed(place / "run", tmp_path / "home", "tar")) == before
    alone = shutil.copytree(tmp_path / "home/unpacked/run/adapter", tmp_path / "alone")
    code, _, error = said(capsys, "chat", alone, "--prompt", "x")
    assert code == 2 and "someone/tiny (SHA-256" in error
    model = tmp_path / "home" / "unpacked" / "run" / "model"
    code, answer, _ = said(capsys, "chat", alone, "--base", model, "--prompt", PROMPT, "--max_new_tokens", 6)
    assert (code, answer) == (0, before[0])


def test_a_base_from_a_gguf_file_is_not_needed(place, tone, tmp_path, capsys, monkeypatch):

    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    file = tiny_gguf(place / "tiny.gguf")
    run = tune(file, tone, place / "run", **FEW)
    before = answers(capsys, run)
    shutil.rmtree(tmp_path / "cache")
    assert answers(capsys, packed(run, tmp_path / "home", "zip")) == before


def test_checkpoints_of_a_moved_run_find_its_base(place, tone, tmp_path, capsys):
    run = trained(place, tone, save_steps=5, eval_steps=5)
    names = sorted(folder.name for folder in (run / "checkpoints").glob("checkpoint-*"))
    moved = packed(run, tmp_path / "home", "zip")
    code, _, error = said(capsys, "chat", moved / "checkpoints" / names[-1], "--prompt", PROMPT)
    assert code == 0, error


def test_what_a_run_learned_from_may_be_gone(place, tone, tmp_path, capsys):
    first = trained(place, tone)
    onward = tune(first, tone, place / "onward", **FEW)
    distilled = trained(place, tone, "distilled", teacher=str(place / "tiny-llama"))
    before = [answers(capsys, run) for run in (onward, distilled)]
    for run in (onward, distilled):
        shutil.move(run, tmp_path / "home" / run.name)
    shutil.rmtree(place)
    assert [answers(capsys, tmp_path / "home" / run.name) for run in (onward, distilled)] == before
    for command in ("show", "doctor"):
        assert said(capsys, command, tmp_path / "home" / "onward")[0] == 0


def test_a_moved_run_is_resumed(place, tone, tmp_path, capsys):
    run = trained(place, tone, evaluate=False)
    moved = packed(run, tmp_path / "home", "zip")
    rows = tone.rename(tmp_path / "home" / "rows.jsonl")
    words = ("finetune", "--resume", "-o", moved, "--max_steps", 12)
    code, _, error = said(capsys, *words)
    assert code == 2 and "no such file" in error
    base = recorded(moved)
    code, _, error = said(capsys, *words, "--data_files", rows)
    assert code == 0, error
    assert (recorded(moved)["name"], recorded(moved)["sha256"]) == (base["name"], base["sha256"])
    assert said(capsys, "chat", moved, "--prompt", PROMPT)[0] == 0
    rows.write_text(rows.read_text(encoding="utf-8").replace("cake", "cape"), encoding="utf-8")
    code, _, error = said(capsys, *words[:-1], 14, "--data_files", rows)
    assert code == 2 and "has changed" in error


@pytest.mark.parametrize("name", ["ein Ofen #1 %41 ñ 東京 'x'", "/".join(["a" * 60] * 12)])
def test_any_folder_name(place, tone, tmp_path, capsys, name):
    run = trained(place, tone)
    before = answers(capsys, run)
    moved = tmp_path / "home" / name
    moved.parent.mkdir(parents=True, exist_ok=True)
    run.rename(moved)
    assert answers(capsys, moved) == before
    assert all(said(capsys, command, moved)[0] == 0 for command in ("show", "doctor"))


def test_no_two_files_of_a_run_differ_by_case_only(place, tone):
    files = [str(file.relative_to(place)) for file in trained(place, tone, new_tokens="<A>,<a>").rglob("*")]
    assert len({file.lower() for file in files}) == len(files)


RUN_READ_ONLY = """
import sys
from graft.cli.main import main
codes = [main(words.split("|")) for words in sys.argv[1:]]
sys.exit(max(codes))
"""


def read_only(folder, *commands):
    """Run graft in a process that cannot write to ``folder``: it is mounted read-only, or without permission."""
    words = [sys.executable, "-c", RUN_READ_ONLY, *("|".join(map(str, command)) for command in commands)]
    if os.geteuid():
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
    else:  # permissions mean nothing to root
        mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
        words = ["unshare", "--mount", "sh", "-c", mount, str(folder), *words]
        probe = ["unshare", "--mount", "sh", "-c", mount, str(folder), "true"]
        if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
            pytest.skip("this machine mounts nothing read-only")
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stdout, done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("method", ["lora", "full"])
def test_read_only_media(place, tone, capsys, method):
    run = trained(place, tone, method=method)
    before = sorted((file, file.read_bytes()) for file in run.rglob("*") if file.is_file())
    answer, figures = answers(capsys, run)
    sources = [(file, file.read_bytes()) for file, _ in before]
    commands = [
        ("show", run),
        ("doctor", run),
        ("chat", run, "--prompt", PROMPT, "--max_new_tokens", 6),
        ("evaluate", run, "--max_new_tokens", 4),
        ("chat", run / "model", "--prompt", PROMPT, "--max_new_tokens", 2),
        ("auto-opt", run, "--format", "hf", "-o", place / "bundle"),
    ]
    out, error = read_only(run, *commands)
    assert answer in out and "accuracy" in out and f"nothing was recorded in {run}" in error
    assert [(file, file.read_bytes()) for file, _ in before] == sources and "tuned" in figures


ANOTHER_USER = """
import encodings.cp437, os, shutil, sys
from pathlib import Path
from graft.cli.main import main

work, home, prompt = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
def ask(run):
    sys.stdout.flush()
    assert main(["chat", str(run), "--prompt", prompt, "--max_new_tokens", "6"]) == 0
    assert main(["evaluate", str(run), "--json", "--max_new_tokens", "4"]) == 0
    print("=" * 20)

ask(work / "run")  # it also imports everything, where another user cannot read the environment
archive = shutil.make_archive(str(home / "run"), "zip", work, "run")
shutil.rmtree(work)
for place in (home, archive):
    os.chown(place, 65534, 65534)
os.setgid(65534)
os.setuid(65534)
os.environ.update(HOME=str(home), GRAFT_CACHE=str(home / "cache"))
os.chdir(home)
shutil.unpack_archive("run.zip", home)
ask(home / "run")
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root becomes another user")
def test_another_user_gets_the_same_answers_from_a_zip(place, tone):
    """Unpacked in another home by a user who can read nothing of the one who trained it, whose base is deleted."""
    trained(place, tone)
    with tempfile.TemporaryDirectory(prefix="graft-home-") as home:
        words = [sys.executable, "-c", ANOTHER_USER, str(place), home, PROMPT]
        done = subprocess.run(words, cwd="/", capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stderr
        mine, theirs, _ = (part.strip().partition("{") for part in done.stdout.split("=" * 20))
        assert not place.exists() and mine[0] == theirs[0] != ""
        assert json.loads("{" + mine[2])["predictors"] == json.loads("{" + theirs[2])["predictors"]

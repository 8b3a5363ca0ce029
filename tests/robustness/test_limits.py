"""Full disks, limits on files, places that cannot be written, and two processes in one folder."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from graft_commands import Graft
from torture import rounds, tally

from graft.commands.finetune import finetune
from graft.progress import Silent
from graft.report.format import took
from graft.runs.folder import RunFolder
from small_runs import tone_file
from tiny_models import tiny_model_folder

forked = pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks, and Windows has no limits of this kind")


@pytest.fixture(scope="module")
def graft(tmp_path_factory):
    with Graft(tmp_path_factory.mktemp("printed")) as found:
        yield found


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A command without its output folder."""
    folder = tmp_path_factory.mktemp("inputs")
    quick = {"max_steps": 6, "eval_steps": 2, "per_device_train_batch_size": 8, "bootstrap_samples": 100}
    options = [str(word) for name, value in quick.items() for word in (f"--{name}", value)]
    return ("finetune", str(tiny_model_folder(folder, "llama")), str(tone_file(folder, 24)), *options)


@pytest.fixture(scope="module")
def whole(graft, training, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    graft.run(*training, "-o", run)
    return run


def weights(run):
    return (run / "adapter" / "adapter_model.safetensors").read_bytes()


def check_stopped(graft, run, code, said, faults):
    """A command met a full disk: it says so, the folder tells the truth, and every document in it is whole."""
    words = ("no space left", "the disk is full", "File too large", "No space left on device")
    others = ("Traceback", "standard output", "bug in graft", "Exception ignored")
    named = any(word in said for word in words) and not any(word in said for word in others)
    if code not in {0, 1} or (code and not named):
        faults.append(f"exit {code}: {said[-400:]}")
    if not (run / "manifest.json").is_file():
        return
    status = graft.status(run)
    if status not in {"failed", "interrupted"} and code:
        faults.append(f"exit {code}, and the status is {status}")
    for path in run.rglob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            if "checkpoints" not in path.parts and path.name != "tokenizer.json":
                json.loads(path.read_text(encoding="utf-8"))


def resumed(graft, training, run, whole, faults):
    words = ("finetune", "--resume") if (run / "config.yaml").is_file() else training
    code, said = graft.tried(*words, "-o", run)
    if code or graft.status(run) != "finished" or weights(run) != weights(whole):
        faults.append(f"resumed: exit {code}: {said[-300:]}")


@forked
def test_a_limit_on_the_size_of_files_ends_a_run_that_can_be_resumed(graft, training, whole, tmp_path):
    chance = random.Random(18)
    sizes = sorted({path.stat().st_size for path in whole.rglob("*") if path.is_file()})
    with tally("disk full and limits") as tried:
        for number in range(rounds(3)):
            run = tmp_path / str(number)
            largest = max(2_000, chance.choice(sizes) - 1)
            code, said = graft.tried(*training, "-o", run, largest=largest)
            tried.tried += 1
            tried.refused += code != 0
            check_stopped(graft, run, code, said, tried.faults)
            if code:
                resumed(graft, training, run, whole, tried.faults)
            shutil.rmtree(run, ignore_errors=True)


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """A file system of this size, where one may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "graft-test", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@forked
def test_a_full_disk_ends_a_run_that_can_be_resumed_where_there_is_room(graft, training, whole, tmp_path):
    chance = random.Random(18)
    needed = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file()) // 1024
    with tally("disk full and limits") as tried:
        for number in range(rounds(2)):
            run = tmp_path / f"room-{number}"
            with small_disk(tmp_path / str(number), chance.randint(8, int(1.2 * needed))) as disk:
                code, said = graft.tried(*training, "-o", disk / "run")
                tried.tried += 1
                tried.refused += code != 0
                check_stopped(graft, disk / "run", code, said, tried.faults)
                if (disk / "run").exists():
                    shutil.copytree(disk / "run", run, symlinks=True)
            if code:
                resumed(graft, training, run, whole, tried.faults)


@contextlib.contextmanager
def small_temporary_folder(folder):
    """A folder for temporary files that is soon full: a small disk, or where none may be mounted a limit on files."""
    try:
        with small_disk(folder, 18_000) as disk:
            yield disk, None
    except pytest.skip.Exception:
        yield folder, 18_000_000


@forked
def test_a_full_temporary_folder_is_no_fault_of_the_data(graft, training, tmp_path):
    data, run = tmp_path / "long.jsonl", tmp_path / "run"
    row = json.dumps({"text": "word " * 4_000, "label": "long"}) + "\n"
    with data.open("w", encoding="utf-8") as file:
        file.writelines(row for _ in range(1_100))
    words = ("finetune", training[1], data, *training[3:], "-o", run)
    with tally("disk full and limits") as tried, small_temporary_folder(tmp_path / "small") as (folder, largest):
        code, said = graft.tried(*words, largest=largest, temporary=folder)
        tried.tried += 1
        tried.refused += code != 0
        right = "no space left to write the rows" in said and str(folder) in said and "TMPDIR" in said
        if code != 1 or not right or str(data) in said or "bug in graft" in said or "Exception ignored" in said:
            tried.faults.append(f"exit {code}: {said[-400:]}")
    assert not run.exists()


@forked
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_place_that_cannot_be_written_is_an_error_that_says_so(graft, training, whole):
    commands = (training, ("evaluate", whole), ("auto-opt", whole, "--format", "hf", "--skip_parity"))
    with tally("disk full and limits") as tried:
        for words in commands:
            code, said = graft.tried(*words, "-o", "/proc/graft")
            tried.command(words[0], code, said)
            if not code or "/proc" not in said:
                tried.faults.append(f"{words[0]}: exit {code}: {said[-300:]}")


@forked
def test_of_two_processes_in_one_folder_one_is_refused(graft, training, tmp_path):
    with tally("disk full and limits") as tried:
        for number in range(rounds(1)):
            run = tmp_path / str(number)
            both = [graft.start((*training, "-o", run)) for _ in range(2)]
            codes = sorted(graft.ended(process) for process, _ in both)
            said = [output.read_text(encoding="utf-8") for _, output in both]
            tried.tried += 2
            refused = [text for text in said if "another graft process is using" in text or "already has a run" in text]
            if codes != [0, 2] or len(refused) != 1 or graft.status(run) != "finished":
                tried.faults.append(f"{codes}: {[text[-200:] for text in said]}")


def test_a_clock_that_goes_back_breaks_nothing(training, tmp_path, monkeypatch):
    """Each look at it finds it a minute earlier, as if somebody had set it."""
    now = time.time()
    looks = iter(range(1_000_000))
    monkeypatch.setattr(time, "time", lambda: now - 60 * next(looks))
    options = dict(zip((word.removeprefix("--") for word in training[3::2]), training[4::2], strict=True))
    given = {"model_name_or_path": training[1], "data_files": training[2], "output_path": str(tmp_path / "run")}
    run = finetune(given | options, Silent())
    found = [line for line in read_metrics(run) if "loss" in line or "eval_loss" in line]
    assert found and all(value >= 0 for line in found for name, value in line.items() if name != "message")
    manifest = RunFolder(run).manifest
    assert manifest.status == "finished" and manifest.training.seconds >= 0
    assert not took("2026-01-02T00:00:00+00:00", "2026-01-01T00:00:00+00:00").startswith(("-", "−"))


def read_metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]

"""A whole run on a local model: no connection, events from the first second, no place of the machine in its pages."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from torture import FACTOR, tally

from graft.errors import InputError
from graft.files import append_line, write_whole
from graft.plain_text import MASK, mask_secrets, remember_secret
from graft.shared_text import without_places
from tiny_models import tiny_model_folder

STRACE = shutil.which("strace")
TRACED = ("-f", "--seccomp-bpf", "-s", "200", "-e", "trace=connect,sendto,sendmsg,bind")
TOKEN = "hf_" + "abcdefgh" * 4


@dataclass
class Place:
    """A folder that is the home of a user, with a blank in its name, and what is in it."""

    home: Path
    traces: Path

    @property
    def run(self) -> Path:
        return self.home / "my runs" / "tone"

    def graft(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command, and record what it connects to."""
        environment = {**os.environ, "HOME": str(self.home), "HF_HOME": str(self.home / "hf"), "HF_TOKEN": TOKEN}
        environment["GRAFT_KERNELS"] = "0"
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            environment.pop(name, None)
        environment |= variables
        command = [sys.executable, "-m", "graft.cli.main", *map(str, words)]
        if STRACE:
            command = [STRACE, *TRACED, "-o", str(self.traces / f"{words[0]}.txt"), *command]
        return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A run in the home of a user, by absolute paths."""
    with tempfile.TemporaryDirectory(prefix="graft privacy ") as name:
        home = Path(name).resolve() / "Jo Doe"
        home.mkdir()
        model, data = tiny_model_folder(home, "llama"), home / "tone.jsonl"
        rows = [{"text": f"number {n}", "label": ("good", "bad")[n % 2]} for n in range(40)]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        place = Place(home, home.parent)
        words = ["finetune", model, data, "-o", place.run, "--max_steps", "2", "--progress", "jsonl"]
        words += ["--token", TOKEN, "--bootstrap_samples", "100", "--log_level", "debug"]
        done = place.graft(*words)
        (home.parent / "stderr.txt").write_text(done.stderr, encoding="utf-8")
        assert done.returncode == 0, done.stderr[-3000:]
        yield place


def connections(trace: Path) -> list[str]:
    """Addresses that a traced command went to, but for sockets within the machine."""
    calls = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    assert any("exited with" in call for call in calls)
    away = [call for call in calls if re.search(r"sa_family=AF_(?!UNIX|UNSPEC|NETLINK)", call)]
    return [call for call in away if not re.search(r'inet_addr\("127\.|"::1"', call)]


@pytest.mark.skipif(STRACE is None, reason="there is no strace")
def test_no_command_with_a_local_model_connects_to_anything(place: Place) -> None:
    others = [["chat", place.run, "--prompt", "hello", "--max_new_tokens", "2"]]
    if FACTOR > 1:
        others += [["evaluate", place.run], ["show", place.run], ["doctor", place.run], ["devices"]]
        others += [["auto-opt", place.run, "--format", "hf", "-o", place.home / "hf model"]]
        others += [["finetune", place.run, place.home / "tone.jsonl", "-o", place.home / "again", "--max_steps", "1"]]
    with tally("connections") as figures:
        figures.tried += 1
        figures.faults += connections(place.traces / "finetune.txt")
        for words in others:
            figures.tried += 1
            done = place.graft(*words)
            figures.faults += [] if done.returncode == 0 else [f"{words}: {done.stderr[-500:]}"]
            figures.faults += [f"{words[0]}: {call}" for call in connections(place.traces / f"{words[0]}.txt")]
        if FACTOR > 1:  # offline, a name of the hub is asked nowhere either
            figures.tried += 1
            done = place.graft("finetune", "no/such", place.home / "tone.jsonl", "--dry_run", HF_HUB_OFFLINE="1")
            figures.faults += [] if done.returncode == 2 else [done.stderr[-500:]]
            figures.faults += connections(place.traces / "finetune.txt")


def test_onnxruntime_is_told_to_report_nothing_before_it_is_imported() -> None:
    """Its wheels send usage data to Microsoft: ``graft devices`` asked for the address of their server."""
    code = "import os; from graft.hardware.machine import providers; providers(); "
    code += "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    for path in Path(sys.modules["graft"].__file__ or "").parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(r"^ +(?:import|from) onnxruntime", text, re.MULTILINE):
            before = text[: found.start()].rstrip().splitlines()[-2:]
            assert any("without_telemetry()" in line for line in before), path


def test_events_begin_before_torch_is_imported(place: Place) -> None:
    found = [json.loads(line) for line in (place.run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    phases = list(dict.fromkeys(event["phase"] for event in found))
    assert phases == ["importing", "reading", "loading", "step", "evaluating", "writing", "done"]
    lines = (place.traces / "stderr.txt").read_text(encoding="utf-8").splitlines()
    shown = [json.loads(line) for line in lines if line.startswith("{")]
    assert [event["phase"] for event in shown] == [event["phase"] for event in found]
    assert found[0]["seconds"] < 1 and {event["step"] for event in found if "step" in event} == {1, 2}


def test_shared_pages_name_no_place_no_user_and_no_token(place: Place) -> None:
    secret = {str(place.home), place.home.parent.name, "Jo Doe", TOKEN, str(Path(sys.prefix)), socket.gethostname()}
    secret |= {f"/{getpass.getuser()}/", f"~{getpass.getuser()}"}
    for page in (place.run / "report.html", place.run / "README.md"):
        text = page.read_text(encoding="utf-8")
        assert "tone.jsonl" in text or page.name == "README.md"
        assert not [word for word in secret if word in text], page
    for path in place.run.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            assert TOKEN.encode() not in path.read_bytes(), path
    assert TOKEN not in (place.traces / "stderr.txt").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name != "posix", reason="there are no modes here")
def test_files_with_rows_are_for_their_owner_alone(place: Place) -> None:
    names = {path.relative_to(place.run).as_posix() for path in place.run.rglob("*.jsonl")}
    with_rows = {"data/train.jsonl", "data/eval.jsonl", "predictions.jsonl"}
    assert with_rows <= names and names - with_rows == {"metrics.jsonl", "events.jsonl"}
    for name in (*with_rows, "report.html"):
        assert (place.run / name).stat().st_mode & 0o777 == 0o600, name


@pytest.mark.skipif(os.name != "posix", reason="there are no modes here")
def test_private_files_follow_the_mask_and_keep_a_mode_that_was_given(tmp_path: Path) -> None:
    before = os.umask(0o277)
    try:
        write_whole(tmp_path / "masked", "x", private=True)
    finally:
        os.umask(before)
    assert (tmp_path / "masked").stat().st_mode & 0o777 == 0o400
    append_line(tmp_path / "answers", "x", private=True)
    assert (tmp_path / "answers").stat().st_mode & 0o777 == 0o600
    (tmp_path / "answers").chmod(0o644)
    write_whole(tmp_path / "answers", "y", private=True)
    append_line(tmp_path / "answers", "x", private=True)
    assert (tmp_path / "answers").stat().st_mode & 0o777 == 0o644


SECRETS = (
    f"401 for url https://huggingface.co/x with {TOKEN}",
    "https://jo:SECRET@example.org/v1",
    "https://SECRET@example.org/v1",
    "ftp://jo:SECRET@example.org",
    "https://example.org/a.csv?sig=SECRET&x=1",
    "https://example.org/a.csv?X-Amz-Signature=SECRET",
    "https://example.org/?access_token=SECRET#part",
    "https://example.org/?a=1;api_key=SECRET",
    "Authorization: Bearer SECRETSECRET",
    "{'authorization': 'Bearer SECRETSECRET'}",
    "Authorization: Token-SECRET",
    "x-api-key: SECRET",
    "graft finetune x/y --token SECRET -o out",
    "graft finetune x/y --hf_token=SECRET",
    "sk-SECRETSECRETSECRET",
    "AccountName=jo;AccountKey=SECRETSECRET==;EndpointSuffix=example.org",
    "https://hooks.slack.com/services/T0SECRET1/B0SECRET2/SECRETSECRETSECRETSECRET",
    "remembered-SECRET-value",
)
HARMLESS = (
    "tokens: 3,730, tokens/s 12, --max_new_tokens 16",
    "https://huggingface.co/docs/hub/repositories-licenses?x=1&tokenizer=fast",
    "graft evaluate http://127.0.0.1:8000 --api_key_env OPENAI_API_KEY",
    "user@example.org wrote to basic things",
)


def test_secrets_are_masked_and_nothing_else() -> None:
    remember_secret("remembered-SECRET-value")
    with tally("secrets") as figures:
        for text in SECRETS:
            figures.tried += 1
            masked = mask_secrets(text)
            if "SECRET" in masked or TOKEN in masked or MASK not in masked:
                figures.faults.append(masked)
        for text in HARMLESS:
            figures.tried += 1
            figures.faults += [] if mask_secrets(text) == text else [mask_secrets(text)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/jo/my data/tone.jsonl", "tone.jsonl"),
        ("~/data/tone.jsonl", "tone.jsonl"),
        (r"C:\Users\jo\tone.jsonl", "tone.jsonl"),
        (r"\\server\share\jo\tone.jsonl", "tone.jsonl"),
        ("no space left: /home/jo/run: 3 MB free", "no space left: run: 3 MB free"),
        ("loss of /home/jo/loss.py:focal, at ~/x/y", "loss of loss.py:focal, at y"),
        (r"read D:\jo\a.csv and more", "read a.csv and more"),
        ("https://huggingface.co/a/b, 3 rows/s, text/label, and/or, 1/2", None),
        ('f"{run}/adapter", graft chat runs/tone', None),
        (f"{Path.home()}/a b/c", "c"),
        ("</think>, answer /no_think, /sports/football, ~1/2 of rows", None),
        ("/sports/football", None),
    ],
)
def test_places_are_named_by_their_last_part(text: str, shown: str | None) -> None:
    assert without_places(text) == (text if shown is None else shown)


def test_an_error_of_a_library_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    from graft.cli.main import main

    assert main(["evaluate", f"http://jo:{TOKEN}@127.0.0.1:9/v1", "--model", "x", "--debug"]) == 2
    caught = capsys.readouterr()
    assert TOKEN not in caught.err + caught.out and InputError.__name__ in caught.err


def test_the_error_of_a_run_is_recorded_without_secrets() -> None:
    from graft.commands.run_record import end_of

    recorded = end_of("failed", f"401 for https://jo:{TOKEN}@example.org")
    assert TOKEN not in json.dumps(recorded) and MASK in json.dumps(recorded)

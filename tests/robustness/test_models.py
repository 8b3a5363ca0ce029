"""Damaged and hostile models, GGUF files, adapters and chat templates: never a traceback, a hang, or all memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from torture import rounds, tally

from graft.errors import InputError

SEED = int(os.environ.get("GRAFT_TORTURE_SEED", "1"))
TESTS = Path(__file__).parents[1]


def run(*arguments: object) -> tuple[list[tuple[int, str, str]], str]:
    """What a process with these cases said before it ended, and its errors."""
    command = [sys.executable, str(TESTS / "robustness" / "model_cases.py"), *map(str, arguments)]
    places = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONPATH": places},
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")], done.stderr


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    _, errors = run("bases", 0, 0, 0, folder)
    assert (folder / "templates").is_dir(), errors
    return folder


@pytest.mark.parametrize(
    ("kind", "what", "short"),
    [
        ("folders", "damaged model folders", 25),
        ("gguf", "damaged GGUF files", 25),
        ("adapters", "damaged adapters", 25),
        ("templates", "hostile chat templates", 60),
    ],
)
def test_nothing_of_a_model_breaks_it(bases: Path, kind: str, what: str, short: int) -> None:
    cases = rounds(short)
    with tally(what) as found:
        first = 0
        while first < cases:
            outcomes, errors = run(kind, SEED, first, cases, bases)
            for number, outcome, said in outcomes:
                with found.case(f"{kind} {SEED} {number}"):
                    if outcome == "refused":
                        raise InputError(said)
                    if outcome == "fault":
                        raise RuntimeError(said)
            first += len(outcomes)
            if first < cases:  # the process ended within this case
                with found.case(f"{kind} {SEED} {first}"):
                    raise RuntimeError(f"the process hung or died: {errors[-600:]}")
                first += 1

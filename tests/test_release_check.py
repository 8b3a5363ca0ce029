"""The release check fails for what is known, and for what could not be looked up."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "release_check.py"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the program that answers is a shell script")


def audit(folder: Path, answer: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code where pip-audit gives this answer."""
    spec = importlib.util.spec_from_file_location("release_check", SCRIPT)
    assert spec and spec.loader
    script: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "BUILD", folder)
    program = folder / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat <<'JSON'\n{answer}\nJSON\nexit 1\n", encoding="utf-8")
    program.chmod(0o700)
    return int(script._audit(folder, "pypi"))


GOOD = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([GOOD], 0, "audited 1 of 1 packages: 0 known"),
        ([GOOD, BAD], 1, "bad 1.0: PYSEC-1, fixed in 1.1"),
        ([GOOD, UNKNOWN], 1, "did not answer for 1 packages: unknown"),
        (None, 1, "could not ask the advisory service"),
    ],
)
def test_an_audit_that_saw_nothing_is_no_audit(
    packages: Any, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    answer = "" if packages is None else json.dumps({"dependencies": packages})
    assert audit(tmp_path, answer, monkeypatch) == code
    caught = capsys.readouterr()
    assert said in caught.out + caught.err

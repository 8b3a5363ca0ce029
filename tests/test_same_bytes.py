"""The same seed leaves the same bytes as were recorded, whatever has been rewritten since.

``recorded_runs.py`` has the runs, ``recorded_hashes.json`` what came of them, and ``python tests/test_same_bytes.py
--record`` records anew, which is right only where a change of the numbers is meant. Other versions of the libraries
and of the compiler compute with other roundings, so elsewhere the cases are skipped, saying what differs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from recorded_runs import CASES, EXPORTS, compiler, made_with, run_apart

FILE = Path(__file__).with_name("recorded_hashes.json")
PARTS = ("failed", "metrics", "scores", "predictions", "sha256")
"""What is recorded of a run, in the order in which a difference would first show."""


def recorded() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return document


def why_not(recorded: dict[str, Any], compiled: bool, exported: bool) -> str | None:
    """Why this machine need not compute what was recorded; None where it must."""
    if not _has_avx2():
        return "the hashes are those of an x86-64 processor with AVX2 and FMA under Linux"
    then, now = recorded["made_with"], made_with(exported)
    if compiled:
        then, now = {**then, "compiler": recorded["compiler"]}, {**now, "compiler": compiler()}
    different = [f"{name} {then[name]}, and here it is {now[name]}" for name in now if now[name] != then[name]]
    return f"recorded with {'; '.join(different)}" if different else None


def _has_avx2() -> bool:
    if sys.platform != "linux":
        return False
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return {"avx2", "fma"} <= set(flags)


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What comes of the selected cases here: in one process, and once only however many workers ask."""
    chosen = (item for item in request.session.items if item.path == request.path and hasattr(item, "callspec"))
    names = [item.callspec.params["name"] for item in chosen]
    place, lock = tmp_path_factory.mktemp("runs"), nullcontext()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        place = tmp_path_factory.getbasetemp().parent / "recorded-runs"
        lock = FileLock(place.with_suffix(".lock"))
    with lock:
        if not (place / "found.json").exists():
            place.mkdir(exist_ok=True)
            run_apart(names, place)
    return json.loads((place / "found.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CASES, *EXPORTS])
def test_the_same_bytes_as_recorded(name: str, request: pytest.FixtureRequest) -> None:
    then = recorded()
    reason = why_not(then, compiled=name in EXPORTS or CASES[name].kernels, exported=name in EXPORTS)
    if reason:
        pytest.skip(reason)
    now = request.getfixturevalue("found")[name]
    for part in PARTS:
        assert now.get(part) == then["cases"][name].get(part), part


def test_what_is_recorded_is_what_is_run() -> None:
    assert [*recorded()["cases"]] == [*CASES, *EXPORTS]


def record() -> None:
    """Runs all cases and writes what came of them, a line a case."""
    with tempfile.TemporaryDirectory() as place:
        cases = run_apart([*CASES, *EXPORTS], Path(place))
    failed = {name: case["failed"] for name, case in cases.items() if "failed" in case}
    if failed:
        sys.exit(json.dumps(failed, indent=1))
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
    head = json.dumps({"made_with": made_with(exported=True), "compiler": compiler()}, indent=1).removesuffix("\n}")
    FILE.write_text(f'{head},\n "cases": {{\n{lines}\n }}\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--record"]:
        sys.exit("usage: python tests/test_same_bytes.py --record")
    record()

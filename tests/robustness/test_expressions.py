"""Every regular expression of graft takes time that grows as the text does: outside text is matched against them."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torture import FACTOR, tally

import graft
from graft.config import DataSettings
from graft.data.columns import recognize
from graft.data.example import Origin
from graft.data.readers import Row
from graft.errors import InputError
from graft.models.license import _FAMILIES, _LICENSE_TEXTS
from graft.plain_text import mask_secrets

SOURCES = Path(graft.__file__).parent
CALLS = {"compile", "sub", "match", "search", "fullmatch", "split", "findall", "finditer"}
FLAGS = {"IGNORECASE", "I", "DOTALL", "MULTILINE", "ASCII"}
LENGTH = 4_000
"""Characters of a hostile text, and a quarter of them: in quadratic time the former takes 16 times as long."""
SECONDS = 60
STARTS = ("", "{%", "---", "'", "?", "authorization")
UNITS = ("a", "a.", "a-", "1", "_", " ", "\n", "/", "\\", "'", '"', "{", "[", "<", "`", ".", ",", ":", "=", "://", "a/")
CHILD = """
import json, re, sys, time
asked = json.load(sys.stdin)

def seconds(expression, text):
    found = []
    for _ in range(2):
        began = time.process_time()
        expression.fullmatch(text)
        expression.search(text)
        found.append(time.process_time() - began)
    return min(found)

for place, pattern, flags in asked["patterns"]:
    print(place, flush=True)
    expression = re.compile(pattern, flags)
    for start in asked["starts"]:
        for unit in asked["units"]:
            def text(length):
                return start + unit * (length // len(unit)) + "\\x00"
            most = seconds(expression, text(asked["length"]))
            if most > 0.004 and most > 9 * seconds(expression, text(asked["length"] // 4)):
                sys.exit(f"{place}: {most:.3f} s for {start!r} and many {unit!r}")
"""
"""Names each expression before it is tried: one in exponential time is the last that is named."""


def written_in(path: Path) -> Iterator[tuple[str, str, int]]:
    """The expressions that a file has as plain text, with their flags, where they are part of a call."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
            owner, first = node.func.value, node.args[0] if node.args else None
            if isinstance(owner, ast.Name) and owner.id == "re" and isinstance(first, ast.Constant):
                named = [
                    n.attr
                    for given in (*node.args, *(k.value for k in node.keywords))
                    for n in ast.walk(given)
                    if isinstance(n, ast.Attribute) and n.attr in {"IGNORECASE", "I", "DOTALL", "MULTILINE", "ASCII"}
                ]
                yield (
                    f"{path.relative_to(SOURCES)}:{node.lineno}",
                    str(first.value),
                    sum(int(getattr(re, n)) for n in named),
                )


def held_by(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from held_by(part)


def expressions() -> list[tuple[str, str, int]]:
    """All expressions: those in calls, and those that modules hold, which may be put together of several."""
    found = {(pattern, flags): place for path in SOURCES.rglob("*.py") for place, pattern, flags in written_in(path)}
    for module in pkgutil.walk_packages(graft.__path__, "graft."):
        if module.name in {"graft.cli.main"} or ".demo" in module.name:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            for held in held_by(value):
                if isinstance(held.pattern, str):
                    found.setdefault((held.pattern, held.flags & ~re.UNICODE), f"{module.name}.{name}")
    found |= {(pattern, re.IGNORECASE): "graft.models.license" for pattern, _ in (*_FAMILIES, *_LICENSE_TEXTS)}
    return [(place, pattern, flags) for (pattern, flags), place in found.items()]


def test_no_expression_takes_quadratic_time() -> None:
    found = expressions()
    asked = {"patterns": found, "starts": STARTS, "units": UNITS, "length": LENGTH * (4 if FACTOR > 1 else 1)}
    command = [sys.executable, "-I", "-S", "-c", CHILD]
    with tally("expressions") as figures:
        figures.tried += len(found) * len(STARTS) * len(UNITS) * 2
        try:
            done = subprocess.run(
                command, input=json.dumps(asked), capture_output=True, text=True, timeout=SECONDS, check=False
            )
            figures.faults += [done.stderr] if done.returncode else []
        except subprocess.TimeoutExpired as error:
            figures.faults.append(str(error.stdout)[-200:])
    assert len(found) > 50


def test_secrets_are_masked_behind_schemes_of_any_length() -> None:
    assert mask_secrets("a." * 50 + "a://jo:SECRET@example.org") == "a." * 50 + "a://***@example.org"
    assert mask_secrets("a." * 1_000_000) == "a." * 1_000_000


def test_long_names_of_columns_are_shortened_in_every_part_of_an_error() -> None:
    name = "a." * 20_000
    row = Row({name: "x", "b": "y"}, Origin("rows.jsonl", 1))
    with pytest.raises(InputError) as caught:
        recognize([row] * 3, DataSettings())
    assert len(str(caught.value)) < 1_000

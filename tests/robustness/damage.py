"""Damaged copies of files: values of wrong types, keys that are gone, files that are cut, bytes that are no text."""

import contextlib
import copy
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Damage = tuple[str, bytes]
"""What was done, and the content of the file then."""

VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    7,
    10**400,
    -(10**25),
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\x1b[31m[bold]red\x00",
    "../../etc/passwd",
    "/dev/zero",
    "9" * 500,
    "x" * 100_000,
    [],
    [1, "two", None],
    [[]],
    {},
    {"x": 1},
    {"": {"": []}},
]
DEEP = 5_000


def of_json(text: str) -> Iterator[Damage]:
    """A JSON document with each value replaced by each of ``VALUES``, and without each key."""
    document = json.loads(text)
    for path in _paths(document):
        name = ".".join(map(str, path))
        for value in VALUES:
            yield f"{name}={str(value)[:20]!r}", _dumped(_changed(document, path, value))
        yield f"{name}=deep", _dumped(_changed(document, path, "DEEP")).replace(b'"DEEP"', _deep())
        if path:
            yield f"no {name}", _dumped(_without(document, path))
            yield f"{name} twice", _twice(document, path)


def of_bytes(content: bytes, seed: int, count: int) -> Iterator[Damage]:
    """The file empty, cut, with NULs, with bytes that are no text, and with ``count`` random changes."""
    draw = random.Random(seed)
    yield "empty", b""
    yield "blank", b" \n\n"
    yield "NULs behind", content + bytes(64)
    yield "a byte order mark", b"\xef\xbb\xbf" + content
    yield "UTF-16", content.decode("utf-8", "replace").encode("utf-16")
    yield "no UTF-8", content[: len(content) // 2] + b"\xff\xfe\xc0" + content[len(content) // 2 :]
    yield "doubled", content + content
    yield "a list", b"[" + content.rstrip() + b"]"
    yield "nested too deeply", _deep()
    yield "half a surrogate pair", b'{"x": "\\ud800"}'
    for number in range(count):
        place = draw.randrange(len(content) or 1)
        if number % 3 == 0:
            yield f"cut at {place}", content[:place]
        elif number % 3 == 1:
            yield f"byte {place}", content[:place] + bytes([draw.randrange(256)]) + content[place + 1 :]
        else:
            end = place + draw.randrange(1, 400)
            yield f"without {place} to {end}", content[:place] + content[end:]


def of_lines(content: bytes, line: int = 0) -> Iterator[Damage]:
    """A JSON Lines file of which one line is damaged as a document is."""
    lines = content.decode("utf-8").rstrip("\n").split("\n")
    for name, changed in of_json(lines[line]):
        kept = [text.encode() for text in lines]
        kept[line] = changed.replace(b"\n", b"")
        yield f"line {line + 1}: {name}", b"\n".join(kept) + b"\n"


@contextlib.contextmanager
def put(file: Path, content: bytes) -> Iterator[None]:
    """``file`` with this content; afterwards as it was."""
    before = file.read_bytes()
    file.unlink()  # a hard link would change the other file
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


@contextlib.contextmanager
def instead_of(file: Path, what: str) -> Iterator[None]:
    """A folder, a pipe, a link or nothing in place of ``file``; afterwards as it was."""
    kept = file.with_name(f"{file.name}.kept")
    file.replace(kept)
    try:
        _make(file, what)
        yield
    finally:
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)
        kept.replace(file)


INSTEAD = ["nothing", "a folder", *(["a pipe", "an endless device", "a circle"] if os.name == "posix" else [])]


def _make(file: Path, what: str) -> None:
    if what == "a folder":
        file.mkdir()
    elif what == "a pipe":
        os.mkfifo(file)
    elif what == "an endless device":
        file.symlink_to("/dev/zero")
    elif what == "a circle":
        file.symlink_to(file.name)


def _deep() -> bytes:
    return b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}"


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, entry in inner:
        yield from _paths(entry, (*path, key))


def _changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    found = copy.deepcopy(document)
    _at(found, path[:-1])[path[-1]] = value
    return found


def _without(document: Any, path: tuple[Any, ...]) -> Any:
    found = copy.deepcopy(document)
    del _at(found, path[:-1])[path[-1]]
    return found


def _twice(document: Any, path: tuple[Any, ...]) -> bytes:
    key = json.dumps(path[-1]) if isinstance(path[-1], str) else '"x"'
    marked = _dumped(_changed(document, path, "TWICE"))
    return marked.replace(b'"TWICE"', f"[], {key}: 1".encode())


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")

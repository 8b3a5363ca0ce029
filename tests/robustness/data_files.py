"""Data files for the fuzzer: rows of every shape, written in every format, and ways to damage them."""

import bz2
import gzip
import io
import json
import lzma
import random
from collections.abc import Callable, Sequence
from typing import Any

Rows = list[dict[str, Any]]
WORDS = (
    "red",
    "blue",
    "Straße",
    "東京",
    "привет",
    "😀",
    "a, b",
    'say "hi"',
    "x\ty",
    "line\nend",
    "{name}",
    "<|im_end|>",
)


def _turns(chance: random.Random) -> list[dict[str, Any]]:
    return [{"role": "user", "content": chance.choice(WORDS)}, {"role": "assistant", "content": chance.choice(WORDS)}]


def _shared(chance: random.Random) -> list[dict[str, Any]]:
    return [{"from": "human", "value": chance.choice(WORDS)}, {"from": "gpt", "value": chance.choice(WORDS)}]


def _call(chance: random.Random) -> list[dict[str, Any]]:
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": chance.choice(WORDS)}}}
    return [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [call]}]


TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
SHAPES: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "messages": lambda c: {"messages": _turns(c)},
    "tools": lambda c: {"messages": _call(c), "tools": [TOOL], "system": c.choice(WORDS)},
    "conversations": lambda c: {"conversations": _shared(c)},
    "prompt": lambda c: {"prompt": c.choice(WORDS), "completion": c.choice(WORDS)},
    "prompt messages": lambda c: {"prompt": _turns(c)[:1], "completion": _turns(c)[1:]},
    "history": lambda c: {"instruction": c.choice(WORDS), "output": c.choice(WORDS), "history": [["q", "a"]]},
    "alpaca": lambda c: {"instruction": c.choice(WORDS), "input": c.choice(WORDS), "output": c.choice(WORDS)},
    "question": lambda c: {"question": c.choice(WORDS), "answer": [c.choice(WORDS), "b"]},
    "squad": lambda c: {"question": c.choice(WORDS), "context": "c", "answers": {"text": ["x"], "answer_start": [0]}},
    "label": lambda c: {"text": c.choice(WORDS), "label": c.choice(("good", "bad"))},
    "number": lambda c: {"text": c.choice(WORDS), "label": c.randrange(3)},
    "labels": lambda c: {"text": c.choice(WORDS), "labels": c.sample(("x", "y", "z"), 2)},
    "summary": lambda c: {"text": c.choice(WORDS), "summary": c.choice(WORDS)},
    "tags": lambda c: {"tokens": ["in", "Rome"], "tags": ["O", "B-city"]},
    "spans": lambda c: {"text": "in Rome", "spans": [{"start": 3, "end": 7, "label": "city"}]},
    "pair": lambda c: {"sentence1": c.choice(WORDS), "sentence2": c.choice(WORDS), "label": c.random()},
    "text": lambda c: {"text": c.choice(WORDS)},
    "chosen": lambda c: {"prompt": c.choice(WORDS), "chosen": "a", "rejected": "b"},
    "weighted": lambda c: {"messages": [*_turns(c)[:1], {**_turns(c)[1], "weight": c.randrange(2)}]},
    "foreign": lambda c: {"a": c.choice(WORDS), "b": c.random(), "c": None},
}

deep: Any = "x"
for _ in range(120):
    deep = [deep]
ODD: Sequence[Any] = (
    *(
        None,
        "",
        " ",
        [],
        {},
        [[]],
        [{}],
        [None],
        {"": ""},
        True,
        0,
        -1,
        1.5,
        float("nan"),
        float("inf"),
        2**63,
        10**400,
    ),
    *(10**4999, "\x00", "\ufeff", "\u2028", "\x1b[31m", "x" * 5000, ["assistant"], {"role": "user"}, [1, "a", None]),
    *(deep, {"text": deep}, [["a", "b"], ["c"]], "[1, 2", "{'a': ", "['a' 'b']", "[[[[[[[[", "nan", "1e999", "0x_"),
    *("{x}", "{{", "{a.b.0}", "\ud83d", {"role": ["user"], "content": "x"}, [{"role": [], "content": "x"}]),
    *([{"role": "assistant", "content": "x"}], [{"from": None, "value": None}], [{"type": "image", "image": "x"}]),
    *([{"start": 10**30, "end": -1, "label": []}], [{"start": True, "end": 2, "label": 1}], [{"function": "f"}]),
    *({"text": ["a"], "answer_start": [0]}, {"value": "a", "aliases": [None]}, [("a", 1)], "1" * 5000, "-inf", "٣"),
)


def odd_row(row: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The row with something changed in it, at any depth."""
    copy: Any = json.loads(json.dumps(row, default=str)) if chance.random() < 0.9 else dict(row)
    place: Any = copy
    while True:
        if not place or not isinstance(place, (dict, list)):
            return dict(copy)
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = chance.choice(keys)
        if isinstance(place[key], (dict, list)) and place[key] and chance.random() < 0.7:
            place = place[key]
            continue
        how = chance.randrange(5)
        if how == 0 and isinstance(place, dict):
            del place[key]
        elif how == 1 and isinstance(place, dict):
            place[chance.choice(("", "label", "tools", "weight", "role", "x" * 300, "text", "history"))] = place.pop(
                key
            )
        elif how == 2 and isinstance(place, list):
            place.append(chance.choice(ODD))
        else:
            place[key] = chance.choice(ODD)
        return dict(copy)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _jsonl(rows: Rows) -> bytes:
    return "\n".join(map(_json, rows)).encode("utf-8", "surrogatepass")


def _spread_out(rows: Rows) -> bytes:
    return "\n".join(json.dumps(row, indent=1) for row in rows).encode()


def _document(rows: Rows) -> bytes:
    return json.dumps({"data": rows}).encode()


def _columns(rows: Rows) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return json.dumps({name: [row.get(name) for row in rows] for name in names}).encode()


def _splits(rows: Rows) -> bytes:
    return json.dumps({"train": rows, "validation": rows[:2]}).encode()


def _table(rows: Rows, sign: str = ",") -> bytes:
    import csv

    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=sign)
    writer.writerow(names)
    for row in rows:
        cells = (row.get(name, "") for name in names)
        writer.writerow([cell if isinstance(cell, str) else _json(cell) for cell in cells])
    return text.getvalue().encode("utf-8", "surrogatepass")


TEXT_FORMATS: dict[str, Callable[[Rows], bytes]] = {
    "rows.jsonl": _jsonl,
    "spread.jsonl": _spread_out,
    "array.json": lambda rows: json.dumps(rows).encode(),
    "data.json": _document,
    "columns.json": _columns,
    "splits.json": _splits,
    "rows.csv": _table,
    "rows.tsv": lambda rows: _table(rows, "\t"),
    "semicolons.csv": lambda rows: _table(rows, ";"),
    "rows.jsonl.gz": lambda rows: gzip.compress(_jsonl(rows), 1),
    "rows.csv.bz2": lambda rows: bz2.compress(_table(rows), 1),
    "rows.json.xz": lambda rows: lzma.compress(json.dumps(rows).encode(), preset=0),
    "rows.txt": _jsonl,
}

PIECES = (
    *(
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc3",
        b"\xef\xbb\xbf",
        b"\\ud800",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"\r",
        b"\n\n",
    ),
    *(
        b'"',
        b"'",
        b"{",
        b"[" * 300,
        b"]}",
        b",,,,",
        b"\t",
        b"sep=;\n",
        b"9" * 6000,
        b"9" * 400,
        b"\\",
        b"/*",
        b"\x1b]0;x\x07",
    ),
    *(
        b'{"a":' * 200,
        b'"text": ',
        b"null",
        b"[]",
        b"{}",
        b"\n{}\n",
        b"\n[1]\n",
        b'\n"x"\n',
        b"\xe2\x80\xa8",
        b"<html",
        b"PK\x03\x04",
    ),
)


def _flipped(data: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _overwritten(data: bytearray, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    data[place : place + chance.randint(1, 64)] = chance.randbytes(chance.randint(1, 64))
    return bytes(data)


def _zeroed(data: bytearray, chance: random.Random) -> bytes:
    place, count = chance.randrange(len(data)), chance.randint(1, 256)
    data[place : place + count] = bytes(min(count, len(data) - place))
    return bytes(data)


def _moved(data: bytearray, chance: random.Random) -> bytes:
    one, other = sorted((chance.randrange(len(data)), chance.randrange(len(data))))
    return bytes(data[other:] + data[one:other] + data[:one])


def _piece(data: bytearray, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    return bytes(data[:place]) + chance.choice(PIECES) + bytes(data[place:])


def _as_number(data: bytearray, chance: random.Random) -> bytes:
    """A length, an offset or a count of a binary format that is another one."""
    place = chance.randrange(len(data)) // 4 * 4
    value = chance.choice((0, 1, -1, 2**31 - 1, -(2**31), 2**20, 7, 255))
    data[place : place + 4] = value.to_bytes(4, "little", signed=True)
    return bytes(data)


MUTATIONS: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "flipped bits": _flipped,
    "overwritten": _overwritten,
    "zeros": _zeroed,
    "cut off": lambda data, chance: bytes(data[: chance.randrange(len(data))]),
    "beginning lost": lambda data, chance: bytes(data[chance.randrange(len(data)) :]),
    "hole": lambda data, chance: bytes(data[: chance.randrange(len(data))] + data[chance.randrange(len(data)) :]),
    "twice": lambda data, chance: bytes(data + data[chance.randrange(len(data)) :]),
    "order": _moved,
    "piece": _piece,
    "number": _as_number,
    "UTF-16": lambda data, chance: bytes(data).decode("utf-8", "replace").encode("utf-16"),
    "Latin-1": lambda data, chance: bytes(data).decode("utf-8", "replace").encode("latin-1", "replace"),
    "line ends": lambda data, chance: bytes(data).replace(b"\n", chance.choice((b"\r\n", b"\r", b"\x85", b"\n\n"))),
    "random": lambda data, chance: chance.randbytes(chance.randint(1, 500)),
    "mark": lambda data, chance: b"\xef\xbb\xbf" * chance.randint(1, 2) + bytes(data),
}


def rows_of(chance: random.Random) -> Rows:
    """A few rows of one shape, of which some may be odd, empty, or of another shape."""
    shape = SHAPES[chance.choice([*SHAPES])]
    rows = [shape(chance) for _ in range(chance.randint(1, 7))]
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        rows[chance.randrange(len(rows))] = odd_row(chance.choice(rows), chance)
    if chance.random() < 0.1:
        rows.insert(chance.randrange(len(rows) + 1), chance.choice(({}, SHAPES[chance.choice([*SHAPES])](chance))))
    return rows


def damaged(data: bytes, chance: random.Random) -> tuple[bytes, str]:
    """The bytes of a file with up to three mutations, and their names."""
    names = chance.choices([*MUTATIONS], k=chance.choice((0, 0, 0, 0, 1, 1, 2, 3)))
    for name in names:
        data = MUTATIONS[name](bytearray(data), chance) if data else data
    return data, " + ".join(names) or "whole"

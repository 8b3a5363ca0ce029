"""Damaged and odd data files: each is read, or refused with what is wrong."""

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from data_files import TEXT_FORMATS, damaged, rows_of
from torture import rounds, tally

from graft.config import DataSettings
from graft.data.columns import recognize
from graft.data.columns.labeled import labeled_texts
from graft.data.columns.pairs import text_pairs
from graft.data.columns.tagged import tagged_words
from graft.data.pipeline import prepare, read_examples
from graft.data.rows import as_row

HERE = Path(__file__).parent
FITTING = {"tokens": tagged_words, "spans": tagged_words, "sentence1": text_pairs, "labels": labeled_texts}
OPTIONS = (
    *[{}] * 12,
    {"text_template": "Q: {question}\nA: {answer.0}"},
    {"prompt_template": "{prompt}", "completion_template": "{completion}"},
    {"label_separator": ","},
    {"label_names": ("a", "b", "c")},
    {"system_prompt": "S", "instruction": "I"},
    {"response_template": "a"},
    {"ignore_columns": ("label",)},
    {"column_mapping": "messages"},
    {"column_mapping": "chosen"},
)


def read_one(path, chance, rows):
    """Read a file as a run or as an evaluation would; what is accepted can be written to a run."""
    settings = DataSettings(data_files=(str(path),), **chance.choice(OPTIONS))
    fitting = [FITTING[name] for name in FITTING if name in rows[0]]
    mapping = chance.choice([recognize, *fitting, *fitting, labeled_texts][: 1 + 3 * (chance.random() < 0.5)])
    if chance.random() < 0.3:
        found = prepare(settings, 0, None, mapping)
        examples = [*found.train, *found.eval]
    else:
        examples = read_examples(settings, recognize=mapping).examples
    for example in examples:
        json.dumps(as_row(example), ensure_ascii=False).encode()


def test_text_files(tmp_path):
    with tally("data files (text)") as found:
        for seed in range(rounds(1000)):
            chance = random.Random(seed)
            name = chance.choice([*TEXT_FORMATS])
            try:
                rows = rows_of(chance)
                whole = TEXT_FORMATS[name](rows)
            except (ValueError, UnicodeError):
                continue
            data, how = damaged(whole, chance)
            path = tmp_path / name
            path.write_bytes(data)
            with found.case(f"{seed} {name} {how}"):
                read_one(path, chance, rows)


SECONDS = 300
"""In which a process reads its cases; a few hundred take less than ten seconds."""
CASES = 400


def child(*arguments):
    """Run a script of this folder in a process of its own."""
    # pyarrow's own pool reserves more address space than the limit allows, and ends the process where it gets none
    pool = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    paths = {**os.environ, **pool, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS, env=paths)


def outcomes(folder, first, count, script):
    """What came of each case: of one that ended its process, the signal."""
    seed, last = first, first + count
    while seed < last:
        ended = child(HERE / script, folder, seed, min(CASES, last - seed))
        lines = [line.split(" ", 2) for line in ended.stdout.splitlines()]
        cases = {int(line[0]): line[2] for line in lines if line[1] == "case"}
        for line in lines:
            if line[1] in {"accepted", "refused"}:
                yield int(line[0]), line[1]
            elif line[1] == "fault:":
                yield int(line[0]), f"{cases[int(line[0])]}: {line[2]}"
        seed = int(lines[-1][0]) + 1 if lines else last
        if ended.returncode:
            yield seed - 1, f"exit {ended.returncode} at {lines[-1:]}: {ended.stderr[-300:]}"


CHILDREN = {"data files (columnar)": ("columnar_files.py", 300), "data doctor": ("doctor_cases.py", 60)}
"""The classes of inputs that processes of their own read: the script, and the number of rounds."""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of memory")
@pytest.mark.parametrize("what", CHILDREN)
def test_in_a_process_of_its_own(what, tmp_path):
    script, number = CHILDREN[what]
    with tally(what) as found:
        for seed, outcome in outcomes(tmp_path, 0, rounds(number), script):
            found.tried += 1
            found.accepted += outcome == "accepted"
            found.refused += outcome == "refused"
            if outcome not in {"accepted", "refused"}:
                found.faults.append(f"{seed} {outcome}")
    assert found.accepted and found.refused


READ_EACH = """
import json, resource, sys
from graft.config import DataSettings
from graft.data.pipeline import read_examples
from graft.errors import GraftError
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
for path in sys.argv[1:]:
    try:
        said = f"read {len(read_examples(DataSettings(data_files=(path,))).examples)}"
    except GraftError as error:
        said = f"refused {error}"
    print(json.dumps([path, said]), flush=True)
"""


def many_columns(path):
    names = ",".join(f"c{number}" for number in range(100_000))
    path.write_text(f"{names}\n{names}\n", encoding="utf-8")


def sparse(path, start=b""):
    with path.open("wb") as stream:
        stream.write(start)
        stream.truncate(10**12)


def bomb(path, of):
    path.write_bytes(gzip.compress(of * 1_000_000) * 600)


LARGE = {
    "columns.csv": (many_columns, "100,000 columns; at most 10,000 are supported"),
    "columns.jsonl": (
        lambda path: path.write_text(json.dumps(dict.fromkeys(map(str, range(100_000)), "x")), encoding="utf-8"),
        "100,000 columns; at most 10,000 are supported",
    ),
    "line.jsonl": (
        lambda path: path.write_bytes(b'{"text": "' + b"a" * 10**8 + b'"}'),
        "this line has more than 34 MB",
    ),
    "cell.csv": (lambda path: path.write_bytes(b"text,label\n" + b"a" * 10**8 + b",b"), "has more than 34 MB"),
    "nested.jsonl": (
        lambda path: path.write_bytes(b'{"text": ' + b"[" * 10**5 + b"]" * 10**5 + b"}"),
        "it is nested too deeply",
    ),
    "levels.jsonl": (lambda path: path.write_bytes(b'{"text": ' + b"[" * 900 + b"]" * 900 + b"}"), "nested too deeply"),
    "sparse.jsonl": (sparse, "UTF-16"),
    "rows.jsonl": (lambda path: sparse(path, b'{"prompt": "a", "completion": "b"}\n' * 100), "has more than 34 MB"),
    "sparse.csv": (lambda path: sparse(path, b"text,label\n" + b"a,b\n" * 100), "has more than 34 MB"),
    "sparse.json": (lambda path: sparse(path, b"[" + b" " * 300), "has more than 1.1 GB"),
    "sparse.parquet": (sparse, "cannot be read as parquet"),
    "bomb.jsonl.gz": (lambda path: bomb(path, b"0"), "this line has more than 34 MB"),
    "bomb.json.gz": (lambda path: bomb(path, b" "), "this file decompresses to more than"),
    "digits.jsonl": (
        lambda path: path.write_bytes(b'{"text": ' + b"9" * 5000 + b"}"),
        "a number has thousands of digits",
    ),
}


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of memory, no sparse files")
def test_files_of_absurd_size_are_refused_within_bounds(tmp_path):
    for name, (write, _) in LARGE.items():
        write(tmp_path / name)
    ended = child("-c", READ_EACH, *(tmp_path / name for name in LARGE))
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [Path(path).name for path, _ in found] == [*LARGE], ended.stderr[-1000:]
    for path, said in found:
        assert said.startswith("refused") and LARGE[Path(path).name][1] in said and len(said) < 1000, said

"""Escape sequences and markup of data, names, answers and errors stay text: in the terminal, in pages and cards."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text
from torture import rounds, tally

from graft.cli.console import Console
from graft.cli.main import main
from graft.cli.output import PlainStream, plain_output
from graft.plain_text import escape_controls

BAD = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))]
BAD = [letter for letter in BAD if letter not in "\n\t"]
ATTACKS = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "over\rwritten",
    "back\b\b\b\bspace",
    "\u202egnp.exe",
    "\u2066isolated",
    "\x00nul",
    "[red]markup[/red]",
    "[/]",
    "half \udcff of a pair",
)


def is_plain(text: str) -> bool:
    return not any(letter in text for letter in BAD)


def test_every_control_character_is_shown() -> None:
    with tally("escape sequences and markup") as figures:
        for code in range(0x3000):
            figures.tried += 1
            shown, letter = escape_controls(chr(code)), chr(code)
            kept = letter in "\n\t" or (unicodedata.category(letter) != "Cc" and letter not in BAD)
            if (shown == letter) != kept or not is_plain(shown):
                figures.faults.append(hex(code))
    assert escape_controls("a\x1b[31m\u202e") == "a\\x1b[31m\\u202e"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252", "latin-1", "utf-16"])
def test_what_is_printed_is_plain_in_every_encoding(encoding: str) -> None:
    raw = io.BytesIO()
    stream = PlainStream(io.TextIOWrapper(raw, encoding=encoding, newline="\n"), masks=False)
    for attack in (*ATTACKS, "Zürich – 東京 😀"):
        print(attack, file=stream)  # type: ignore[call-overload]
    stream.flush()
    assert is_plain(raw.getvalue().decode(encoding))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_a_json_document_stays_one(encoding: str) -> None:
    raw = io.BytesIO()
    stream = PlainStream(io.TextIOWrapper(raw, encoding=encoding, newline="\n"), masks=False)
    document = [*ATTACKS, *BAD, "Zürich – 東京 😀"]
    print(json.dumps(document, ensure_ascii=False), file=stream)  # type: ignore[call-overload]
    stream.flush()
    assert json.loads(raw.getvalue().decode(encoding)) == document


def test_styles_are_ours_and_controls_of_data_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    with plain_output():
        console = Console()
        table = Table()
        table.add_column("a")
        for attack in ATTACKS:
            table.add_row(Text(attack))
        console.print(table)
        console.print(Text("ours", style="red"))
        console.print(*ATTACKS, markup=False)
    shown = screen.getvalue()
    assert "\x1b[31mours" in shown and "\\x1b[31mred" in shown and "[red]markup" in shown
    for stolen in ("\x1b]", "\x1b[2J", "\x1b[31mred", "\r", "\b", "\x07", "\u202e", "\x9b"):
        assert stolen not in shown


COMMANDS = (
    ("show", "{}"),
    ("doctor", "{}"),
    ("finetune", "{}", "{}"),
    ("finetune", "{}", "--{}", "x"),
    ("evaluate", "{}"),
    ("run", "{}.yaml"),
    ("{}",),
    ("chat", "{}", "--prompt", "{}"),
    ("devices", "{}"),
)


def test_names_in_error_messages_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    with tally("escape sequences and markup") as figures:
        for attack in ("".join(ATTACKS), *ATTACKS[: rounds(1) - 1]):
            for command in COMMANDS:
                name = attack.replace("\0", "").replace("/", "")
                code = main([word.format(name) for word in command])
                caught = capsys.readouterr()
                figures.command((command, attack), code, caught.err)
                if not is_plain(caught.err + caught.out):
                    figures.faults.append(f"{command}: {caught.err!r}")


@pytest.mark.skipif(os.name != "posix", reason="file names there are Unicode")
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_file_names_that_are_no_text_do_not_end_in_a_traceback(tmp_path: Path, encoding: str) -> None:
    folder = tmp_path / os.fsdecode(b"run-\xff\x1b[31m")
    folder.mkdir()
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = [sys.executable, "-m", "graft.cli.main", "doctor", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith(b"error: ")
    assert b"Traceback" not in done.stderr and b"\x1b" not in done.stderr and b"\\x1b[31m" in done.stderr


def test_rich_is_used_through_our_console_alone() -> None:
    package = Path(sys.modules["graft"].__file__ or "").parent
    makers = [path.name for path in package.rglob("*.py") if "Console(" in path.read_text(encoding="utf-8")]
    own = {path.name for path in (package / "cli").glob("*.py")}
    assert "console.py" in makers and set(makers) <= own
    for path in (package / "cli").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert path.name == "console.py" or "from rich.console import Console" not in text, path

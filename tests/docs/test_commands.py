"""What the documentation tells people to type."""

from __future__ import annotations

import re

import pytest

from docs.pages import PAGES, Command, commands
from graft.cli.arguments import FLAGS, parse
from graft.cli.main import main
from graft.training.arguments import field_names

COMMON = {*FLAGS, "color", "config", "log_level", "progress"}
COMMANDS = [command for page in PAGES for command in commands(page)]


def named_in_help(name: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The options that the help of a command names, without dashes."""
    assert main([name, "--help"]) == 0
    return set(re.findall(r"--(\w+)", capsys.readouterr().out))


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_option_in_the_docs_exists(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    name, *words = command.words
    if name.startswith("-") or name == "COMMAND":
        return
    known = COMMON | named_in_help(name, capsys)
    if name in {"finetune", "run"}:  # `run` takes the settings of finetune, and both take TrainingArguments' fields
        known |= named_in_help("finetune", capsys) | field_names()
    assert set(parse(words).options) <= known, command

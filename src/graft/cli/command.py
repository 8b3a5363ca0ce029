"""The contract of a ``graft`` command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graft.cli.arguments import Arguments

if TYPE_CHECKING:
    from graft.config import Settings

CONFIG = ("--config FILE.yaml", "read settings from a file; the command line overrides them")
"""An option of commands with settings."""


@dataclass(frozen=True)
class Command:
    """A command of ``graft``, built in or by an entry point of the group ``graft.command``.

    Attributes:
        name: the word behind ``graft``.
        run: carries the command out and returns its exit code; it gets what was typed.
        help: one line for ``graft --help``.
        usage: how it is called, in one line.
        settings: a function that returns the settings classes whose options it takes; they are listed by its
            ``--help``, and ``settings_from`` reads them.
        options: further options, each with what it does.
        lists: a function that returns what ``--help`` lists below a heading, such as the methods: names, each with what
            it is.
    """

    name: str
    run: Callable[[Arguments], int | None]
    help: str = ""
    usage: str = ""
    settings: Callable[[], tuple[type[Settings], ...]] = tuple
    options: tuple[tuple[str, str], ...] = ()
    lists: Callable[[], dict[str, dict[str, str]]] = dict


def as_command(name: str, found: Any) -> Any:
    """Make a command of a plain function of ``Arguments``, described by the first line of its docstring."""
    if isinstance(found, Command) or not callable(found):
        return found
    first = (getattr(found, "__doc__", None) or "").strip().split("\n")[0].rstrip(".")
    return Command(name, found, first)


def settings_from(arguments: Arguments, cls: type[Settings]) -> Any:
    """The settings that were typed, over those of the file after ``--config``.

    Raises:
        InputError: with everything that is unknown or out of bounds.
    """
    from graft.cli.options import given_settings
    from graft.config import build

    given = given_settings(arguments, cls)
    return build(cls, given.values, given.where)

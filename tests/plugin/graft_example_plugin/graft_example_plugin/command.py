"""A command with an option of its own: ``graft greet --whom Ada``."""

from graft.cli.command import Command, settings_from
from graft.config import Settings, setting


class GreetSettings(Settings):
    """Everything ``graft greet`` takes."""

    whom: str = setting("you", "whom to greet", "name")


def run(arguments):
    """Print the greeting."""
    print(f"hello, {settings_from(arguments, GreetSettings).whom}")
    return 0


GREET = Command("greet", run, "greet somebody", "graft greet [--whom NAME]", lambda: (GreetSettings,))

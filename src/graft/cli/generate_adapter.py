"""graft generate-adapter."""

from __future__ import annotations

from pathlib import Path

from graft.cli.arguments import Arguments
from graft.cli.bundles import print_export
from graft.cli.command import CONFIG, Command
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.config import GenerateAdapterSettings, Settings, build
from graft.errors import InputError

SETTINGS: tuple[type[Settings], ...] = (GenerateAdapterSettings,)
USAGE = "graft generate-adapter --base_model_path MODEL --adapter_paths A,NAME=B -o OUT, or --add NAME=PATH BUNDLE"


def run(arguments: Arguments) -> int:
    """Export a base with several adapters, or add adapters to a bundle, and print the bundle's figures."""
    as_json = arguments.flag("json")
    given = given_settings(arguments, GenerateAdapterSettings)
    options = given.values
    added = options.get("add")
    if isinstance(added, list):  # `--add a=x b=y BUNDLE` parses the bundle as another adapter
        options["add"], last = added[:-1], added[-1]
        arguments.words.append(str(last))
    if len(arguments.words) > 1:
        raise InputError(f"too many arguments: {' '.join(arguments.words[1:])}", remedy=USAGE)
    if arguments.words:
        options.setdefault("output_path" if added else "base_model_path", arguments.words[0])
    settings: GenerateAdapterSettings = build(GenerateAdapterSettings, options, given.where)

    def export(screen: Screen) -> Path:
        """Export, once the screen shows that libraries are imported."""
        from graft.commands.export import generate_adapter

        return generate_adapter(settings, screen)

    return print_export(export, as_json)


COMMAND = Command(
    "generate-adapter",
    run,
    usage=USAGE,
    settings=lambda: SETTINGS,
    options=(CONFIG,),
)

"""graft auto-opt, and graft optimize, which is the same."""

from __future__ import annotations

from pathlib import Path

from graft.cli.arguments import Arguments
from graft.cli.bundles import print_export
from graft.cli.command import CONFIG, Command
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.config import ExportSettings, build
from graft.errors import InputError
from graft.export.target import export_settings

USAGE = "graft auto-opt RUN [--precision int4] [-o OUT], or --model_name_or_path MODEL [--adapter_path ADAPTER] -o OUT"


def run(arguments: Arguments) -> int:
    """Export a model, and print the bundle's figures."""
    as_json = arguments.flag("json")
    named = arguments.options.get("format") or arguments.options.get("output_format")
    cls = export_settings(str(named) if named is not None else None)
    given = given_settings(arguments, cls)
    options = given.values
    if len(arguments.words) > 1:
        raise InputError(f"too many arguments: {' '.join(arguments.words[1:])}", remedy=USAGE)
    if arguments.words:
        options.setdefault("model_name_or_path", arguments.words[0])
    settings: ExportSettings = build(cls, options, given.where)

    def export(screen: Screen) -> Path:
        """Export, once the screen shows that libraries are imported."""
        from graft.commands.export import export_model

        return export_model(settings, screen)

    return print_export(export, as_json)


COMMAND = Command(
    "auto-opt",
    run,
    usage=USAGE,
    settings=lambda: (export_settings(),),
    options=(CONFIG,),
)

"""graft generate-adapter."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from graft.cli.arguments import Arguments
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.config import GenerateAdapterSettings, Settings, build
from graft.errors import GateError, InputError

SETTINGS: tuple[type[Settings], ...] = (GenerateAdapterSettings,)
USAGE = "graft generate-adapter --base_model_path MODEL --adapter_paths A,NAME=B -o OUT, or --add NAME=PATH BUNDLE"


def run(arguments: Arguments) -> int:
    as_json = arguments.flag("json")
    given = given_settings(arguments, GenerateAdapterSettings)
    options = given.values
    added = options.get("add")
    if isinstance(added, list):  # `--add a=x b=y BUNDLE` reads the bundle as another adapter
        options["add"], last = added[:-1], added[-1]
        arguments.words.append(str(last))
    if len(arguments.words) > 1:
        raise InputError(f"too many words: {' '.join(arguments.words[1:])}", remedy=USAGE)
    if arguments.words:
        options.setdefault("output_path" if added else "base_model_path", arguments.words[0])
    settings: GenerateAdapterSettings = build(GenerateAdapterSettings, options, given.where)
    failure: GateError | None = None
    with Screen(quiet=as_json) as screen:
        from graft.export.targets.onnx_multi_adapter import generate_adapter

        try:
            folder = generate_adapter(settings, screen)
        except GateError as error:
            failure, folder = error, Path(error.problems[0].where)
    _print(folder, as_json)
    if failure is not None:
        raise failure
    return 0


def _print(folder: Path, as_json: bool) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps({"bundle": str(folder), "manifest": manifest}, ensure_ascii=False, indent=2))
        return
    title = f"base: {manifest['precision']}, {manifest['size_mb']} MB, {len(manifest['slots'])} slots"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("adapter", "MB", "rank", "metric", "PyTorch", "bundle", "answers equal", "logits differ"):
        table.add_column(name, justify="left" if name in {"adapter", "metric"} else "right")
    for name, entry in manifest["adapters"].items():
        parity = entry["parity"]
        cells = ["not compared", "", "", "", ""]
        if isinstance(parity, dict):
            values = [f"{parity[of]['value']:.3f}" for of in ("pytorch", "bundle")]
            equal = "{} of {}".format(*parity["answers_equal"])
            cells = [parity["metric"], *values, equal, f"{parity['greatest_logit_difference']:g}"]
        table.add_row(name, str(entry["size_mb"]), ", ".join(map(str, entry["ranks"])), *cells)
    Console(highlight=False).print(table)
    print(f"bundle: {folder} ({manifest['status']})")
    print(f"next:   graft chat {folder} --adapter {next(iter(manifest['adapters']), 'NAME')}")

"""graft auto-opt, and graft optimize, which is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from graft.cli.arguments import Arguments
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.config import ExportSettings, Settings, build
from graft.errors import GateError, InputError

SETTINGS: tuple[type[Settings], ...] = (ExportSettings,)
USAGE = "graft auto-opt RUN [--precision int4] [-o OUT], or --model_name_or_path MODEL [--adapter_path ADAPTER] -o OUT"


def run(arguments: Arguments) -> int:
    as_json = arguments.flag("json")
    given = given_settings(arguments, ExportSettings)
    options = given.values
    if len(arguments.words) > 1:
        raise InputError(f"too many words: {' '.join(arguments.words[1:])}", remedy=USAGE)
    if arguments.words:
        options.setdefault("model_name_or_path", arguments.words[0])
    settings: ExportSettings = build(ExportSettings, options, given.where)
    failure: GateError | None = None
    with Screen(quiet=as_json) as screen:
        from graft.export.targets.onnx_genai import optimize

        try:
            folder = optimize(settings, screen)
        except GateError as error:
            failure = error
            folder = Path(error.problems[0].where)
    if (folder / "manifest.json").is_file():
        print_bundle(folder, as_json)
    if failure is not None:
        raise failure
    return 0


def print_bundle(folder: Path, as_json: bool) -> None:
    """What was tried, what was checked, and how to go on."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps({"bundle": str(folder), "manifest": manifest}, ensure_ascii=False, indent=2))
        return
    if manifest.get("format") == "gguf":
        print(f"{folder / manifest['file']}: {manifest['size_mb']} MB ({manifest['status']})")
        print(f"read back: {manifest['parity']}")
        return
    if manifest.get("format") == "onnx-encoder":
        parity = manifest["parity"]
        print(f"{folder / 'model.onnx'}: {manifest['precision']}, {manifest['size_mb']} MB ({manifest['status']})")
        print(f"parity: {parity['why'] if isinstance(parity, dict) else parity}")
        return
    console = Console(highlight=False)
    console.print(_tried_table(manifest))
    parity = manifest["parity"]
    if isinstance(parity, dict):
        for name in (
            "template_identical",
            "token_ids_identical",
            "ends_identical",
            "answers_equal",
            "answers_equal_in_batches",
        ):
            same, of = parity[name]
            print(f"{name.replace('_', ' '):<26} {same} of {of}")
        print(f"greatest logit difference  {parity['greatest_logit_difference']}")
        print(f"parity: {parity['why']}")
    else:
        print(f"parity: {parity}")
    if manifest.get("adapter"):
        print(f"adapter: {manifest['adapter']['way']} ({manifest['adapter']['why']})")
    print(f"bundle: {folder} ({manifest['status']})")


def _tried_table(manifest: dict[str, Any]) -> Table:
    table = Table(title="what was tried", title_justify="left", box=None, pad_edge=False)
    metric = next((one["metric"] for one in manifest["tried"] if one["metric"]), "metric")
    for name in ("weights", "MB", "tokens/s", "load s", "peak MB", str(metric), "in PyTorch", "passes"):
        table.add_column(name, justify="left" if name == "weights" else "right")
    for one in manifest["tried"]:
        figures = [one.get("tokens_per_second"), one.get("load_seconds"), one.get("peak_mb")]
        values = [one["value"], one["pytorch"]]
        table.add_row(
            one["label"],
            str(one["size_mb"]),
            *["–" if figure is None else f"{figure:g}" for figure in figures],
            *["–" if value is None else f"{value:.3f}" for value in values],
            "–" if one["value"] is None else ("yes" if one["passed"] else "no"),
        )
    return table

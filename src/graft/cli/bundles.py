"""What ``auto-opt`` and ``generate-adapter`` print: the bundle that was made, from its manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from graft.cli.progress import Screen
from graft.errors import GateError

WIDTH = 80
SHARES = {
    "template_identical": "prompts rendered equally",
    "token_ids_identical": "prompts tokenized equally",
    "ends_identical": "answers ended equally",
    "answers_equal": "answers equal",
    "answers_equal_in_batches": "answers equal in batches",
    "next_token_equal": "next tokens equal",
}
Manifest = Mapping[str, Any]


def print_export(export: Callable[[Screen], Path], as_json: bool) -> int:
    """Run ``export``, and print the bundle that it made, also if it did not pass the gate.

    Raises:
        GateError: If it did not.
    """
    failure: GateError | None = None
    with Screen(quiet=as_json) as screen:
        try:
            folder = export(screen)
        except GateError as error:
            failure, folder = error, Path(error.problems[0].where)
    if (folder / "manifest.json").is_file():
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if as_json:
            print(json.dumps({"bundle": str(folder), "manifest": manifest}, ensure_ascii=False, indent=2))
        else:
            _print(folder, manifest)
    if failure is not None:
        raise failure
    return 0


def _print(folder: Path, manifest: Manifest) -> None:
    """Whatever the manifest has of these: candidates, adapters, the comparison; then where the bundle is."""
    if manifest.get("candidates"):
        _print_table(_candidates(manifest["candidates"]))
    if manifest.get("slots"):
        _print_table(_adapters(manifest))
    _print_parity(manifest["parity"])
    adapter = manifest.get("adapter")
    if adapter and "placement" in adapter:
        print(f"adapter: {adapter['placement']} ({adapter['reason']})")
    size = f"{manifest['precision']}, {manifest['size_mb']} MB"
    print(f"bundle:  {folder / manifest.get('file', '')} ({size}, {manifest['status']})")
    if manifest.get("slots"):
        print(f"next:    graft chat {folder} --adapter {next(iter(manifest['adapters']), 'NAME')}")


def _print_table(table: Table) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:  # a file or a pipe has no width
        console.width = WIDTH
    console.print(table)


def _print_parity(parity: Mapping[str, Any] | str) -> None:
    if isinstance(parity, str):
        print(f"compared with PyTorch: {parity}")
        return
    for key, title in SHARES.items():
        if key in parity:
            same, of = parity[key]
            print(f"{title:<26} {same} of {of}")
    if "greatest_logit_difference" in parity:
        print(f"{'largest logit difference':<26} {parity['greatest_logit_difference']:g}")
    print(f"compared with PyTorch: {parity['reason']}")


def _candidates(candidates: list[Manifest]) -> Table:
    table = Table(title="candidates", title_justify="left", box=None, pad_edge=False)
    metric = next((one["metric"] for one in candidates if one["metric"]), "metric")
    for name in ("weights", "MB", "tok/s", "load s", "peak MB", str(metric), "PyTorch", "passed"):
        table.add_column(name, justify="left" if name == "weights" else "right")
    for one in candidates:
        speeds = [one.get("tokens_per_second"), one.get("load_seconds"), one.get("peak_mb")]
        values = [one["value"], one["pytorch"]]
        table.add_row(
            one["label"],
            f"{one['size_mb']:g}",
            *["–" if figure is None else f"{figure:g}" for figure in speeds],
            *["–" if value is None else f"{value:.3f}" for value in values],
            "–" if one["value"] is None else ("yes" if one["passed"] else "no"),
        )
    return table


def _adapters(manifest: Manifest) -> Table:
    title = f"base: {manifest['precision']}, {len(manifest['slots'])} slots"
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
        table.add_row(name, f"{entry['size_mb']:g}", ", ".join(map(str, entry["ranks"])), *cells)
    return table

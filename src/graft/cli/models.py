"""graft models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from graft.cli.arguments import Arguments
from graft.cli.command import Command
from graft.errors import Problems, did_you_mean

if TYPE_CHECKING:
    from graft.cli.console import Console
    from graft.commands.models import DescribedModel, ModelList

USAGE = "graft models [FOLDER|NAME …] [--fits 8GB] [--license commercial] [--language de] [--json]"
SIDE_BY_SIDE = 4
"""Up to this many models are shown as columns."""
TITLES, COLUMN = 16, 26
"""Columns of a terminal that the names of properties take, and a model at least."""
WIDE = 120
"""Columns of a terminal from which a line has more than the most important."""
_WRAPPED = ("license", "languages")
_COMMERCIAL = {"yes": "yes", "conditions": "with terms", "no": "no", "unknown": "unknown"}


def run(arguments: Arguments) -> int:
    """Print base models side by side.

    Raises:
        InputError: With every unknown option and name.
    """
    as_json = arguments.flag("json")
    names, fits, license, language = _given(arguments)
    from graft.commands.models import Wanted, models

    found = models(names, Wanted(fits, license, language))
    if as_json:
        print(json.dumps(_document(found), ensure_ascii=False, indent=2))
        return 0
    from graft.cli.console import Console

    console = Console()
    if not found.models:
        print("no model is as wanted")
    elif names and len(found.models) <= SIDE_BY_SIDE:
        at_once = max(1, (console.width - TITLES) // COLUMN)
        for start in range(0, len(found.models), at_once):
            _print_columns(found.models[start : start + at_once], console)
    else:
        _print_rows(found.models, console)
    _print_notes(found, console)
    return 0


def _given(arguments: Arguments) -> tuple[list[str], float | None, str | None, str | None]:
    """The names, and the memory in MB, the license and the language that are wanted."""
    problems = Problems()
    fits: float | None = None
    with problems.collecting():
        fits = _memory(arguments.take("fits"))
    license, language = arguments.take("license"), arguments.take("language")
    for name, value in (("license", license), ("language", language)):
        if value is not None and not isinstance(value, str):
            problems.add("give one value", f"--{name}", USAGE)
    for name in arguments.options:
        near = did_you_mean(name, ("fits", "license", "language", "json"))
        problems.add(f"unknown option --{name}", remedy=near or USAGE)
    problems.raise_if_any()
    return arguments.words, fits, license, language


def _memory(given: Any) -> float | None:
    """The memory in MB; for the option without a value, what is free on this machine."""
    from graft.hardware.machine import memory_available_mb
    from graft.planning.limits import megabytes

    if given is True:
        return memory_available_mb()
    return None if given is None else megabytes(given, "--fits")


def _document(found: ModelList) -> dict[str, Any]:
    from graft.planning.model_needs import ROW_TOKENS, ROWS

    return {
        "models": [model.document() for model in found.models],
        "left_out_because_unknown": found.unknown,
        "training_batch": {"rows": ROWS, "tokens_per_row": ROW_TOKENS},
    }


def _print_rows(models: Sequence[DescribedModel], console: Console) -> None:
    """One line a model; where the terminal is wide, with more columns."""
    from rich.table import Table
    from rich.text import Text

    wide = console.width >= WIDE
    columns: list[tuple[str, Callable[[DescribedModel], str], bool]] = [
        ("model", lambda model: model.facts.name, False),
        ("size", lambda model: _count(model.facts.parameters), True),
        ("context", lambda model: _tokens(model.facts.context), True),
        ("license", _license, False),
        ("commercial", lambda model: _COMMERCIAL[model.terms.commercial], False),
        ("train", _need("lora_mb"), True),
        ("run", _need("run_mb"), True),
    ]
    if wide:
        columns += [
            ("engine", lambda model: model.needs.engine if model.needs else "–", False),
            ("exports", lambda model: " ".join(_exports(model)), False),
            ("languages", _languages, False),
        ]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for name, _, right in columns:
        table.add_column(name, justify="right" if right else "left", no_wrap=name not in _WRAPPED, overflow="fold")
    for model in models:
        table.add_row(*(Text(read(model)) for _, read, _ in columns))
    console.print(table)


def _print_columns(models: Sequence[DescribedModel], console: Console) -> None:
    """One column a model."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="dim")
    for _ in models:
        table.add_column(overflow="fold", ratio=1)
    for title, read in _PROPERTIES:
        values = [read(model) for model in models]
        if any(value != "–" for value in values):
            table.add_row(Text(title), *(Text(value, "bold" if title == "" else "") for value in values))
    console.print(table)


def _print_notes(found: ModelList, console: Console) -> None:
    from rich.text import Text

    from graft.planning.model_needs import ROW_TOKENS, ROWS

    lines = []
    if found.models:
        lines.append(
            f"train: estimated memory for LoRA in float32 on batches of {ROWS} rows of {ROW_TOKENS} "
            "tokens; run: that of the exported int4 model. License notes are pointers, not legal advice."
        )
    if found.unknown:
        left = "1 model is" if found.unknown == 1 else f"{found.unknown} models are"
        lines.append(f"{left} left out because not everything that is asked for is known of them.")
    for line in lines:
        console.print(Text(line, style="dim"))


def _license(model: DescribedModel) -> str:
    own = model.facts.license or "unknown"
    return model.terms.name if model.terms.is_known and len(model.terms.name) < 14 else own.removesuffix("-license")


def _languages(model: DescribedModel) -> str:
    named, count = model.facts.languages, model.facts.language_count
    if named is not None and len(named) < 4 and count in (None, len(named)):
        return " ".join(named)
    return str(count or len(named or ())) if count or named else "–"


def _named_languages(model: DescribedModel) -> str:
    named, count = model.facts.languages, model.facts.language_count
    if named is None:
        return f"{count}, which its card does not all name" if count else "–"
    more = f" and more, {count} in all" if count is not None and count > len(named) else ""
    return " ".join(named) + more


def _exports(model: DescribedModel) -> Iterable[str]:
    return (name for name, reason in model.exports.items() if reason is None)


def _no_exports(model: DescribedModel) -> str:
    if model.facts.model_type is None:
        return "–"
    return "; ".join(f"{name}: {reason}" for name, reason in model.exports.items() if reason is not None) or "–"


def _count(number: int | None) -> str:
    if number is None:
        return "–"
    return f"{number / 1e9:.1f}B" if number >= 999_500_000 else f"{number / 1e6:.0f}M"


def _tokens(number: int | None) -> str:
    if number is None:
        return "–"
    return f"{number // 1024}K" if number >= 1024 else str(number)


def _gigabytes(megabytes: float | None) -> str:
    return "–" if megabytes is None else f"{megabytes / 1000:.1f} GB"


def _disk(model: DescribedModel) -> str:
    size = model.facts.bytes_on_disk
    if size is None:
        return "–"
    shown = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size < 1e7 else f"{size / 1e6:.0f} MB"
    return f"{shown} ({model.facts.number_format})" if model.facts.number_format else shown


def _need(name: str) -> Callable[[DescribedModel], str]:
    return lambda model: _gigabytes(getattr(model.needs, name) if model.needs else None)


def _gated(model: DescribedModel) -> str:
    gated = model.facts.gated
    return "–" if gated is None else "yes: accept the terms on the Hub" if gated else "no"


_PROPERTIES: tuple[tuple[str, Callable[[DescribedModel], str]], ...] = (
    ("", lambda model: model.facts.name),
    ("architecture", lambda model: model.facts.model_type or "–"),
    ("kind", lambda model: model.facts.kind if model.facts.model_type else "–"),
    ("parameters", lambda model: "–" if model.facts.parameters is None else f"{model.facts.parameters:,}"),
    ("context", lambda model: "–" if model.facts.context is None else f"{model.facts.context:,} tokens"),
    ("languages", _named_languages),
    ("license", lambda model: model.terms.name),
    ("commercial use", lambda model: model.terms.sentence),
    ("gated", _gated),
    ("size on disk", _disk),
    ("chat template", lambda model: {None: "–", True: "yes", False: "no"}[model.facts.chat_template]),
    ("engine", lambda model: model.needs.engine if model.needs else "–"),
    ("train with LoRA", _need("lora_mb")),
    ("with QLoRA", _need("qlora_mb")),
    ("all weights", _need("full_mb")),
    ("run in int4", _need("run_mb")),
    ("exports to", lambda model: " ".join(_exports(model)) if model.facts.model_type else "–"),
    ("not to", _no_exports),
    ("notes", lambda model: "; ".join(model.facts.notes) or "–"),
    ("source", lambda model: model.facts.source),
)

COMMAND = Command(
    "models",
    run,
    usage=USAGE,
    options=(
        ("--fits 8GB", "models that LoRA trains within this memory; without a value, that of this machine"),
        ("--license commercial", "models whose license allows commercial use, or that have the license of this name"),
        ("--language de", "models whose card names this language"),
    ),
)

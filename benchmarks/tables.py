"""Results as tables: of the turns of one training benchmark, and of everything under ``benchmarks/results/``.

python benchmarks/tables.py                    # the current tables, by processor
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contenders import CONTENDERS

RESULTS = Path(__file__).parent / "results"
"""One file for each benchmark and processor."""

DISTURBED = 0.85
"""A turn that had less of the processor than this share of its contender's best turn is left out."""


def summary(turns: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each contender the best and the median over its turns, and the ratios to the best peer's.

    Rows a processor second are of all turns: waiting for other processes takes none.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(turn["contender"] for turn in turns):
        every = [turn for turn in turns if turn["contender"] == name]
        most = max(turn["cores"] for turn in every)
        own = [turn for turn in every if turn["cores"] >= DISTURBED * most]
        rates = [turn["rows_per_second"] for turn in own]
        losses = [turn["held_out_loss"] for turn in own if turn["held_out_loss"] is not None]
        found[name] = {
            "turns": len(own),
            "disturbed_turns": len(every) - len(own),
            "cores_median": statistics.median(turn["cores"] for turn in own),
            "rows_per_second_median": statistics.median(rates),
            "rows_per_second_least": min(rates),
            "rows_per_second_best": max(rates),
            "rows_per_cpu_second_median": statistics.median(turn["rows_per_cpu_second"] for turn in every),
            "trained_tokens_per_second_median": statistics.median(turn["trained_tokens_per_second"] for turn in own),
            "peak_mb_median": statistics.median(turn["peak_mb"] for turn in own),
            "held_out_loss": losses[-1] if losses else None,
            "share_of_gemm_median": _share(own, "frozen"),
            "share_of_gemm_all_products_median": _share(own, "all"),
        }
    peers = [name for name in found if CONTENDERS[name].is_peer]
    _add_ratios(found, peers, "best_peer")
    _add_ratios(found, [name for name in peers if CONTENDERS[name].float32], "best_float32_peer")
    return found


def _add_ratios(found: dict[str, dict[str, Any]], peers: Sequence[str], what: str) -> None:
    """To the quickest of ``peers`` by the median; its fellows may use less memory, and that is not looked at."""
    if not peers:
        return
    best = max(peers, key=lambda name: found[name]["rows_per_second_median"])
    for one in found.values():
        one[what] = best
        for kind in ("second_median", "second_best", "cpu_second_median"):
            ratio = one[f"rows_per_{kind}"] / found[best][f"rows_per_{kind}"]
            one[f"times_{what}_{kind}"] = round(ratio, 2)
        one[f"memory_of_{what}"] = round(one["peak_mb_median"] / found[best]["peak_mb_median"], 2)


def _share(turns: Sequence[Mapping[str, Any]], kind: str) -> float:
    return round(statistics.median(turn[f"{kind}_gflops"] / turn["gemm_gflops"] for turn in turns), 3)


def markdown(document: Mapping[str, Any]) -> str:
    settings, machine = document["settings"], document["machine"]
    turns = document["turns"]
    lines = [
        f"**{settings['name']}**: {settings['rows_a_step']} rows a step, {settings['steps']} steps a turn after "
        f"{settings['warm_up']}; {machine['cpu']}, {settings['threads']} threads",
    ]
    if turns:
        lines += ["", *_speeds(summary(turns))]
    if document["time_to"]:
        lines += ["", *_times(document["time_to"])]
    return "\n".join(lines)


def _speeds(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = [
        "| | turns | rows/s, median (range) | × best peer | × best float32 peer | rows a processor second (×) "
        "| peak MB | held-out loss | of GEMM rate |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        least, most = one["rows_per_second_least"], one["rows_per_second_best"]
        loss = "–" if one["held_out_loss"] is None else f"{one['held_out_loss']:.3f}"
        lines.append(
            f"| {name} | {one['turns']} | {one['rows_per_second_median']:.2f} ({least:.2f}–{most:.2f}) "
            f"| {_ratio(one, 'best_peer')} | {_ratio(one, 'best_float32_peer')} "
            f"| {one['rows_per_cpu_second_median']:.2f} ({one.get('times_best_peer_cpu_second_median', '–')}) "
            f"| {one['peak_mb_median']:,.0f} | {loss} | {one['share_of_gemm_all_products_median']:.2f} |"
        )
    return lines


def _ratio(one: Mapping[str, Any], what: str) -> str:
    """By the medians, and by the best turns."""
    if what not in one:
        return "–"
    return f"{one[f'times_{what}_second_median']:.1f} ({one[f'times_{what}_second_best']:.1f})"


def _times(found: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["| | held-out accuracy | seconds | rows |", "|---|---|---|---|"]
    for one in found:
        seconds = "not reached" if one["seconds"] is None else f"{one['seconds']:.0f}"
        lines.append(f"| {one['contender']} | {one['accuracy']} | {seconds} | {one['rows']:,} |")
    return lines


def store(benchmark: str, document: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write a benchmark's result in the place of the same processor's last one; returns the file.

    Args:
        benchmark: ``train``, ``deploy`` or ``score``; what comes after a hyphen tells several of one kind apart.
        document: the result, with the ``machine`` it was measured on.
        folder: where results are kept.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", processor(document).lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{benchmark}-{slug}.json"
    file.write_text(json.dumps({"benchmark": benchmark, **document}, indent=1) + "\n", encoding="utf-8")
    return file


def processor(document: Mapping[str, Any]) -> str:
    """The processor that a result was measured on."""
    machine = document.get("machine") or {}
    return str(machine.get("cpu") or document.get("processor") or "unknown processor")


def current(folder: Path = RESULTS) -> str:
    """The tables of all results in ``folder``, as Markdown with one section for each processor."""
    sections: dict[str, list[str]] = defaultdict(list)
    for file in sorted(folder.glob("*.json")):
        document = json.loads(file.read_text(encoding="utf-8"))
        benchmark = str(document.get("benchmark") or file.stem)
        render = _RENDERERS.get(benchmark.partition("-")[0])
        if render is not None:
            title = _TITLES.get(benchmark.partition("-")[0], benchmark)
            sections[processor(document)].append(f"### {title}{_label(document)}\n\n{render(document)}")
    return "\n\n".join(f"## {name}\n\n" + "\n\n".join(tables) for name, tables in sorted(sections.items()))


def _deploy(document: Mapping[str, Any]) -> str:
    from deploy import markdown as deploy_table

    return deploy_table(document)


def score_table(document: Mapping[str, Any]) -> str:
    """The ways to score labels, by their seconds."""
    best = statistics.median(document["seconds"]["graft"])
    lines = ["| way | seconds, median | least | times graft |", "|---|---|---|---|"]
    for name, seconds in document["seconds"].items():
        middle = statistics.median(seconds)
        lines.append(f"| {name} | {middle:.1f} | {min(seconds):.1f} | {middle / best:.1f} |")
    off = document["greatest_difference_nats"]
    rows = f"{document['rows']} rows of {document['labels']} labels"
    return "\n".join(lines) + f"\n\n{rows}; likelihoods differ by at most {off:.1e} nats"


def _plan(document: Mapping[str, Any]) -> str:
    lines = ["| rows | seconds | processor seconds | peak MB |", "|---|---|---|---|"]
    for one in document["results"]:
        figures = f"{one['wall_seconds']:.1f} | {one['cpu_seconds']:.1f} | {one['peak_rss_mb']:,}"
        lines.append(f"| {one['rows']:,} | {figures} |")
    return "\n".join(lines)


def _recorded(document: Mapping[str, Any]) -> str:
    """Figures of training beside peers that were kept without their turns."""
    heads = ("", "rows/s", "× best peer", "peak MB", "held-out loss", "of GEMM rate")
    parts = [str(document["about"])]
    for name, rows in document["tables"].items():
        lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        lines += [f"| {' | '.join(row[key] for key in document['columns'])} |" for row in rows]
        parts.append(f"**{name}**\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _distill(document: Mapping[str, Any]) -> str:
    """The base, the teacher, and the student that learned from the teacher's answers."""
    models = {"base": "base", "teacher": "tuned", "student": "tuned"}
    lines = ["| model | accuracy | macro-F1 |", "|---|---|---|"]
    for name, column in models.items():
        scores = document["teacher" if name == "base" else name][column]
        shown = (f"{one['value']:.3f} ({one['low']:.3f}–{one['high']:.3f})" for one in scores.values())
        lines.append(f"| {name} | {' | '.join(shown)} |")
    rows = f"{document['teacher_rows']:,} rows with labels, {document['student_rows']:,} answers"
    return "\n".join(lines) + f"\n\n{rows}; teacher and student agree on {document['agreement']:.1%}"


_RENDERERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "train": markdown,
    "deploy": _deploy,
    "score": score_table,
    "plan": _plan,
    "recorded": _recorded,
    "distill": _distill,
}

_TITLES = {
    "recorded": "Training beside peers",
    "train": "Training beside peers",
    "plan": "Planning a run",
    "score": "Scoring labels",
    "deploy": "Exported models",
    "distill": "Distillation from a served teacher",
}


def _label(document: Mapping[str, Any]) -> str:
    return f", {document['label']}" if document.get("label") else ""


if __name__ == "__main__":
    print(current(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS))

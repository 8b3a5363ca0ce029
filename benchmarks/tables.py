"""Turns summed up, and as a table for the docs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from contenders import CONTENDERS

DISTURBED = 0.85
"""A turn that had less of the processor than this share of its contender's best turn is left out."""


def summary(turns: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each contender the best and the median over its turns, and the ratios to the best peer's.

    Rows a processor second are of all turns: waiting for a neighbour takes none.
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

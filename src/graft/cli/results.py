"""The results that a command prints on stdout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graft.cli.console import Console
from graft.errors import Problem
from graft.runs.evaluation_document import read_evaluation
from graft.runs.manifest import read_manifest
from graft.shell import command


def print_result(run: Path, as_json: bool) -> None:
    """The run's scores, its verdict, and where to look next."""
    evaluation = read_evaluation(run)
    document = evaluation.document() if evaluation else None
    if as_json:
        found = {"run": str(run), "manifest": read_manifest(run).document(), "evaluation": document}
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return
    if document is not None and document.get("predictors"):
        print_evaluation(document)
    if evaluation is not None and evaluation.forgetting is not None:
        from graft.report.forgetting_section import sentence_of

        console = Console()
        console.print(sentence_of(evaluation.forgetting), soft_wrap=not console.has_edge, markup=False)
    print(f"report: {run / 'report.html'}")
    print(f"next:   {command('graft', 'chat', run)}")


def print_evaluation(document: dict[str, Any]) -> None:
    """The table of metrics by predictor, the verdict, and notes; of several evaluations, one after the other."""
    if "adapters" in document:
        for name, each in document["adapters"].items():
            print(f"\n{name}")
            print_evaluation(each)
        return
    from graft.evaluation.table import rows, to_beat, verdict, without_leaked
    from graft.report.figure_table import print_figures

    console = Console()
    names = list(document["predictors"])
    title = f"{document['data']['rows']:,} rows of {Path(document['data']['path']).name}"
    pairs = list(dict.fromkeys((d["from"], d["to"]) for d in document["differences"]))
    differences = ["difference" if len(pairs) == 1 else f"{before} → {after}" for before, after in pairs]
    print_figures(console, ("metric", *names, *differences), rows(document), title)
    for sentence in filter(
        None, (verdict(document), to_beat(document), without_leaked(document), *document.get("notes", ()))
    ):
        console.print(sentence, soft_wrap=not console.has_edge, markup=False)
    _print_slices(console, document)
    confidence = document.get("confidence")
    if confidence and (confidence["temperature_scaling"] or confidence["abstain_below"] is not None):
        from graft.report.confidence_section import confidence_sentences

        for sentence in confidence_sentences(document):
            console.print(sentence, soft_wrap=not console.has_edge, markup=False)


def _print_slices(console: Console, document: dict[str, Any]) -> None:
    """The table of the slices, and the worst of them."""
    slices = document.get("slices")
    if not slices:
        return
    from graft.report.figure_table import print_figures
    from graft.report.slices_section import further_notes, slice_rows, worst_sentence

    if slices["groups"]:
        headings, rows = slice_rows(document)
        console.print()
        print_figures(console, headings, rows)
    for sentence in (worst_sentence(document), *further_notes(document)):
        console.print(sentence, soft_wrap=not console.has_edge, markup=False)


def failures_of(document: dict[str, Any]) -> list[Problem]:
    """Return a problem for each metric of the user's own that failed, with its rows."""
    from graft.data.example import Origin, shown_places

    problems = []
    for each in document.get("adapters", {"": document}).values():
        for failed in (each.get("failed_metrics") or {}).values():
            places = (row.rpartition(":") for row in failed.get("rows", ()))
            shown = shown_places([Origin(file, int(line)) for file, _, line in places], failed["count"])
            at = f", in {failed['count']:,} of {each['data']['rows']:,} rows: {shown}" if shown else ""
            remedy = "correct it, and run the same command again; the other metrics were recorded"
            problems.append(Problem(f"{failed['error']}{at}", "--metrics", remedy))
    return problems

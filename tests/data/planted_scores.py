"""How many of the planted faults the data doctor finds, and how much else it names.

``PYTHONPATH=src:tests python tests/data/planted_scores.py`` prints the table of docs/how-to/check-data.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import graft
from data import planted
from data.planted import Planted
from tiny_models import tiny_model_folder

FOUND_AS: Mapping[str, tuple[str, ...]] = {
    "unreadable": ("unreadable",),
    "columns": ("mixed_columns", "mixed_types", "unreadable"),
    "encoding": ("mojibake", "replacement_characters"),
    "control_characters": ("control_characters", "invisible_characters"),
    "html": ("html",),
    "templates": ("templates",),
    "roles": ("roles_out_of_order", "unreadable"),
    "empty_turns": ("empty_turns", "unreadable"),
    "languages": ("other_language", "languages"),
    "duplicates": ("duplicates",),
    "near_duplicates": ("near_duplicates", "near_twins"),
    "contradictions": ("contradictions",),
    "leakage": ("leakage",),
    "near_leakage": ("near_leakage",),
    "rare_class": ("rare_classes",),
    "imbalance": ("class_imbalance",),
    "label_variants": ("label_variants",),
    "wrong_labels": ("wrong_labels",),
    "cut_answers": ("answer_cut", "lengths"),
    "cut_prompts": ("lengths", "no_trained_token", "answer_cut"),
    "special_tokens": ("special_tokens", "foreign_markers"),
    "byte_fallback": ("byte_fallback",),
    "equal_pairs": ("equal_pairs",),
    "opposed_pairs": ("opposed_pairs",),
    "personal_data": ("email_addresses", "phone_numbers", "card_numbers", "ibans", "national_ids"),
    "secrets": ("api_keys", "private_keys"),
}
"""The kinds of findings that a kind of planted fault is found as."""


@dataclass(frozen=True)
class Score:
    """How many rows were planted, how many of these are named, and how many rows are named that are all right."""

    planted: int
    found: int
    wrong: int

    @property
    def recall(self) -> float:
        """The share of the planted rows that are named."""
        return self.found / self.planted

    @property
    def precision(self) -> float:
        """The share of the named rows that were planted; the other row of a pair counts neither way."""
        return self.found / max(1, self.found + self.wrong)


SLOW = ("wrong_labels", "learning_curve")
"""The checks that train models."""


def scores(folder: Path, slow: bool) -> dict[str, Score]:
    """Write the planted files into a folder, look for problems in each, and return the score of each kind.

    Args:
        folder: Where the files are written.
        slow: Whether likely wrong labels are looked for, too.
    """
    made = {each.name: each for each in planted.all_files() if slow or each.name != "flipped.jsonl"}
    for each in made.values():
        each.write(folder)
    model = tiny_model_folder(folder, "llama")
    named: dict[str, dict[str, set[int]]] = {}
    options: dict[str, dict[str, Any]] = {
        "flipped.jsonl": {"checks": ["wrong_labels"]},
        "labeled.jsonl": {"eval_data_files": str(folder / "held-out.jsonl")},
        "tokens.jsonl": {"model": str(model), "max_length": 256},
    }
    for name in made:
        if name != "held-out.jsonl":
            chosen = options.get(name, {})
            skipped = {} if "checks" in chosen else {"skip_checks": SLOW}
            for finding in graft.doctor(folder / name, **chosen, **skipped):
                for file, line in [(place.file, place.line) for place in finding.rows] or [(name, planted.WHOLE)]:
                    named.setdefault(Path(file).name, {}).setdefault(finding.kind, set()).add(line)
    return {kind: _score(each, kind, named.get(each.name, {})) for each in made.values() for kind in each.places}


def _score(file: Planted, kind: str, named: Mapping[str, set[int]]) -> Score:
    rows = set().union(*(named.get(name, set()) for name in FOUND_AS[kind]))
    right = file.places[kind]
    if planted.WHOLE not in right:  # what a finding says of all rows names none
        rows = rows - {planted.WHOLE}
    others = {line for of, lines in file.places.items() if set(FOUND_AS[of]) & set(FOUND_AS[kind]) for line in lines}
    return Score(len(right), len(rows & right), len(rows - others - file.beside.get(kind, set())))


def table(found: Mapping[str, Score]) -> str:
    """Return the scores as a Markdown table."""
    lines = ["| planted | rows | found as | precision | recall |", "|---|---|---|---|---|"]
    for kind, score in found.items():
        names = ", ".join(f"`{name}`" for name in FOUND_AS[kind])
        precision = f"{score.precision:.2f}" if score.found + score.wrong else ""
        lines.append(f"| {kind.replace('_', ' ')} | {score.planted} | {names} | {precision} | {score.recall:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        print(table(scores(Path(directory), slow=True)))

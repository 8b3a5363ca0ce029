"""Labels that are likely wrong, and classes that people do not tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graft.data.checks.base import Finding, prepare_command
from graft.data.checks.view import CheckedData
from graft.data.class_rows import ClassRows
from graft.data.located import Located
from graft.data.personal import shown_text
from graft.data.suspects import Gain, Suspects, best_gain, collecting_class, find_suspects, measure_gains

FEWEST, MOST, SHARE = 25, 50, 0.02
"""The worst rows that are named: this share of all, and at least and at most so many."""
MOST_SHOWN = 5


class WrongLabels:
    """Rows whose label a model that has not seen them would not give."""

    name = "wrong_labels"
    title = "Likely wrong labels"

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield the worst suspects, and the class that collects them, if one does."""
        rows = ClassRows.of(data.train.examples, data.seed) if data.labels is not None else None
        found = find_suspects(rows, data.seed, data.embed) if rows is not None else None
        if rows is None or found is None or not len(found.places):
            return
        count = min(len(found.places), MOST, max(FEWEST, round(SHARE * len(rows.texts))), len(rows.texts) // 10)
        best = best_gain(measure_gains(rows, data.seed))
        yield _suspects(rows, found, count, best, data.embed is not None)
        collected = collecting_class(rows, found, count)
        if collected is not None:
            yield _ambiguous(rows, found, count, *collected)


def _suspects(rows: ClassRows, found: Suspects, count: int, best: Gain, embedded: bool) -> Finding:
    how = "TF-IDF and embeddings" if embedded else "TF-IDF"
    of = f" {len(rows.texts):,} sampled of {rows.total:,} rows;" if rows.sampled else ""
    offer = "they may be removed by score" if best.shown else "removing rows by score is not shown to help"
    return Finding(
        "wrong_labels",
        "warning" if best.shown else "note",
        f"{count:,} rows have a label that is likely wrong",
        Located(rows.origins[place] for place in found.places[:count].tolist()),
        why=f"a model of the other rows ({how};{of} right in {found.accuracy:.0%}) is sure of another class; {offer}: "
        f"{best}",
        remedy="look at them: correct or drop those that are wrong, and keep the others"
        + ("; or remove the worst by score" if best.shown else ""),
        fix=prepare_command("--drop_suspects true")
        if best.shown
        else "graft doctor DATA -o OUT, edit OUT/review.jsonl, graft prepare DATA --review OUT/review.jsonl -o OUT",
        evidence=tuple(_sentence(rows, found, number) for number in range(min(count, MOST_SHOWN))),
        figures={
            "suspects": [_record(rows, found, number) for number in range(count)],
            "accuracy": found.accuracy,
            "gain": {**vars(best), "shown": best.shown},
            "sampled": len(rows.texts),
        },
    )


def _sentence(rows: ClassRows, found: Suspects, number: int) -> str:
    place = found.places[number]
    given, likelier = (shown_text(rows.names[index]) for index in (rows.labels[place], found.suggestions[number]))
    text = shown_text(rows.texts[place], 60)
    return f'{rows.origins[place]}: "{text}" is labeled {given}, likelier {likelier} ({found.scores[number]:.2f})'


def _record(rows: ClassRows, found: Suspects, number: int) -> dict[str, Any]:
    place = found.places[number]
    return {
        "file": rows.origins[place].file,
        "line": rows.origins[place].line,
        "label": rows.names[rows.labels[place]],
        "suggestion": rows.names[found.suggestions[number]],
        "score": round(float(found.scores[number]), 4),
    }


def _ambiguous(rows: ClassRows, found: Suspects, count: int, name: str, share: float) -> Finding:
    number = rows.names.index(name)
    worst = found.places[:count]
    chosen = (rows.labels[worst] == number) | (found.suggestions[:count] == number)
    return Finding(
        "ambiguous_class",
        "note",
        f"the class {shown_text(name)!r} collects {share:.0%} of the likely wrong labels",
        Located(rows.origins[place] for place in worst[chosen].tolist()),
        why=f"it has {rows.counts()[number] / len(rows.labels):.0%} of the rows: where one class collects the doubtful "
        "rows, its border is unclear, and people would label them differently; removing such rows teaches nothing",
        remedy="say in the guideline, and in the instruction, what belongs to this class, and label the rows again",
        figures={"class": name, "share": share},
    )

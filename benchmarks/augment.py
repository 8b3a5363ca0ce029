"""Whether changed copies of few rows help: 300 rows of the demo's tone data, with and without ``--augment``.

    python benchmarks/augment.py

Two cheap classifiers, of words and of letters, are trained on five draws of 300 rows and judged on the 571 test rows as
they are, and with slips of the fingers in three words of ten. Half a minute.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

from graft.commands.prepare import prepare_data, settings_class
from graft.config import build
from graft.data.text_changes import misspell

ROWS, DRAWS = 300, 5
KINDS: dict[str, tuple[str, int] | None] = {
    "no copies": None,
    "case": ("case", 1),
    "typos": ("typos", 1),
    "word_dropout": ("word_dropout", 1),
    "all three, 3 copies": ("case,typos,word_dropout", 3),
}
Rows = list[dict[str, Any]]


def read(name: str) -> Rows:
    """The rows of one of the demo's files."""
    text = (files("graft.demo_data") / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def with_slips(rows: Rows) -> Rows:
    """The rows as somebody in a hurry would write them."""
    found = []
    for number, row in enumerate(rows):
        text = row["text"]
        for turn in range(3):
            text = misspell(text, Random(3 * number + turn), ())
        found.append({**row, "text": text})
    return found


def augmented(rows: Rows, kinds: str, copies: int) -> Rows:
    """The rows and their copies, as ``graft prepare`` makes them."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "rows.jsonl", Path(folder) / "out"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        given = {"data_files": str(file), "output_path": str(out), "augment": kinds, "augment_copies": copies}
        prepare_data(build(settings_class(), given))
        return [json.loads(line) for line in (out / "train.jsonl").read_text(encoding="utf-8").splitlines()]


def accuracies(train: Rows, tests: dict[str, Rows]) -> dict[str, float]:
    """The accuracy of both classifiers on each set of test rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    features = {
        "words": TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        "letters": TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    }
    found = {}
    for name, vectorizer in features.items():
        model = make_pipeline(vectorizer, LogisticRegression(C=10, max_iter=1000))
        model.fit([row["text"] for row in train], [row["label"] for row in train])
        for test, rows in tests.items():
            found[f"{name}, {test}"] = model.score([row["text"] for row in rows], [row["label"] for row in rows])
    return found


def main() -> None:
    """Print the means over the draws, and their standard deviations."""
    train, test = read("tone-train.jsonl"), read("tone-test.jsonl")
    tests = {"as they are": test, "with slips": with_slips(test)}
    for name, given in KINDS.items():
        found: dict[str, list[float]] = {}
        for draw in range(DRAWS):
            rows = Random(draw).sample(train, ROWS)
            for what, value in accuracies(augmented(rows, *given) if given else rows, tests).items():
                found.setdefault(what, []).append(value)
        means = "  ".join(f"{w} {statistics.mean(v):.3f} ± {statistics.stdev(v):.3f}" for w, v in found.items())
        print(f"{name:<20} {means}")


if __name__ == "__main__":
    main()

"""What a user writes against the public API; the test type-checks it strictly and runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import graft


def main(model: str, rows: Path, output: Path) -> list[str]:
    run: graft.Run = graft.finetune(
        model=model, data_files=rows, output_path=output, max_steps=8, learning_rate=1e-2, bootstrap_samples=100
    )
    before, after = (run.scores[name]["accuracy"] for name in ("base", "tuned"))
    print(f"accuracy {before.value:.3f} -> {after.value:.3f} on {after.n} rows")
    again: graft.Scores = run.evaluate(rows, metrics=["exact_match"])
    answer: str = run.predictor("base").answer("fine day")
    opened = graft.load(output)
    if not isinstance(opened, graft.Run):
        raise TypeError(opened)
    return [answer, opened.predictor().answer("fine day"), *sorted(again["tuned"])]


if __name__ == "__main__":
    try:
        print(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
    except graft.GraftError as error:
        sys.exit(str(error))

"""What is kept of each row of a task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graft.evaluation.benchmark.judge import Sample

FOLDER = "benchmarks"
_UNSAFE = str.maketrans(dict.fromkeys('<>:"/\\|?*', "_"))


def rows_file(task: str) -> str:
    """Return the path of the file with a task's rows, relative to the folder of the evaluation."""
    return f"{FOLDER}/{task.translate(_UNSAFE)[:200]}.jsonl"


def rows_lines(samples: Mapping[str, Sequence[Sample]]) -> str:
    """Return JSON Lines: for each row and filter its target, and each model's answer and metrics."""
    lines: dict[tuple[int, str], dict[str, Any]] = {}
    for model, rows in samples.items():
        for sample in rows:
            key = (int(sample["doc_id"]), str(sample["filter"]))
            line = lines.setdefault(
                key,
                {"row": key[0], "filter": key[1], "prompt": _prompt(sample), "target": sample["target"], "models": {}},
            )
            metrics = {name: sample[name] for name in sample["metrics"]}
            line["models"][model] = {"answer": sample["filtered_resps"], "metrics": metrics}
    return "".join(json.dumps(lines[key], ensure_ascii=False, default=_plain) + "\n" for key in sorted(lines))


def _prompt(sample: Sample) -> str:
    asked = sample["arguments"]
    return str(asked[0][0]) if asked and asked[0] else ""


def _plain(value: Any) -> Any:
    """numpy's numbers and arrays as JSON has them."""
    return value.tolist() if hasattr(value, "tolist") else str(value)

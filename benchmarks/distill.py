"""Distillation from a served teacher: how much of a tuned model's accuracy a student learns from its answers alone.

    python benchmarks/distill.py WORK --output distill.json

The teacher is tuned on the first 2,012 rows of the demo's tone data, exported to GGUF, and served by llama.cpp on this
machine. ``graft prepare --generate`` asks it for the labels of the other 1,000 texts, whose own labels nobody reads.
The student is tuned from the base on these answers alone. Both are judged on the 571 test rows. Needs the extra
``gguf``. Each stage is left out where its folder is there already, so that a stopped script goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

LABELS = "negative,neutral,positive"
MODEL = "smollm2-135m-instruct"


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def graft(*words: object) -> None:
    """Run a command of graft in a process of its own.

    Raises:
        CalledProcessError: If it fails.
    """
    line = "import sys; from graft.cli.main import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", line, *map(str, words)], check=True)


@contextmanager
def served(file: Path, threads: int) -> Iterator[str]:
    """Serve a GGUF file with llama.cpp on a free port of this machine; gives the address."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path, parameters.n_ctx, parameters.n_parallel = str(file), 4096, 4
    parameters.cpuparams.n_threads, parameters.verbosity, parameters.model_alias = threads, -1, {"teacher"}
    server = xllamacpp.Server(parameters)
    try:
        yield server.listening_address
    finally:
        del server


def judged_rows(run: Path, taught: Path) -> list[dict[str, Any]]:
    """The labeled rows that the teacher's run held out."""
    rows = rows_of(taught)
    lines = {int(str(row["origin"]).rpartition(":")[2]) for row in rows_of(run / "data" / "eval.jsonl")}
    return [row for number, row in enumerate(rows, 1) if number in lines]


def _processor_seconds() -> float:
    """Of the processes that have ended, those of llama.cpp's server not among them."""
    spent = os.times()
    return spent.children_user + spent.children_system


def _is_done(folder: Path) -> bool:
    manifest = folder / "manifest.json"
    status = json.loads(manifest.read_text(encoding="utf-8"))["status"] if manifest.exists() else ""
    return status not in ("", "running", "interrupted", "failed") or (folder / "evaluation.json").exists()


class Stages:
    """The stages, and the processor time that each took, which other processes do not change.

    Args:
        work: The folder for all of them.
    """

    def __init__(self, work: Path) -> None:
        self.work, self._file = work, work / "seconds.json"
        work.mkdir(parents=True, exist_ok=True)
        self.seconds: dict[str, float] = json.loads(self._file.read_text("utf-8")) if self._file.exists() else {}

    def run(self, name: str, *words: object) -> Path:
        """Run a command of graft whose output folder is ``name``, unless that is there."""
        out = self.work / name
        if not _is_done(out):
            before = _processor_seconds()
            graft(*words, "-o", out)
            self.seconds[name] = round(_processor_seconds() - before, 1)
            self._file.write_text(json.dumps(self.seconds), encoding="utf-8")
        return out


def measured(folder: Path) -> dict[str, Any]:
    """Accuracy and macro-F1 of each model in an evaluation, with their intervals."""
    found = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["predictors"]
    return {name: {metric: scores[metric] for metric in ("accuracy", "macro_f1")} for name, scores in found.items()}


def answers(folder: Path) -> list[str]:
    """The classes that the tuned model of an evaluation chose."""
    return [row["labels"]["tuned"] for row in rows_of(folder / "predictions.jsonl")]


def main() -> None:
    """Run all stages and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for data, runs and answers")
    parser.add_argument("--steps", type=int, default=120, help="optimizer steps of the teacher")
    parser.add_argument(
        "--student_steps", type=int, default=63, help="optimizer steps of the student: one pass over 1,000 rows"
    )
    parser.add_argument("--taught", type=int, default=2012, help="labeled rows that the teacher is trained on")
    parser.add_argument("--asked", type=int, default=1000, help="texts that it is asked about")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of llama.cpp")
    parser.add_argument("--output", type=Path, help="file for the figures")
    given = parser.parse_args()
    data = files("graft.demo_data")
    labeled, test = rows_of(Path(str(data / "tone-train.jsonl"))), Path(str(data / "tone-test.jsonl"))
    stages, work = Stages(given.work), given.work
    taught = write_rows(work / "teacher.jsonl", labeled[: given.taught])
    texts = labeled[given.taught : given.taught + given.asked]
    unlabeled = write_rows(work / "unlabeled.jsonl", [{"text": row["text"]} for row in texts])

    teacher = stages.run("teacher", "finetune", MODEL, taught, "--max_steps", given.steps, "--evaluate", "false")
    (file,) = stages.run("gguf", "auto-opt", teacher, "--format", "gguf", "--precision", "int8", "--skip_parity").glob(
        "*.gguf"
    )
    judged = write_rows(work / "judged.jsonl", judged_rows(teacher, taught))
    with served(file, given.threads) as url:
        asking = ("--generate", unlabeled, "--generate_labels", LABELS, "--endpoint", url)
        answered = stages.run("answered", "prepare", *asking, "--eval_data_files", judged, "--against", test)
    student = stages.run(
        "student", "finetune", MODEL, answered, "--max_steps", given.student_steps, "--evaluate", "false"
    )
    scores = [stages.run(f"{run.name}-test", "evaluate", run, "--data_files", test) for run in (teacher, student)]

    rows = rows_of(answered / "train.jsonl")
    own = {row["text"]: row["label"] for row in texts}
    right = sum(own[row["text"]] == row["label"] for row in rows)
    agree = [one == other for one, other in zip(*map(answers, scores), strict=True)]
    figures = {
        "model": MODEL,
        "steps": {"teacher": given.steps, "student": given.student_steps},
        "teacher_rows": len(labeled[: given.taught]) - len(rows_of(judged)),
        "student_rows": len(rows),
        "teacher_right_on_these": round(right / len(rows), 4),
        "teacher": measured(scores[0]),
        "student": measured(scores[1]),
        "agreement": round(sum(agree) / len(agree), 4),
        "processor_seconds": stages.seconds,
        "machine": json.loads((student / "manifest.json").read_text("utf-8")).get("machine"),
    }
    print(json.dumps(figures, indent=2))
    if given.output is not None:
        given.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

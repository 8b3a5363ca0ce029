"""How long ``graft finetune --dry_run`` plans a file of short rows, and in how much memory.

Each measurement is a fresh process on a file of synthetic prompts and answers. CPU seconds count where other work runs
on the machine. A plan of a few rows comes first: it fills the caches, and says what planning costs without rows.

    python benchmarks/plan.py --rows 20000 1000000 --label before

prints a table and writes ``benchmarks/results/plan-before.json``. For Linux and macOS.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

HERE = Path(__file__).parent
EMBEDDED = "smollm2-135m-instruct"
FEW = 100
"""Rows of the plan that comes first."""
TEXT = (
    "the of and to in is that it was for on are with as at be this have from or had by but some what there we can out "
    "other were all your when up use word how said an each she which do their time if will way about many then them "
    "would write like so these her long make thing see him two has look more day could go come did my sound no most "
    "number who over know water than call first people may down side been now find any new work part take get place"
)


def write_rows(file: Path, count: int) -> None:
    """``count`` rows with a prompt of 10 to 16 words and an answer of 4 to 8, all different."""
    chance, words = random.Random(0), TEXT.split()
    with file.open("w", encoding="utf-8") as lines:
        for number in range(count):
            prompt = " ".join(chance.choices(words, k=chance.randint(10, 16)))
            answer = " ".join(chance.choices(words, k=chance.randint(4, 8)))
            lines.write(json.dumps({"prompt": f"{number} {prompt}", "completion": answer}) + "\n")


def measured(model: str, rows: Path, folder: Path) -> dict[str, float]:
    """Wall and CPU seconds, and the peak of the resident memory in MB, of one plan in a process of its own.

    Raises:
        SystemExit: when graft fails.
    """
    words = [
        sys.executable,
        "-m",
        "graft.cli.main",
        "finetune",
        model,
        str(rows),
        "-o",
        str(folder / "run"),
        "--dry_run",
    ]
    output = folder / "output.txt"
    started = time.perf_counter()
    with output.open("w", encoding="utf-8") as file:
        redirected = [(os.POSIX_SPAWN_DUP2, file.fileno(), stream) for stream in (1, 2)]
        process = os.posix_spawn(sys.executable, words, os.environ, file_actions=redirected)
        _, status, used = os.wait4(process, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"graft failed: {output.read_text(encoding='utf-8')[-2000:]}")
    peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux kilobytes
    return {
        "wall_seconds": round(seconds, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_rss_mb": round(peak),
    }


def usual_model(folder: Path) -> str:
    """The embedded model where it is in graft's cache; else a tiny one, made in ``folder``."""
    cache = Path(os.environ.get("GRAFT_CACHE") or user_cache_dir("graft", appauthor=False))
    if (cache / "models" / EMBEDDED / "config.json").is_file():
        return EMBEDDED
    sys.path.insert(0, str(HERE.parent / "tests"))
    from tiny_models import tiny_model_folder

    return str(tiny_model_folder(folder))


def measure(model: str | None, counts: Sequence[int]) -> dict[str, Any]:
    """The document that is written: the machine, the model, and a result for each number of rows."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = model or usual_model(folder)
        results = []
        for count in (FEW, *counts):
            rows = folder / f"{count}.jsonl"
            write_rows(rows, count)
            if count == FEW:
                measured(model, rows, folder)
            results.append({"rows": count, **measured(model, rows, folder)})
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "model": Path(model).name,
        "results": results,
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def table(document: dict[str, Any]) -> str:
    lines = ["| rows | seconds | CPU seconds | peak memory, MB |", "|---:|---:|---:|---:|"]
    for one in document["results"]:
        figures = one["wall_seconds"], one["cpu_seconds"], one["peak_rss_mb"]
        lines.append(f"| {one['rows']:,} | {' | '.join(f'{figure:,}' for figure in figures)} |")
    return "\n".join(lines)


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options for the JSON file."""
    parser.add_argument("--label", default="latest", help="of the JSON file")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON file")


def written(document: dict[str, Any], benchmark: str, given: argparse.Namespace) -> Path:
    """The JSON file, which has ``document``."""
    given.results.mkdir(parents=True, exist_ok=True)
    file: Path = given.results / f"{benchmark}-{given.label}.json"
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return file


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000])
    parser.add_argument("--model", help=f"default: {EMBEDDED} where it is in the cache, else a tiny one")
    add_output(parser)
    given = parser.parse_args(argv)
    document = {"label": given.label, **measure(given.model, given.rows)}
    file = written(document, "plan", given)
    print(f"{document['processor']}, {document['model']}\n\n{table(document)}\n\n{file}")


if __name__ == "__main__":
    main()

"""A deployed run: accuracy, size, speed, load time and memory in PyTorch, in ONNX bundles, and in llama.cpp.

    python benchmarks/deploy.py runs/tone --output deploy.json
    python benchmarks/deploy.py runs/tone --bundles int4=runs/tone/onnx-int4 --llama_cpp --rows 100

PyTorch is transformers' ``generate`` in float32 with the adapter merged. The bundles are those of ``graft auto-opt``,
which are made here unless they are given. llama.cpp has the same weights as a Q4_1 GGUF. They answer in turn, each in a
fresh process. Tokens per second are generated tokens: one prompt at a time, and in batches.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEFORE = dict(os.environ)
"""The user's environment, without the variables that graft sets: the processes of peers get this one."""

import environments  # noqa: E402
from tables import store  # noqa: E402

HERE = Path(__file__).parent
PRECISIONS = ("float32", "int8", "int4")


@dataclass(frozen=True)
class Deployed:
    """A model to measure: a model folder, a bundle, or a GGUF file."""

    name: str
    runtime: str
    path: Path
    adapter: Path | None = None

    @property
    def size_mb(self) -> float:
        """Weights and adapter, without the tokenizer."""
        if self.path.is_file():
            return self.path.stat().st_size / 1e6
        suffixes = {".safetensors", ".onnx", ".data"}
        kept = [file for file in self.path.rglob("*") if file.suffix in suffixes]
        kept += list(self.adapter.glob("*.safetensors")) if self.adapter else []
        return sum(file.stat().st_size for file in kept) / 1e6


class Rows:
    """Held-out rows as prompts, and the accuracy of answers to them."""

    def __init__(self, opened: Any, rows: int, seed: int) -> None:
        import random

        from transformers import GenerationConfig

        from graft.config import DataSettings
        from graft.data.chat_template import Renderer
        from graft.data.tokenize import prompt_ids, text_ids
        from graft.models.base import load_tokenizer
        from graft.runs.folder import RunFolder
        from graft.tasks.evaluation_rows import load_evaluation_rows

        self.tokenizer = load_tokenizer(opened.base)
        renderer = Renderer(self.tokenizer)
        examples = load_evaluation_rows(RunFolder.open(opened.run), None, DataSettings()).examples
        self.examples = random.Random(seed).sample(examples, min(rows, len(examples)))
        self.prompts = [prompt_ids(self.tokenizer, renderer.render(example).prompt) for example in self.examples]
        answers = [text_ids(self.tokenizer, renderer.render(example).completion) for example in self.examples]
        self.limit = 4 + max(map(len, answers))
        config = GenerationConfig.from_pretrained(opened.base.path)
        listed = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
        ends = {*listed, self.tokenizer.eos_token_id, self.tokenizer.convert_tokens_to_ids(renderer.turn_end)}
        self.ends = sorted(end for end in ends if end is not None)

    def texts(self, answers: Sequence[Sequence[int]]) -> list[str]:
        """Answers as text, up to the end token: what follows it is padding."""
        cut = [ids[: next((i for i, token in enumerate(ids) if token in self.ends), len(ids))] for ids in answers]
        return [self.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in cut]

    def accuracy(self, texts: Sequence[str]) -> float:
        wanted = [example.reference.strip() for example in self.examples]
        return statistics.mean(a == b for a, b in zip(texts, wanted, strict=True))


def made(run: Path, options: Sequence[str], folder: Path) -> Path:
    """The bundle that ``graft auto-opt`` makes of the run, in ``folder``; an existing one is kept."""
    if not (folder / "manifest.json").is_file():
        print(f"making {folder}", file=sys.stderr)
        command = [sys.executable, "-m", "graft.cli.main", "auto-opt", str(run), *options]
        command += ["--skip_parity", "--output_path", str(folder)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return folder


def contenders(given: argparse.Namespace, opened: Any, folder: Path) -> list[Deployed]:
    found = [Deployed("PyTorch float32, generate", "torch", opened.base.path, opened.adapter)]
    for precision in given.precisions:
        bundle = given.bundles.get(precision) or made(
            given.run, ["--precision", precision], folder / f"onnx-{precision}"
        )
        found.append(Deployed(f"ONNX {precision}", "onnx", bundle))
    if given.llama_cpp:
        environments.ready("llama_cpp")
        gguf = given.bundles.get("gguf") or made(
            given.run, ["--format", "gguf", "--precision", "int4"], folder / "gguf-int4"
        )
        found.append(Deployed("llama.cpp Q4_1", "llama", next(gguf.glob("*.gguf"))))
    return found


def asked(deployed: Deployed, rows: Rows, given: argparse.Namespace, answers: bool) -> dict[str, Any]:
    """Run a model in a process of its own; returns what the process measured."""
    config = {
        "runtime": deployed.runtime,
        "model": str(deployed.path),
        "adapter": str(deployed.adapter) if deployed.adapter else None,
        "prompts": rows.prompts,
        "limit": rows.limit if answers else 0,
        "ends": rows.ends,
        "pad": rows.tokenizer.pad_token_id,
        "speed_prompts": given.speed_prompts,
        "write_tokens": given.write_tokens,
        "batch": given.batch,
        "threads": given.threads,
    }
    python = environments.ready("llama_cpp" if deployed.runtime == "llama" else "graft")
    environment = {**BEFORE, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(given.threads)}
    with tempfile.TemporaryDirectory(prefix="graft-bench-") as folder:
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        done = subprocess.run(
            [str(python), str(HERE / "peers" / "answers.py"), str(file)],
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
            check=True,
        )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


SPEEDS = ("load_seconds", "prompt_tokens_per_second", "tokens_per_second", "batched_tokens_per_second", "peak_mb")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure every contender ``given.turns`` times, in turn; the first time each also answers the rows."""
    from graft.hardware.machine import isa, machine
    from graft.models.base import open_run_or_model
    from graft.models.cache import cache_folder
    from graft.runs.folder import RunFolder

    opened = open_run_or_model(given.run)
    rows = Rows(opened, given.rows, given.seed)
    key = str(RunFolder.open(given.run).manifest.adapter.sha256 or opened.base.sha256)[:12]
    chosen = contenders(given, opened, given.bundles_folder or cache_folder() / "bench" / "bundles" / key)
    turns: dict[str, list[dict[str, Any]]] = {one.name: [] for one in chosen}
    for turn in range(given.turns):
        for one in chosen:
            turns[one.name].append(asked(one, rows, given, answers=turn == 0))
            said = {name: value for name, value in turns[one.name][-1].items() if name != "answers"}
            print(f"{one.name}: {json.dumps(said)}", file=sys.stderr, flush=True)
    texts = {one.name: rows.texts(turns[one.name][0].pop("answers")) for one in chosen}
    reference = texts[chosen[0].name]
    settings = {name: getattr(given, name) for name in ("turns", "batch", "write_tokens", "threads", "seed")}
    return {
        "machine": {**machine(), "isa": isa()},
        "run": given.run.name,
        "rows": len(rows.examples),
        "settings": settings,
        "results": [result(one, turns[one.name], texts[one.name], reference, rows) for one in chosen],
    }


def result(
    deployed: Deployed, turns: list[dict[str, Any]], texts: Sequence[str], reference: Sequence[str], rows: Rows
) -> dict[str, Any]:
    """The medians of a contender, its accuracy, and the share of its answers that are PyTorch's."""
    same = statistics.mean(a == b for a, b in zip(texts, reference, strict=True))
    return {
        "name": deployed.name,
        "accuracy": round(rows.accuracy(texts), 4),
        "answers_as_pytorch": round(same, 4),
        "size_mb": round(deployed.size_mb, 1),
        **{name: _median([turn[name] for turn in turns]) for name in SPEEDS},
        "rows_per_second": turns[0]["rows_per_second"],
        "turns": turns,
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 2) if known else None


def markdown(document: Mapping[str, Any]) -> str:
    batch = document["settings"]["batch"]
    lines = [
        f"| | accuracy ({document['rows']} rows) | as PyTorch | MB | tokens/s | {batch} prompts at once "
        "| seconds to load | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in document["results"]:
        batched = "–" if one["batched_tokens_per_second"] is None else f"{one['batched_tokens_per_second']:.0f}"
        lines.append(
            f"| {one['name']} | {one['accuracy']:.2f} | {one['answers_as_pytorch']:.2f} | {one['size_mb']:.0f} "
            f"| {one['tokens_per_second']:.0f} | {batched} | {one['load_seconds']:.2f} | {one['peak_mb']:.0f} |"
        )
    return "\n".join(lines)


def named(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if name not in {*PRECISIONS, "gguf"} or not Path(path).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: PRECISION=FOLDER, or gguf=FOLDER, with an existing folder")
    return name, Path(path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--rows", type=int, default=200, help="held-out rows for the accuracy")
    parser.add_argument("--precisions", nargs="*", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--bundles", type=named, nargs="*", default=[], help="existing bundles: int4=FOLDER")
    parser.add_argument("--bundles_folder", type=Path, help="where other bundles are made (default: in graft's cache)")
    parser.add_argument(
        "--llama_cpp", action="store_true", help="also measure llama.cpp, which is built from source the first time"
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8, help="prompts in a batch")
    parser.add_argument("--write_tokens", type=int, default=64, help="generated tokens per speed measurement")
    parser.add_argument("--speed_prompts", type=int, default=3, help="speed measurements per turn")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0, help="seed of the drawn rows")
    parser.add_argument("--output", type=Path, help="a JSON file")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/deploy-PROCESSOR.json")
    given = parser.parse_args(arguments)
    given.bundles = dict(given.bundles)
    document = measure(given)
    if given.output:
        given.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if given.store:
        print(store("deploy", document), file=sys.stderr)
    print(markdown(document))


if __name__ == "__main__":
    main()

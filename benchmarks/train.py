"""Training speed of graft and its peers on the same rows, in turn, as ratios to the best peer in the same run.

    python benchmarks/train.py                                         # the demo's tweets, three turns
    python benchmarks/train.py --train rows.jsonl --test held-out.jsonl --name address --output address.json
    python benchmarks/train.py --output address.json --append --contenders "graft exact,TRL best" --turns 1
    python benchmarks/train.py --time_to 0.80 --contenders "graft exact,graft int8,TRL best" --output tone.json
    python benchmarks/train.py --markdown tone.json address.json       # the tables of finished runs

A turn is a process of each contender, one at a time: it loads SmolLM2-135M, begins with the same adapter, and takes
``--warm_up`` and then ``--steps`` optimizer steps on the same rows in the same order. What is timed are the steps after
the warm-up, with all that the Trainer does between them; loading is not. Before each, the machine's float32 GEMM rate
is measured. The adapter that comes out is judged here, on the same held-out rows by the same code for all.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

BEFORE = dict(os.environ)
"""As the user has it: what importing graft sets, such as how threads wait, is not for peers."""

import environments  # noqa: E402
import tables  # noqa: E402
from contenders import CONTENDERS, DEFAULT, Contender  # noqa: E402

HERE = Path(__file__).parent
SETTINGS = ("name", "model", "train", "test", "rows_a_step", "steps", "warm_up", "learning_rate", "threads", "seed")
"""What all turns of one file have in common."""


class Run:
    """The rows, the adapter to start with, and the judge: what all contenders share."""

    def __init__(self, given: argparse.Namespace, folder: Path, steps: int) -> None:
        import torch

        from graft.planning.plan import plan_run
        from graft.planning.settings import finetune_settings
        from judge import Judge, in_order

        torch.set_num_threads(given.threads)
        self.given, self.folder, self.steps = given, folder, steps
        self.settings = {
            "model_name_or_path": given.model,
            "data_files": [given.train],
            "eval_data_files": [given.test],
            "lora_r": 16,
            "lora_alpha": 32,
            "learning_rate": given.learning_rate,
            "lr_scheduler_type": "constant",
            "per_device_train_batch_size": given.rows_a_step,
            "seed": given.seed,
        }
        plan = plan_run(finetune_settings({**self.settings, "output_path": folder / "unused"}))
        # Without a batch that is not full, which may stand anywhere in an epoch, steps are of the same rows for all.
        full = len(plan.rows) // given.rows_a_step * given.rows_a_step
        self.plan = replace(plan, rows=plan.rows[:full])
        self.judge = Judge(self.plan, given.held_out or (None if given.time_to else 64))
        self.adapter = self.judge.save_adapter(folder / "adapter")
        self.rows = in_order(self.plan, given.rows_a_step, steps, given.seed)

    @contextmanager
    def worker(self, contender: Contender, stops: Sequence[int], warm_up: int = 0) -> Iterator[subprocess.Popen[str]]:
        """The contender's process, which answers at each of ``stops``; what it prints besides is in a log."""
        output = Path(tempfile.mkdtemp(dir=self.folder))
        (output / "rows.jsonl").write_text(self._lines(contender, [warm_up, *stops]), encoding="utf-8")
        (output / "config.json").write_text(json.dumps(self._config(contender, output, stops)), encoding="utf-8")
        python = environments.ready(contender.worker)
        command = [str(python), str(HERE / "peers" / f"{contender.worker}_worker.py"), str(output / "config.json")]
        environment = {**BEFORE, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        # CI: Olive sends a heartbeat before it looks at the other variable.
        environment |= {"OMP_NUM_THREADS": str(self.given.threads), "OLIVE_DISABLE_TELEMETRY": "1", "CI": "1"}
        if contender.is_peer:
            environment.pop("PYTHONPATH", None)
        log = output / "log.txt"
        with log.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                env=environment,
                cwd=output,
            )
            try:
                yield process
            finally:
                process.kill()
                process.communicate()

    def _config(self, contender: Contender, output: Path, stops: Sequence[int]) -> dict[str, Any]:
        rows = self.given.rows_a_step
        micro = math.gcd(contender.micro_batch or rows, rows)
        batches = {
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": 1 if contender.joined else rows // micro,
        }
        return {
            "rows": str(output / "rows.jsonl"),
            "rows_used": len(self.plan.rows),
            "adapter": str(self.adapter),
            "model": str(self.plan.base.path),
            "settings": self.settings,
            "output": str(output),
            "stops": list(stops),
            "options": {**contender.options, **(batches if contender.is_peer else {})},
            **{name: getattr(self.given, name) for name in ("threads", "learning_rate", "seed")},
        }

    def _lines(self, contender: Contender, stops: Sequence[int]) -> str:
        """The rows; those before one of ``stops`` stay before it, however they are grouped."""
        rows, size = [], self.given.rows_a_step
        for start, stop in zip([0, *stops], stops, strict=False):
            part = self.rows[start * size : stop * size]
            rows += sorted(part, key=lambda row: -len(row.input_ids)) if contender.grouped else part
        decode = self.plan.tokenizer.decode
        return "".join(
            json.dumps({"input_ids": row.input_ids, "prompt_length": row.prompt_length, "text": decode(row.input_ids)})
            + "\n"
            for row in rows
        )

    def answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """The worker's next line.

        Raises:
            RuntimeError: when it ended instead, with the end of its log.
        """
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            log = max(self.folder.glob("*/log.txt"), key=lambda path: path.stat().st_mtime)
            raise RuntimeError(log.read_text(encoding="utf-8", errors="replace")[-2000:])
        return json.loads(line)  # type: ignore[no-any-return]


def tell(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


def take_turn(run: Run, contender: Contender) -> dict[str, Any]:
    from judge import gemm_rate

    given, size = run.given, run.given.rows_a_step
    rate = gemm_rate(run.plan)
    with run.worker(contender, [run.steps], given.warm_up) as process:
        last = run.answer(process)
    seconds, cpu = (last[name][given.warm_up :] for name in ("seconds", "cpu_seconds"))
    steps = [run.rows[start : start + size] for start in range(given.warm_up * size, run.steps * size, size)]
    rows = [row for step in steps for row in step]
    tokens = sum(len(row.input_ids) for row in rows)
    targets = sum(len(row.input_ids) - max(1, row.prompt_length) for row in rows)
    # Rows that are joined fill sequences of one length: what is trained there is the tokens' worth of rows.
    share = contender.joined * len(seconds) / tokens if contender.joined else 1.0
    products = run.judge.products(steps)
    return {
        "contender": contender.name,
        "rows": round(len(rows) * share, 2),
        "seconds": [round(one, 6) for one in seconds],
        "cores": round(sum(cpu) / sum(seconds), 2),
        "rows_per_cpu_second": round(len(rows) * share / sum(cpu), 3),
        "rows_per_second": round(len(rows) * share / sum(seconds), 3),
        "tokens_per_second": round(tokens * share / sum(seconds), 1),
        "trained_tokens_per_second": round(
            (tokens if contender.worker == "olive" else targets) * share / sum(seconds), 1
        ),
        "peak_mb": last["peak_mb"],
        "held_out_loss": None if contender.joined else round(run.judge.loss(Path(last["adapter"])), 4),
        "gemm_gflops": round(rate, 1),
        **{f"{kind}_gflops": round(sum(each) * share / sum(seconds), 1) for kind, each in products.items()},
    }


def time_to(run: Run, contender: Contender) -> dict[str, Any]:
    """Seconds of training until the held-out accuracy is reached, judged every so many steps with the clock stopped."""
    given = run.given
    stops = list(range(given.check_every, run.steps + 1, given.check_every))
    curve: list[tuple[int, float, float]] = []
    with run.worker(contender, stops) as process:
        for stop in stops:
            found = run.answer(process)
            accuracy = run.judge.accuracy(Path(found["adapter"]))
            curve.append((stop, round(sum(found["seconds"]), 3), round(accuracy, 4)))
            print(
                f"{contender.name}: step {stop}, {curve[-1][1]} s, accuracy {accuracy:.3f}", file=sys.stderr, flush=True
            )
            if accuracy >= given.time_to:
                break
            tell(process, "go")
    reached = curve[-1][2] >= given.time_to
    return {
        "contender": contender.name,
        "accuracy": given.time_to,
        "seconds": curve[-1][1] if reached else None,
        "rows": curve[-1][0] * given.rows_a_step,
        "curve": curve,
    }


def begun(given: argparse.Namespace) -> dict[str, Any]:
    """The document to go on with, or a new one."""
    from graft.hardware.machine import isa, machine

    settings = {name: getattr(given, name) for name in SETTINGS}
    if given.output and given.output.exists():
        if not given.append:
            sys.exit(f"{given.output} is there; --append goes on with it")
        document: dict[str, Any] = json.loads(given.output.read_text(encoding="utf-8"))
        changed = [name for name in SETTINGS if document["settings"][name] != settings[name]]
        if changed:
            sys.exit(f"{given.output} was measured with another {', '.join(changed)}: {document['settings']}")
        return document
    return {"machine": {**machine(), "isa": isa()}, "settings": settings, "turns": [], "time_to": []}


def keep(document: dict[str, Any], output: Path | None) -> None:
    document["summary"] = tables.summary(document["turns"])
    if output:
        whole = output.with_name(output.name + ".part")
        whole.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        whole.replace(output)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    document = begun(given)
    chosen = [CONTENDERS[name] for name in given.contenders]
    for worker in dict.fromkeys(contender.worker for contender in chosen):
        environments.ready(worker)
    steps = given.most_steps if given.time_to else given.warm_up + given.steps
    with tempfile.TemporaryDirectory(prefix="graft-bench-", ignore_cleanup_errors=True) as folder:
        run = Run(given, Path(folder), steps)
        for _ in range(1 if given.time_to else given.turns):
            turn = 1 + max((one["turn"] for one in document["turns"]), default=0)
            for contender in chosen:
                try:
                    found = time_to(run, contender) if given.time_to else {"turn": turn, **take_turn(run, contender)}
                except RuntimeError as error:
                    print(f"{contender.name} failed:\n{error}", file=sys.stderr)
                    continue
                document["time_to" if given.time_to else "turns"].append(found)
                keep(document, given.output)
                print(json.dumps(found), file=sys.stderr, flush=True)
    return document


def names(text: str) -> list[str]:
    found = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in found if name not in CONTENDERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(CONTENDERS)}")
    return found


def whole(path: str) -> str:
    """The workers stand in other folders."""
    return str(Path(path).resolve())


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    tone = files("graft.demo_data")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="tone", help="of the task, for the table")
    parser.add_argument("--train", type=whole, default=str(tone / "tone-train.jsonl"))
    parser.add_argument("--test", type=whole, default=str(tone / "tone-test.jsonl"))
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--contenders", type=names, default=list(DEFAULT), help=f"of {', '.join(CONTENDERS)}")
    parser.add_argument("--rows_a_step", type=int, default=32, help="however many at once a contender takes")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--warm_up", type=int, default=1, help="steps before those that are timed")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--learning_rate", type=float, default=2e-4)
    parser.add_argument("--held_out", type=int, help="rows to judge by (default: 64; with --time_to all)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", type=Path, help="a JSON file, written after each turn")
    parser.add_argument("--append", action="store_true", help="go on with the file that is there")
    parser.add_argument("--time_to", type=float, help="measure the seconds to this held-out accuracy instead")
    parser.add_argument("--check_every", type=int, default=5, help="with --time_to: steps between judgements")
    parser.add_argument("--most_steps", type=int, default=100, help="with --time_to: give up after so many")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/train-NAME-PROCESSOR.json")
    parser.add_argument("--markdown", type=Path, nargs="+", help="print the tables of these files; measure nothing")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    if given.markdown:
        print("\n\n".join(tables.markdown(json.loads(file.read_text(encoding="utf-8"))) for file in given.markdown))
        return
    document = measure(given)
    if given.store:
        print(tables.store(f"train-{given.name}", document), file=sys.stderr)
    print(tables.markdown(document))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the worker ends, too
    main()

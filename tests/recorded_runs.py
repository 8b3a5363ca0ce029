"""Tiny runs whose bytes are recorded: what is run, and what is kept of it. ``test_same_bytes.py`` compares.

Everything goes through the command line, so the cases hold whatever the code inside is called. Floating-point sums
depend on the instructions that compute them; ``PINNED`` takes the same ones on every x86-64 processor with AVX2. The
variables are read when libraries load, so the cases run in a process of their own:

    python tests/recorded_runs.py OUT.json [CASE ...]
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from loss_files import write_losses
from task_rows import ROWS
from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder, tiny_t5_folder

PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own loops
    "MKL_CBWR": "COMPATIBLE",  # matrix products: the same instructions for every vendor's processors
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",  # NumPy's products
    "OPENBLAS_NUM_THREADS": "1",
    "GRAFT_KERNELS": "haswell",  # graft's own loops: compiled for AVX2 with FMA
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy")
EXPORT_PACKAGES = ("onnx", "onnxruntime", "onnxruntime-genai", "gguf")

ADAPTER, MODEL = "adapter/adapter_model.safetensors", "model/model.safetensors"


@dataclass(frozen=True)
class Case:
    """A run of ``graft finetune``: a model and rows by their names below, and further options.

    ``keep`` names the files whose bytes are recorded; ``kernels`` says whether graft's compiled part is used.
    """

    model: str
    rows: str
    options: dict[str, Any] = field(default_factory=dict)
    keep: tuple[str, ...] = (ADAPTER,)
    kernels: bool = True


def chats(count: int = 24) -> list[dict[str, Any]]:
    """Conversations of one to three turns after the same system message: shared prefixes, several answers in a row."""
    return [
        {
            "messages": [
                {"role": "system", "content": "The answer is one word."},
                *(
                    {"role": role, "content": f"{text} {i} {turn}"}
                    for turn in range(1 + i % 3)
                    for role, text in (("user", "What is the tone of"), ("assistant", "fine"))
                ),
            ]
        }
        for i in range(count)
    ]


def answers(count: int = 32) -> list[dict[str, Any]]:
    """Prompts with answers of many lengths, some longer than a row may be."""
    return [{"prompt": f"the number {i} and", "completion": "fine day " * (1 + i * 7 % 40)} for i in range(count)]


def uneven(count: int = 48) -> list[dict[str, Any]]:
    """Three rows of a class for each of the other."""
    return [{"text": f"{'bad rain' if i % 4 else 'good cake'} {i}", "label": "yn"[i % 4 > 0]} for i in range(count)]


DATA: dict[str, Callable[[], list[dict[str, Any]]]] = {**ROWS, "chats": chats, "answers": answers, "uneven": uneven}

SHORT = {
    "max_steps": 4,
    "eval_steps": 2,
    "logging_steps": 1,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 16,
    "learning_rate": 1e-2,
    "bootstrap_samples": 100,
    "evaluate": "false",
}
PEFT_TYPES = ("loha", "lokr", "hra", "randlora", "miss", "shira", "delora", "hira", "oft", "boft", "ia3", "vera")
"""PEFT's types that graft has by name, besides LoRA; the last four have no rank."""


def _cases() -> Iterator[tuple[str, Case]]:
    def case(name: str, model: str, rows: str = "classes", keep: str = ADAPTER, **options: Any) -> tuple[str, Case]:
        return name, Case(model, rows, options, (keep,))

    yield case("lora", "llama", evaluate="true")
    yield case("lora-learned", "llama", evaluate="true", max_steps=40, eval_steps=20)
    yield case("lora-dropout", "llama", lora_dropout=0.1)
    yield case("lora-dora", "llama", use_dora="true")
    yield case("lora-rslora", "llama", use_rslora="true", lora_r=4, lora_alpha=8)
    yield case("lora-some-layers", "llama", target_modules="q_proj,down_proj", modules_to_save="norm")
    yield case("lora-int8", "llama", engine="int8")
    yield case("lora-bf16", "llama", engine="bf16")
    yield case("lora-plain", "llama", engine="plain")
    yield case("lora-dropout-plain", "llama", engine="plain", lora_dropout=0.1)
    yield case("lora-bfloat16", "llama", precision="bfloat16")
    yield case("qlora", "llama", method="qlora", evaluate="true")
    yield case("qlora-gpt2", "gpt2", method="qlora")
    yield case("full", "llama", method="full", keep=MODEL)
    yield case("full-plain", "llama", method="full", engine="plain", keep=MODEL)
    yield case("full-gpt2", "gpt2", method="full", keep=MODEL)
    yield case("adapters", "llama", method="adapters", lora_dropout=0.1)
    yield case("adapters-houlsby", "llama", method="adapters", adapter_placement="houlsby", non_linearity="gelu")
    for name in PEFT_TYPES:
        rank = {} if name in PEFT_TYPES[-4:] else {"lora_r": 4}
        yield case(name, "llama", method=name, target_modules="q_proj,down_proj", **rank)

    for family in ("qwen3", "gpt2", "gemma2", "phi3"):
        yield case(f"lora-{family}", family, "chats", evaluate="true")
    yield case("lora-chats", "llama", "chats", per_device_train_batch_size=4, evaluate="true")
    yield case("lora-chats-all", "llama", "chats", loss_on="all", engine="plain")
    yield case("lora-answers", "llama", "answers", max_length=64, on_long="truncate", evaluate="true")
    for name, model, options in (
        ("lora", "llama", {}),
        ("lora-dropout", "llama", {"lora_dropout": 0.1}),
        ("lora-qwen3", "qwen3", {}),
        ("lora-gemma2", "gemma2", {}),
        ("lora-gpt2", "gpt2", {}),
        ("lora-int8", "llama", {"engine": "int8"}),
        ("adapters", "llama", {"method": "adapters"}),
        ("full", "llama", {"method": "full", "keep": MODEL}),
    ):  # 256 tokens and more in a batch are computed by other kernels than fewer
        long = {"max_length": 64, "on_long": "truncate"}
        yield case(f"large-batch-{name}", model, "answers", per_device_train_batch_size=16, **long, **options)
    yield case("lora-text-template", "llama", text_template="User: {text}\\nAssistant: {label}")
    yield case("lora-accumulation", "llama", per_device_train_batch_size=2, gradient_accumulation_steps=4)
    yield case("lora-checkpointing", "llama", gradient_checkpointing="true")
    yield case("lora-schedule", "llama", lr_scheduler_type="linear", warmup_ratio=0.5, weight_decay=0.1, seed=7)
    yield case("lora-epochs", "llama", max_steps=None, num_train_epochs=1, max_train_samples=20, eval_share=0.3)
    yield case("lora-early-stop", "llama", learning_rate=0.5, max_steps=12, eval_steps=1, early_stopping_patience=2)
    yield case("lora-last", "llama", learning_rate=0.5, load_best_model_at_end="false", max_grad_norm=0.1)

    yield case("classes-bert", "bert", evaluate="true")
    yield case("classes-bert-full", "bert", method="full", keep=MODEL)
    yield case("classes-llama", "llama", task="text-classification")
    yield case("several-bert", "bert", "several", evaluate="true")
    yield case("tags-bert", "bert", "tagged")
    yield case("spans-bert", "bert", "spans", evaluate="true")
    yield case("tags-llama", "llama", "tagged", task="token-classification")
    yield case("pairs-bert", "bert", "pairs", evaluate="true")
    yield case("pairs-llama", "llama", "pairs")
    yield case("summaries-t5", "t5", "summaries", evaluate="true")
    yield case("summaries-t5-full", "t5", "summaries", method="full", keep=MODEL)

    yield case("label-smoothing", "llama", loss="label-smoothing", loss_arguments="smoothing=0.2")
    yield case("focal", "llama", loss="focal", loss_arguments="gamma=2")
    yield case("focal-plain", "llama", loss="focal", engine="plain")
    yield case("class-weighted", "llama", "uneven", loss="class-weighted")
    yield case("distillation", "llama", loss="distillation", teacher="qwen3-as-teacher")
    yield case("own-loss", "llama", loss="own.py:scaled", loss_arguments="factor=0.5", gradient_accumulation_steps=2)
    yield case("focal-bert", "bert", loss="focal")
    yield case("class-weighted-bert", "bert", "uneven", loss="class-weighted")
    yield case("contrastive-bert", "bert", "pairs", loss="contrastive")
    yield case("own-contrastive-bert", "bert", "pairs", loss="custom_loss.py:CustomContrastiveLoss")

    for name, more in {
        "lora": {"lora_dropout": 0.1},
        "int8": {"engine": "int8"},
        "bf16": {"engine": "bf16"},
        "full": {"method": "full"},
        "gemma2": {},
    }.items():
        model = "gemma2" if name == "gemma2" else "llama"
        keep = MODEL if name == "full" else ADAPTER
        yield f"uncompiled-{name}", Case(model, "chats", more, (keep,), kernels=False)

    yield case("lora-llama-64", "llama-64", max_steps=8)
    yield case("qlora-llama-64", "llama-64", max_steps=8, method="qlora")


CASES = dict(_cases())

ONNX, GGUF = ("auto-opt", "--precision"), ("auto-opt", "--format", "gguf", "--precision")
EXPORTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "onnx-fp32": ("lora-llama-64", (*ONNX, "fp32")),
    "onnx-int4": ("lora-llama-64", (*ONNX, "int4")),
    "onnx-int4-rtn": ("lora-llama-64", (*ONNX, "int4", "--rounding", "rtn")),
    "onnx-int8": ("lora-llama-64", (*ONNX, "int8")),
    "onnx-int4-qlora": ("qlora-llama-64", (*ONNX, "int4")),
    "onnx-encoder": ("classes-bert", (*ONNX, "fp32")),
    "onnx-encoder-int8": ("classes-bert", (*ONNX, "int8")),
    "gguf-fp32": ("lora", (*GGUF, "fp32")),
    "gguf-int4": ("lora", (*GGUF, "int4")),
    "gguf-int8": ("lora", (*GGUF, "int8")),
    "multi-adapter": ("lora-llama-64", ("generate-adapter", "--adapter_paths")),
}
"""A run by its name, and the command that exports it."""


def made_with(exported: bool = False) -> dict[str, str]:
    """What the recorded bytes depend on besides graft; ``exported``: those of the exports."""
    found = {"system": f"{platform.system()} {platform.machine()}", "libc": " ".join(platform.libc_ver())}
    return found | {name: _version(name) for name in (*PACKAGES, *(EXPORT_PACKAGES if exported else ()))}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def compiler() -> str:
    """The version of graft's compiler, as graft finds it, without the name that it was called by (g++, gcc, c++)."""
    name = shutil.which("g++") or shutil.which("clang++")
    if name is None:
        return "none"
    done = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].partition(" ")[2]


def models(folder: Path) -> dict[str, Path]:
    families = {name: tiny_model_folder(folder, name) for name in ("llama", "qwen3", "gpt2", "gemma2", "phi3")}
    teacher = tiny_model_folder(folder / "teacher", "qwen3", seed=5)
    families["llama-64"] = tiny_model_folder(folder / "64", "llama", width=64)
    return {**families, "bert": tiny_bert_folder(folder), "t5": tiny_t5_folder(folder), "qwen3-as-teacher": teacher}


def run_cases(names: Sequence[str], folder: Path) -> dict[str, Any]:
    """The named cases and exports, each in a folder of its own below ``folder``; what is recorded of each."""
    import torch

    # oneDNN held to AVX2 sums int8 in 16 bits, which overflow, where PyTorch thinks that the processor has VNNI.
    torch.backends.mkldnn.set_flags(False)
    os.chdir(folder)
    places = models(folder / "models")
    write_losses(folder)
    for kind, rows in DATA.items():
        (folder / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")
    exported = dict.fromkeys(EXPORTS[name][0] for name in names if name in EXPORTS)
    runs = dict.fromkeys([*(name for name in names if name in CASES), *exported])
    found = {name: _recorded(name, CASES[name], places) for name in runs}
    found |= {name: _exported(name, places) for name in names if name in EXPORTS}
    return {name: found[name] for name in names}


def _recorded(name: str, case: Case, places: dict[str, Path]) -> dict[str, Any]:
    options = {**SHORT, **case.options}
    if "teacher" in options:
        options["teacher"] = places[options["teacher"]]
    words = ["finetune", str(places[case.model]), f"{case.rows}.jsonl", "-o", name]
    words += [word for key, value in options.items() if value is not None for word in (f"--{key}", str(value))]
    os.environ["GRAFT_KERNELS"] = PINNED["GRAFT_KERNELS"] if case.kernels else "0"
    said = command(words)
    if said is not None:
        return {"failed": said}
    run = Path(name)
    found: dict[str, Any] = {"sha256": {file: _sha256((run / file).read_bytes()) for file in case.keep}}
    found["metrics"] = [
        _figures(line) for line in _lines(run / "metrics.jsonl") if "loss" in line or "eval_loss" in line
    ]
    if options["evaluate"] == "true":
        found["scores"] = _scores(run / "evaluation.json")
        found["predictions"] = [_answers(line) for line in _lines(run / "predictions.jsonl")]
    return found


def _exported(name: str, places: dict[str, Path]) -> dict[str, Any]:
    os.environ["GRAFT_KERNELS"] = PINNED["GRAFT_KERNELS"]
    run, (verb, *options) = EXPORTS[name]
    if verb == "auto-opt":
        words = [verb, run, *options]
    else:
        words = [verb, "--base_model_path", str(places[CASES[run].model]), *options, f"one={run},two={run}"]
    said = command([*words, "--skip_parity", "-o", name])
    if said is not None:
        return {"failed": said}
    return {"sha256": {"weights": _sha256(b"".join(sorted(_weights(Path(name)))))}}


def _weights(bundle: Path) -> Iterator[bytes]:
    """A digest of each weight with its name in a bundle's ONNX or GGUF files; files' heads name versions and times."""
    import gguf
    import onnx
    from onnx.numpy_helper import to_array

    for file in bundle.glob("*.gguf"):
        for tensor in gguf.GGUFReader(file).tensors:
            yield _digest(tensor.name, tensor.data)
    for file in bundle.glob("*.onnx"):
        for weight in onnx.load(file).graph.initializer:
            yield _digest(weight.name, to_array(weight))
    for file in bundle.rglob("*.onnx_adapter"):
        yield hashlib.sha256(file.name.encode() + file.read_bytes()).digest()


def _digest(name: str, array: Any) -> bytes:
    return hashlib.sha256(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes()).digest()


def command(words: Sequence[str]) -> str | None:
    """``graft WORDS`` in this process, silently: None, or what it said when it failed."""
    from graft.cli.main import main

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main([*words])
    return f"exit code {code}: {said.getvalue()[-2000:]}" if code else None


def _figures(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("step", "loss", "eval_loss", "grad_norm", "learning_rate") if name in line}


def _scores(file: Path) -> dict[str, Any]:
    document = json.loads(file.read_text(encoding="utf-8"))
    return {
        name: {metric: [found["value"], found["low"], found["high"]] for metric, found in figures.items()}
        for name, figures in document["predictors"].items()
    }


def _answers(line: dict[str, Any]) -> dict[str, Any]:
    """A row's reference, what base and tuned wrote, and which class they meant where there are classes."""
    labels = {f"class by {name}": label for name, label in line.get("labels", {}).items()}
    return {"reference": line["reference"], **line["answers"], **labels}


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def run_apart(names: Sequence[str], folder: Path) -> dict[str, Any]:
    """``run_cases`` in a process of its own, in which everything is pinned; ``folder``/found.json keeps the result."""
    output = folder / "found.json"
    inherited = {name: value for name, value in os.environ.items() if name != "CXX"}  # which tests beside these may set
    environment = {**inherited, **PINNED, "GRAFT_CACHE": str(_cache(folder)), "HF_HOME": str(folder / "hf")}
    words = [sys.executable, __file__, str(output), *names]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the recorded runs ended with {done.returncode}: {done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return found


def _cache(folder: Path) -> Path:
    """A cache of these runs' own, so that nothing of an older graft answers for this one, but for compiled kernels."""
    usual = os.environ.get("GRAFT_CACHE") or user_cache_dir("graft", appauthor=False)
    kernels = Path(usual).absolute() / "kernels"  # kept by their source: compiling takes ten seconds
    kernels.mkdir(parents=True, exist_ok=True)
    (folder / "cache").mkdir()
    (folder / "cache" / "kernels").symlink_to(kernels)
    return folder / "cache"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        runs = run_cases(sys.argv[2:] or [*CASES, *EXPORTS], Path(place).resolve())
    Path(sys.argv[1]).write_text(json.dumps(runs), encoding="utf-8")

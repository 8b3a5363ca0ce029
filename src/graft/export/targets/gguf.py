"""``graft auto-opt --format gguf``: the merged model for llama.cpp, checked by reading it back."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from graft._version import __version__
from graft.config import DataSettings, ExportSettings
from graft.data.chat_template import Renderer
from graft.data.tokenize import prompt_ids
from graft.errors import GateError, InputError
from graft.export import bundle
from graft.export.calibration_rows import calibration
from graft.export.gguf_writer import TYPES, check_architecture, write_gguf
from graft.export.merge import merged
from graft.export.onnx.export_builder import CALIBRATION_TOKENS
from graft.export.quantize.calibrate import rounded, within_budget
from graft.hardware.machine import machine
from graft.models.base import load_model, load_tokenizer, open_run_or_model
from graft.models.gguf_reader import convert, read_header
from graft.models.open import Opened
from graft.progress import Reporter
from graft.tasks.evaluation_rows import load_evaluation_rows

ROWS = 8
FLOAT_DIFFERENCE = 1e-2
"""Logits that differ by more in float32 mean a wrong conversion, not rounding."""


def write(settings: ExportSettings, opened: Opened, reporter: Reporter) -> Path:
    """A folder with the GGUF file, its manifest and card.

    Raises:
        InputError: when the family can't be written.
        GateError: when the file, read back, is another model.
    """
    precision = "int4" if settings.precision == "auto" else settings.precision
    if settings.output_path is None and opened.run is None:
        raise InputError("no output folder is given", remedy="--output_path FOLDER")
    output = settings.output_path or Path(str(opened.run)) / f"gguf-{precision}"
    check_architecture(opened.base.config, opened.base.path / "tokenizer.json")
    if settings.rounding in {"rtn", "k_quant"}:
        raise InputError(
            f"--rounding {settings.rounding} is of the ONNX model builder", remedy="gptq or range, or leave it away"
        )
    tokenizer = load_tokenizer(opened.base, settings.chat_template)
    found = calibration(None if settings.rounding == "range" else opened.run, tokenizer)
    rows = {"": within_budget(found, CALIBRATION_TOKENS)} if found else {}
    with bundle.staged(output, settings.overwrite) as folder:
        model = merged(opened.base, opened.adapter, tokenizer, folder / ".merged")
        file = folder / f"{opened.base.path.name if not opened.run else opened.name}-{TYPES[precision].lower()}.gguf"
        blocks = rounded(model, rows, watch=reporter.advance) if precision == "int4" else {}
        reporter.note(f"writing {file.name}")
        write_gguf(model, tokenizer, file, precision, opened.name, opened.base.license, blocks)
        shutil.rmtree(folder / ".merged")
        checked = "skipped (--skip_parity)" if settings.skip_parity else _read_back(model, tokenizer, file, opened)
        passed = (
            isinstance(checked, str) or precision != "fp32" or checked["greatest_logit_difference"] < FLOAT_DIFFERENCE
        )
        size = round(file.stat().st_size / 1e6, 1)
        text = (
            f"# {opened.name}, GGUF {TYPES[precision]}\n\n{size} MB.\n\n```bash\nllama-cli -m {file.name} -cnv\n```\n"
        )
        (folder / "README.md").write_text(text, encoding="utf-8")
        bundle.write_manifest(
            folder,
            graft=__version__,
            command="auto-opt",
            kind="bundle",
            format="gguf",
            status="finished" if passed else "failed",
            finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            base={"name": opened.base.name, "sha256": opened.base.sha256, "licence": opened.base.license},
            file=file.name,
            precision=precision,
            rounding=("gptq" if rows else "range") if precision == "int4" else None,
            size_mb=size,
            parity=checked,
            machine=machine(),
        )
    if not passed:
        raise GateError("the GGUF file, read back, answers otherwise than the model", where=str(output))
    return output


def _read_back(model: Any, tokenizer: Any, file: Path, opened: Opened) -> dict[str, Any]:
    """The file through transformers' own reader: tokens of prompts, and logits after them."""
    folder = file.with_name(".read")
    folder.mkdir()
    try:
        convert(file, folder, read_header(file), "")
        base = open_run_or_model(folder).base
        again, tokens = load_model(base), load_tokenizer(base)
        texts = _texts(tokenizer, opened)
        prompts = [prompt_ids(tokenizer, text) for text in texts]
        with torch.no_grad():
            pairs = [[one(input_ids=torch.tensor([ids])).logits[0, -1] for one in (model, again)] for ids in prompts]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "read_back_by": "transformers",
        "rows": len(texts),
        "token_ids_identical": [
            sum(prompt_ids(tokens, text) == ids for text, ids in zip(texts, prompts, strict=True)),
            len(texts),
        ],
        "next_token_equal": [sum(int(a.argmax() == b.argmax()) for a, b in pairs), len(pairs)],
        "greatest_logit_difference": round(max(float((a - b).abs().max()) for a, b in pairs), 5),
    }


def _texts(tokenizer: Any, opened: Opened) -> Sequence[str]:
    if opened.run is None:
        return ["The way to the sea is long.", "12 + 30 = 42", "Straße, 東京"]
    from graft.runs.folder import RunFolder

    examples = load_evaluation_rows(RunFolder.open(opened.run), None, DataSettings()).examples
    renderer = Renderer(tokenizer)
    return [renderer.render(example).prompt for example in examples[:ROWS]]

"""The target ``gguf``: generative models for llama.cpp, checked by reading the file back."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from graft.config import ExportSettings, GgufConfig, Settings
from graft.errors import GraftError, InputError, Problems
from graft.export.target import Built
from graft.runs.manifest import read_bundle
from graft.shell import quote

if TYPE_CHECKING:
    from graft.export.source import ExportSource
    from graft.inference.predictor import Predictor
    from graft.progress import Reporter

ROWS = 8
FLOAT_DIFFERENCE = 1e-2
"""A larger difference of logits in float32 comes from a wrong conversion, not from rounding."""
SAMPLE_TEXTS = ("The way to the sea is long.", "12 + 30 = 42", "Straße, 東京")


class Gguf:
    """Merges the adapter, writes the file, and compares the logits that it gives with the model's."""

    name = "gguf"
    title = "GGUF for llama.cpp"
    help = "generative models of the families Llama, Mistral and Qwen 2, with the adapter merged"
    format = "gguf"
    precisions = ("int4", "int8", "float16", "float32")
    Config: type[Settings] = GgufConfig

    def can(self, source: ExportSource, options: ExportSettings, config: GgufConfig) -> InputError | None:
        """The task, the family, the tokenizer and the adapter's type."""
        from graft.export.gguf.writer import check_architecture
        from graft.export.merge import check_mergeable

        if self.name not in source.task.export_targets:
            return InputError(f"GGUF export does not support {source.task.name} models", where=source.name)
        problems = Problems()
        if options.provider is not None:
            problems.add(
                "--provider does not apply to GGUF: llama.cpp has no execution providers", "--provider", "omit it"
            )
        if config.rounding in {"rtn", "k_quant"}:
            problems.add(
                f"{config.rounding} is a rounding method of the ONNX model builder", "--rounding", "use gptq or range"
            )
        with problems.collecting():
            check_architecture(source.base.config, source.base.path / "tokenizer.json")
        if source.adapter is not None:
            with problems.collecting():
                check_mergeable(source.opened)
        return InputError(*problems.found) if problems else None

    def build(
        self, source: ExportSource, options: ExportSettings, config: GgufConfig, folder: Path, reporter: Reporter
    ) -> Built:
        """The GGUF file and a README."""
        from graft.export.calibration_rows import calibration_rows
        from graft.export.gguf.writer import TYPES, write_gguf
        from graft.export.merge import load_judged, merge_entry, merge_judged
        from graft.export.onnx.export_builder import CALIBRATION_TOKENS
        from graft.export.quantize.calibrate import quantize_linears, within_budget

        precision, tokenizer = str(options.precision), source.tokenizer
        found = calibration_rows(None if config.rounding == "range" else source.opened.run, tokenizer)
        rows = {"": within_budget(found, CALIBRATION_TOKENS)} if found else {}
        model = load_judged(source)
        judged = None if options.skip_parity else _Judged.of(model, source)
        model = merge_judged(model, source, folder / ".merged")
        stem = source.name if source.run else source.base.path.name
        file = folder / f"{stem}-{TYPES[precision].lower()}.gguf"
        blocks = quantize_linears(model, rows, reporter=reporter) if precision == "int4" else {}
        reporter.note(f"writing {file.name}")
        write_gguf(model, tokenizer, file, precision, blocks, name=source.name, license=source.base.license)
        shutil.rmtree(folder / ".merged")
        parity = "skipped (--skip_parity)" if judged is None else _read_back(judged, file, precision)
        size = round(file.stat().st_size / 1e6, 1)
        _write_readme(folder, f"{source.name}, GGUF {TYPES[precision]}", file.name, size)
        rounding = ("gptq" if rows else "range") if precision == "int4" else None
        return Built(
            parity,
            size,
            {"file": file.name, "rounding": rounding, **merge_entry(model)},
            run_command=f"llama-cli -m {{folder}}/{quote(file.name)} -cnv",
        )

    def open(self, folder: Path, adapter: str | None = None) -> Predictor:
        """The bundle in llama.cpp.

        Raises:
            MissingExtra: If llama.cpp is not installed.
            InputError: If the manifest names no file in the bundle, or llama.cpp does not load it.
        """
        from graft.inference.llama_cpp_predictor import LlamaCppPredictor

        return LlamaCppPredictor.open(_file_of(folder), adapter or "gguf")


def _file_of(folder: Path) -> Path:
    named = read_bundle(folder).file
    file = (folder / named).resolve() if named else folder
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise InputError("the GGUF file that the manifest names is not in the bundle", where=str(folder))
    return file


def _write_readme(folder: Path, title: str, file: str, size: float) -> None:
    text = f"# {title}\n\n{size} MB.\n\n```bash\nllama-cli -m {file} -cnv\n```\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


class _Judged(NamedTuple):
    """What the model that was judged, which is not merged, does: texts, their tokens, and the logits after them."""

    texts: Sequence[str]
    prompts: Sequence[Sequence[int]]
    logits: Sequence[Any]

    @classmethod
    def of(cls, model: Any, source: ExportSource) -> _Judged:
        """Ask ``model`` what the file is compared with."""
        from graft.data.tokenize import prompt_ids

        texts = _texts(source)
        prompts = [prompt_ids(source.tokenizer, text) for text in texts]
        return cls(texts, prompts, _last_logits(model, prompts))


def _last_logits(model: Any, prompts: Sequence[Sequence[int]]) -> list[Any]:
    """The logits (vocabulary) after each of ``prompts``."""
    import torch

    with torch.no_grad():
        return [model(input_ids=torch.tensor([list(ids)])).logits[0, -1] for ids in prompts]


def _read_back(judged: _Judged, file: Path, precision: str) -> dict[str, Any]:
    """Read the file with transformers, and compare tokens of prompts and the logits after them."""
    from graft.data.tokenize import prompt_ids

    texts, prompts = judged.texts, judged.prompts
    folder = file.with_name(".read")
    folder.mkdir()
    try:
        again, tokenizer = _loaded(file, folder)
        pairs = list(zip(judged.logits, _last_logits(again, prompts), strict=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    same_ids = sum(prompt_ids(tokenizer, text) == ids for text, ids in zip(texts, prompts, strict=True))
    difference = round(max(float((a - b).abs().max()) for a, b in pairs), 5)
    same_next = sum(int(a.argmax() == b.argmax()) for a, b in pairs)
    return {
        "read_back_by": "transformers",
        "rows": len(texts),
        "token_ids_identical": [same_ids, len(texts)],
        "next_token_equal": [same_next, len(texts)],
        "greatest_logit_difference": difference,
        "passed": precision != "float32" or difference < FLOAT_DIFFERENCE,
        "reason": f"read back: {same_next} of {len(texts)} next tokens equal, logits within {difference:g}",
    }


def _loaded(file: Path, folder: Path) -> tuple[Any, Any]:
    """The model and the tokenizer in a GGUF file, unpacked to ``folder``."""
    from graft.models.base import load_model, load_tokenizer, open_run_or_model
    from graft.models.gguf_reader import convert, read_header

    try:
        convert(file, folder, read_header(file), "")
    except InputError as error:
        raise GraftError("the GGUF file cannot be read back", where=str(file)) from error
    base = open_run_or_model(folder).base
    return load_model(base), load_tokenizer(base)


def _texts(source: ExportSource) -> Sequence[str]:
    from graft.data.chat_template import Renderer
    from graft.export.parity_rows import load_parity_rows

    if source.run is None:
        return SAMPLE_TEXTS
    renderer = Renderer(source.tokenizer)
    return [renderer.prompt(example) for example in load_parity_rows(source, None, ROWS).examples]


GGUF = Gguf()

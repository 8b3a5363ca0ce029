"""Building a GGUF bundle: the file, its comparison, and what stands beside it."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.config import ExportSettings, GgufConfig
from graft.data.sources import sha256_of
from graft.export import bundle
from graft.export.adapter_placement import placement_entry, slot_name
from graft.export.added_evaluation import add_to_report
from graft.export.calibration_rows import calibration_rows
from graft.export.gguf.families import GGUF_FAMILIES
from graft.export.gguf.tokenizer import answer_ends
from graft.export.gguf.writer import TYPES, write_gguf
from graft.export.llama_cpp.gate import Compared, compare
from graft.export.llama_cpp.judged import Judged, ask_judged
from graft.export.llama_cpp.lora import lora_pairs, write_lora
from graft.export.llama_cpp.modelfile import NAME as MODELFILE
from graft.export.llama_cpp.modelfile import context_of, make_modelfile
from graft.export.llama_cpp.read_back import NOT_RUN, READ_BACK, read_back
from graft.export.llama_cpp.readme import readme
from graft.export.merge import adapter_config, load_judged, merge_entry, merge_judged
from graft.export.onnx.export_builder import CALIBRATION_TOKENS, HOT_SWAPPABLE
from graft.export.prompt_record import adapter_prompt_record, prompt_record
from graft.export.quantize.calibrate import quantize_linears, within_budget
from graft.export.source import ExportSource
from graft.export.target import Built
from graft.inference.llama_cpp import is_installed
from graft.models.adapter_config import WEIGHTS
from graft.models.base import load_model
from graft.models.families import family_of
from graft.progress import Reporter
from graft.runs.prompt_record import PromptRecord
from graft.shell import quote


@dataclass
class GgufExport:
    """One export.

    Attributes:
        source: The model.
        options: What every target takes.
        config: The target's own options.
        folder: The folder to fill.
        reporter: Shows notes and progress.
    """

    source: ExportSource
    options: ExportSettings
    config: GgufConfig
    folder: Path
    reporter: Reporter

    def run(self) -> Built:
        """Write the file, compare it with the model that was judged, and describe it."""
        source = self.source
        # The file and, while it is written, its tensors beside it: in float16, each as large as weights of 16 bits.
        weights = source.base.path.glob("*.safetensors")
        bundle.check_disk_space(self.folder, 2 * sum(file.stat().st_size for file in weights))
        judged, rounding, merged = self._made()
        found = self._compared(judged)
        apart = f" --lora {{folder}}/{quote(self._lora.name)}" if self._unmerged else ""
        built = Built(
            found.parity,
            round(self._file.stat().st_size / 1e6, 1),
            {
                "file": self._file.name,
                "rounding": rounding,
                "sha256": sha256_of(self._file),
                **(self._adapter_entries(found.parity) if self._unmerged else merged),
            },
            run_command=f"llama-cli -m {{folder}}/{quote(self._file.name)}{apart} -cnv",
        )
        self._describe(built)
        if found.evaluation is not None and source.run is not None and self.options.data_files is None:
            add_to_report(source.run, found.evaluation, self.reporter)
        return built

    def _made(self) -> tuple[Judged | None, str | None, dict[str, float]]:
        """Write the file; no more than one model is in memory at a time, and none at the end.

        Returns:
            What the model that was judged does, how the weights were rounded, and what the manifest records of the
            merge.
        """
        source = self.source
        self.reporter.note(f"loading {source.name}")
        judged, model = (
            (None, load_judged(source)) if self.options.skip_parity else ask_judged(source, self.options, self.reporter)
        )
        if self._unmerged:
            write_lora(lora_pairs(model), model.config, self._lora, name=source.name)
            del model
            gc.collect()  # the modules refer to one another
            model = load_model(source.base)
        else:
            if self.config.adapter == "auto":
                self.reporter.note("--adapter auto: merged; for a file of its own, give --adapter hot-swappable")
            model = merge_judged(model, source, None)
        rounding, merged = self._write(model), merge_entry(model)
        del model
        gc.collect()
        return judged, rounding, merged

    def _adapter_entries(self, parity: Any) -> dict[str, Any]:
        """What the manifest records of an adapter that is not merged."""
        source, file = self.source, self._lora
        assert source.adapter is not None
        config = adapter_config(source.adapter)
        entry = {
            "file": file.name,
            "sha256": sha256_of(file),
            "size_mb": round(file.stat().st_size / 1e6, 1),
            "ranks": sorted({config["r"], *(config.get("rank_pattern") or {}).values()}),
            "prompt": adapter_prompt_record(source.opened.run, source.base, source.tokenizer),
            "parity": parity,
        }
        placed = {
            "name": source.name,
            "sha256": sha256_of(source.adapter / WEIGHTS),
            **placement_entry({}, HOT_SWAPPABLE, HOT_SWAPPABLE),
        }
        return {"adapters": {self._name: entry}, "default_adapter": self._name, "adapter": placed}

    def _describe(self, built: Built) -> None:
        """Write the Modelfile and README.md."""
        source, prompt = self.source, prompt_record(self.source)
        lora = self._lora.name if self._unmerged else None
        modelfile = make_modelfile(source, prompt, self._file.name, lora)
        (self.folder / MODELFILE).write_text(modelfile.text, encoding="utf-8", newline="\n")
        for note in modelfile.notes:
            self.reporter.note(f"Modelfile: {note}")
        license = source.base.license or "unknown"
        page = readme(
            f"{source.name}, GGUF {TYPES[self._precision]}",
            [f"{built.size_mb} MB; license of the base: {license}", f"compared with PyTorch: {built.reason}"],
            prompt,
            self._file.name,
            model=self._name,
            context=context_of(prompt or PromptRecord(), source),
            chats=bool(source.tokenizer.chat_template),
            lora=lora,
            notes=modelfile.notes,
        )
        (self.folder / "README.md").write_text(page, encoding="utf-8")

    @property
    def _precision(self) -> str:
        return str(self.options.precision)

    @property
    def _unmerged(self) -> bool:
        return self.config.adapter == HOT_SWAPPABLE

    @property
    def _name(self) -> str:
        """The source's name as a part of file names: a run has whatever name its user gave the task."""
        return slot_name(self.source.opened)

    @property
    def _lora(self) -> Path:
        return self.folder / f"{self._name}-lora.gguf"

    @property
    def _file(self) -> Path:
        stem = self._name if self.source.run else self.source.base.path.absolute().name
        stem = f"{stem}-base" if self._unmerged else stem
        return self.folder / f"{stem}-{TYPES[self._precision].lower()}.gguf"

    def _write(self, model: Any) -> str | None:
        """Write the file; returns how the weights were rounded, where they were."""
        source, tokenizer = self.source, self.source.tokenizer
        # Calibration computes packed rows, layer by layer; GPT-2's layers are no linear ones.
        linear, packed = hasattr(model.get_decoder(), "layers"), family_of(model.config.model_type).packed
        run = source.opened.run if self.config.rounding != "range" and linear and packed else None
        found = calibration_rows(run, tokenizer) if self._precision == "int4" else []
        rows = {"": within_budget(found, CALIBRATION_TOKENS)} if found else {}
        rounds = self._precision == "int4" and linear
        blocks = quantize_linears(model, rows, reporter=self.reporter) if rounds else {}
        if self.config.rounding == "gptq" and not rows:
            self.reporter.note("--rounding gptq: no training rows can calibrate this model; range is used")
        self.reporter.note(f"writing {self._file.name}")
        write_gguf(model, tokenizer, self._file, self._precision, blocks, name=source.name, license=source.base.license)
        self._note_ends(answer_ends(model, tokenizer))
        return ("gptq" if rows else "range") if self._precision == "int4" else None

    def _note_ends(self, ends: list[int]) -> None:
        tokenizer = self.source.tokenizer
        left = [end for end in ends if end != tokenizer.eos_token_id][2:]
        if left:
            said = ", ".join(tokenizer.convert_ids_to_tokens(left))
            self.reporter.note(f"{self._file.name}: it names no more than three end tokens; not {said}")

    def _compared(self, judged: Judged | None) -> Compared | _Skipped:
        if judged is None:
            return _Skipped("skipped (--skip_parity)")
        if not is_installed() and self.source.base.config["model_type"] not in READ_BACK:
            self.reporter.note(f"{self._file.name}: {NOT_RUN}")
            return _Skipped(NOT_RUN)
        if is_installed():
            name, allowed = f"gguf {self._precision}", self.options.max_accuracy_drop
            lora = self._lora if self._unmerged else None
            found = compare(
                judged,
                self._file,
                self._precision,
                allowed,
                self.reporter,
                name=name,
                lora=lora,
                rounding=GGUF_FAMILIES[self.source.base.config["model_type"]].rounding,
            )
        elif self._unmerged:
            return _Skipped(NOT_RUN)
        else:
            found = Compared(read_back(judged, self._file, self._precision))
        self.reporter.note(f"{self._file.name}: {found.parity['reason']}")
        return found


@dataclass(frozen=True)
class _Skipped:
    """No comparison, and why."""

    parity: str
    evaluation: None = None

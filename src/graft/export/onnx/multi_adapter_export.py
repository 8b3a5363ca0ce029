"""Building a base with LoRA slots and its adapters, and adding adapters to such a bundle."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from graft.config import DataSettings, GenerateAdapterSettings
from graft.data.chat_template import Renderer
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError
from graft.export import bundle
from graft.export.adapter_placement import adapter_entry, save_base, trained_in_int4
from graft.export.bundle_task import bundle_tokenizer
from graft.export.cached_predictions import criteria_of_run, recorded_evaluation
from graft.export.calibration_rows import calibration_rows
from graft.export.onnx.adapter_prompt import add_ends, end_ids, template_of, with_template
from graft.export.onnx.export_builder import ExportBuilder, SourceModel, Variant
from graft.export.onnx.genai_export import check_of_evaluation
from graft.export.onnx.genai_folder import finish_tokenizer, size_mb, weights_sha256
from graft.export.onnx.genai_readme import ShownPrompt, write_readme
from graft.export.onnx.graph import in_graph, node_of
from graft.export.onnx.lora_adapter import (
    LoraAdapter,
    adapter_folder,
    adapter_path,
    check_shapes,
    open_adapters,
    write_adapter,
)
from graft.export.onnx.lora_check import check_matrices
from graft.export.onnx.lora_slots import LinearShape, add_slots, linear_shapes, slot_options
from graft.export.onnx.model_builder import versions
from graft.export.onnx.parity_check import ParityCheck, reference_answers
from graft.export.prompt_record import stop_texts
from graft.export.source import ExportSource
from graft.export.target import Built
from graft.inference.cached import CachedPredictor
from graft.inference.torch import TorchPredictor
from graft.methods.adapter_folder import load_adapter
from graft.models.base import Base, load_model
from graft.progress import Reporter
from graft.runs.folder import RunFolder
from graft.runs.manifest import BundleManifest
from graft.runs.prompt_record import PromptRecord
from graft.tasks.evaluation_rows import load_evaluation_rows
from graft.tasks.open import CHAT_TEMPLATE, run_template

NOT_COMPARED = "not compared: the adapter has no run with held-out rows, or --skip_parity was given"


def check_against_base(base: Base, adapters: Sequence[LoraAdapter]) -> None:
    """Check the names and shapes of ``adapters`` against the weights of ``base``, before anything is built.

    Raises:
        InputError: If one does not fit.
    """
    from safetensors import safe_open

    shapes: dict[str, LinearShape] = {}
    for file in base.path.glob("*.safetensors"):
        with safe_open(file, framework="np") as stream:
            for name in stream.keys():  # noqa: SIM118  (not a mapping)
                dims = stream.get_slice(name).get_shape()
                parts = in_graph(name.removesuffix(".weight"))
                if len(dims) == 2:
                    if name.endswith("embed_tokens.weight") and base.text_config.get("tie_word_embeddings"):
                        shapes.setdefault(node_of("lm_head"), LinearShape(dims[1], dims[0]))
                    shapes |= {node_of(part): LinearShape(dims[1], dims[0] // len(parts)) for part in parts}
    for adapter in adapters:
        check_shapes(adapter, shapes)


class _Calibrated(NamedTuple):
    """The base with the adapters that have calibration rows, and their rows by the name they have in it."""

    model: Any
    rows: dict[str, Sequence[TokenizedExample]]


@dataclass
class MultiAdapterExport:
    """One export.

    Attributes:
        source: The base, and its adapters by name.
        options: How to export them.
        folder: The folder to fill, or the bundle to add to.
        reporter: Shows notes and progress.
        listed: The manifest's entry of each adapter that is in the bundle.
    """

    source: ExportSource
    options: GenerateAdapterSettings
    folder: Path
    reporter: Reporter
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)

    @cached_property
    def adapters(self) -> list[LoraAdapter]:
        """The source's adapters as matrices, opened once.

        Raises:
            InputError: With everything that is wrong with any of them.
        """
        return open_adapters(self.source.adapters, self.source.base)

    def run(self) -> Built:
        """Build the base, then add every adapter."""
        variant, slots = self._build_base()
        entries = {
            "rounding": variant.rounding if variant.precision == "int4" else None,
            "provider": "CPUExecutionProvider",
            "sha256": weights_sha256(self.folder),
            "slots": slots,
            "versions": versions(),
        }
        return self.add(slots, entries, variant.precision)

    def add(self, slots: Sequence[str], entries: Mapping[str, Any], precision: str | None) -> Built:
        """Write an adapter file each, compare each with PyTorch, and write the README.

        Args:
            slots: The modules that have a slot.
            entries: The manifest entries of the base.
            precision: The number format of the base in the bundle.

        Raises:
            InputError: If an adapter does not fit the slots; nothing is written then.
        """
        shapes = linear_shapes(self.folder)
        for adapter in self.adapters:
            check_shapes(adapter, shapes, slots)
        for adapter in self.adapters:
            write_adapter(adapter, adapter_path(self.folder, adapter.name))
            tokenizer = self.tokenizer_of(adapter)
            self.listed[adapter.name] = adapter_entry(adapter, self.folder, self.source.base, tokenizer)
            add_ends(self.folder, self._ends(tokenizer))
        # The adapters are found by the manifest, also by the process that answers for the comparison.
        bundle.write_manifest(self.folder, status="running", adapters=self.listed)
        for adapter in self.adapters:
            self.listed[adapter.name]["parity"] = self._compared(adapter, precision) or NOT_COMPARED
        parity = self._parity()
        self._write_readme()
        command = f"graft chat {{folder}} --adapter {next(iter(self.listed))}"
        return Built(parity, size_mb(self.folder), {**entries, "adapters": self.listed}, run_command=command)

    def tokenizer_of(self, adapter: LoraAdapter) -> Any:
        """The tokenizer with the chat template of ``adapter``: as given, else that of its run or its folder."""
        return with_template(self.source.tokenizer, self._template_of(adapter))

    def _template_of(self, adapter: LoraAdapter) -> str | None:
        if self.options.chat_template is not None:
            return None
        if adapter.run is not None:
            return run_template(adapter.run, self.source.base)
        file = adapter.path / CHAT_TEMPLATE
        return file.read_text(encoding="utf-8") if file.is_file() else self._bundle_tokenizer.chat_template

    def _ends(self, tokenizer: Any) -> set[int]:
        return end_ids(self.folder, PromptRecord(stop=stop_texts(self.source.base, tokenizer)), tokenizer)

    def _build_base(self) -> tuple[Variant, list[str]]:
        """The base in the folder, with a slot for each module that an adapter has; how it was built, and the slots."""
        tokenizer, work = self.source.tokenizer, self.folder / ".work"
        model = save_base(self.source.base, tokenizer, work / "base")
        ends = TorchPredictor("", model, tokenizer, Renderer(tokenizer)).ends()
        slots = sorted({module for adapter in self.adapters for module in adapter.matrices})
        self.reporter.note(f"building the base in {self.options.precision} with {len(slots)} slots")
        if any(self._trained) and not all(self._trained):
            self._note_mixed()
        calibrated = self._with_adapters(model)
        source = SourceModel(work / "base", calibrated.model)
        builder = ExportBuilder(lambda placement: source, "cpu", calibrated.rows, self.reporter, slot_options(slots))
        variant = Variant(str(self.options.precision), self._rounding(bool(calibrated.rows)))
        builder.make(variant, work / "made")
        add_slots(work / "made", slots)
        finish_tokenizer(work / "made", tokenizer, ends, share_buffer=False)
        for file in sorted((work / "made").iterdir()):
            file.replace(self.folder / file.name)
        shutil.rmtree(work)
        return variant, slots

    @property
    def _trained(self) -> list[bool]:
        """Of each adapter, whether it was trained over the int4 weights that ship."""
        return [trained_in_int4(adapter.path) for adapter in self.adapters]

    def _with_adapters(self, model: Any) -> _Calibrated:
        """Load the adapters that have calibration rows into ``model``."""
        from peft import PeftModel

        rows: dict[str, Sequence[TokenizedExample]] = {}
        adapted: Any = model
        for number, adapter in enumerate(self.adapters):
            found = calibration_rows(adapter.run, self.tokenizer_of(adapter)) if adapter.run is not None else []
            if not found:
                continue
            name = f"adapter_{number}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PEFT warns of misfits, which check_shapes has refused
                if rows:
                    adapted.load_adapter(str(adapter.path), name)
                else:
                    adapted = PeftModel.from_pretrained(model, str(adapter.path), adapter_name=name)
            rows[name] = found
        return _Calibrated(adapted, rows)

    def _note_mixed(self) -> None:
        """Say whose weights are rounded for the sake of others."""
        names = [(adapter.name, trained) for adapter, trained in zip(self.adapters, self._trained, strict=True)]
        of_int4, of_float = ([name for name, trained in names if trained is kind] for kind in (True, False))
        self.reporter.note(
            f"the base is rounded to nearest, as {', '.join(of_int4)} was trained on; {', '.join(of_float)} was "
            "trained on its weights in floating point, and the comparison shows what that costs"
        )

    def _rounding(self, has_rows: bool) -> str:
        """As trained, if an adapter was trained over the int4 weights that ship; the others are compared over them."""
        if any(self._trained):
            return "trained"
        return "gptq" if has_rows else "k_quant"

    def _compared(self, adapter: LoraAdapter, precision: str | None) -> dict[str, Any] | None:
        """The parity document of ``adapter``; None if it is not compared."""
        if self.options.skip_parity or adapter.run is None:
            return None
        run, tokenizer, count = RunFolder.open(adapter.run), self.tokenizer_of(adapter), self.options.parity_rows
        model = load_adapter(load_model(self.source.base), adapter.path)
        check_matrices(model, adapter)
        known = recorded_evaluation(run, tokenizer, self.source.base.trust_remote_code)
        if known is not None:
            check = check_of_evaluation(known, model, tokenizer, count, self.reporter)
        else:
            check = self._check(run, model, tokenizer)
        exact, allowed = precision == "float32", self.options.max_accuracy_drop
        return check.compare(self.folder, adapter.name, allowed, self.reporter, adapter.name, exact=exact)

    def _check(self, run: RunFolder, model: Any, tokenizer: Any) -> ParityCheck:
        rows = load_evaluation_rows(run, None, DataSettings()).first(self.options.parity_rows)
        tuned = TorchPredictor("pytorch", model, tokenizer, Renderer(tokenizer))
        criteria = criteria_of_run(run, rows, self.source.base.trust_remote_code)
        ends, limit = tuned.ends(), criteria.max_new_tokens
        answers = reference_answers(model, tokenizer, rows.examples, ends, self.reporter, limit)
        return ParityCheck(rows, tokenizer, [CachedPredictor(tuned)], answers, criteria)

    def _parity(self) -> dict[str, Any] | str:
        """All adapters together: those of this export in the reason, those that were there before in ``passed``."""
        compared = {name: entry["parity"] for name, entry in self.listed.items() if isinstance(entry["parity"], dict)}
        if not compared:
            return NOT_COMPARED
        failed = {name: one["reason"] for name, one in compared.items() if not one["passed"]}
        said = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        return {"passed": not failed, "reason": said or f"{len(compared)} adapters give the same answers as in PyTorch"}

    def _write_readme(self) -> None:
        base = self.source.base
        lines = [f"base: {base.label}, {size_mb(self.folder)} MB; license: {base.license or 'unknown'}"]
        for name, entry in self.listed.items():
            parity = entry["parity"]
            said = parity["reason"] if isinstance(parity, dict) else parity
            lines.append(f"adapter {name}: {entry['size_mb']} MB, rank {', '.join(map(str, entry['ranks']))}; {said}")
        title = f"{base.label} with {len(self.listed)} adapters"
        shown = {name: self._shown(entry) for name, entry in self.listed.items()}
        first = next(iter(shown))
        write_readme(self.folder, title, lines, shown.pop(first), first, shown)

    def _shown(self, entry: Mapping[str, Any]) -> ShownPrompt:
        """How the README asks an adapter."""
        prompt = entry.get("prompt")
        record = prompt if isinstance(prompt, PromptRecord) or prompt is None else PromptRecord.model_validate(prompt)
        tokenizer = with_template(self._bundle_tokenizer, template_of(self.folder, record))
        return ShownPrompt.of(record, tokenizer, entry["parity"])

    @cached_property
    def _bundle_tokenizer(self) -> Any:
        """The tokenizer in the bundle, with its chat template; one that adapters are added to can have another."""
        return bundle_tokenizer(self.folder)


def check_names(folder: Path, manifest: BundleManifest, added: Mapping[str, Path], overwrite: bool) -> None:
    """Check that a bundle takes adapters of these names.

    Raises:
        InputError: If ``folder`` has no slots, or already has an adapter of one of the names.
    """
    if manifest.slots is None:
        raise InputError(
            "this bundle does not support hot-swappable adapters",
            where=str(folder),
            remedy="give a bundle that graft generate-adapter built",
        )
    taken = sorted(set(added) & set(manifest.adapters))
    if taken and not overwrite:
        raise InputError(
            f"the bundle already has an adapter {taken[0]!r}",
            where=str(folder),
            remedy="pass --overwrite to replace it",
        )


def check_trained(folder: Path, manifest: BundleManifest, added: Mapping[str, Path]) -> None:
    """Check that the bundle has the weights that the adapters were trained over.

    Raises:
        InputError: If one of ``added`` was trained over int4 weights that the bundle in ``folder`` does not have.
    """
    trained = [name for name, path in added.items() if trained_in_int4(adapter_folder(path))]
    if trained and manifest.rounding != "trained":
        raise InputError(
            f"a qlora adapter matches only the int4 weights that it was trained on, which this bundle does not have: "
            f"{', '.join(trained)}",
            where=str(folder),
            remedy="build the bundle again with all adapters: graft generate-adapter --adapter_paths …",
        )

"""Building, comparing and choosing the candidates of a generative model for onnxruntime-genai."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from graft.config import ExportSettings, OnnxGenaiConfig
from graft.data.chat_template import Renderer
from graft.data.sources import sha256_of
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.rows import EvaluationRows
from graft.export import bundle
from graft.export.adapter_placement import (
    SourceModels,
    adapter_entry,
    placement_entry,
    placements,
    slot_name,
    trained_in_int4,
)
from graft.export.added_evaluation import add_to_report
from graft.export.cached_predictions import RecordedEvaluation, criteria_of_run, recorded_evaluation
from graft.export.calibration_rows import calibration_rows
from graft.export.candidates import Candidate, Search, choose, same_weights
from graft.export.merge import load_judged, merge_entry, merge_judged
from graft.export.onnx.execution_providers import choose_provider, runs_here
from graft.export.onnx.export_builder import HOT_SWAPPABLE, MERGED, UNMERGED, ExportBuilder, Variant
from graft.export.onnx.genai_folder import finish_tokenizer, size_mb, weights_sha256
from graft.export.onnx.genai_readme import ShownPrompt, write_readme
from graft.export.onnx.lora_check import check_matrices
from graft.export.onnx.model_builder import versions
from graft.export.onnx.parity_check import ParityCheck, is_exact, reference_answers
from graft.export.onnx.worker import OnnxWorker
from graft.export.parity_rows import load_parity_rows
from graft.export.prompt_record import prompt_record
from graft.export.source import ExportSource
from graft.export.target import Built
from graft.inference.cached import CachedPredictor
from graft.inference.torch import TorchPredictor
from graft.models.base import load_model, untuned_if_here
from graft.progress import Reporter
from graft.runs.folder import RunFolder
from graft.runs.manifest import read_bundle

SPEED_TOKENS = 64
SPEED_PROMPT = "The way to the sea"
IN_WORDS = {MERGED: "merged", UNMERGED: "unmerged in the graph", HOT_SWAPPABLE: "hot-swappable"}


class _Prepared(NamedTuple):
    """What candidates are built from and compared with.

    Attributes:
        models: The model to build from, for each placement of its adapter.
        ends: The tokens that end an answer.
        check: The comparison with the model that was judged; None if it is not wanted or not possible here.
        merge_entry: What the manifest records of the merge.
    """

    models: SourceModels
    ends: set[int]
    check: ParityCheck | None
    merge_entry: dict[str, float]


@dataclass
class GenaiExport:
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
    config: OnnxGenaiConfig
    folder: Path
    reporter: Reporter

    def run(self) -> Built:
        """Build the candidates, choose one, and move its files to the folder."""
        weights = self.source.base.path.glob("*.safetensors")
        bundle.check_disk_space(self.folder, 3 * sum(file.stat().st_size for file in weights))
        prepared = self._prepared()
        candidates = self._candidates(prepared)
        chosen = choose(candidates, self.config)
        for file in sorted(chosen.folder.iterdir()):
            file.replace(self.folder / file.name)
        shutil.rmtree(self._work)
        built = self._built(chosen, candidates, prepared.merge_entry)
        lines, adapter = self._summary(chosen, built)
        shown = ShownPrompt.of(prompt_record(self.source), self.source.tokenizer, chosen.parity)
        write_readme(self.folder, f"{self.source.name}, {chosen.variant.precision} ONNX", lines, shown, adapter)
        if chosen.evaluation is not None and self.source.run is not None and self.options.data_files is None:
            add_to_report(self.source.run, chosen.evaluation, self.reporter)
        return built

    @property
    def _work(self) -> Path:
        return self.folder / ".work"

    @cached_property
    def _provider(self) -> Any:
        return choose_provider(self.options.device, self.options.provider)

    @cached_property
    def _runs_here(self) -> bool:
        return runs_here(self._provider)

    # ---- what the candidates are compared with, and built from

    def _prepared(self) -> _Prepared:
        """Ask the model that was judged, which is not merged, and then merge it where that is needed."""
        rows, known = self._rows()
        self.reporter.note(f"loading {self.source.name}")
        wanted = rows is not None and self._own is not None
        before = untuned_if_here(self.source.opened, self.reporter) if wanted else None
        base = self._answers("base", load_model(before), rows) if before is not None and rows is not None else None
        model = load_judged(self.source)
        check = None
        if known is not None:
            self.reporter.note(
                f"reusing PyTorch's answers to {len(known.rows.examples)} rows from the run's evaluation"
            )
            tokenizer, count = self.source.tokenizer, self.options.parity_rows
            check = check_of_evaluation(known, model, tokenizer, count, self.reporter)
        elif rows is not None:
            check = self._check(model, rows, base)
        ends = self._torch("", model).ends()
        models = SourceModels(self.source.opened, self.source.tokenizer, self._work)
        if self._placements != [MERGED]:
            check_matrices(model, models.adapter)
        if MERGED in self._placements:
            models.merged = merge_judged(model, self.source, self._work / "merged")
        return _Prepared(models, ends, check, merge_entry(models.merged))

    def _rows(self) -> tuple[EvaluationRows | None, RecordedEvaluation | None]:
        """The rows to compare on, or the run's evaluation, which has them with their answers.

        Both are None if the comparison is not wanted or not possible here.
        """
        if self.options.skip_parity or not self._runs_here:
            return None, None
        run, trusted = self._own, self.source.base.trust_remote_code
        known = recorded_evaluation(run, self.source.tokenizer, trusted) if run is not None else None
        if known is not None:
            return None, known
        return load_parity_rows(self.source, self.options.data_files, self.options.parity_rows), None

    @property
    def _own(self) -> RunFolder | None:
        """The run, if its own rows are compared on."""
        return self.source.run if self.options.data_files is None else None

    @property
    def _placements(self) -> list[str]:
        return placements(self.config, str(self.options.precision), self.source.opened)

    def _check(self, model: Any, rows: EvaluationRows, base: CachedPredictor | None) -> ParityCheck:
        tuned = self._answers("tuned" if base else "model", model, rows)
        ends = self._torch("", model).ends()
        criteria, tokenizer = self._criteria(rows), self.source.tokenizer
        limit = criteria.max_new_tokens
        answers = reference_answers(model, tokenizer, rows.examples, ends, self.reporter, limit)
        return ParityCheck(rows, tokenizer, [*([base] if base else []), tuned], answers, criteria)

    def _criteria(self, rows: EvaluationRows) -> Criteria:
        return criteria_of_run(self._own, rows, self.source.base.trust_remote_code)

    def _answers(self, name: str, model: Any, rows: EvaluationRows) -> CachedPredictor:
        """What the evaluation asks, asked of ``model``, which can be merged or leave memory then."""
        found = CachedPredictor(self._torch(name, model))
        evaluate([found], rows, self._criteria(rows), self.reporter)
        found.release_model()
        return found

    def _torch(self, name: str, model: Any) -> TorchPredictor:
        return TorchPredictor(name, model, self.source.tokenizer, Renderer(self.source.tokenizer))

    # ---- the candidates

    def _candidates(self, prepared: _Prepared) -> list[Candidate]:
        """Build variants until one passes; with ``--precision auto`` all of them."""
        models, tokenizer = prepared.models, self.source.tokenizer
        rows = calibration_rows(self.source.opened.run, tokenizer)
        builder = ExportBuilder(models, self._provider.builder, {"": rows}, self.reporter)
        search = self._search(bool(rows))
        candidates: list[Candidate] = []
        for variant in search.variants():
            begins_weights = variant.placement == search.placements[0]
            if self.options.precision != "auto" and begins_weights and any(one.passed for one in candidates):
                break
            self.reporter.note(f"building {variant.label}")
            made = self._work / f"made-{len(candidates)}"
            builder.make(variant, made)
            swappable = variant.placement == HOT_SWAPPABLE
            finish_tokenizer(made, tokenizer, prepared.ends, share_buffer=not swappable)
            if swappable:
                _describe_slots(made, models)
            candidates.append(self._measured(variant, made, prepared.check, models.adapter.name if swappable else None))
        return candidates

    def _search(self, has_rows: bool) -> Search:
        return Search(
            str(self.options.precision),
            self.config.rounding,
            has_rows,
            self._runs_here,
            self._placements,
            trained_in_int4(self.source.adapter),
        )

    def _measured(self, variant: Variant, made: Path, check: ParityCheck | None, adapter: str | None) -> Candidate:
        speed: dict[str, float] = {}
        if self._runs_here:
            with OnnxWorker(made, adapter) as worker:
                prompt = check.reference.prompts[0] if check else self.source.tokenizer(SPEED_PROMPT)["input_ids"]
                speed = worker.speed(prompt, SPEED_TOKENS)
        name = f"onnx {variant.precision}"
        parity, evaluation = None, None
        if check is not None:
            exact = is_exact(variant.precision, self._provider.name)
            parity = check.compare(made, name, self.options.max_accuracy_drop, self.reporter, adapter, exact=exact)
            evaluation = check.evaluations[name]
        found = Candidate(variant, made, size_mb(made), speed, parity, evaluation)
        self.reporter.note(f"{variant.label}: {found.size_mb} MB" + (f", {parity['reason']}" if parity else ""))
        return found

    # ---- what is written of the chosen one

    def _built(self, chosen: Candidate, candidates: Sequence[Candidate], merge: dict[str, float]) -> Built:
        variant = chosen.variant
        parity: dict[str, Any] | str = self._not_compared if chosen.parity is None else chosen.parity
        known = read_bundle(self.folder).adapters if variant.placement == HOT_SWAPPABLE else {}
        listed = {name: {**entry.document(), "parity": parity} for name, entry in known.items()}
        entries = {
            "adapter": self._adapter_entry(chosen, candidates),
            "rounding": variant.rounding if variant.precision == "int4" else None,
            "device": self.options.device,
            "provider": self._provider.name,
            "run_here": self._runs_here,
            "sha256": weights_sha256(self.folder),
            "speed": chosen.speed,
            **({"adapters": listed} if listed else {}),
            **(merge if variant.placement == MERGED else {}),
            "candidates": [one.as_entry() for one in candidates],
            "versions": versions(),
        }
        return Built(parity, chosen.size_mb, entries, variant.precision)

    @property
    def _not_compared(self) -> str:
        if not self._runs_here:
            return f"not run here: this machine has no {self._provider.name}"
        return "skipped (--skip_parity)"

    def _adapter_entry(self, chosen: Candidate, candidates: Sequence[Candidate]) -> dict[str, Any] | None:
        if self.source.adapter is None:
            return None
        variant = chosen.variant
        same = [one for one in candidates if same_weights(one.variant, variant)]
        return {
            "name": self.source.name,
            "sha256": sha256_of(self.source.adapter / "adapter_model.safetensors"),
            **placement_entry(
                {one.variant.placement: one.tokens_per_second for one in same},
                variant.placement,
                self.config.adapter,
                trained_in_int4(self.source.adapter) and variant.precision == "int4",
            ),
        }

    def _summary(self, chosen: Candidate, built: Built) -> tuple[list[str], str | None]:
        """The lines of the README, and the adapter that its code activates."""
        source, variant, parity = self.source, chosen.variant, chosen.parity
        adapter = f", with the adapter {source.name} {IN_WORDS[variant.placement]}" if source.adapter else ""
        lines = [
            f"model: {source.base.label}{adapter}",
            f"weights: {variant.label}, {chosen.size_mb} MB; license of the base: {source.base.license or 'unknown'}",
            f"for: {self._provider.name}",
            f"compared with PyTorch: {built.reason}",
        ]
        if parity and parity["token_ids_identical"][0] < parity["token_ids_identical"][1]:
            same, of = parity["token_ids_identical"]
            lines.append(
                f"onnxruntime-genai tokenizes {of - same} of {of} prompts differently from the model's own tokenizer, "
                "so the code below takes the tokens from `tokenizers`"
            )
        return lines, slot_name(source.opened) if variant.placement == HOT_SWAPPABLE else None


def check_of_evaluation(
    known: RecordedEvaluation, model: Any, tokenizer: Any, count: int, reporter: Reporter
) -> ParityCheck:
    """A check on the first ``count`` rows of a run's evaluation; ``model`` is asked only for tokens and logits."""
    rows, limit = known.rows.first(count), known.max_new_tokens
    ends = TorchPredictor("", model, tokenizer, Renderer(tokenizer)).ends()
    answers = reference_answers(model, tokenizer, rows.examples, ends, reporter, limit)
    return ParityCheck(rows, tokenizer, list(known.predictors), answers, known.criteria)


def _describe_slots(made: Path, models: SourceModels) -> None:
    """Record the adapter by name, which answers when none is named."""
    adapter = models.adapter
    bundle.write_manifest(
        made,
        slots=sorted(adapter.matrices),
        adapters={adapter.name: adapter_entry(adapter, made, models.opened.base, models.tokenizer)},
        default_adapter=adapter.name,
    )

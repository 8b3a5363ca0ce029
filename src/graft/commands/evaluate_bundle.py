"""``graft evaluate BUNDLE``: each adapter is asked as its own record says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.commands.evaluation import OwnFormPredictor, evaluated, note_other_kind
from graft.commands.open_predictors import BASE, adapters_of, default_metrics_of, open_bundle
from graft.config import DataSettings, EvaluationSettings, ModelSettings
from graft.errors import InputError, did_you_mean
from graft.evaluation.compare import Evaluation
from graft.evaluation.rows import EvaluationRows
from graft.export.made_from import no_rows, run_of_bundle
from graft.inference.predictor import Predictor
from graft.progress import Reporter
from graft.runs.manifest import BundleManifest, read_bundle
from graft.runs.prompt_record import PromptRecord
from graft.runs.trust import refuse_code
from graft.tasks.evaluation_rows import load_evaluation_rows
from graft.tasks.select import get_task


@dataclass
class BundleEvaluation:
    """One evaluation of a bundle.

    Attributes:
        folder: The bundle.
        adapter: The adapter to evaluate, by name; None for all.
        files: The data files as an argument; None for those of ``data``.
        model: How models are opened.
        data: The data settings that the user gave; they win over those of the record.
        evaluation: The metrics and how to compute them.
        reporter: Shows notes and progress.
    """

    folder: Path
    adapter: str | None
    files: Any
    model: ModelSettings
    data: DataSettings
    evaluation: EvaluationSettings
    reporter: Reporter

    def run(self) -> dict[str, Evaluation]:
        """Evaluate the adapters together that have the same references, and those of other tasks on their own.

        Returns:
            Evaluations by the names of their adapters.

        Raises:
            InputError: If there is no such adapter, or there are no rows.
        """
        manifest = read_bundle(self.folder)
        asked = self._asked()
        rows = {name: self.rows(manifest, name) for name in asked}
        groups = comparable(rows)
        if len(groups) > 1:
            self.reporter.note(
                "the adapters have different tasks: each is evaluated on its own; --adapter NAME evaluates one"
            )
        return {_named(group): self._evaluated(manifest, group, rows) for group in groups}

    def _asked(self) -> list[str | None]:
        """The adapters to evaluate; [None] for a bundle that has none."""
        listed = adapters_of(self.folder)
        if self.adapter is None:
            return [name for name in listed if name != BASE] or listed
        if self.adapter not in listed:
            names = [name for name in listed if name is not None]
            said = f"it has {', '.join(names)}" if names else "it has none"
            what = f"this bundle has no adapter {self.adapter!r}; {said}"
            raise InputError(what, where=str(self.folder), remedy=did_you_mean(self.adapter, names))
        return [self.adapter]

    def rows(self, manifest: BundleManifest, name: str | None) -> EvaluationRows:
        """Read the rows in the form in which ``name`` is asked.

        Raises:
            InputError: If there are none, or they cannot be read.
        """
        prompt = manifest.prompt_of(name) or PromptRecord()
        where, trusted, by = str(self.folder), self.model.trust_remote_code, self.evaluation.by
        refuse_code(manifest.task, where, trusted, what="a task")
        task = get_task(manifest.task) if manifest.task is not None else None
        run = None
        if self.files is None and self.data.data_files is None and self.data.data_name is None:
            adapter = name if name in manifest.adapters else None
            run = run_of_bundle(self.folder, manifest, adapter)
            if run is None:
                raise no_rows(self.folder, manifest, adapter)
        rows = load_evaluation_rows(
            run, self.files, self.data, task, token=self.model.token, prompt=prompt, trusted=trusted, where=where, by=by
        )
        note_other_kind(rows, prompt, name or "the model", self.reporter)
        return rows

    def _evaluated(
        self, manifest: BundleManifest, group: Sequence[str | None], rows: Mapping[str | None, EvaluationRows]
    ) -> Evaluation:
        """Compare the adapters of ``group`` with the base on rows with the same references."""
        shown = rows[group[0]].sampled(self.data.max_eval_samples)
        own = {name: rows[name].rows_of(shown) for name in group}
        forms = _forms(own, {name: manifest.prompt_of(name) or PromptRecord() for name in group})
        opened = self.opened(group, bool(manifest.adapters))
        predictors: dict[str, Predictor] = {}
        pairs: list[tuple[str, str]] = []
        for names in forms if BASE in opened else ():
            base = BASE if len(forms) == 1 else f"{BASE} as {names[0]}"
            asked = _asked_as(opened[BASE], self.folder, names[0])
            predictors[base] = OwnFormPredictor(asked, base, shown.examples, own[names[0]].examples)
            pairs += [(base, str(name)) for name in names if name != BASE]
        for name in group:
            if name != BASE:
                one = opened[name or "model"]
                predictors[name or one.name] = OwnFormPredictor(
                    one, name or one.name, shown.examples, own[name].examples
                )
        limits = [prompt.max_new_tokens or 0 for name in group if (prompt := manifest.prompt_of(name))]
        default = default_metrics_of(self.folder)
        limit = max(limits, default=0) or None
        return evaluated(predictors, shown, self.evaluation, self.reporter, default, pairs or None, limit)

    def opened(self, group: Sequence[str | None], with_base: bool = False) -> dict[str, Predictor]:
        names = [*([BASE] if with_base and BASE not in group else []), *group]
        return open_bundle(self.folder, names, self.model.trust_remote_code)


def comparable(rows: Mapping[str | None, EvaluationRows]) -> list[list[str | None]]:
    """Return the names in groups that have the same references and labels, row by row."""
    groups: list[list[str | None]] = []
    for name, own in rows.items():
        for group in groups:
            if _alike(rows[group[0]], own):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def _alike(one: EvaluationRows, other: EvaluationRows) -> bool:
    places = [[example.origin for example in rows.examples] for rows in (one, other)]
    labels = [set(rows.labels or ()) for rows in (one, other)]
    return places[0] == places[1] and one.references == other.references and labels[0] == labels[1]


def _forms(
    rows: Mapping[str | None, EvaluationRows], prompts: Mapping[str | None, PromptRecord]
) -> list[list[str | None]]:
    """Return the names in groups that read the same: equal examples by the same chat template."""
    groups: list[list[str | None]] = []
    for name, own in rows.items():
        template = prompts[name].chat_template_sha256
        for group in groups:
            if rows[group[0]].examples == own.examples and prompts[group[0]].chat_template_sha256 == template:
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def _asked_as(base: Predictor, folder: Path, adapter: str | None) -> Predictor:
    """The base with the chat template of an adapter, where its bundle has several."""
    asked_as = getattr(base, "asked_as", None)
    return base if asked_as is None or adapter in (None, BASE) else asked_as(folder, adapter)


def _named(group: Sequence[str | None]) -> str:
    return ", ".join(name or "model" for name in group)

"""The answers that are judged: those of predictions.jsonl, or generated for the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from graft.commands.endpoint_rows import as_prompts, text_of_messages
from graft.commands.evaluate_bundle import BundleEvaluation
from graft.commands.open_predictors import BASE, TUNED, open_model_by_name
from graft.commands.served import check_body, endpoint_of, say_what_is_sent
from graft.config import DataSettings, EvaluationSettings, ModelSettings, RateSettings
from graft.data.example import Example
from graft.errors import InputError, did_you_mean
from graft.evaluation.human.items import AnsweredRow, choose_items, draw
from graft.evaluation.predict import default_max_new_tokens
from graft.evaluation.rows import EvaluationRows
from graft.inference.endpoint import EndpointPredictor
from graft.inference.kept_answers import KeptAnswers
from graft.inference.predictor import Predictor
from graft.inference.server_url import ServerUrl, is_url
from graft.progress import Reporter
from graft.runs.evaluation_document import PredictionRecord, read_evaluation, read_predictions
from graft.runs.folder import RunFolder
from graft.runs.judgment_record import ItemRecord, RatingRecord
from graft.runs.kind import FolderKind, folder_kind, is_bundle
from graft.runs.manifest import read_bundle
from graft.tasks.evaluation_rows import load_evaluation_rows

REFERENCE = "reference"
Generate = Callable[[Sequence[Example]], list[str]]


@dataclass(frozen=True)
class Answers:
    """Rows with the answers of all models.

    Attributes:
        models: The models' names.
        rows: The rows that all of them have answered.
        recorded: By row: what predictions.jsonl has of it, by model.
    """

    models: tuple[str, ...]
    rows: Sequence[AnsweredRow]
    recorded: Mapping[str, Mapping[str, str]]

    def still_holds(self, item: ItemRecord) -> bool:
        """Whether the models whose answers are recorded still give the answers of an item."""
        now = self.recorded.get(item.row, {})
        return all(
            now.get(name, text) == text for name, text in zip((item.first, item.second), item.answers, strict=True)
        )


def recorded_models(predictions: Sequence[PredictionRecord]) -> Answers:
    """Return what predictions.jsonl has: by model its answer, or where none was written its label; and references."""
    rows = [
        AnsweredRow(
            line.origin, line.prompt, line.reference, {**line.labels, **line.answers, REFERENCE: line.reference}
        )
        for line in predictions
    ]
    everywhere = set.intersection(*(set(row.answers) for row in rows)) if rows else set()
    models = tuple(name for name in rows[0].answers if name in everywhere) if rows else ()
    return Answers(models, rows, {row.row: row.answers for row in rows})


def answered_rows(
    folder: RunFolder,
    compare: Sequence[str] | None,
    settings: RateSettings,
    known: RatingRecord | None,
    reporter: Reporter,
) -> Answers:
    """Return rows with the answers of the models to compare; as many rows as are needed are answered.

    Args:
        folder: The run or the evaluation.
        compare: What the user named; None for base and tuned.
        settings: The settings.
        known: What was judged before, whose generated answers are used again.
        reporter: Shows the progress.

    Raises:
        InputError: If a model is unknown, or its answers cannot be generated.
    """
    recorded = recorded_models(read_predictions(folder.path))
    names = _names(compare, recorded, folder)
    models = tuple(names)
    if set(names.values()) == {None}:
        rows = [_only(row, models) for row in recorded.rows]
        return Answers(models, rows, recorded.recorded)
    held_out = _held_out(folder)
    rows = list(recorded.rows) or [
        AnsweredRow(str(one.origin), one.prompt_text, one.reference, {REFERENCE: one.reference})
        for one in held_out.examples
    ]
    examples = {str(example.origin): example for example in held_out.examples}
    rows = sorted(
        (row for row in rows if row.row in examples), key=lambda r: draw(settings.seed, "row", r.row, r.prompt)
    )
    if not rows:
        what = "predictions.jsonl is of other rows than the run's held-out ones, which other models are asked for"
        raise InputError(what, where=str(folder.path), remedy=f"graft evaluate {folder.path}, which judges those")
    generators = {
        name: _generator(name, typed, folder, held_out, settings, reporter)
        for name, typed in names.items()
        if typed is not None
    }
    found: list[AnsweredRow] = []
    before = _answers_before(known)
    while len(found) < len(rows) and len(choose_items(found, models, settings.rows, settings.seed)[0]) < settings.rows:
        part = rows[len(found) : len(found) + settings.rows]
        found += _answered(part, examples, generators, before, models)
    return Answers(models, found, recorded.recorded)


def _only(row: AnsweredRow, models: Sequence[str]) -> AnsweredRow:
    return AnsweredRow(row.row, row.prompt, row.reference, {name: row.answers[name] for name in models})


def _answers_before(known: RatingRecord | None) -> dict[tuple[str, str], str]:
    """Generated answers by row and model."""
    items = known.items if known is not None else ()
    return {
        (item.row, name): text
        for item in items
        for name, text in zip((item.first, item.second), item.answers, strict=True)
    }


def _answered(
    rows: Sequence[AnsweredRow],
    examples: Mapping[str, Example],
    generators: Mapping[str, Generate],
    before: Mapping[tuple[str, str], str],
    models: Sequence[str],
) -> list[AnsweredRow]:
    """The rows with all answers, of which those that are missing are generated."""
    made: dict[str, dict[str, str]] = {row.row: dict(row.answers) for row in rows}
    for name, generate in generators.items():
        for row in rows:
            if (row.row, name) in before:
                made[row.row][name] = before[row.row, name]
        waiting = [row.row for row in rows if name not in made[row.row]]
        if waiting:
            for place, text in zip(waiting, generate([examples[place] for place in waiting]), strict=True):
                made[place][name] = text
    return [_only(AnsweredRow(row.row, row.prompt, row.reference, made[row.row]), models) for row in rows]


def _names(compare: Sequence[str] | None, recorded: Answers, folder: RunFolder) -> dict[str, str | None]:
    """By the name of each model what was typed for one that must be asked; None for recorded answers.

    Raises:
        InputError: If there are fewer than two, or a name is unknown or there twice.
    """
    is_run = folder_kind(folder.path) is FolderKind.RUN
    asked = tuple(compare or (BASE, TUNED))
    found: dict[str, str | None] = {}
    for typed in asked:
        if typed in recorded.models:
            name, source = typed, None
        elif typed in (BASE, TUNED) and is_run:
            name, source = typed, typed
        elif typed == REFERENCE and is_run:
            name, source = typed, None
        elif is_url(typed) or Path(typed).expanduser().exists():
            name, source = PurePath(typed.rstrip("/").replace("\\", "/")).name, typed
            name = f"{name} (server)" if is_url(typed) else name
        else:
            near = did_you_mean(typed, recorded.models)
            there = ", ".join(recorded.models) or "none"
            what = f"there is no predictor, folder or server {typed!r}; recorded: {there}"
            raise InputError(what, where="--compare", remedy=near)
        if name in found:
            raise InputError(f"{name} is there twice", where="--compare", remedy="name different models")
        found[name] = source
    if len(found) < 2:
        raise InputError("one model cannot be compared", where="--compare", remedy="--compare base,tuned")
    return found


def _held_out(folder: RunFolder) -> EvaluationRows:
    """The run's held-out rows, which other models are asked for.

    Raises:
        InputError: If it is no run, or has none.
    """
    if folder_kind(folder.path) is not FolderKind.RUN:
        what = "an evaluation without a run has no rows that other models could be asked for"
        raise InputError(what, where=str(folder.path), remedy="--compare names that predictions.jsonl has")
    return load_evaluation_rows(folder, None, DataSettings())


def _generator(
    name: str, typed: str, folder: RunFolder, rows: EvaluationRows, settings: RateSettings, reporter: Reporter
) -> Generate:
    """Return what answers rows as the model ``typed`` does; it is loaded when the first row is asked."""
    known = read_evaluation(folder.path)
    limit = settings.max_new_tokens or (known.max_new_tokens if known is not None else None)
    most = limit or default_max_new_tokens(rows.written)
    opened: list[tuple[Predictor, Mapping[str, Example]]] = []

    def generate(examples: Sequence[Example]) -> list[str]:
        if not opened:
            opened.append(_predictor(name, typed, folder, rows, settings, reporter))
        predictor, own = opened[0]
        asked = [own[str(example.origin)] for example in examples]

        def progress(done: int, total: int) -> None:
            reporter.advance(f"{name}: answering", done, total)

        return predictor.generate(asked, most, progress)

    return generate


def _predictor(
    name: str, typed: str, folder: RunFolder, rows: EvaluationRows, settings: RateSettings, reporter: Reporter
) -> tuple[Predictor, Mapping[str, Example]]:
    """Load a model, and return it with the rows in its own form, by their origins."""
    if is_url(typed):
        prompts = as_prompts(rows, folder, DataSettings())
        return _server(typed, folder, prompts, settings, reporter), _by_origin(prompts)
    if typed not in (BASE, TUNED) and is_bundle(Path(typed).expanduser()):
        path = Path(typed).expanduser()
        bundle = BundleEvaluation(path, None, None, ModelSettings(), DataSettings(), EvaluationSettings(), reporter)
        adapter = next(iter(read_bundle(path).adapters), None)
        return bundle.opened([adapter])[adapter or "model"], _by_origin(
            bundle.rows(read_bundle(path), adapter).examples
        )
    source = str(folder.path) if typed in (BASE, TUNED) else str(Path(typed).expanduser())
    model = open_model_by_name(source, ModelSettings(), reporter)
    found = model.predictors(reporter, with_base=typed == BASE, name=name)
    wanted = typed if typed in (BASE, TUNED) else TUNED
    return found.get(wanted) or next(iter(found.values())), _by_origin(rows.examples)


def _by_origin(examples: Sequence[Example]) -> dict[str, Example]:
    return {str(example.origin): example for example in examples}


def _server(
    url: str, folder: RunFolder, prompts: list[Example], settings: RateSettings, reporter: Reporter
) -> EndpointPredictor:
    check_body(settings.endpoint_body)
    endpoint = endpoint_of(ServerUrl.parse(url), settings, {})
    model = endpoint.model_name(settings.model_name_or_path)
    render = text_of_messages(folder, endpoint.api, prompts, ModelSettings())
    say_what_is_sent(model, endpoint.server, f"up to {len(prompts):,} rows", reporter)
    return EndpointPredictor(model, model, endpoint, KeptAnswers(), render)

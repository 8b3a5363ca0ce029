"""Teachers of ``graft prepare``: a server, or a model on this machine. What they wrote is kept beside the output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from graft.commands.served import check_body, endpoint_of, mask_secret_fields, say_what_is_sent
from graft.config import DataSettings, ModelSettings, PrepareSettings, ServerSettings, Settings
from graft.data.against import load_against
from graft.data.example import AnswerExample
from graft.data.readers import Row
from graft.data.sources import Loaded, load_rows, settings_of_files
from graft.data.spool import in_parts
from graft.data.steps.teacher import Teacher, Written
from graft.errors import Interrupted, Problems
from graft.inference.endpoint import REFUSED, Endpoint, EndpointPredictor
from graft.inference.kept_answers import KeptAnswers, request_key
from graft.inference.predictor import Predictor
from graft.inference.server_records import AnswerRecord
from graft.inference.server_url import ServerUrl
from graft.progress import Reporter, enter

MOST_REFUSED = 100
"""Rows that a server may refuse, such as too long ones, before the work ends."""
ROWS_A_PART = 32
"""Rows after which the answers of a model on this machine are kept."""
WHY = {
    "content_filter": "the server's filter stopped it",
    "tool_calls": "it is a call of a tool",
    "function_call": "it is a call of a tool",
}


def answers_file(output: Path) -> Path:
    """Return the file beside the output folder in which answers are kept as they come."""
    return output.parent / f"{output.name}.answers.jsonl"


def with_prompts(settings: PrepareSettings, read: Callable[[DataSettings], Loaded]) -> Loaded:
    """Return the rows of the data; where the prompts of ``--generate`` are all there is, no rows but their files.

    Args:
        settings: What is read.
        read: Reads rows.

    Raises:
        InputError: If they cannot be read.
    """
    data, files = settings.part(DataSettings), getattr(settings, "generate", None)
    if not files:
        return read(data)
    prompts = settings_of_files(data, files)
    if settings.data_name is None and settings.data_files is None:
        found = read(prompts.model_copy(update={"eval_data_files": settings.eval_data_files}))
        return replace(found, train=())
    found = read(data)
    return replace(found, files={**found.files, **load_rows(prompts, settings.token).files})


S = TypeVar("S", bound=Settings)


def without_secrets(settings: S) -> S:
    """Return the settings as they are recorded: with a mask for what follows the address, and for keys in requests.

    Masked settings are refused where they are read again, by name.
    """
    if not isinstance(settings, PrepareSettings) or settings.endpoint is None:
        return settings
    update = {
        "endpoint": ServerUrl.parse(settings.endpoint).recorded,
        "endpoint_body": mask_secret_fields(settings.endpoint_body),
    }
    return settings.model_copy(update={name: update[name] for name in update if name in settings.model_fields_set})


def rows_against(settings: PrepareSettings) -> Sequence[Row]:
    """Return the rows of ``--against``.

    Raises:
        InputError: If they cannot be read.
    """
    if not settings.against:
        return ()
    loaded = load_against(settings.part(DataSettings), settings.against, settings.token)
    loaded.faults.raise_if_any()
    return loaded.train


def teacher_of(settings: PrepareSettings, output: Path, reporter: Reporter) -> Teacher | None:
    """Return what writes texts, before anything is loaded or sent; None where nothing is named.

    Raises:
        InputError: If the settings of a server are wrong, or settings of a server or a model are given without one.
    """
    problems, endpoint = Problems(), settings.endpoint
    _check_used(settings, ServerSettings.model_fields, endpoint is not None, "a server", "--endpoint URL", problems)
    is_local = endpoint is None and settings.teacher is not None
    _check_used(settings, ("model_revision",), is_local, "a teacher on this machine", "--teacher HUB_ID", problems)
    writes = endpoint is not None or is_local
    _check_used(settings, ("max_new_tokens",), writes, "a teacher", "--teacher NAME", problems)
    server: Endpoint | None = None
    if endpoint is not None:
        with problems.collecting():
            check_body(settings.endpoint_body)
        with problems.collecting():
            server = endpoint_of(ServerUrl.parse(endpoint), settings, {})
    problems.raise_if_any()
    if server is not None:
        return ServedTeacher(server, settings, output, reporter)
    return LocalTeacher(settings.teacher, settings, output, reporter) if settings.teacher is not None else None


def _check_used(
    settings: PrepareSettings, names: Iterable[str], is_used: bool, what: str, add: str, problems: Problems
) -> None:
    """Find options that are given and would have no effect.

    Args:
        settings: The settings.
        names: The options.
        is_used: Whether they have an effect.
        what: What they apply to.
        add: The option that names one.
        problems: Takes them.
    """
    given = [f"--{name}" for name in names if name in settings.model_fields_set]
    if given and not is_used:
        applies = "applies" if len(given) == 1 else "apply"
        problems.add(f"{', '.join(given)} {applies} only to {what}", remedy=f"add {add}, or omit it")


class ServedTeacher:
    """A model of a server.

    Args:
        endpoint: The server.
        settings: The model's name, and the most tokens of an answer.
        output: The folder beside which answers are kept.
        reporter: Shows what is sent where, and the progress.
    """

    def __init__(self, endpoint: Endpoint, settings: PrepareSettings, output: Path, reporter: Reporter) -> None:
        self._endpoint, self._settings, self._reporter = endpoint, settings, reporter
        self._path = answers_file(output)

    @cached_property
    def _model(self) -> str:
        return self._endpoint.model_name(self._settings.teacher)

    def about(self) -> Mapping[str, Any]:
        """Return its name, the server's address, and the further fields of requests, without secrets."""
        body = mask_secret_fields(self._endpoint.body)
        given = {"max_new_tokens": self._settings.max_new_tokens, "endpoint_body": body}
        used = {name: value for name, value in given.items() if value}
        return {"teacher": self._model, "endpoint": self._endpoint.server.base, **used}

    def write(self, asked: Sequence[AnswerExample], usual_tokens: int) -> Sequence[Written]:
        """Ask the server for what is not kept; arguments and errors are those of ``Teacher``."""
        enter(self._reporter, "generating")
        most, kept = self._settings.max_new_tokens or usual_tokens, KeptAnswers(self._path)
        predictor = EndpointPredictor(self._model, self._model, self._endpoint, kept, refusals=MOST_REFUSED)
        new = {key for example in asked if (key := predictor.request(example, most).key) not in kept}
        if new:
            say_what_is_sent(self._model, self._endpoint.server, f"{len(new):,} prompts", self._reporter)
            self._reporter.note(f"answers are kept in {self._path}: run the same command again to resume")
        texts = predictor.generate(asked, most, _progress(self._reporter, self._model))
        limit = self._endpoint.limit(most)
        return [Written(text, _why(record, limit)) for text, record in zip(texts, predictor.answered, strict=True)]


def _why(record: AnswerRecord, limit: int | None) -> str:
    reason = record.finish_reason or ""
    if reason == "length":
        return "it was cut at the server's own limit" if limit is None else f"it was cut at {limit:,} tokens"
    if reason.startswith(REFUSED):
        return reason.removeprefix(f"{REFUSED}: ")
    return WHY.get(reason, "")


def _progress(reporter: Reporter, name: str) -> Any:
    return lambda done, total: reporter.advance(f"{name}: answering", done, total)


class LocalTeacher:
    """A run, a model folder, or a model of the Hub, on this machine.

    Args:
        name: The model.
        settings: How it is loaded, and the most tokens of an answer.
        output: The folder beside which answers are kept.
        reporter: Shows the progress.
    """

    def __init__(self, name: str, settings: PrepareSettings, output: Path, reporter: Reporter) -> None:
        self._name, self._settings, self._reporter = name, settings, reporter
        self._path = answers_file(output)

    @cached_property
    def _predictor(self) -> Predictor:
        from graft.commands.open_predictors import TUNED, check_chats, open_model_by_name  # with torch: 300 MB

        model = open_model_by_name(self._name, self._settings.part(ModelSettings), self._reporter)
        check_chats(model.task, self._name)
        found = model.predictors(self._reporter, with_base=False, name=TUNED)
        return found[TUNED]

    def about(self) -> Mapping[str, Any]:
        """Return its name."""
        return {"teacher": self._name}

    def write(self, asked: Sequence[AnswerExample], usual_tokens: int) -> Sequence[Written]:
        """Let the model write what is not kept; arguments and errors are those of ``Teacher``."""
        enter(self._reporter, "generating")
        most, kept = self._settings.max_new_tokens or usual_tokens, KeptAnswers(self._path)
        keys = [self._key(example, most) for example in asked]
        waiting = {key: example for key, example in zip(keys, asked, strict=True) if key not in kept}
        try:
            self._write(waiting, len(set(keys)), most, kept)
        except KeyboardInterrupt:
            raise Interrupted("interrupted", remedy="answers are kept: run the same command again to resume") from None
        return [Written(kept[key].answer.strip(), _why(kept[key], most)) for key in keys]

    def _write(self, waiting: Mapping[str, AnswerExample], total: int, most: int, kept: KeptAnswers) -> None:
        done = total - len(waiting)
        for part in in_parts(waiting.items(), ROWS_A_PART):
            texts = self._predictor.generate([example for _, example in part], most)
            for (key, example), text in zip(part, texts, strict=True):
                kept.add(self._record(key, example, text, most))
            done += len(part)
            self._reporter.advance(f"{self._name}: answering", done, total)

    def _key(self, example: AnswerExample, most: int) -> str:
        body = {"prompt": example.prompt, "tools": example.tools, "kwargs": example.template_kwargs, "max_tokens": most}
        return request_key(f"{self._name} {_changed(self._name)}", body)

    def _record(self, key: str, example: AnswerExample, text: str, most: int) -> AnswerRecord:
        tokens = len(self._predictor.tokenizer(text, add_special_tokens=False).input_ids)
        reason = "length" if tokens >= most else "stop"
        return AnswerRecord(key=key, origin=str(example.origin), answer=text, finish_reason=reason)


def _changed(name: str) -> int:
    """When the weights of a model were last written: another model of that name answers again."""
    folder = Path(name)
    files = folder.rglob("*.safetensors") if folder.is_dir() else ()
    return max((file.stat().st_mtime_ns for file in files), default=0)

"""The rows of a run as they are asked of a server."""

from __future__ import annotations

from collections.abc import Callable

from graft.commands.open_predictors import open_model_by_name
from graft.config import DataSettings, ModelSettings
from graft.data.chat_template import Renderer
from graft.data.columns import recognize
from graft.data.example import AnswerExample, ClassExample, Example, MultiLabelExample
from graft.data.readers import Row
from graft.data.rows import COLUMNS, as_row
from graft.errors import InputError
from graft.evaluation.rows import EvaluationRows
from graft.inference.server_url import Api
from graft.progress import SILENT
from graft.runs.folder import RunFolder
from graft.runs.settings import recorded_data_settings


def as_prompts(rows: EvaluationRows, run: RunFolder | None, data: DataSettings) -> list[Example]:
    """Return the rows as prompts; those of a classification head get the instruction of a model that writes.

    Args:
        rows: The rows.
        run: The run that they belong to, if they belong to one.
        data: The settings that the user gave; they win over those of the run.

    Raises:
        InputError: If they cannot be asked of a model that writes.
    """
    if all(isinstance(example, AnswerExample) for example in rows.examples):
        return rows.examples
    if not all(isinstance(example, (ClassExample, MultiLabelExample)) for example in rows.examples):
        what = "rows with tags or pairs of texts cannot be asked of a server, which writes texts"
        raise InputError(what, where=str(rows.source.get("path", "")), remedy="--data_files with prompts and answers")
    recorded = recorded_data_settings(run) if run is not None else {}
    given = {name: getattr(data, name) for name in data.model_fields_set}
    plain = [_without_origin(example) for example in rows.examples]
    mapping = recognize(plain, DataSettings(**{**recorded, **given}), None, rows.labels)
    return [made for row in plain for made in mapping.convert(row.columns, row.origin)]


def _without_origin(example: Example) -> Row:
    columns = as_row(example)
    del columns["origin"]
    columns.pop(COLUMNS, None)  # the origin keeps them
    return Row(columns, example.origin)


def text_of_messages(
    run: RunFolder | None, api: Api | None, examples: list[Example], settings: ModelSettings
) -> Callable[[Example], str] | None:
    """Return what makes a text of messages, by the run's chat template; None where none has to be made.

    Servers put the begin token before a text by themselves where the tokenizer does, so it is left out of the text.

    Args:
        run: The run.
        api: The interface that is asked.
        examples: The rows.
        settings: The settings of the run's model, of which those of its chat template are used.
    """
    messages = (isinstance(example, AnswerExample) and not isinstance(example.prompt, str) for example in examples)
    if run is None or api != "completions" or not any(messages):
        return None
    variables, trusted = settings.chat_template_kwargs, settings.trust_remote_code
    of_template = ModelSettings(chat_template_kwargs=variables, trust_remote_code=trusted)
    tokenizer = open_model_by_name(str(run.path), of_template, SILENT).encoding.tokenizer
    renderer = Renderer(tokenizer)
    adds = tokenizer.bos_token is not None and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
    begin = tokenizer.bos_token if adds else ""
    return lambda example: renderer.prompt(example).removeprefix(begin)

"""Columns that templates name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graft.config import DataSettings
from graft.data.columns.base import ColumnMapping
from graft.data.columns.shape import PromptShape
from graft.data.example import AnswerExample, Example, Message, Origin
from graft.data.inferred import InferredSetting
from graft.data.templates import check_names, parse_template, split_template
from graft.data.values import plain
from graft.errors import Problems


def by_text_template(text: str, columns: Sequence[str], generation_prompt: str | None) -> ColumnMapping:
    """Return the mapping of ``--text_template``, cut into prompt and answer.

    Args:
        text: The template, with columns in braces.
        columns: The columns that any row has.
        generation_prompt: What the model's chat template puts before an answer; it marks where the answer begins.

    Raises:
        InputError: If the template names a column that is not there.
    """
    template = parse_template(text)
    problems = Problems()
    template = check_names(template, columns, "--text_template", problems)
    problems.raise_if_any()
    before, after, border = split_template(template, generation_prompt)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example whose prompt is the very text before the answer, without blanks at its end."""
        prompt, completion = _moved(before.fill(row), after.fill(row))
        return [AnswerExample(prompt, completion, origin)]

    said = [InferredSetting("completion_begins", border, "where the answer of --text_template begins")]
    return ColumnMapping("text_template", template.columns(columns), convert, None, said)


def _moved(prompt: str, completion: str) -> tuple[str, str]:
    """Move blanks at the prompt's end to the completion: tokenizers join a blank with the word after it."""
    bare = prompt.rstrip(" \t")
    return bare, prompt[len(bare) :] + completion


def by_two_templates(settings: DataSettings, columns: Sequence[str]) -> ColumnMapping:
    """Return the mapping of ``--prompt_template`` and ``--completion_template``.

    Raises:
        InputError: If one is given without the other, or names a column that is not there.
    """
    shape, problems = PromptShape(settings), Problems()
    if settings.prompt_template is None or settings.completion_template is None:
        given, other = ("completion", "prompt") if settings.prompt_template is None else ("prompt", "completion")
        problems.add(f"--{given}_template is given without --{other}_template", remedy="give both")
        problems.raise_if_any()
    prompt, completion = (
        parse_template(str(settings.prompt_template)),
        parse_template(str(settings.completion_template)),
    )
    prompt = check_names(prompt, columns, "--prompt_template", problems)
    completion = check_names(completion, columns, "--completion_template", problems)
    problems.raise_if_any()

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        return [AnswerExample(shape.prompt(prompt.fill(row)), completion.fill(row), origin)]

    read = tuple(dict.fromkeys((*prompt.columns(columns), *completion.columns(columns))))
    return ColumnMapping("templates", read, convert)


def shape_prompt(
    text: str, settings: DataSettings | None, generation_prompt: str | None = None
) -> tuple[Message, ...] | str:
    """Return ``text`` as a prompt of a run with these settings: in its template, or after its instruction.

    Args:
        text: What was typed.
        settings: The run's settings; None for a model without a run.
        generation_prompt: What the model's chat template puts before an answer, for a ``text_template``.
    """
    text = plain(text)  # line ends as in the rows
    if settings is None:
        return ({"role": "user", "content": text},)
    if settings.response_template is not None and settings.response_template.strip() in text:
        return text.rstrip(" \t")  # a whole prompt, as the rows have them
    if settings.text_template is not None and settings.response_template is None:
        before, _, _ = split_template(parse_template(settings.text_template), generation_prompt)
        return _moved(before.fill(dict.fromkeys(before.names, text)), "")[0]
    if settings.prompt_template is not None:
        template = parse_template(settings.prompt_template)
        return PromptShape(settings).prompt(template.fill(dict.fromkeys(template.names, text)))
    return PromptShape(settings).prompt(text)

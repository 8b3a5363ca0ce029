"""Examples as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from graft.data.chat_template import Rendered, Renderer
from graft.data.example import AnswerExample, Example, Origin, expect
from graft.errors import GraftError, Problems, shorten


@dataclass(frozen=True)
class TokenizedExample:
    """A row as the model reads it: the tokens from ``prompt_length`` on are trained on."""

    input_ids: list[int]
    prompt_length: int
    origin: Origin
    cut: int = 0
    """Tokens that ``max_length`` left no room for."""
    target: Any = None
    """What a head is trained on: a class, a number for each of several, a tag for each token, or a likeness."""


def prompt_ids(tokenizer: Any, text: str) -> list[int]:
    """The prompt's tokens; the beginning token stands before it where the model wants one and the text has none."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    wanted = tokenizer("", add_special_tokens=True)["input_ids"][:1]
    start = tokenizer.bos_token_id
    if start is not None and wanted == [start] and ids[:1] != [start]:
        return [start, *ids]
    return ids


def completion_ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def prompt_token_ids(example: Example, renderer: Renderer) -> list[int]:
    """What a model is asked to answer; at least one token."""
    tokenizer = renderer.tokenizer
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return prompt_ids(tokenizer, renderer.render(example).prompt) or [int(start)]


def candidate_token_ids(
    examples: Sequence[Example], completions: Sequence[Sequence[str]], renderer: Renderer
) -> list[list[list[int]]]:
    """The tokens of each of the ``completions`` that an example could have."""
    return [
        [_candidate(example, text, renderer) for text in texts]
        for example, texts in zip(examples, completions, strict=True)
    ]


def _candidate(example: Example, text: str, renderer: Renderer) -> list[int]:
    given = expect(example, AnswerExample)
    if text != given.completion:
        given = replace(given, completion=text, answer=None)
    return completion_ids(renderer.tokenizer, renderer.render(given).completion)


def encode(example: Example, renderer: Renderer, max_length: int) -> TokenizedExample:
    """Prompt and completion are tokenized apart, as they meet when the model answers, and joined.

    A row longer than ``max_length`` is cut on the right.
    """
    rendered: Rendered = renderer.render(example)
    prompt = prompt_ids(renderer.tokenizer, rendered.prompt)
    ids = prompt + completion_ids(renderer.tokenizer, rendered.completion)
    first = 0 if renderer.loss_on == "all" else len(prompt)
    return TokenizedExample(ids[:max_length], min(first, max_length), example.origin, max(0, len(ids) - max_length))


def encode_all(
    examples: Sequence[Example], renderer: Renderer, max_length: int, problems: Problems
) -> list[TokenizedExample]:
    """All rows; one with nothing left to train on becomes a problem that names its file and line."""
    found = Problems()
    rows: list[TokenizedExample] = []
    for example in examples:
        try:
            row = encode(example, renderer, max_length)
        except GraftError as error:
            found.found.extend(error.problems)
            continue
        if len(row.input_ids) <= max(1, row.prompt_length):
            long = len(row.input_ids) + row.cut
            found.add(
                f"nothing of the answer is left: the row has {long} tokens, the limit is {max_length}",
                str(row.origin),
                "a larger --max_length, or a shorter prompt",
            )
        rows.append(row)
    shorten(found, "rows like these")
    problems.found.extend(found.found)
    return rows

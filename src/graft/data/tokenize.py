"""Examples as token ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graft.data.chat_template import Rendered, Renderer
from graft.data.example import AnswerExample, Example, Origin, expect
from graft.data.spool import in_parts
from graft.errors import GraftError, Problems, shorten

ROWS_AT_ONCE = 1024
"""Rows that the tokenizer gets in one call."""


@dataclass(frozen=True)
class TokenizedExample:
    """A row as the model reads it.

    Attributes:
        input_ids: The tokens; those from ``prompt_length`` on are trained on.
        prompt_length: The number of tokens that are read only.
        origin: Where the row came from.
        cut: The number of tokens that ``max_length`` left no room for; of two texts, of the longer one.
        target: What a head is trained on: a class, a number for each of several, a tag for each token, or a distance.
        answer_cut: Whether an answer is among what was cut, so that the row would teach not to end it.
    """

    input_ids: list[int]
    prompt_length: int
    origin: Origin
    cut: int = 0
    target: Any = None
    answer_cut: bool = False

    @property
    def has_answer(self) -> bool:
        """Whether there are tokens left to train on."""
        return self.target is not None or len(self.input_ids) > max(1, self.prompt_length)


def prompt_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the prompt's tokens, which begin with the beginning token where the model wants one."""
    return _started(completion_ids(tokenizer, text), _start_id(tokenizer))


def completion_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of a text, and none besides."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _start_id(tokenizer: Any) -> int | None:
    """The beginning token, where the model wants one."""
    start: int | None = tokenizer.bos_token_id
    return start if tokenizer("", add_special_tokens=True)["input_ids"][:1] == [start] else None


def _started(ids: list[int], start: int | None) -> list[int]:
    return ids if start is None or ids[:1] == [start] else [start, *ids]


def _all_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, and none besides; equal texts are tokenized once."""
    distinct = list(dict.fromkeys(texts))
    ids = dict(zip(distinct, tokenizer(distinct, add_special_tokens=False)["input_ids"], strict=True))
    return [ids[text] for text in texts]


def prompt_token_ids(example: Example, renderer: Renderer) -> list[int]:
    """Return the tokens after which the model is to answer; at least one."""
    tokenizer = renderer.tokenizer
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return prompt_ids(tokenizer, renderer.render(example).prompt) or [int(start)]


def candidate_token_ids(
    examples: Sequence[Example], completions: Sequence[Sequence[str]], renderer: Renderer
) -> list[list[list[int]]]:
    """Return the tokens of each of the ``completions`` that an example could have."""
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
    """Return a row as the model reads it; one longer than ``max_length`` is cut on the right.

    Raises:
        InputError: When the chat template refuses the messages.
    """
    (row,) = _encoded([example.origin], [renderer.render(example)], renderer, max_length)
    return row


def encode_all(
    examples: Iterable[Example], renderer: Renderer, max_length: int, problems: Problems
) -> Iterator[TokenizedExample]:
    """Yield all rows; one without tokens to train on, long rows aside, becomes a problem of its file and line."""
    found = Problems()
    for part in in_parts(examples, ROWS_AT_ONCE):
        origins, texts = _rendered(part, renderer, found)
        for text, row in zip(texts, _encoded(origins, texts, renderer, max_length), strict=True):
            if not row.has_answer and not row.cut:
                found.add("the row has no tokens to train on", str(row.origin), "fill it in, or remove the row")
            yield replace(row, answer_cut=True) if row.cut and text.prompt else row
    shorten(found, "rows like these")
    problems.found.extend(found.found)


def _rendered(
    examples: Sequence[Example], renderer: Renderer, problems: Problems
) -> tuple[list[Origin], list[Rendered]]:
    """The examples that can be rendered: where they came from, and their texts."""
    origins: list[Origin] = []
    texts: list[Rendered] = []
    for example in examples:
        try:
            texts.append(renderer.render(example))
            origins.append(example.origin)
        except GraftError as error:
            problems.found.extend(error.problems)
    return origins, texts


def _encoded(
    origins: Sequence[Origin], texts: Sequence[Rendered], renderer: Renderer, max_length: int
) -> Iterator[TokenizedExample]:
    """Prompt and completion are tokenized apart, as they meet when the model answers, and joined."""
    tokenizer = renderer.tokenizer
    start = _start_id(tokenizer)
    prompts = _all_ids(tokenizer, [text.prompt for text in texts])
    completions = _all_ids(tokenizer, [text.completion for text in texts])
    for origin, prompt, completion in zip(origins, prompts, completions, strict=True):
        read = _started(prompt, start)
        ids = read + completion
        first = 0 if renderer.loss_on == "all" else len(read)
        yield TokenizedExample(ids[:max_length], min(first, max_length), origin, max(0, len(ids) - max_length))

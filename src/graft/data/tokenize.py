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
        merged: Whether a token would span the end of the prompt, so that prompt and answer were tokenized apart.
    """

    input_ids: list[int]
    prompt_length: int
    origin: Origin
    cut: int = 0
    target: Any = None
    answer_cut: bool = False
    merged: bool = False

    @property
    def parts(self) -> tuple[list[int], list[int]]:
        """The tokens of the prompt and those after it: source and target of a sequence, or the two texts of a pair."""
        return self.input_ids[: self.prompt_length], self.input_ids[self.prompt_length :]

    @property
    def has_answer(self) -> bool:
        """Whether there are tokens left to train on."""
        return self.target is not None or len(self.input_ids) > max(1, self.prompt_length)


def prompt_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the prompt's tokens, which begin with the beginning token where the model wants one."""
    return _started(text_ids(tokenizer, text), _start_id(tokenizer))


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of a text, and none besides."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _start_id(tokenizer: Any) -> int | None:
    """The beginning token, where the model wants one."""
    start: int | None = tokenizer.bos_token_id
    return start if tokenizer("", add_special_tokens=True)["input_ids"][:1] == [start] else None


def _started(ids: list[int], start: int | None) -> list[int]:
    """``ids`` with one beginning token, where the model wants one; a text may begin with one or several itself."""
    if start is None:
        return ids
    first = next((place for place, token in enumerate(ids) if token != start), len(ids))
    return [start, *ids[first:]]


def prompt_token_ids(example: Example, renderer: Renderer) -> list[int]:
    """Return the tokens after which the model is to answer; at least one."""
    tokenizer = renderer.tokenizer
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return prompt_ids(tokenizer, renderer.prompt(example)) or [int(start)]


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
    if text != given.reference:
        given = replace(given, completion=text, answer=None)
    rendered = renderer.render(given)
    asked = text_ids(renderer.tokenizer, rendered.asked)
    whole = text_ids(renderer.tokenizer, rendered.text)
    return whole[len(asked) :] if whole[: len(asked)] == asked else text_ids(renderer.tokenizer, rendered.answer)


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
    """Each text is tokenized whole; what is trained on begins with the first token of the completion."""
    if not texts:  # the template refused every row of the part
        return
    tokenizer = renderer.tokenizer
    start = _start_id(tokenizer)
    bare = {"return_attention_mask": False, "return_token_type_ids": False}
    found = tokenizer([text.text for text in texts], add_special_tokens=False, **bare)
    for row, (origin, text) in enumerate(zip(origins, texts, strict=True)):
        whole: list[int] = found["input_ids"][row]
        read = _tokens_before(found.encodings[row] if found.encodings else None, whole, text, tokenizer)
        merged = read is None
        if read is None:  # a token would span the border: the two are tokenized as they meet when the model answers
            prompt = text_ids(tokenizer, text.prompt)
            whole, read = prompt + text_ids(tokenizer, text.completion), len(prompt)
        ids = _started(whole, start)
        read = max(read + len(ids) - len(whole), int(start is not None))
        first = 0 if renderer.loss_on == "all" else read
        cut = max(0, len(ids) - max_length)
        yield TokenizedExample(ids[:max_length], min(first, max_length), origin, cut, merged=merged)


def _tokens_before(encoding: Any, whole: Sequence[int], text: Rendered, tokenizer: Any) -> int | None:
    """The number of tokens of the prompt in ``whole``; None where the two parts must be tokenized apart.

    The text of a chat template is what the template makes of it, so that its tokens are; another prompt is read by the
    model as it is tokenized alone, and must be so in training.
    """
    border = len(text.prompt)
    if not border:
        return 0
    if encoding is None or not text.templated:
        prompt = text_ids(tokenizer, text.prompt)
        return len(prompt) if list(whole[: len(prompt)]) == prompt else None
    tokens = (encoding.char_to_token(place) for place in range(border, len(text.text)))
    token: int | None = next((token for token in tokens if token is not None), None)
    if token is None:
        return len(whole)
    return None if encoding.token_to_chars(token)[0] < border else token

"""A model folder's tokenizer files, checked before a library opens them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from graft.documents import read_object, shown
from graft.errors import InputError, Problems
from graft.models.tokenizer_paths import SETTINGS, check_settings, check_vocabularies
from graft.runs.record import Record, validate

MOST_GROWTH = 1000
"""Characters that a tokenizer may turn one into; the normal forms of Unicode make at most 18."""
MOST_TOKENS = 64
"""For each character of plain English."""
_REMEDY = "copy or download the tokenizer again"


class _TokenizerConfig(Record):
    """What graft and transformers compute with; the rest is kept for transformers."""

    tokenizer_class: str | None = None
    model_max_length: int | float | None = None
    auto_map: dict[str, Any] | list[Any] | None = None
    padding_side: str | None = None
    truncation_side: str | None = None
    added_tokens_decoder: dict[str, Any] | None = None
    chat_template: str | dict[str, str] | list[dict[str, str]] | None = None
    add_bos_token: bool | None = None
    add_eos_token: bool | None = None


_Id = Annotated[int, Field(ge=-1, lt=2**31)]  # -1 stands for none in some older configurations


class _GenerationConfig(Record):
    """The tokens that begin, end and pad a sequence."""

    eos_token_id: _Id | list[_Id] | None = None
    bos_token_id: _Id | list[_Id] | None = None
    pad_token_id: _Id | None = None
    decoder_start_token_id: _Id | list[_Id] | None = None


_RECORDS: dict[str, type[Record]] = {
    "tokenizer_config.json": _TokenizerConfig,
    "generation_config.json": _GenerationConfig,
    "special_tokens_map.json": Record,
    "added_tokens.json": Record,
}


def check_tokenizer_files(folder: Path) -> None:
    """Check the small JSON files of a tokenizer and of text generation: types, and that they name no file elsewhere.

    Raises:
        InputError: With everything that is wrong.
    """
    problems = Problems()
    for name, record in _RECORDS.items():
        if (folder / name).exists():
            with problems.collecting():
                _check_file(folder / name, record, problems)
    with problems.collecting():
        check_vocabularies(folder, problems)
    problems.raise_if_any()


def _check_file(file: Path, record: type[Record], problems: Problems) -> None:
    settings = read_object(file, remedy=_REMEDY)
    if file.name in SETTINGS:
        check_settings(settings, file, problems)
    found = validate(record, settings, str(file))
    length = found.model_max_length if isinstance(found, _TokenizerConfig) else None
    if length is not None and not length >= 1:
        problems.add(f"'model_max_length' is {shown(length)}; expected a positive number", file, _REMEDY)


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    """A part and those within it, which are applied in turn."""
    if isinstance(part, dict):
        yield part
        for value in part.values():
            for inner in value if isinstance(value, list) else ():
                yield from _steps(inner)


def _texts(part: Any) -> Iterator[str]:
    """What replaces a match, or is put before each piece."""
    for step in _steps(part):
        for key in ("content", "prepend", "replacement", "prefix", "suffix"):
            if isinstance(step.get(key), str):
                yield step[key]


def check_tokenizer(tokenizer: Any, folder: Path, embeddings: int | None = None) -> None:
    """Check a loaded tokenizer: it turns a text into a plausible number of tokens, and back.

    A tokenizer can replace each letter by a million others, several times in turn. That cannot be stopped once it has
    begun, because it is one call of a library.

    Args:
        tokenizer: A tokenizer of transformers.
        folder: Where it is from.
        embeddings: The number of the model's embeddings, if that is known.

    Raises:
        InputError: If it does not.
    """
    problems = Problems()
    backend = getattr(tokenizer, "backend_tokenizer", None)
    for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        growth = _growth(getattr(backend, name, None))
        if growth > MOST_GROWTH:
            problems.add(f"the {name} of this tokenizer can turn one character into {growth:,}", folder, _REMEDY)
    model = getattr(backend, "model", None)
    for key in ("continuing_subword_prefix", "end_of_word_suffix"):
        added = getattr(model, key, None) or ""
        if len(added) > MOST_GROWTH:
            problems.add(f"the {key} of this tokenizer has {len(added):,} characters", folder, _REMEDY)
    problems.raise_if_any()
    text = "The answer is 42.\n"
    ids = tokenizer(text)["input_ids"]
    if len(ids) > MOST_TOKENS * len(text):
        what = f"this tokenizer turns {len(text)} characters into {len(ids):,} tokens"
        raise InputError(what, where=str(folder), remedy=_REMEDY)
    if embeddings is not None and max(ids, default=0) >= embeddings:
        what = f"this tokenizer returns the token ID {max(ids):,}, but the model has {embeddings:,} embeddings"
        raise InputError(what, where=str(folder), remedy="use the tokenizer that belongs to the model")
    tokenizer.decode(ids)


def _growth(part: Any) -> int:
    """The product of the lengths of what replaces a match or is put before a piece, as the steps follow one another."""
    state = getattr(part, "__getstate__", None)
    found = state() if state is not None else None
    growth = 1
    for text in _texts(json.loads(found)) if isinstance(found, bytes) else ():
        growth *= max(1, len(text))
    return growth

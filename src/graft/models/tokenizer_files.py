"""A model folder's tokenizer files, checked before a library opens them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from graft.documents import read_object, shown
from graft.errors import InputError, Problems
from graft.models.tokenizer_paths import refuse_named_files
from graft.runs.record import Record, validate

_OTHERS = ("special_tokens_map.json", "added_tokens.json")
MOST_GROWTH = 1000
"""Characters that the steps of a tokenizer may make of one; Unicode's own forms make 18."""
MOST_TOKENS = 64
"""Of a character of plain English."""
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
    """The tokens that begin, end and fill a text."""

    eos_token_id: _Id | list[_Id] | None = None
    bos_token_id: _Id | list[_Id] | None = None
    pad_token_id: _Id | None = None
    decoder_start_token_id: _Id | list[_Id] | None = None


def check_tokenizer_files(folder: Path) -> None:
    """Check the small JSON files of a tokenizer and of text generation: they are JSON and have the right types.

    Raises:
        InputError: With everything that is wrong.
    """
    problems = Problems()
    config = folder / "tokenizer_config.json"
    if config.exists():
        with problems.collecting():
            record = validate(_TokenizerConfig, read_object(config, remedy=_REMEDY), str(config))
            if record.model_max_length is not None and not record.model_max_length >= 1:
                what = f"'model_max_length' is {shown(record.model_max_length)}; expected a positive number"
                problems.add(what, config, _REMEDY)
    generation = folder / "generation_config.json"
    if generation.exists():
        with problems.collecting():
            validate(_GenerationConfig, read_object(generation, remedy=_REMEDY), str(generation))
    for name in _OTHERS:
        if (folder / name).exists():
            with problems.collecting():
                read_object(folder / name, remedy=_REMEDY)
    problems.raise_if_any()
    refuse_named_files(folder)


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
    """Check a loaded tokenizer: that it turns a text into a number of tokens that fits it, and back.

    A tokenizer can replace each letter by a million others, several times in turn; that cannot be stopped later, as it
    is one call of a library.

    Args:
        tokenizer: A tokenizer of transformers.
        folder: Where it is from.
        embeddings: The number of tokens that the model knows, if that is known.

    Raises:
        InputError: If it does not.
    """
    problems = Problems()
    backend = getattr(tokenizer, "backend_tokenizer", None)
    for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        growth = _growth(getattr(backend, name, None))
        if growth > MOST_GROWTH:
            problems.add(f"the {name} of this tokenizer makes up to {growth:,} characters of one", folder, _REMEDY)
    model = getattr(backend, "model", None)
    for key in ("continuing_subword_prefix", "end_of_word_suffix"):
        added = getattr(model, key, None) or ""
        if len(added) > MOST_GROWTH:
            problems.add(f"the {key} of this tokenizer has {len(added):,} characters", folder, _REMEDY)
    problems.raise_if_any()
    text = "The answer is 42.\n"
    ids = tokenizer(text)["input_ids"]
    if len(ids) > MOST_TOKENS * len(text):
        what = f"this tokenizer makes {len(ids):,} tokens of {len(text)} characters"
        raise InputError(what, where=str(folder), remedy=_REMEDY)
    if embeddings is not None and max(ids, default=0) >= embeddings:
        what = f"this tokenizer gives the token {max(ids):,} for plain English"
        what += f", but the model has {embeddings:,} embeddings"
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

"""Tokens that a run adds to a model: in its tokenizer, in its embeddings and in its head."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from graft.documents import REMEDY, parse_json, read_text, shown
from graft.errors import InputError
from graft.files import write_whole
from graft.runs.record import Record, validate

RECORD = "new_tokens.json"
"""In a run's ``model/`` and beside its adapter: the tokens to add to the base before the adapter fits."""


@dataclass(frozen=True)
class NewToken:
    """A token whose embedding is trained.

    Attributes:
        text: As it stands in the rows.
        id: Its row in the embeddings.
        special: Whether decoded answers leave it out.
        pieces: The tokens that its text was split into before; its embedding begins as the mean of theirs.
        existed: Whether the tokenizer had it already.
    """

    text: str
    id: int
    special: bool = False
    pieces: tuple[int, ...] = ()
    existed: bool = False


def add_texts(tokenizer: Any, texts: Sequence[str], special: Collection[str]) -> None:
    """Add ``texts``, which are no tokens yet, in their order; those that are ``special`` are left out of answers."""
    from transformers import AddedToken

    for text in texts:
        is_special = text in special
        tokenizer.add_tokens([AddedToken(text, special=is_special, normalized=False)], special_tokens=is_special)


def add_to_tokenizer(tokenizer: Any, tokens: Sequence[NewToken]) -> None:
    """Add ``tokens`` to the tokenizer of their base; those that are there stay as they are.

    Raises:
        InputError: When one gets another ID than recorded: this is another tokenizer than the one it was added to.
    """
    known = tokenizer.get_vocab()
    missing = sorted((token for token in tokens if token.text not in known), key=lambda token: token.id)
    add_texts(tokenizer, [token.text for token in missing], {token.text for token in missing if token.special})
    for token in tokens:
        found = tokenizer.convert_tokens_to_ids(token.text)
        if found != token.id:
            raise InputError(
                f"the new token {token.text!r} has the ID {found} in this tokenizer, but {token.id} where it was added",
                remedy="use the base model that the tokens were added to",
            )


MOST_GAPS = 10_000
"""Rows that no new token has: a tokenizer may have more tokens than its model has embeddings."""


def grow(model: Any, tokens: Sequence[NewToken]) -> None:
    """Give each of ``tokens`` a row in the embeddings and in the head of ``model``, where it has none.

    A new row is the mean of the rows of the token's old pieces (Gee et al. 2022, "Fast Vocabulary Transfer",
    arXiv:2402.09977), or of all rows where it has none: near what the model knows of the text, and no outlier among the
    logits, as a random row is.
    ``model.new_token_ids`` holds the IDs of ``tokens`` for the method that trains them.
    """
    import torch

    model.new_token_ids = [token.id for token in tokens]
    rows = max(token.id for token in tokens) + 1
    before = model.get_input_embeddings().weight.shape[0]
    if rows <= before:
        return
    if rows > before + len(tokens) + MOST_GAPS:  # of another model, or damaged: it would not fit in memory
        what = f"a new token has the ID {rows - 1:,}, but the model has {before:,} embeddings"
        raise InputError(what, remedy="use the base model that the tokens were added to")
    with torch.random.fork_rng():
        model.resize_token_embeddings(rows, mean_resizing=False)
    for weight in _by_token(model):
        _fill(weight.data, before, tokens)


def _by_token(model: Any) -> list[Any]:
    """The parameters with a row for each token: embeddings, and the head with its bias where it is one of its own."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    found = [embeddings.weight]
    if head is not None and head.weight is not embeddings.weight:
        found.append(head.weight)
    if head is not None and getattr(head, "bias", None) is not None:
        found.append(head.bias)
    return found


def _fill(weight: Any, before: int, tokens: Sequence[NewToken]) -> None:
    """Set the rows of ``weight`` from ``before`` on."""
    weight[before:] = weight[:before].mean(0)
    for token in tokens:
        pieces = [piece for piece in token.pieces if piece < before]
        if token.id >= before and pieces:
            weight[token.id] = weight[pieces].mean(0)


def write_record(folder: Path, tokens: Sequence[NewToken]) -> None:
    """Write ``tokens`` beside a model or an adapter."""
    lines = json.dumps([asdict(token) for token in tokens], ensure_ascii=False, indent=2)
    write_whole(folder / RECORD, lines + "\n")


def read_record(folder: Path) -> tuple[NewToken, ...]:
    """The tokens that were written to ``folder``; none where there is no record.

    Raises:
        InputError: When the file is damaged.
    """
    file = folder / RECORD
    if not file.is_file():
        return ()
    listed = parse_json(read_text(file), str(file))
    if not isinstance(listed, list):
        raise InputError(f"this is {shown(listed)}; expected a list of new tokens", where=str(file), remedy=REMEDY)
    records = [validate(_NewTokenRecord, entry, str(file)) for entry in listed]
    return tuple(NewToken(r.text, r.id, r.special, tuple(r.pieces), r.existed) for r in records)


class _NewTokenRecord(Record):
    text: Annotated[str, Field(min_length=1, max_length=10_000)]
    id: Annotated[int, Field(ge=0, lt=2**31)]
    special: bool = False
    pieces: list[Annotated[int, Field(ge=0)]]
    existed: bool = False

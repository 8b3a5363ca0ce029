"""``--new_tokens``: which tokens a run adds, and whether every token of its rows has an embedding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from graft.config import FinetuneSettings
from graft.data.inferred import InferredSetting
from graft.data.readers.text import read_text
from graft.data.token_table import TokenTable
from graft.errors import InputError, Problems
from graft.methods import METHODS
from graft.models.base import Base, load_tokenizer
from graft.models.new_tokens import NewToken, add_texts

MOST_NAMED = 10


def with_new_tokens(base: Base, settings: FinetuneSettings) -> Base:
    """Return ``base`` with the tokens that ``settings`` add.

    Raises:
        InputError: When a token is empty or given twice, or the method does not train embeddings.
    """
    if not settings.new_tokens and not settings.new_special_tokens:
        return base
    wanted = dict(_wanted(settings))
    tokenizer = load_tokenizer(base)
    known = tokenizer.get_vocab()
    pieces = {text: _pieces(tokenizer, text, text in known) for text in wanted}
    special_ones = [text for text, special in wanted.items() if special]
    add_texts(tokenizer, [text for text in wanted if text not in known], special_ones)
    ids = {text: int(tokenizer.convert_tokens_to_ids(text)) for text in wanted}
    made = (NewToken(text, ids[text], special, pieces[text], text in known) for text, special in wanted.items())
    return replace(base, new_tokens=(*base.new_tokens, *made))


def _wanted(settings: FinetuneSettings) -> Iterator[tuple[str, bool]]:
    """The tokens that are given, and whether each is special.

    Raises:
        InputError: With all that is wrong with them.
    """
    problems = Problems()
    seen: dict[str, str] = {}
    method = METHODS.get(settings.method)
    given = {"new_tokens": settings.new_tokens or (), "new_special_tokens": settings.new_special_tokens or ()}
    for option, texts in given.items():
        if texts and not method.trains_new_tokens:
            what = f"--method {settings.method} does not train the embeddings of new tokens"
            problems.add(what, f"--{option}", "use --method lora or full")
        for text in _from_files(texts):
            if not text.strip():
                problems.add("a new token is empty", f"--{option}")
            elif seen.setdefault(text, option) != option:
                problems.add(
                    f"{text!r} is given both as a new token and as a special one", f"--{option}", "give it once"
                )
    problems.raise_if_any()
    return ((text, option == "new_special_tokens") for text, option in seen.items())


def _from_files(texts: Sequence[str]) -> Iterator[str]:
    """``texts``, with the lines of a text file in place of its name."""
    for text in texts:
        if text.endswith(".txt") and Path(text).is_file():
            yield from filter(None, (line.rstrip("\r") for line in read_text(Path(text)).split("\n")))
        else:
            yield text


def _pieces(tokenizer: Any, text: str, existed: bool) -> tuple[int, ...]:
    """What the tokenizer splits ``text`` into; a token that it has is split by hand behind the first letter."""
    parts = [text[:1], text[1:]] if existed else [text]
    return tuple(piece for part in parts if part for piece in tokenizer(part, add_special_tokens=False)["input_ids"])


def check_embeddings(base: Base, tokenizer: Any, tables: Iterable[TokenTable]) -> None:
    """Check that every token of the rows has a row in the model's embeddings, before any weight is loaded.

    Raises:
        InputError: Naming the tokens that have none.
    """
    rows = base.embedding_rows
    if rows is None:
        return
    used = {token for table in tables for token in table.tokens_from(rows)}
    used |= {i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None and i >= rows}
    if not used:
        return
    texts = [str(text) for text in tokenizer.convert_ids_to_tokens(sorted(used))]
    shown = ", ".join(map(repr, texts[:MOST_NAMED])) + (
        f" and {len(texts) - MOST_NAMED} more" * (len(texts) > MOST_NAMED)
    )
    raise InputError(
        f"{len(used)} tokens of the rows have no embedding: {shown}; the tokenizer has {len(tokenizer):,} tokens, and "
        f"the model {rows:,} embedding rows",
        where=str(base.path),
        remedy=f'--new_tokens "{",".join(texts[:MOST_NAMED])}" adds embeddings for them and trains these, or use the '
        "tokenizer that belongs to the model",
    )


def said_of(base: Base, tables: Sequence[TokenTable]) -> list[InferredSetting]:
    """What the plan says of new tokens: those that were there, and those that no row has."""
    found: list[InferredSetting] = []
    there = [token.text for token in base.new_tokens if token.existed]
    if there:
        why = "the tokenizer has them already: nothing is added, and their embeddings are trained"
        found.append(InferredSetting("existing_tokens", there, why))
    unused = [token.text for token in base.new_tokens if not any(table.has_token(token.id) for table in tables)]
    if unused:
        why = "no row contains them, so nothing is learned of where they belong"
        found.append(InferredSetting("unused_tokens", unused, why))
    return found

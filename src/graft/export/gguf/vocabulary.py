"""A tokenizer as llama.cpp holds it: tokens with their types, and merges or scores."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

from graft.errors import InputError
from graft.export.gguf.splitters import SPLITTERS, Splitter, expressions

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""llama.cpp's types of tokens (``gguf.TokenType``)."""

_BLANK = "▁"
_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass
class Vocabulary:
    """What a GGUF file says of a tokenizer.

    Attributes:
        model: ``gpt2`` for byte-level BPE, ``llama`` for SentencePiece.
        splitters: llama.cpp's pre-tokenizers that may be this one; a single one where it is known.
        tokens: The tokens, by number.
        types: A type for each.
        merges: For ``gpt2``, pairs of tokens in the order in which they are merged.
        scores: For ``llama``, a score for each token; the pair whose sum has the highest is merged first.
    """

    model: str
    splitters: list[str]
    tokens: list[str] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    merges: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


def read_vocabulary(tokenizer: Any, rows: int) -> Vocabulary:
    """The vocabulary of ``tokenizer`` for a model with ``rows`` embeddings.

    Rows without a token get one that no text has.

    Raises:
        InputError: If llama.cpp would not split texts as the tokenizer does, or there are more tokens than rows.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    if problem := tokenizer_problem(state):
        raise InputError(problem)
    if not is_sentencepiece(state):
        merges = [" ".join(pair) for pair in _pairs(state)]
        return Vocabulary("gpt2", _splitters(state), *_tokens(tokenizer, rows), merges=merges)
    scores = _scores(state)
    tokens, types = _tokens(tokenizer, rows, state["model"].get("unk_token"), scores)
    return Vocabulary("llama", ["default"], tokens, types, scores=[scores.get(token, 0.0) for token in tokens])


def is_sentencepiece(state: dict[str, Any]) -> bool:
    """The BPE tokenizer falls back to bytes as SentencePiece does, and is not byte-level."""
    return bool(state["model"].get("byte_fallback")) and "ByteLevel" not in json.dumps(state.get("pre_tokenizer"))


def tokenizer_problem(state: dict[str, Any]) -> str | None:
    """Why llama.cpp has nothing like this tokenizer (tokenizer.json, parsed); None if it may have."""
    kind = state["model"]["type"]
    if kind != "BPE":
        return f"tokenizers of the kind {kind} cannot be exported to GGUF, only byte-pair tokenizers"
    if is_sentencepiece(state):
        return None
    others = [step["type"] for step in _steps(state.get("normalizer")) if step["type"] != "NFC"]
    if others:
        return f"llama.cpp does not normalize texts as this tokenizer does ({', '.join(others)})"
    if "ByteLevel" not in json.dumps(state.get("pre_tokenizer")):
        return "llama.cpp has no tokenizer like this one: byte-pair, but neither of bytes nor falling back to them"
    return None


def _steps(normalizer: Any) -> list[Any]:
    if normalizer is None:
        return []
    return list(normalizer["normalizers"]) if normalizer["type"] == "Sequence" else [normalizer]


def _pairs(state: dict[str, Any]) -> list[tuple[str, str]]:
    merges = state["model"]["merges"]
    parts = (pair.split(" ", 1) if isinstance(pair, str) else pair for pair in merges)
    return [(left, right) for left, right in parts]


def _splitters(state: dict[str, Any]) -> list[str]:
    known = SPLITTERS.get(expressions(state["pre_tokenizer"]) or ())
    return [_with_merges(known, state)] if known else [one.name for some in SPLITTERS.values() for one in some]


def _with_merges(known: tuple[Splitter, ...], state: dict[str, Any]) -> str:
    wanted = bool(state["model"].get("ignore_merges"))
    alike = [one for one in known if one.ignore_merges == wanted]
    if alike or _merges_reach_all_tokens(state):
        return (alike or known)[0].name
    raise InputError(
        f"llama.cpp merges tokens differently with the pre-tokenizer {known[0].name!r}: "
        f"it {'takes' if known[0].ignore_merges else 'does not take'} whole words before it merges"
    )


def _merges_reach_all_tokens(state: dict[str, Any]) -> bool:
    """Each token that has no number of its own as an added one is what merging its bytes gives."""
    from tokenizers import Tokenizer

    plain = {**state, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None}
    plain["model"] = {**state["model"], "ignore_merges": False}
    added = {token["content"] for token in state["added_tokens"]}
    tokens = [token for token in state["model"]["vocab"] if token not in added]
    encoded = Tokenizer.from_str(json.dumps(plain)).encode_batch(tokens, add_special_tokens=False)
    return all(len(one.ids) == 1 for one in encoded)


def _scores(state: dict[str, Any]) -> dict[str, float]:
    """A score for each token that merging makes.

    SentencePiece merges by the score of the result, BPE by the rank of the pair: the rank becomes the score. That is
    the same where the pairs of one token follow one another and every pair that makes a token is a merge, as in
    tokenizers that were converted from SentencePiece.
    """
    ranks: dict[str, list[int]] = defaultdict(list)
    pairs = _pairs(state)
    for rank, (left, right) in enumerate(pairs):
        ranks[left + right].append(rank)
    _check_pairs(state, set(pairs))
    for token, found in ranks.items():
        if found[-1] - found[0] >= len(found):
            raise InputError(f"llama.cpp merges by token, this tokenizer by pair: the merges to {token!r} lie apart")
    return {token: -float(found[0]) for token, found in ranks.items()}


def _check_pairs(state: dict[str, Any], merges: set[tuple[str, str]]) -> None:
    vocabulary = state["model"]["vocab"]
    added = {token["content"] for token in state["added_tokens"]}
    for token in vocabulary:
        if token in added or _BYTE_TOKEN.fullmatch(token):
            continue
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocabulary and right in vocabulary and (left, right) not in merges:
                raise InputError(
                    f"llama.cpp merges by token, this tokenizer by pair: {left!r} and {right!r} would be merged",
                )


def _tokens(
    tokenizer: Any, rows: int, unknown: str | None = None, merged: Container[str] = ()
) -> tuple[list[str], list[int]]:
    """A token and its type for each of ``rows`` embeddings.

    Args:
        tokenizer: The tokenizer.
        rows: The number of embeddings.
        unknown: SentencePiece's unknown token.
        merged: Its tokens that merging makes. An added one with a blank in it comes by merging alone where added tokens
            are looked for in the text itself, in which a blank is not yet a ``▁``.
    """
    vocabulary = tokenizer.get_vocab()
    by_number = {number: token for token, number in vocabulary.items()}
    if (count := max(by_number) + 1) > rows:
        raise InputError(
            f"the tokenizer has {count} tokens and the model {rows} embeddings",
            remedy="use the tokenizer that the model was trained with",
        )
    added = {
        number: token.special
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.special or token.normalized or _BLANK not in str(token) or str(token) not in merged
    }
    added.update(dict.fromkeys(tokenizer.all_special_ids, True))
    tokens, types = [], []
    for number in range(rows):
        token = by_number.get(number)
        if token is None:
            token, kind = _unused(number, vocabulary), UNUSED
        elif number in added:
            kind = CONTROL if added[number] else USER_DEFINED
        else:
            kind = BYTE if unknown and _BYTE_TOKEN.fullmatch(token) else NORMAL
        # llama.cpp looks for added tokens in the text itself, where a blank is still a blank.
        tokens.append(token.replace(_BLANK, " ") if kind == USER_DEFINED else token)
        types.append(UNKNOWN if unknown and token == unknown else kind)
    return tokens, types


def _unused(number: int, vocabulary: dict[str, int]) -> str:
    name = f"[PAD{number}]"
    while name in vocabulary:
        name = f"[{name}]"
    return name

"""The tokenizer's part of a GGUF file: vocabulary, what is added to a text, and chat templates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from graft.data.chat_template import Renderer
from graft.errors import InputError
from graft.export.gguf.vocabulary import Vocabulary
from graft.inference.torch import TorchPredictor

_SAMPLE = "The way to the sea is long."
_STRIPPING = "phi-3"
"""llama.cpp drops blanks after the special tokens of models with this in their name, and of no others."""


class Blanks(NamedTuple):
    """Where llama.cpp puts a blank that the text does not have.

    Attributes:
        prefix: Before the text, and after each special token in it.
        lead: What the chat template writes before the prompt.
    """

    prefix: bool
    lead: str = ""


def add_tokenizer(writer: Any, tokenizer: Any, vocabulary: Vocabulary, ends: Iterable[int] = ()) -> None:
    """Write ``tokenizer`` as llama.cpp reads it.

    Args:
        writer: A ``gguf.GGUFWriter``.
        tokenizer: The tokenizer.
        vocabulary: Its vocabulary; the first of its splitters is written.
        ends: Further tokens that end an answer.
    """
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.splitters[0])
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    lead = ""
    if vocabulary.model == "llama":
        writer.add_token_scores(vocabulary.scores)
        blanks = blanks_of(tokenizer)
        writer.add_add_space_prefix(blanks.prefix)
        lead = blanks.lead
    else:
        writer.add_token_merges(vocabulary.merges)
    _add_special(writer, tokenizer, ends)
    _add_templates(writer, tokenizer.chat_template, lead)


def answer_ends(model: Any, tokenizer: Any) -> list[int]:
    """All tokens that end an answer of ``model``: the tokenizer's end, the template's end of a turn, then the others.

    Besides the tokenizer's end, a file names the first two: the end of a turn (eot), and one more (eom).
    """
    renderer = Renderer(tokenizer)
    ends = TorchPredictor("", model, tokenizer, renderer).ends()
    first = (tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(renderer.turn_end))
    return [end for end in dict.fromkeys((*first, *sorted(ends))) if end is not None]


def _add_special(writer: Any, tokenizer: Any, ends: Iterable[int]) -> None:
    others = [end for end in ends if end != tokenizer.eos_token_id]
    for value, add in (
        (tokenizer.bos_token_id, writer.add_bos_token_id),
        (tokenizer.eos_token_id, writer.add_eos_token_id),
        (tokenizer.unk_token_id, writer.add_unk_token_id),
        (tokenizer.pad_token_id, writer.add_pad_token_id),
        (others[0] if others else None, writer.add_eot_token_id),
        (others[1] if len(others) > 1 else None, writer.add_eom_token_id),
    ):
        if value is not None:
            add(value)
    begins, finishes = added_around(tokenizer)
    writer.add_add_bos_token(begins)
    writer.add_add_eos_token(finishes)


def added_around(tokenizer: Any) -> tuple[bool, bool]:
    """Whether the tokenizer begins a text with the begin token, and ends it with the end token.

    Raises:
        InputError: If it adds anything else, which llama.cpp would not.
    """
    bare = tokenizer(_SAMPLE, add_special_tokens=False)["input_ids"]
    whole = tokenizer(_SAMPLE)["input_ids"]
    for begins in (False, True):
        for finishes in (False, True):
            before = [tokenizer.bos_token_id] * begins
            if whole == before + bare + [tokenizer.eos_token_id] * finishes:
                return begins, finishes
    raise InputError("the tokenizer adds other tokens to a text than llama.cpp can: begin and end of text")


def _add_templates(writer: Any, templates: Any, lead: str) -> None:
    before = f"{{{{ {lead!r} }}}}" if lead else ""
    if isinstance(templates, dict):
        writer.add_chat_template([{"name": name, "template": before + text} for name, text in templates.items()])
    elif templates:
        writer.add_chat_template(before + templates)


def blanks_of(tokenizer: Any) -> Blanks:
    """The blanks with which llama.cpp's tokens are this SentencePiece tokenizer's, for what the model is asked.

    That is a conversation where the tokenizer has a chat template, and otherwise a text.

    Raises:
        InputError: If there are none.
    """
    from tokenizers import Tokenizer

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    texts = _asked(tokenizer)
    for lead in ("", " ") if tokenizer.chat_template else ("",):
        for prefix in (True, False):
            plain = Tokenizer.from_str(json.dumps(_with_blanks(state, prefix)))
            if all(
                plain.encode(lead + text, add_special_tokens=False).ids
                == tokenizer(text, add_special_tokens=False)["input_ids"]
                for text in texts
            ):
                return Blanks(prefix, lead)
    raise InputError("llama.cpp puts blanks before a text and after special tokens where this tokenizer does not")


def _with_blanks(state: dict[str, Any], prefix: bool) -> dict[str, Any]:
    blanks: list[dict[str, Any]] = [{"type": "Prepend", "prepend": "▁"}] if prefix else []
    blanks.append({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})
    return {**state, "normalizer": {"type": "Sequence", "normalizers": blanks}, "pre_tokenizer": None}


def _asked(tokenizer: Any) -> Sequence[str]:
    if not tokenizer.chat_template:
        return (_SAMPLE,)
    question, answer = {"role": "user", "content": _SAMPLE}, {"role": "assistant", "content": "It is."}
    conversations = ([question], [question, answer, question])
    return [tokenizer.apply_chat_template(one, tokenize=False, add_generation_prompt=True) for one in conversations]


def model_name(name: str, tokenizer: Any) -> str:
    """The name to write for a model called ``name``.

    llama.cpp drops blanks after the special tokens of models whose name has "phi-3" or "phi3" in it, and fails to open
    one with that name that lacks Phi-3's tokens. So a name says so where the tokenizer does so, and nowhere else.

    Raises:
        InputError: If special tokens take blanks with them in a way llama.cpp has not.
    """
    added = {str(token): token for token in tokenizer.added_tokens_decoder.values()}
    kept = {"<unk>", "<s>", "<|endoftext|>"}
    strips = {text for text, token in added.items() if token.rstrip}
    lowered = name.lower()
    if not strips and not any(token.lstrip for token in added.values()):
        for part in (_STRIPPING, _STRIPPING.replace("-", "")):
            while (start := name.lower().find(part)) >= 0:
                name = f"{name[:start]}{name[start : start + 3]} {name[start + len(part) - 1 :]}"
        return name
    if any(token.lstrip for token in added.values()) or strips != set(added) - kept or "</s>" not in added:
        raise InputError("special tokens of this tokenizer take blanks around them with them, which llama.cpp does not")
    return name if _STRIPPING in lowered or "phi3" in lowered else f"{name} ({_STRIPPING})"

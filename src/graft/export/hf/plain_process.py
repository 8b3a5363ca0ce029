"""Ask a model folder by plain transformers: a script that imports nothing of graft.

``python plain_process.py REQUEST``: the JSON file REQUEST says what is asked, and where the answers go. It is run by
its path, so that what it finds is what another program finds in the folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def main(request: Path) -> None:
    """Answer ``request``, which is an object with these keys.

    ``folder``, ``auto_class`` and ``trust_remote_code`` say what is loaded and how. ``conversations`` (null for a text)
    and ``texts`` are the prompts, ``tokens`` the same as the judged model reads them, ``max_length`` is the number of
    tokens after which a text is cut, null for prompts without special tokens. The first ``logits`` of the prompts are
    answered by the model's output, as many as ``answers`` has by an answer of at most ``max_new_tokens`` tokens, which
    is compared with the one in ``answers``.
    Outputs are written to the safetensors file ``outputs``, the rest to the JSON file ``result``.
    """
    import transformers
    from safetensors.torch import save_file

    asked = json.loads(request.read_text(encoding="utf-8"))
    options = {"trust_remote_code": asked["trust_remote_code"], "local_files_only": True}
    tokenizer = transformers.AutoTokenizer.from_pretrained(asked["folder"], **options)
    model = getattr(transformers, asked["auto_class"]).from_pretrained(asked["folder"], **options).eval()
    tokens = asked["tokens"]
    texts = _texts(tokenizer, asked["conversations"], asked["texts"])
    read = [text if text is not None else given for text, given in zip(texts, asked["texts"], strict=True)]
    answers = [answer(model, ids, asked["max_new_tokens"]) for ids in tokens[: len(asked["answers"])]]
    found = {
        "texts": texts,
        "tokens": [_tokens(tokenizer, text, asked["max_length"]) for text in read],
        "answers": answers,
        "margins": [margin(model, *each) for each in zip(tokens, asked["answers"], answers, strict=False)],
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    outputs = [output(model, ids) for ids in tokens[: asked["logits"]]]
    save_file({str(number): one for number, one in enumerate(outputs)}, asked["outputs"])
    Path(asked["result"]).write_text(json.dumps(found), encoding="utf-8")


def _texts(tokenizer: Any, conversations: Sequence[Any], texts: Sequence[str]) -> list[str | None]:
    """The prompts as the folder's chat template renders them; a text as it is; None where the template fails."""
    found: list[str | None] = []
    for conversation, text in zip(conversations, texts, strict=True):
        if conversation is None:
            found.append(text)
            continue
        try:
            rendered = tokenizer.apply_chat_template(
                conversation["messages"],
                tools=conversation["tools"],
                add_generation_prompt=True,
                tokenize=False,
                **conversation["kwargs"],
            )
        except Exception:
            rendered = None
        found.append(rendered)
    return found


def _tokens(tokenizer: Any, text: str, max_length: int | None) -> list[int]:
    if max_length is None:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        begin = tokenizer("")["input_ids"][:1]
        has_begin = begin and begin == [tokenizer.bos_token_id]
        whole = list(ids) if not has_begin or ids[:1] == begin else [*begin, *ids]
        return whole or [tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id]
    return list(tokenizer(text, truncation=True, max_length=max_length)["input_ids"])


def output(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """What ``model`` computes of one row of tokens, in float32.

    Returns:
        Of a causal language model the logits of the next token (vocabulary), of an encoder-decoder model those of the
        first one, of a head its logits, and of a model without a head the last hidden state (tokens, hidden).
    """
    found = _computed(model, ids)
    logits = getattr(found, "logits", None)
    whole = found.last_hidden_state[0] if logits is None else logits[0]
    generates = model.can_generate() if hasattr(model, "can_generate") else False
    chosen: torch.Tensor = whole[-1] if generates else whole
    return chosen.detach().float().contiguous()


def _computed(model: Any, ids: Sequence[int], written: Sequence[int] = ()) -> Any:
    """What ``model`` returns for the tokens ``ids`` with the answer ``written`` after them."""
    decodes = model.config.is_encoder_decoder
    inputs = {"input_ids": torch.tensor([[*ids, *(() if decodes else written)]])}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if decodes:
        inputs["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id, *written]])
    with torch.no_grad():
        return model(**inputs)


def margin(model: Any, ids: Sequence[int], wanted: dict[str, Any], found: dict[str, Any]) -> float | None:
    """How far apart two answers to ``ids`` are where they part; each is one of ``answer``.

    Returns:
        The difference of the logits of both tokens there, or where one answer is over, of the two greatest logits; None
        for equal answers.
    """
    one, other = list(wanted["tokens"]), list(found["tokens"])
    if one == other and wanted["ended"] == found["ended"]:
        return None
    length = min(len(one), len(other))
    place = next((place for place in range(length) if one[place] != other[place]), length)
    logits = _computed(model, ids, one[:place]).logits[0, -1].float()
    if place < length:
        return float((logits[one[place]] - logits[other[place]]).abs())
    first, second = logits.topk(2).values.tolist()
    return float(first - second)


def answer(model: Any, ids: Sequence[int], max_new_tokens: int, **options: Any) -> dict[str, Any]:
    """What ``model`` writes after ``ids``: ``tokens`` without the end token, and whether it ``ended`` with one."""
    inputs = torch.tensor([list(ids)])
    mask = torch.ones_like(inputs)
    with torch.no_grad():
        whole = model.generate(input_ids=inputs, attention_mask=mask, max_new_tokens=max_new_tokens, **options)[0]
    written = whole.tolist()[1 if model.config.is_encoder_decoder else len(ids) :]
    listed = model.generation_config.eos_token_id
    ends = listed if isinstance(listed, list) else [listed]
    place = next((place for place, token in enumerate(written) if token in ends), None)
    return {"tokens": written[:place], "ended": place is not None}


if __name__ == "__main__":
    main(Path(sys.argv[1]))

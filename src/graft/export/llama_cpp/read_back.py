"""Checking a GGUF file without llama.cpp: transformers reads it back."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graft.data.tokenize import prompt_ids
from graft.errors import GraftError, InputError
from graft.export.llama_cpp.judged import Judged
from graft.export.onnx.parity_check import ROWS_OF_LOGITS
from graft.export.parity import exact_verdict

READ_BACK = frozenset({"llama", "mistral", "qwen2"})
"""Model types whose files transformers is known to read as llama.cpp does."""
NOT_RUN = 'not run in llama.cpp: pip install "graft-slm[gguf]"'


def read_back(judged: Judged, file: Path, precision: str) -> dict[str, Any]:
    """Compare the tokens of prompts and the logits after them; the result says that llama.cpp did not run the file.

    Args:
        judged: What the model that was judged does.
        file: The GGUF file.
        precision: The number format of its weights.

    Returns:
        The parity document for the manifest.
    """
    reference = judged.reference
    texts, prompts = reference.texts[:ROWS_OF_LOGITS], reference.prompts[:ROWS_OF_LOGITS]
    folder = file.with_name(".read")
    folder.mkdir()
    try:
        again, tokenizer = _loaded(file, folder)
        pairs = list(zip(reference.logits, _last_logits(again, prompts), strict=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    same_ids = sum(prompt_ids(tokenizer, text) == list(ids) for text, ids in zip(texts, prompts, strict=True))
    difference = round(max(max(abs(a - b) for a, b in zip(x, y, strict=False)) for x, y in pairs), 5)
    same_next = sum(_likeliest(x) == _likeliest(y) for x, y in pairs)
    said = f"read back by transformers: {same_next} of {len(texts)} next tokens equal, logits within {difference:g}"
    parity = {
        "read_back_by": "transformers",
        "rows": len(texts),
        "token_ids_identical": [same_ids, len(texts)],
        "next_token_equal": [same_next, len(texts)],
        "greatest_logit_difference": difference,
        "passed": True,
        "reason": f"{NOT_RUN}; {said}",
    }
    return exact_verdict(parity, reference.greatest_logit) if precision == "float32" else parity


def _likeliest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def _last_logits(model: Any, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
    """The logits (vocabulary) after each of ``prompts``."""
    import torch

    with torch.no_grad():
        return [model(input_ids=torch.tensor([list(ids)])).logits[0, -1].float().tolist() for ids in prompts]


def _loaded(file: Path, folder: Path) -> tuple[Any, Any]:
    """The model and the tokenizer in a GGUF file, unpacked to ``folder``."""
    from graft.models.base import load_model, load_tokenizer, open_run_or_model
    from graft.models.gguf_reader import convert, read_header

    try:
        convert(file, folder, read_header(file), "")
    except InputError as error:
        raise GraftError("the GGUF file cannot be read back", where=str(file)) from error
    base = open_run_or_model(folder).base
    return load_model(base), load_tokenizer(base)

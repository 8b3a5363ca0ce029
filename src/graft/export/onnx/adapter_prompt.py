"""The chat template and the end tokens of one of several adapters, in the bundle that carries it."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from graft.documents import REMEDY, read_object
from graft.errors import InputError
from graft.export.onnx.genai_folder import ADAPTERS, GENAI_CONFIG, end_tokens
from graft.runs.paths import path_inside
from graft.runs.prompt_record import PromptRecord
from graft.tasks.open import CHAT_TEMPLATE


def with_template(tokenizer: Any, template: str | None) -> Any:
    """Return a copy of ``tokenizer`` with ``template``; the tokenizer itself where it has it, or there is none."""
    if template is None or tokenizer.chat_template == template:
        return tokenizer
    found = copy.deepcopy(tokenizer)
    found.chat_template = template
    return found


def write_template(folder: Path, adapter: str, template: Any) -> str | None:
    """Write the chat template of an adapter into the bundle in ``folder``, where it is not the bundle's own.

    Returns:
        The file, relative to the bundle; None for the bundle's own template, and for several by name.
    """
    own = folder / CHAT_TEMPLATE
    if not isinstance(template, str) or (own.is_file() and own.read_text(encoding="utf-8") == template):
        return None
    file = folder / ADAPTERS / f"{adapter}.jinja"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(template.encode("utf-8"))  # as it is: line ends are part of a template
    return f"{ADAPTERS}/{file.name}"


def template_of(folder: Path, prompt: PromptRecord | None) -> str | None:
    """Return the chat template that ``prompt`` names in the bundle in ``folder``; None for the bundle's own.

    Raises:
        InputError: If the file is not in the bundle.
    """
    if prompt is None or prompt.chat_template is None:
        return None
    file = path_inside(prompt.chat_template, folder, "the chat template")
    try:
        return file.read_bytes().decode("utf-8")  # as it is: line ends are part of a template
    except UnicodeDecodeError as error:
        raise InputError(f"this file is not UTF-8 text (byte {error.start})", where=str(file), remedy=REMEDY) from None


def end_ids(folder: Path, prompt: PromptRecord | None, tokenizer: Any) -> set[int]:
    """Return the token ids that end an answer: those of ``prompt``, or without a record those of the bundle."""
    stop = prompt.stop if prompt is not None else []
    found = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in stop]
    if not found or any(len(ids) != 1 for ids in found):
        return end_tokens(folder)
    return {int(ids[0]) for ids in found}


def add_ends(folder: Path, ends: Collection[int]) -> None:
    """Add token ids that end an answer to genai_config.json, which has one list for all adapters."""
    known = end_tokens(folder)
    if set(ends) <= known:
        return
    genai = read_object(folder / GENAI_CONFIG)
    genai["model"]["eos_token_id"] = sorted(known | set(ends))
    (folder / GENAI_CONFIG).write_text(json.dumps(genai, indent=2), encoding="utf-8")

"""Python code that uses a tuned model, as the model card and the report show it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from graft.tasks.label_space import LabelSpace


@dataclass(frozen=True)
class Usage:
    """What a snippet needs to know about a run.

    Attributes:
        run: The run folder, or the model's own where ``is_model``.
        prompt: An input of the form that the model was trained on: the very text it reads, or chat messages.
        adapter: What loads the adapter: PEFT, or graft where PEFT alone would load it otherwise than it was trained;
            None where the folder holds a whole model.
        label_space: The labels of the model's head.
        has_chat_template: Whether the tokenizer formats chat messages.
        max_new_tokens: The maximum number of tokens in an answer.
        method: The method that trained it, which loads it where PEFT does not.
        embedding_rows: The number of tokens that the base's embeddings need for new tokens; None where they suffice.
        is_model: Whether ``run`` is a model folder, such as an exported one.
        dtype: The number format in which the model is loaded, by torch's name.
    """

    run: str
    prompt: str | list[dict[str, Any]]
    adapter: Literal["peft", "graft"] | None = None
    label_space: LabelSpace = field(default_factory=LabelSpace)
    has_chat_template: bool = False
    max_new_tokens: int = 128
    method: str = "lora"
    embedding_rows: int | None = None
    is_model: bool = False
    dtype: str = "float32"

    @property
    def text(self) -> str:
        """The input as one text: of chat messages, the last."""
        return self.prompt if isinstance(self.prompt, str) else str(self.prompt[-1].get("content", ""))


def python(value: Any) -> str:
    """Return a string, a list or a dictionary as a Python literal."""
    return json.dumps(value, ensure_ascii=False)


def loading(
    usage: Usage, auto_class: str, *, also: Sequence[str] = (), imports: Sequence[str] = (), merge: bool = True
) -> list[str]:
    """Return the lines that load tokenizer and model.

    Args:
        usage: The run.
        auto_class: The class of transformers that loads the model.
        also: Further names to import from transformers.
        imports: Further import lines, before that of transformers.
        merge: Whether an adapter is merged into the weights, which pipelines of transformers need.
    """
    lines = {
        "peft": ["from peft import PeftModel"],
        "graft": ["from pathlib import Path", "", "from graft.methods import METHODS"],
        None: [],
    }[usage.adapter]
    load = {
        "peft": [
            f'model = PeftModel.from_pretrained(model, f"{{run}}/adapter"){".merge_and_unload()" if merge else ""}'
        ],
        "graft": [f'model = METHODS.get({python(usage.method)}).load(model, Path(f"{{run}}/adapter"))'],
        None: [],
    }[usage.adapter]
    rows = usage.embedding_rows
    resized = [f"model.resize_token_embeddings({rows}, mean_resizing=False)  # for the new tokens"] if rows else []
    name, model = ("folder", "folder") if usage.is_model else ("run", 'f"{run}/model"')
    return [
        *lines,
        *imports,
        f"from transformers import {', '.join([auto_class, 'AutoTokenizer', *also])}",
        "",
        f"{name} = {python(usage.run)}  # {'this' if usage.is_model else 'the run'} folder",
        f"tokenizer = AutoTokenizer.from_pretrained({model})",
        f"model = {auto_class}.from_pretrained({model}, dtype={python(usage.dtype)})",
        *resized,
        *load,
    ]

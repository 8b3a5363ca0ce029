"""README.md of a folder for onnxruntime-genai: Python that asks it as it was judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Origin
from graft.data.tokenize import prompt_ids, text_ids
from graft.export.onnx.genai_folder import ADAPTERS
from graft.runs.prompt_record import PromptRecord
from graft.shared_text import fenced, markdown, without_places
from graft.tasks.snippet import python

SHOWN = Origin("README.md", 1)
HELLO = [{"role": "user", "content": "Hello"}]
"""The prompt of a model whose rows are not known."""
TELEMETRY = "onnxruntime reports its use to its maker unless `ORT_DISABLE_TELEMETRY=1` is set before Python starts."
NEW_TOKENS = 256
"""The maximum number of tokens in an answer, where the model was not judged."""


@dataclass(frozen=True)
class ShownPrompt:
    """A prompt as the README shows it.

    Attributes:
        prompt: Messages that onnxruntime-genai renders as graft does, or the text that the model reads.
        start: The tokens before those of the text, where the README tokenizes by ``tokenizers``; None where
            onnxruntime-genai's own tokenizer gives the same tokens.
        chat_template: The file of the chat template; None for the folder's own.
        max_new_tokens: The maximum number of tokens in an answer.
    """

    prompt: Sequence[Mapping[str, Any]] | str
    start: Sequence[int] | None
    chat_template: str | None
    max_new_tokens: int

    @classmethod
    def of(cls, record: PromptRecord | None, tokenizer: Any, parity: Any = None) -> ShownPrompt:
        """Return the example of ``record`` in a form that gives the tokens that graft reads.

        Args:
            record: How the model is asked; None where that is not known.
            tokenizer: The tokenizer, with the chat template that the model was trained with.
            parity: The parity document, which says whether onnxruntime-genai renders and tokenizes as transformers.
        """
        record = record or PromptRecord()
        prompt = record.example if record.example is not None else HELLO
        counts = parity if isinstance(parity, Mapping) else {}
        given = tuple(prompt) if isinstance(prompt, list) else prompt
        text = Renderer(tokenizer).prompt(AnswerExample(given, "", SHOWN))
        if isinstance(prompt, list) and not (_all(counts, "template_identical") and _renders(tokenizer, prompt, text)):
            prompt = text
        start = None
        if not _all(counts, "token_ids_identical"):
            ids, bare = prompt_ids(tokenizer, text), text_ids(tokenizer, text)
            start = ids[: len(ids) - len(bare)] if ids[len(ids) - len(bare) :] == bare else []
        return cls(prompt, start, record.chat_template, record.max_new_tokens or NEW_TOKENS)


def _all(counts: Mapping[str, Any], name: str) -> bool:
    same, of = counts.get(name) or (0, 0)
    return bool(same == of)


def _renders(tokenizer: Any, messages: Sequence[Mapping[str, Any]], text: str) -> bool:
    """Whether the chat template gives ``text``, which graft makes of ``messages``."""
    if not tokenizer.chat_template:
        return False
    return bool(tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False) == text)


def write_readme(
    folder: Path,
    title: str,
    summary: Sequence[str],
    shown: ShownPrompt,
    adapter: str | None = None,
    others: Mapping[str, ShownPrompt] | None = None,
) -> None:
    """Write README.md.

    Args:
        folder: The bundle.
        title: Its heading.
        summary: What is said of the bundle, a line each.
        shown: The prompt that the code asks.
        adapter: The adapter that the code activates.
        others: How the other adapters are asked, by name.
    """
    listed = "\n".join(f"- {markdown(without_places(line))}" for line in summary)
    packages = "onnxruntime-genai" if shown.start is None else "onnxruntime-genai tokenizers"
    text = f"# {markdown(title)}\n\n{listed}\n\n## Run it\n\n`pip install {packages}`, then in this folder:\n\n"
    text += f"{fenced(code(shown, adapter).rstrip(), 'python')}\n"
    for name, other in (others or {}).items():
        text += f"\n## Adapter {markdown(name)}\n\n{fenced(code(other, name).rstrip(), 'python')}\n"
    (folder / "README.md").write_text(f"{text}\n{TELEMETRY}\n", encoding="utf-8")


def code(shown: ShownPrompt, adapter: str | None = None) -> str:
    """Return Python that answers the prompt, with ``adapter`` active."""
    messages = not isinstance(shown.prompt, str)
    template = shown.chat_template is not None and messages
    lines = [
        *(["import json"] if messages else []),
        *(["from pathlib import Path"] if template else []),
        *([""] if messages else []),
        "import onnxruntime_genai as og",
        *(["from tokenizers import Tokenizer"] if shown.start is not None else []),
        "",
        'model = og.Model(".")',
        "tokenizer = og.Tokenizer(model)",
        *_prompt(shown),
        *_tokens(shown.start),
        "params = og.GeneratorParams(model)",
        f"params.set_search_options(max_length=len(tokens) + {shown.max_new_tokens}, do_sample=False)",
        "generator = og.Generator(model, params)",
        *_activation(adapter),
        "generator.append_tokens(tokens)",
        "stream = tokenizer.create_stream()",
        "while not generator.is_done():",
        "    generator.generate_next_token()",
        '    print(stream.decode(generator.get_next_tokens()[0]), end="", flush=True)',
        "print()",
    ]
    return "".join(f"{line}\n" for line in lines)


def _prompt(shown: ShownPrompt) -> list[str]:
    if isinstance(shown.prompt, str):
        return [f"prompt = {shown.prompt!r}"]
    messages = [f"    {dict(message)!r}," for message in shown.prompt]
    given = "json.dumps(messages), add_generation_prompt=True"
    template = []
    if shown.chat_template is not None:
        template = [f'template = Path({python(shown.chat_template)}).read_text(encoding="utf-8")']
        given += ", template_str=template"
    return ["messages = [", *messages, "]", *template, f"prompt = tokenizer.apply_chat_template({given})"]


def _tokens(start: Sequence[int] | None) -> list[str]:
    if start is None:
        return ["tokens = tokenizer.encode(prompt)"]
    ids = 'Tokenizer.from_file("tokenizer.json").encode(prompt, add_special_tokens=False).ids'
    return [f"tokens = {ids}" if not start else f"tokens = {list(start)} + {ids}"]


def _activation(adapter: str | None) -> list[str]:
    if adapter is None:
        return []
    return [
        "adapters = og.Adapters(model)",
        f"adapters.load({python(f'{ADAPTERS}/{adapter}.onnx_adapter')}, {python(adapter)})",
        f"generator.set_active_adapter(adapters, {python(adapter)})",
    ]

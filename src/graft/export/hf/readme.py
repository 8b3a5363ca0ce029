"""The README of a model folder: what it is, what was compared, and how each program runs it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from graft.export.prompt_record import prompt_record
from graft.export.source import ExportSource
from graft.export.target import Built
from graft.runs.prompt_record import PromptRecord
from graft.shared_text import fenced, markdown, without_places
from graft.tasks.snippet import Usage, python

MAX_NEW_TOKENS = 128
PLACEHOLDER = "The text to read."


def write_readme(folder: Path, source: ExportSource, built: Built, precision: str, for_mlx: bool) -> None:
    """Write README.md, with the front matter of a model card on the Hugging Face hub.

    Args:
        folder: The model folder.
        source: The model that was exported.
        built: The result of the comparison, and the size.
        precision: The number format of the weights.
        for_mlx: Whether mlx-lm runs such a model.
    """
    prompt = prompt_record(source) or PromptRecord()
    writes = source.task.objective(source.encoding.label_space) is None
    adapter = f", with the adapter {source.name} merged" if source.adapter else ""
    facts = [
        f"model: {source.base.label}{adapter}",
        f"task: {source.task.name}; weights: {precision}, {built.size_mb:g} MB",
        f"license of the base: {source.base.license or 'unknown'}",
        f"compared with PyTorch: {built.reason}",
    ]
    parts = [
        _front_matter(source),
        f"# {markdown(source.name)}\n\n" + "\n".join(f"- {markdown(without_places(fact))}" for fact in facts),
        "## Run it\n\nIn this folder, with transformers:\n\n" + fenced(_snippet(source, prompt, precision), "python"),
    ]
    if writes:
        parts.append(_vllm(source.name, prompt, precision))
    if for_mlx:
        parts.append(_mlx(prompt))
    (folder / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _front_matter(source: ExportSource) -> str:
    tag = source.task.hub_tag or source.task.name
    license = source.base.license
    known = {} if license in (None, "unknown") else {"license": license}
    entries = {"library_name": "transformers", "pipeline_tag": tag, **known}
    return f"---\n{yaml.safe_dump(entries, sort_keys=False)}---"


def _snippet(source: ExportSource, prompt: PromptRecord, precision: str) -> str:
    usage = Usage(
        run=".",
        prompt=prompt.example or PLACEHOLDER,
        label_space=source.encoding.label_space,
        has_chat_template=bool(source.tokenizer.chat_template),
        max_new_tokens=prompt.max_new_tokens or MAX_NEW_TOKENS,
        is_model=True,
        dtype=precision,
    )
    return source.task.snippet(usage)


def _request(name: str, prompt: PromptRecord) -> tuple[str, str]:
    """The path and the JSON of a request to an OpenAI-compatible server."""
    limit = prompt.max_new_tokens or MAX_NEW_TOKENS
    example: Any = prompt.example or [{"role": "user", "content": PLACEHOLDER}]
    if isinstance(example, str):
        body = {"model": name, "prompt": example, "temperature": 0, "max_tokens": limit}
        return "completions", python(body)
    return "chat/completions", python({"model": name, "messages": example, "temperature": 0, "max_tokens": limit})


def _vllm(name: str, prompt: PromptRecord, precision: str) -> str:
    path, body = _request(name, prompt)
    quoted = shlex.quote(body)
    lines = [
        f"vllm serve . --served-model-name {shlex.quote(name)} --dtype {precision}",
        f"curl http://127.0.0.1:8000/v1/{path} -H 'Content-Type: application/json' -d {quoted}",
    ]
    why = (
        "The model was compared by its most likely answers, so ask with `temperature` 0: vLLM's default is 1. "
        "`--dtype auto` computes float32 weights in 16 bits."
    )
    return f"## vLLM\n\n{fenced(chr(10).join(lines), 'bash')}\n\n{why}"


def _mlx(prompt: PromptRecord) -> str:
    limit = prompt.max_new_tokens or MAX_NEW_TOKENS
    example = prompt.example or [{"role": "user", "content": PLACEHOLDER}]
    messages = isinstance(example, list)
    rendered = "tokenizer.apply_chat_template(messages, add_generation_prompt=True)" if messages else "prompt"
    lines = [
        "from mlx_lm import generate, load",
        "",
        'model, tokenizer = load(".")',
        f"messages = {python(example)}" if messages else f"prompt = {python(example)}",
        f"print(generate(model, tokenizer, {rendered}, max_tokens={limit}))",
    ]
    return f"## mlx-lm\n\n{fenced(chr(10).join(lines), 'python')}"

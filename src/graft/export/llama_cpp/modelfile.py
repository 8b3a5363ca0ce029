"""The Modelfile beside a GGUF file: what Ollama needs in order to ask the model as it was asked in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graft.config import DataSettings
from graft.data.chat_template import Renderer
from graft.data.columns import shape_prompt
from graft.data.example import Message
from graft.export.llama_cpp.go_template import fits_modelfile, go_template
from graft.export.llama_cpp.segments import Segments, begin_token, differences, find_segments
from graft.export.source import ExportSource
from graft.runs.prompt_record import PromptRecord

NAME = "Modelfile"
CONTEXT = 4096
"""Tokens of context without a longer row in training: a whole context of 128k would fill the memory."""


@dataclass(frozen=True)
class Modelfile:
    """A Modelfile.

    Attributes:
        text: Its content.
        notes: What it does not say as the chat template does.
    """

    text: str
    notes: Sequence[str]


def make_modelfile(
    source: ExportSource, prompt: PromptRecord | None, file: str, adapter: str | None = None
) -> Modelfile:
    """Make the Modelfile of a bundle.

    Args:
        source: The model that was exported.
        prompt: How the bundle is asked.
        file: The name of the GGUF file.
        adapter: The name of the adapter's file.
    """
    record = prompt or PromptRecord()
    form = record.settings(DataSettings)
    renderer, begin = Renderer(source.tokenizer), begin_token(source.tokenizer)

    def shape(text: str) -> tuple[Message, ...] | str:
        """As ``graft chat`` asks."""
        return shape_prompt(text, form, record.generation_prompt)

    segments = find_segments(renderer, shape, begin)
    if segments is None:
        notes = ["the chat template cannot be written as an Ollama template: send rendered prompts"]
    else:
        notes = differences(segments, renderer, shape, begin)
    lines = [*(f"# {' '.join(note.split())}" for note in notes), f"FROM ./{file}"]
    if adapter is not None:
        lines.append(f"ADAPTER ./{adapter}")
    lines += _template(segments)
    lines += _parameters(record, source)
    if source.base.license and fits_modelfile(source.base.license):
        lines.append(f"LICENSE {_value(source.base.license)}")
    return Modelfile("\n".join(lines) + "\n", notes)


def _template(segments: Segments | None) -> list[str]:
    if segments is None:
        return ['TEMPLATE """{{ .Prompt }}"""']
    lines = [f'TEMPLATE """{go_template(segments)}"""']
    if segments.default_system and fits_modelfile(segments.default_system):
        lines.append(f"SYSTEM {_value(segments.default_system)}")
    return lines


def _parameters(record: PromptRecord, source: ExportSource) -> list[str]:
    """Greedy answers, as they were judged, with the limits and the ends of the run."""
    values: list[tuple[str, Any]] = [("temperature", 0), ("repeat_penalty", 1)]
    values.append(("num_ctx", context_of(record, source)))
    if record.max_new_tokens is not None:
        values.append(("num_predict", record.max_new_tokens))
    values += [("stop", _quoted(text)) for text in record.stop if fits_modelfile(text)]
    return [f"PARAMETER {name} {value}" for name, value in values]


def context_of(record: PromptRecord, source: ExportSource) -> int:
    """The number of tokens of context that the rows of the run need, within what the model can read."""
    needed = (record.max_length or 0) + (record.max_new_tokens or 0)
    most = source.base.text_config.get("max_position_embeddings") or CONTEXT
    return int(min(most, max(CONTEXT, needed)))


def _value(text: str) -> str:
    """``text`` as a value: as it is, or in quotes where a reader would change it."""
    plain = "\n" not in text and text == text.strip() and '"' not in text
    return text if plain else f'"""{text}"""'


def _quoted(text: str) -> str:
    return f'"{text}"' if '"' not in text else f'"""{text}"""'

"""The README of an encoder's bundle: Python that needs onnxruntime and tokenizers alone, on an input of the run."""

from __future__ import annotations

from pathlib import Path

from graft.export.onnx.genai_readme import TELEMETRY
from graft.export.prompt_record import prompt_record
from graft.export.source import ExportSource
from graft.shared_text import fenced, markdown, without_places
from graft.tasks.feature_extraction import OTHER
from graft.tasks.snippet import python
from graft.tasks.text_classification import SEVERAL

PLACEHOLDER = "The text to read."

OPENING = """\
import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

session = onnxruntime.InferenceSession("model.onnx")
tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.no_padding()
tokenizer.enable_truncation({max_length})


def run(encoding):
    ids = np.array([encoding.ids])
    return session.run(None, {{"input_ids": ids, "attention_mask": np.ones_like(ids)}})[0][0]

"""

CLASSES = """\

names = json.load(open("config.json", encoding="utf-8"))["id2label"]
logits = run(tokenizer.encode({text}))
print(names[str(logits.argmax())])
"""

LABELS = """\

names = json.load(open("config.json", encoding="utf-8"))["id2label"]
logits = run(tokenizer.encode({text}))
print([names[str(index)] for index in np.flatnonzero(logits > 0)])  # those above one half
"""

TAGS = """\

names = json.load(open("config.json", encoding="utf-8"))["id2label"]
words = {text}.split()
text = " ".join(words)
ends = np.cumsum([len(word) + 1 for word in words]) - 1
encoding = tokenizer.encode(text)
tags = [{outside}] * len(words)  # of a word that is cut off
best = run(encoding).argmax(-1)
for token in reversed(range(len(best))):  # the first piece of a word decides
    start, stop = encoding.offsets[token]
    start = stop - len(text[start:stop].lstrip())
    if start < stop:
        tags[np.searchsorted(ends, start, side="right")] = names[str(best[token])]
print(list(zip(words, tags)))
"""

PAIRS = """\

def embed(text):
    mean = run(tokenizer.encode(text)).mean(0)
    return mean / np.linalg.norm(mean)


print(embed({text}) @ embed({other}))  # 1: the same direction
"""


def write_readme(folder: Path, source: ExportSource, precision: str, reason: str) -> None:
    """Write README.md.

    Args:
        folder: The bundle.
        source: The model that was exported.
        precision: The number format of the weights.
        reason: What the comparison with PyTorch found.
    """
    record = prompt_record(source)
    given = record.example if record is not None else None
    text = given if isinstance(given, str) else PLACEHOLDER
    title = f"# {markdown(source.name)}, {source.task.name}, {precision} ONNX"
    how = "`pip install onnxruntime tokenizers`, then in this folder:"
    judged = f"compared with PyTorch: {markdown(without_places(reason))}"
    parts = [title, judged, "## Run it", how, fenced(_code(source, text).rstrip(), "python"), TELEMETRY]
    (folder / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _code(source: ExportSource, text: str) -> str:
    labels = source.encoding.label_space
    opening = OPENING.format(max_length=source.encoding.max_length)
    if source.task.name == "feature-extraction":
        return opening + PAIRS.format(text=python(text), other=python(OTHER))
    if source.task.name == "token-classification":
        outside = "O" if "O" in labels.names else labels.names[0]
        return opening + TAGS.format(text=python(text), outside=python(outside))
    return opening + (LABELS if labels.problem == SEVERAL else CLASSES).format(text=python(text))

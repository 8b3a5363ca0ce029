"""Which families export, in which precision, merged and hot-swappable: the table of docs/how-to/export.md is made here.

``python tests/export/test_families.py`` prints it.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from graft.errors import GraftError
from graft.export.onnx.genai import GenaiModel
from graft.export.onnx.graph import in_graph
from graft.export.onnx.lora_slots import add_slots, slot_options
from graft.export.onnx.model_builder import build
from graft.export.onnx.session import OnnxSession
from tiny_models import tiny_model_folder

FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "mistral", "gpt2")
PRECISIONS = ("float32", "int8", "int4")
PROMPTS = [list(range(5, 25)), list(range(40, 47)), [7] * 30]
DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "export.md"


def expected(model):
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model).eval()
    with torch.no_grad():
        return np.stack([loaded(input_ids=torch.tensor([ids])).logits[0, -1].numpy() for ids in PROMPTS])


def linear_layers(model):
    from transformers import AutoModelForCausalLM

    named = AutoModelForCausalLM.from_pretrained(model).named_modules()
    layers = [name for name, layer in named if "layers." in name and type(layer).__name__ == "Linear"]
    return [part for layer in layers for part in in_graph(layer)]


def export(model, folder, precision="float32", switch=False):
    """The graph's and onnxruntime-genai's logits after the prompts; with ``switch``, slots at all linear layers."""
    modules = linear_layers(model) if switch else []
    build(model, folder, precision, options=slot_options(modules) if switch else None)
    if switch:
        add_slots(folder, modules)
    genai = GenaiModel(folder)
    return OnnxSession(folder).last_logits(PROMPTS), np.array([genai.last_logits(prompt) for prompt in PROMPTS])


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "gpt2"])
def test_float32_is_within_a_thousandth_of_pytorch(family, tmp_path):
    model = tiny_model_folder(tmp_path, family, width=64)
    wanted = expected(model)
    for found in export(model, tmp_path / "onnx"):
        assert np.abs(found - wanted).max() < 1e-3


def cell(model, folder, precision, switch, wanted):
    try:
        found = export(model, folder, precision, switch)
    except GraftError as error:
        return "no: " + ("not built" if "does not support" in str(error) else "no such layers" if switch else "fails")
    except Exception as error:
        return f"no: {type(error).__name__}"
    off = max(np.abs(one - wanted).max() for one in found) / np.abs(wanted).max()
    return "yes" if off < {"float32": 1e-3, "int8": 0.1, "int4": 0.6}[precision] else "no: answers differ"


def table():
    lines = [
        "| family | "
        + " | ".join(
            f"{precision} {placement}" for precision in PRECISIONS for placement in ("merged", "hot-swappable")
        ),
        "|---" * 7 + "|",
    ]
    lines[0] += " |"
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            model = tiny_model_folder(folder, family, width=64)
            wanted = expected(model)
            cells = [
                cell(model, folder / f"{precision}-{switch}", precision, switch, wanted)
                for precision in PRECISIONS
                for switch in (False, True)
            ]
        lines.append(f"| {family} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


@pytest.mark.slow
def test_the_table_in_the_docs_is_true():
    assert table() in DOCS.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")

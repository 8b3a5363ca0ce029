"""What a run leaves is loaded by the usual lines of transformers and PEFT, with the logits that graft computes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from graft.commands.export import export_model
from graft.config import DataSettings, ModelSettings
from graft.methods.recorded import load_tuned
from graft.models.base import load_tokenizer, open_run_or_model
from graft.tasks.load import load_for
from graft.tasks.open import open_task
from plain_libraries import IDS, in_plain_python
from small_runs import tune
from task_rows import ROWS
from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder, tiny_t5_folder

TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
CLASSES, TAGS = "text-classification", "token-classification"
ENDINGS = {
    "text-generation": "ForCausalLM",
    CLASSES: "ForSequenceClassification",
    TAGS: "ForTokenClassification",
    "summarization": "ForSeq2SeqLM",
    "feature-extraction": "",
}
RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lora": ("llama", "classes", {"chat_template": TEMPLATE}),
    "dora": ("llama", "classes", {"use_dora": True}),
    "rslora": ("qwen3", "classes", {"use_rslora": True, "lora_r": 3}),
    "untied head": ("mistral", "classes", {"modules_to_save": "lm_head,norm"}),
    "ia3": ("gpt2", "classes", {"method": "ia3"}),
    "loha": ("gemma2", "classes", {"method": "loha", "lora_r": 4}),
    "oft": ("llama", "classes", {"method": "oft", "target_modules": "q_proj"}),
    "classes": ("bert", "classes", {}),
    "classes of a language model": ("llama", "classes", {"task": CLASSES}),
    "several labels": ("bert", "several", {}),
    "tags": ("bert", "tagged", {}),
    "pairs": ("bert", "pairs", {}),
    "summaries": ("t5", "summaries", {}),
    "full": ("llama", "classes", {"method": "full", "chat_template": TEMPLATE}),
    "full classes": ("bert", "classes", {"method": "full"}),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path_factory.mktemp("cache")))


def trained(folder: Path, model: str, rows: str, **settings: Any) -> Path:
    makers = {"bert": tiny_bert_folder, "t5": tiny_t5_folder}
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS[rows]()), encoding="utf-8")
    base = makers[model](folder) if model in makers else tiny_model_folder(folder, model)
    return tune(base, data, folder / "run", max_steps=3, learning_rate=0.05, **settings)


def by_graft(run: Path) -> tuple[torch.Tensor, str]:
    """The logits or hidden states as graft computes them, flat, and the task."""
    opened = open_run_or_model(run)
    task, encoding = open_task(opened, ModelSettings(), DataSettings())
    model = load_tuned(load_for(task, encoding, opened.base, 0), opened).eval()
    given = {"input_ids": torch.tensor([IDS])}
    if model.config.is_encoder_decoder:
        given["decoder_input_ids"] = given["input_ids"]
    with torch.no_grad():
        found = model(**given)
    return (found.logits if "logits" in found else found.last_hidden_state).flatten(), task.name


def lines_of(run: Path, task: str, settings: dict[str, Any]) -> list[str]:
    """The usual lines that load a run's model, to be read in its folder ``adapter``, or in ``model``."""
    auto = f"AutoModel{ENDINGS[task]}.from_pretrained"
    if settings.get("method") == "full":
        return [f"{auto}('../model')"]
    peft = f"AutoPeftModel{ENDINGS[task] or 'ForFeatureExtraction'}.from_pretrained"
    lines = [f"PeftModel.from_pretrained({auto}('../model'), '../adapter')", f"{peft}('.')"]
    # Of DoRA's scales transformers 5.23 reads none, whoever saved them.
    return lines if settings.get("use_dora") else [*lines, f"{auto}('.')"]


def test_the_usual_lines_load_every_kind_of_run(tmp_path: Path) -> None:
    """In folders that were moved, without their bases."""
    calls: list[tuple[Path, str]] = []
    expected: list[torch.Tensor] = []
    for name, (model, rows, settings) in RUNS.items():
        (tmp_path / name).mkdir()
        run = trained(tmp_path / name, model, rows, **settings).rename(tmp_path / f"{name}, moved")
        shutil.rmtree(tmp_path / name)
        logits, task = by_graft(run)
        place = run / ("model" if settings.get("method") == "full" else "adapter")
        lines = lines_of(run, task, settings)
        calls += [(place, f"values({line})") for line in lines]
        expected += [logits] * len(lines)
    found, _ = in_plain_python(calls, tmp_path)
    differences = {
        f"{place.parent.name}: {line}": (torch.tensor(values) - logits).abs().max().item()
        for (place, line), values, logits in zip(calls, found, expected, strict=True)
    }
    assert len(differences) == len(calls) > 2 * len(RUNS) and not {k: v for k, v in differences.items() if v > 1e-5}


@pytest.mark.parametrize("template", [None, TEMPLATE])
def test_the_tokenizer_stands_in_both_folders(tmp_path: Path, template: str | None) -> None:
    run = trained(tmp_path, "llama", "classes", chat_template=template, new_tokens="<tool>")
    calls = [(run / place, "tokens(AutoTokenizer.from_pretrained('.'))") for place in ("model", "adapter")]
    calls.append((run / "adapter", "values(AutoPeftModelForCausalLM.from_pretrained('.'))"))
    (ids, chat), beside, values = in_plain_python(calls, tmp_path)[0]
    own = load_tokenizer(open_run_or_model(run).base)
    assert beside == [ids, chat] and ids == own("The answer, 東京 and\n don't <tool>")["input_ids"]
    assert chat.startswith("<user>The answer" if template else "<|im_start|>user")
    assert (torch.tensor(values) - by_graft(run)[0]).abs().max() < 1e-5


def test_an_adapter_over_a_quantized_base_says_so_and_is_exact_as_a_plain_model(tmp_path: Path) -> None:
    """Over the float weights, PEFT alone computes something else; the merged folder has the quantized weights."""
    run = trained(tmp_path, "llama", "classes", method="qlora")
    plain = export_model(
        {"model_name_or_path": str(run), "format": "hf", "skip_parity": True, "output_path": run / "hf"}
    )
    calls = [
        (run / "adapter", "values(AutoPeftModelForCausalLM.from_pretrained('.'))"),
        (plain, "values(AutoModelForCausalLM.from_pretrained('.', dtype='float32'))"),
    ]
    found, warnings = in_plain_python(calls, tmp_path)
    over_float, merged = ((torch.tensor(values) - by_graft(run)[0]).abs().max().item() for values in found)
    assert merged < 1e-4 < 1e-3 < over_float
    assert any("base_quantization" in warning for warning in warnings)
    record = json.loads((run / "adapter" / "base_model.json").read_text(encoding="utf-8"))
    assert record["quantization"] == "int4" and record["sha256"] == open_run_or_model(run).base.sha256
    assert "--format hf" in (run / "adapter" / "README.md").read_text(encoding="utf-8")

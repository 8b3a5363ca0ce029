"""What a run leaves is loaded by the usual lines of transformers and PEFT, with the logits that graft computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

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


@pytest.mark.parametrize("name", RUNS)
def test_by_the_usual_lines_of_transformers_and_peft(name: str, tmp_path: Path) -> None:
    model, rows, settings = RUNS[name]
    run = trained(tmp_path, model, rows, **settings)
    (tmp_path / f"tiny-{model}").rename(tmp_path / "moved")
    expected, task = by_graft(run)
    auto = f"AutoModel{ENDINGS[task]}.from_pretrained"
    if settings.get("method") == "full":
        calls = [f"values({auto}('../model'))"]
    else:
        peft = f"AutoPeftModel{ENDINGS[task] or 'ForFeatureExtraction'}.from_pretrained"
        calls = [f"values(PeftModel.from_pretrained({auto}('../model'), '../adapter'))", f"values({peft}('.'))"]
        calls += [f"values({auto}('.'))"]  # transformers loads the base that the adapter names, and the adapter
    tokenizers = [f"tokens(AutoTokenizer.from_pretrained('../{place}'))" for place in ("model", "adapter")]
    place = run / ("model" if settings.get("method") == "full" else "adapter")
    found, _ = in_plain_python([*calls, *tokenizers[: len(calls)]], place)
    for line, values in zip(calls, found, strict=False):
        difference = (torch.tensor(values) - expected).abs().max().item()
        assert difference < 1e-5, (line, difference)
    own = load_tokenizer(open_run_or_model(run).base)
    assert all(ids == own("The answer, 東京 and\n don't")["input_ids"] for ids, _ in found[len(calls) :])
    if "chat_template" in settings:
        assert all(chat.startswith("<user>The answer") for _, chat in found[len(calls) :])

"""Python that uses a model with a head, or an encoder–decoder; that of a model that only writes is in ``usage``."""

from __future__ import annotations

CLASSES = {
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "feature-extraction": "AutoModel",
    "summarization": "AutoModelForSeq2SeqLM",
}


def loading(task: str, run: str, adapter: bool, by_graft: bool = False) -> list[str]:
    """Lines that load tokenizer and model; ``run`` is the folder as a Python string.

    ``by_graft``: the adapter is one that PEFT alone doesn't load as it was trained.
    """
    several = ", pipeline" if task in {"text-classification", "token-classification"} else ""
    lines = ["from peft import PeftModel"] if adapter and not by_graft else []
    if by_graft:
        lines = ["from pathlib import Path", "", "from graft.methods.adapter_folder import load_adapter"]
    if task == "feature-extraction":
        lines.append("from torch.nn.functional import cosine_similarity")
    lines += [
        f"from transformers import {CLASSES[task]}, AutoTokenizer{several}",
        "",
        f"run = {run}  # the run folder",
        'tokenizer = AutoTokenizer.from_pretrained(f"{run}/model")',
        f'model = {CLASSES[task]}.from_pretrained(f"{{run}}/model", dtype="float32")',
    ]
    if by_graft:
        lines.append('model = load_adapter(model, Path(f"{run}/adapter"))')
    elif adapter:
        lines.append('model = PeftModel.from_pretrained(model, f"{run}/adapter").merge_and_unload()')
    return lines


def using(task: str, text: str, several: bool = False) -> list[str]:
    """Lines that use them on ``text``, a Python string; ``several``: any number of labels may hold."""
    if task == "text-classification":
        options = ", top_k=None" if several else ""
        return [
            'classify = pipeline("text-classification", model=model, tokenizer=tokenizer)',
            f"print(classify({text}{options}))",
        ]
    if task == "token-classification":
        return [
            'tag = pipeline("token-classification", model=model, tokenizer=tokenizer)',
            f'found = tag({text}, aggregation_strategy="first")',
            'print([(part["word"], part["entity_group"]) for part in found])',
        ]
    if task == "feature-extraction":
        return [
            f'inputs = tokenizer([{text}, {text}], padding=True, return_tensors="pt")',
            'hidden, mask = model(**inputs).last_hidden_state, inputs["attention_mask"][..., None]',
            "first, second = (hidden * mask).sum(1) / mask.sum(1)",
            "print(cosine_similarity(first, second, dim=0).item())  # 1: alike",
        ]
    return [
        f'inputs = tokenizer({text}, return_tensors="pt")',
        "output = model.generate(**inputs, max_new_tokens=128, do_sample=False)",
        "print(tokenizer.decode(output[0], skip_special_tokens=True))",
    ]

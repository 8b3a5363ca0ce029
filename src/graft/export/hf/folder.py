"""A model as a plain folder of transformers: what vLLM, mlx-lm, llama.cpp's converter and others read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

from graft.models.load import quiet
from graft.models.own_files import model_files

OLD_NAMES = {"dtype": "torch_dtype"}
OLD_NAMES_OF = {
    "gpt2": {"n_positions": "n_ctx"},
    "gpt_neox": {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
    "lfm2": {"hidden_size": "block_dim"},
    "qwen3_moe": {"num_local_experts": "num_experts"},
}
"""Keys of config.json that transformers 5 writes, and what transformers 4 and mlx-lm read; of all, and by type."""
SHARD = "4GB"
"""The largest weight file: hubs, FAT disks and mlx-lm have a limit of 5 GB or less."""


def write_folder(model: Any, tokenizer: Any, folder: Path, precision: str, ends: Collection[int] | None) -> None:
    """Write weights, configuration, tokenizer and generation settings.

    Args:
        model: A model of transformers. It is converted to ``precision`` in place.
        tokenizer: Its tokenizer, with the chat template that it was trained with.
        folder: Where to write.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        ends: The token ids that end an answer; None for a model that writes no text by next tokens.
    """
    import torch

    _greedy(model, tokenizer, ends)
    with quiet():
        model.to(getattr(torch, precision)).save_pretrained(folder, max_shard_size=SHARD)
        tokenizer.save_pretrained(folder)
    _edit(folder / "config.json", for_other_readers)
    _edit(folder / "tokenizer_config.json", lambda config: _tokenizer_config(config, tokenizer.chat_template))


def copy_code(source: Path, folder: Path) -> None:
    """Copy the Python files of a model with code of its own, which its configuration refers to."""
    for file in model_files(source, ("**/*.py",)):
        place = folder / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


def _greedy(model: Any, tokenizer: Any, ends: Collection[int] | None) -> None:
    """Make the generation settings those of the evaluation: the most likely token each time, up to one of ``ends``.

    A language model is judged without any other rule, so that none of its base's stays. An encoder-decoder model is
    judged with its own (forced tokens, least length), apart from beams and sampling.
    """
    from transformers import GenerationConfig

    if not model.can_generate():
        return
    old, made = model.generation_config, cast(Any, GenerationConfig)
    if ends is not None:
        listed = sorted(ends)
        eos = listed if len(listed) > 1 else listed[0] if listed else None
        pad, bos = tokenizer.pad_token_id, tokenizer.bos_token_id
        model.generation_config = made(bos_token_id=bos, eos_token_id=eos, pad_token_id=pad)
        return
    sampling = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
    beams = ("early_stopping", "length_penalty", "num_beam_groups", "diversity_penalty", "num_return_sequences")
    kept = {name: value for name, value in old.to_diff_dict().items() if name not in (*sampling, *beams)}
    kept |= {"do_sample": False, "num_beams": 1}
    kept.pop("_from_model_config", None)  # else the model's configuration is read instead
    model.generation_config = made.from_dict(kept)


def _edit(file: Path, change: Any) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(change(config), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _tokenizer_config(config: dict[str, Any], template: Any) -> dict[str, Any]:
    """With the chat template, which readers before transformers 4.43 look for here, and a class that 4 knows, too."""
    found = {name: value for name, value in config.items() if name not in ("is_local", "local_files_only")}
    if found.get("tokenizer_class") == "TokenizersBackend":
        found["tokenizer_class"] = "PreTrainedTokenizerFast"
    return {**found, "chat_template": template} if isinstance(template, str) else found


def for_other_readers(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the keys of transformers 4 beside those of 5, which reads both.

    transformers 5 writes the rotary embedding's settings as ``rope_parameters`` alone. mlx-lm, and transformers 4, look
    for ``rope_theta``, ``rope_scaling`` and ``partial_rotary_factor``, and take a default where these are missing.
    """
    found = {**config, **_old_rope(config)}
    if isinstance(config.get("text_config"), dict):
        found["text_config"] = for_other_readers(config["text_config"])
    for new, old in (OLD_NAMES | OLD_NAMES_OF.get(config.get("model_type", ""), {})).items():
        if new in found:
            found.setdefault(old, found[new])
    return found


def _old_rope(config: dict[str, Any]) -> dict[str, Any]:
    given = config.get("rope_parameters") or {}
    full, sliding = given.get("full_attention", given), given.get("sliding_attention")
    if not isinstance(full, dict) or "rope_theta" not in full:
        return {}
    found = {"rope_theta": full["rope_theta"]}
    if isinstance(sliding, dict) and "rope_theta" in sliding:
        found["rope_local_base_freq"] = sliding["rope_theta"]
    if "partial_rotary_factor" in full:
        found["partial_rotary_factor"] = full["partial_rotary_factor"]
    if full.get("rope_type", "default") != "default":
        scaling = {name: value for name, value in full.items() if name not in ("rope_theta", "partial_rotary_factor")}
        found["rope_scaling"] = scaling
    return {name: value for name, value in found.items() if name not in config}

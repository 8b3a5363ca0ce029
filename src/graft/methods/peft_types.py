"""What PEFT has besides LoRA and can merge, each by its own name."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

from graft.config import FinetuneSettings
from graft.errors import InputError
from graft.methods.adapter_folder import save_adapter
from graft.methods.lora import alpha_of, check_names, fans_out, targets_of, task_type
from graft.methods.merge import mergeable

Fields = dict[str, str]
"""A field of PEFT's configuration class -> the setting it takes its value from; what is left out stays PEFT's own."""

TYPES: dict[str, tuple[str, Fields]] = {
    "loha": ("LoHaConfig", {"r": "lora_r", "alpha": "lora_alpha", "rank_dropout": "lora_dropout"}),
    "lokr": ("LoKrConfig", {"r": "lora_r", "alpha": "lora_alpha", "rank_dropout": "lora_dropout"}),
    "oft": ("OFTConfig", {"module_dropout": "lora_dropout"}),
    "boft": ("BOFTConfig", {"boft_dropout": "lora_dropout"}),
    "ia3": ("IA3Config", {}),
    "vera": ("VeraConfig", {"vera_dropout": "lora_dropout"}),
    "hra": ("HRAConfig", {"r": "lora_r"}),
    "randlora": ("RandLoraConfig", {"r": "lora_r", "randlora_alpha": "lora_alpha", "randlora_dropout": "lora_dropout"}),
    "miss": ("MissConfig", {"r": "lora_r", "miss_dropout": "lora_dropout"}),
    "shira": ("ShiraConfig", {"r": "lora_r"}),
    "delora": ("DeloraConfig", {"r": "lora_r", "module_dropout": "lora_dropout"}),
    "hira": ("HiraConfig", {"r": "lora_r", "hira_dropout": "lora_dropout"}),
}


class PeftMethod:
    """One of ``TYPES``."""

    writes = "adapter"
    learning_rate = 1e-3

    def __init__(self, name: str) -> None:
        self.name = name
        self.uses = frozenset(TYPES[name][1].values()) | {"target_modules", "modules_to_save"}

    def prepare(self, model: Any, settings: FinetuneSettings) -> Any:
        """A ``PeftModel`` over ``model``.

        Raises:
            InputError: when a name is no layer of the model, or PEFT cannot tune the model's layers by this method.
        """
        import torch
        from peft import get_peft_model

        check_names(model, settings)
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(settings.seed)
            try:
                return mergeable(get_peft_model(model, self._config(model, settings)))
            except (ValueError, TypeError) as error:
                reason = " ".join(str(error).split())[:300]
                raise InputError(
                    f"{self.name} does not fit this model: {reason}", where="method", remedy="--method lora fits all"
                ) from error

    def save(self, model: Any, run_folder: Path) -> None:
        save_adapter(model, run_folder / "adapter")

    def _config(self, model: Any, settings: FinetuneSettings) -> Any:
        import peft

        class_name, fields = TYPES[self.name]
        kind = getattr(peft, class_name)
        values: dict[str, Any] = {field: getattr(settings, setting) for field, setting in fields.items()}
        values |= {field: alpha_of(settings) for field, setting in fields.items() if setting == "lora_alpha"}
        if self.name == "ia3":  # a subset of the targets: those whose input is scaled, not their output
            values["feedforward_modules"] = []
        if "fan_in_fan_out" in inspect.signature(kind).parameters:
            values["fan_in_fan_out"] = fans_out(model, settings)
        return kind(
            target_modules=targets_of(settings),
            modules_to_save=list(settings.modules_to_save) if settings.modules_to_save else None,
            task_type=task_type(model),
            base_model_name_or_path=model.name_or_path or None,
            **values,
        )


def __getattr__(name: str) -> PeftMethod:
    """``LOHA`` and so on, as the registry names them."""
    if name.isupper() and name.lower() in TYPES:
        return PeftMethod(name.lower())
    raise AttributeError(name)

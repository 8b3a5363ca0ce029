"""Methods that PEFT has besides LoRA and can merge, each by its own name."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import create_model

from graft.config import Settings
from graft.errors import InputError
from graft.methods.adapter_folder import PeftFolder, save_adapter
from graft.methods.layers import (
    DropoutConfig,
    LayerConfig,
    check_names,
    peft_targets,
    stores_transposed,
    task_type,
    trained_whole,
)
from graft.methods.lora import AlphaConfig, RankConfig, scale_of
from graft.methods.merge import mergeable


class PeftType(NamedTuple):
    """A configuration class of PEFT, and which of its fields take which option; PEFT's default holds for the rest."""

    title: str
    help: str
    config: str
    fields: Mapping[str, str]


TYPES: dict[str, PeftType] = {
    "loha": PeftType(
        "LoHa",
        "Hadamard products of low-rank matrices (Hyeon-Woo et al. 2021)",
        "LoHaConfig",
        {"r": "lora_r", "alpha": "lora_alpha", "rank_dropout": "lora_dropout"},
    ),
    "lokr": PeftType(
        "LoKr",
        "Kronecker products of low-rank matrices (Yeh et al. 2023)",
        "LoKrConfig",
        {"r": "lora_r", "alpha": "lora_alpha", "rank_dropout": "lora_dropout"},
    ),
    "oft": PeftType("OFT", "orthogonal fine-tuning (Qiu et al. 2023)", "OFTConfig", {"module_dropout": "lora_dropout"}),
    "boft": PeftType(
        "BOFT", "OFT with butterfly factors (Liu et al. 2023)", "BOFTConfig", {"boft_dropout": "lora_dropout"}
    ),
    "ia3": PeftType("IA³", "one learned scale for each feature (Liu et al. 2022)", "IA3Config", {}),
    "vera": PeftType(
        "VeRA",
        "shared random matrices with learned scales (Kopiczko et al. 2023)",
        "VeraConfig",
        {"vera_dropout": "lora_dropout"},
    ),
    "hra": PeftType("HRA", "Householder reflections (Yuan et al. 2024)", "HRAConfig", {"r": "lora_r"}),
    "randlora": PeftType(
        "RandLoRA",
        "full-rank updates from random bases (Albert et al. 2025)",
        "RandLoraConfig",
        {"r": "lora_r", "randlora_alpha": "lora_alpha", "randlora_dropout": "lora_dropout"},
    ),
    "miss": PeftType(
        "MiSS", "matrix shard sharing (Kang 2024)", "MissConfig", {"r": "lora_r", "miss_dropout": "lora_dropout"}
    ),
    "shira": PeftType("SHiRA", "a sparse set of the weights (Bhardwaj et al. 2024)", "ShiraConfig", {"r": "lora_r"}),
    "delora": PeftType(
        "DeLoRA",
        "LoRA with a bounded, normalized update (Bini et al. 2025)",
        "DeloraConfig",
        {"r": "lora_r", "module_dropout": "lora_dropout"},
    ),
    "hira": PeftType(
        "HiRA",
        "a Hadamard product of the weight and a low-rank matrix (Huang et al. 2025)",
        "HiraConfig",
        {"r": "lora_r", "hira_dropout": "lora_dropout"},
    ),
}
_PARTS: dict[str, type[Settings]] = {"lora_r": RankConfig, "lora_alpha": AlphaConfig, "lora_dropout": DropoutConfig}


class PeftMethod(PeftFolder[Any]):
    """One of ``TYPES``."""

    loads_with: Literal["peft", "transformers", "graft"] = "peft"

    def __init__(self, name: str) -> None:
        self.name, self.kind = name, TYPES[name]
        self.title, self.help = self.kind.title, self.kind.help
        parts = [part for option, part in _PARTS.items() if option in self.kind.fields.values()]
        self.Config = create_model(f"{self.title}Config", __base__=(LayerConfig, *reversed(parts)))

    def prepare(self, model: Any, config: Any, seed: int, heads: Sequence[str] = ()) -> Any:
        """A ``PeftModel`` over ``model``.

        Raises:
            InputError: when a name is no layer of the model, or PEFT cannot tune the model's layers by this method.
        """
        import torch
        from peft import get_peft_model

        check_names(model, config)
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            try:
                return mergeable(get_peft_model(model, self._peft_config(model, config, heads)))
            except (ValueError, TypeError) as error:
                reason = " ".join(str(error).split())[:300]
                raise InputError(
                    f"{self.name} does not support this model: {reason}",
                    where="method",
                    remedy="--method lora supports every model",
                ) from error

    def save(self, model: Any, run_folder: Path) -> None:
        """Write ``adapter/``, a PEFT folder."""
        save_adapter(model, run_folder / "adapter")

    def _peft_config(self, model: Any, config: Any, heads: Sequence[str]) -> Any:
        import peft

        kind = getattr(peft, self.kind.config)
        values: dict[str, Any] = {field: getattr(config, option) for field, option in self.kind.fields.items()}
        values |= {
            field: scale_of(config.lora_alpha, config.lora_r)
            for field, option in self.kind.fields.items()
            if option == "lora_alpha"
        }
        if self.name == "ia3":  # a subset of the targets: those whose input is scaled, not their output
            values["feedforward_modules"] = []
        if "fan_in_fan_out" in inspect.signature(kind).parameters:
            values["fan_in_fan_out"] = stores_transposed(model, config)
        return kind(
            target_modules=peft_targets(config),
            modules_to_save=trained_whole(config, heads),
            task_type=task_type(model),
            base_model_name_or_path=model.name_or_path or None,
            **values,
        )


@cache
def _method(name: str) -> PeftMethod:
    return PeftMethod(name)


def __getattr__(name: str) -> PeftMethod:
    """``LOHA`` and so on, as the registry names them."""
    if name.isupper() and name.lower() in TYPES:
        return _method(name.lower())
    raise AttributeError(name)

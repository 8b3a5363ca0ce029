"""LoRA (Hu et al. 2021, arXiv:2106.09685): low-rank matrices beside frozen layers, with DoRA and rsLoRA, by PEFT."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from graft.config import Settings, setting
from graft.methods.adapter_folder import PeftFolder, save_adapter
from graft.methods.layers import (
    DropoutConfig,
    LayerConfig,
    check_names,
    peft_targets,
    stores_transposed,
    task_type,
    trained_tokens,
    trained_whole,
    wants_all,
)
from graft.methods.merge import mergeable


class RankConfig(Settings):
    """The rank of a method's matrices."""

    lora_r: int = setting(16, "rank of the LoRA matrices", "r", "lora_rank", "rank", gt=0)


class AlphaConfig(Settings):
    """The scale of a method's matrices."""

    lora_alpha: float | None = setting(
        None, "LoRA scaling: the update is multiplied by alpha / r (default: 2 r)", "alpha", gt=0
    )


class LoraConfig(LayerConfig, DropoutConfig, AlphaConfig, RankConfig):
    """The options of LoRA."""

    use_rslora: bool = setting(False, "scale the update by alpha / sqrt(r) (rsLoRA, Kalajdzievski 2023)", "rslora")
    use_dora: bool = setting(False, "weight-decomposed LoRA (DoRA, Liu et al. 2024)", "dora")


L = TypeVar("L", bound=LoraConfig)


class LoraMethod(PeftFolder[L]):
    """Low-rank matrices beside the linear layers."""

    learning_rate = 2e-4
    loads_with: Literal["peft", "transformers", "graft"] = "peft"

    def prepare(self, model: Any, config: L, seed: int, heads: Sequence[str] = ()) -> Any:
        """A ``PeftModel`` over ``model``.

        Raises:
            InputError: when a name in ``target_modules`` or ``modules_to_save`` is no layer of the model.
        """
        import torch
        from peft import get_peft_model

        made = peft_config(model, config, heads)
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tied embeddings, which are checked here, and Conv1D
            torch.manual_seed(seed)
            return mergeable(get_peft_model(model, made))

    def save(self, model: Any, run_folder: Path) -> None:
        """Write ``adapter/``, a PEFT folder."""
        save_adapter(model, run_folder / "adapter")

    def less_capacity(self, config: L) -> Mapping[str, tuple[float, float]]:
        """Half the rank, alpha equal to it, and more dropout."""
        rank = max(1, config.lora_r // 2)
        alpha = scale_of(config.lora_alpha, config.lora_r)
        return {"lora_r": (config.lora_r, rank), "lora_alpha": (alpha, rank), "lora_dropout": more_dropout(config)}


class Lora(LoraMethod[LoraConfig]):
    """LoRA over the base as it is."""

    name = "lora"
    title = "LoRA"
    help = "low-rank matrices added to frozen linear layers"
    Config = LoraConfig
    trains_new_tokens = True


LORA = Lora()


def more_dropout(config: DropoutConfig) -> tuple[float, float]:
    """The dropout, and one against overfitting: 0.05 more, and from 0.1 to 0.5."""
    return config.lora_dropout, round(min(0.5, max(0.1, config.lora_dropout + 0.05)), 3)


def peft_config(model: Any, config: LoraConfig, heads: Sequence[str] = ()) -> Any:
    """PEFT's configuration for ``config``, its names checked against ``model``.

    Raises:
        InputError: as ``LoraMethod.prepare``.
    """
    import peft

    check_names(model, config)
    whole = trained_whole(config, heads)
    return peft.LoraConfig(
        r=config.lora_r,
        lora_alpha=scale_of(config.lora_alpha, config.lora_r),  # type: ignore[arg-type]
        lora_dropout=config.lora_dropout,
        target_modules=peft_targets(config),
        modules_to_save=whole,
        exclude_modules=whole if wants_all(config.target_modules) else None,
        use_rslora=config.use_rslora,
        use_dora=config.use_dora,
        fan_in_fan_out=stores_transposed(model, config),
        trainable_token_indices=trained_tokens(model, config, whole),
        task_type=task_type(model),
        base_model_name_or_path=model.name_or_path or None,
    )


def scale_of(alpha: float | None, rank: int) -> float:
    """Alpha: twice the rank when none is given, and an int where it is a whole number, as PEFT writes it."""
    alpha = 2 * rank if alpha is None else alpha
    return int(alpha) if float(alpha).is_integer() else alpha

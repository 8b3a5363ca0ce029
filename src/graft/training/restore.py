"""Whether a model is again what it was before a method changed it, so that it can be used for another training."""

from __future__ import annotations

from typing import Any

from torch import nn

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)


class Snapshot:
    """What a model consists of: its modules with their plain attributes and hooks, and its tensors.

    Tensors are compared by identity and by the number of writes to them, which PyTorch counts; so that a snapshot costs
    no memory, and no write goes unnoticed.

    Args:
        model: The model, a frozen base as it was loaded.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._requires_grad = {name: tensor.requires_grad for name, tensor in model.named_parameters()}
        self._state = _state(model)

    def restored(self) -> bool:
        """Set what is trained, and whether the model trains, as they were; whether all else is as it was."""
        named = dict(self.model.named_parameters())
        if named.keys() != self._requires_grad.keys():
            return False
        for name, tensor in named.items():
            tensor.requires_grad_(self._requires_grad[name])
            tensor.grad = None
        self.model.eval()
        return _state(self.model) == self._state


def _state(model: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"config": model.config.to_json_string() if hasattr(model, "config") else ""}
    for name, module in model.named_modules():
        values = vars(module)
        plain = {key: value for key, value in values.items() if _is_plain(value) and key != "training"}
        others = {key for key in values if key not in plain and key != "training"}
        found[f"module {name}"] = (type(module), plain, others, [len(values.get(hooks, ())) for hooks in _HOOKS])
    for name, tensor in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]:
        found[f"tensor {name}"] = (id(tensor), tensor._version, tensor.dtype, tuple(tensor.shape))
    return found


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))

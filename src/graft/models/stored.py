"""Loads a model whose layers are quantized next: until then its weights lie in the mapped files as they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.errors import Problems
from graft.hardware.heap import release_heap
from graft.models.folder import Base
from graft.models.load import load_model
from graft.models.weights import read_headers

SHORT = {"BF16": "bfloat16", "F16": "float16"}
"""Formats of safetensors whose numbers float32 has exactly, with torch's names."""


def load_to_quantize(base: Base) -> Any:
    """As ``load_model``; the parameters may have the number format of the files, for ``to_float32`` to end.

    A whole copy in float32 is then never made. Weights of several formats, new tokens (whose embeddings are means of
    others) and architectures that compute constants in the format of the weights (``embed_scale`` of Gemma) are loaded
    in float32 at once, so that the values are the same in each case.

    Raises:
        InputError: As ``load_model``.
    """
    stored = stored_format(base.path)
    if stored is None or base.new_tokens:
        return load_model(base)
    model = load_model(base, dtype=stored)
    return model if is_float32_but_for_parameters(model) else load_model(base)


def stored_format(folder: Path) -> str | None:
    """The one format in 16 bits of all weights in ``folder``, by torch's name; None if there is no such."""
    headers = read_headers(folder, Problems())
    formats = {entry.dtype for header in headers.values() for entry in (header or {}).values()}
    if None in headers.values() or len(formats) != 1:
        return None
    return SHORT.get(formats.pop())


def to_float32(model: Any) -> None:
    """Make all parameters of ``model`` float32 in memory of their own; a mapped file that they lay in is let go of."""
    import torch

    for parameter in model.parameters():  # a single one that still lies in the file would hold all of it
        parameter.data = parameter.data.to(torch.float32, copy=True)
    for config in (model.config, model.config.get_text_config()):
        config.dtype = torch.float32
    release_heap()


def is_float32_but_for_parameters(model: Any) -> bool:
    """Whether nothing that modules hold beside their parameters depends on the format that they were loaded in."""
    import torch

    held = [value for module in model.modules() for value in vars(module).values()]
    tensors = [*model.buffers(), *(value for value in held if isinstance(value, torch.Tensor))]
    plain = all(tensor.dtype is torch.float32 for tensor in tensors if tensor.is_floating_point())
    return plain and not any(isinstance(value, torch.dtype) for value in held)

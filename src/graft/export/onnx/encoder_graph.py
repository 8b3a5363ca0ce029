"""Encoders with heads as plain ONNX, which onnxruntime runs by itself."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from graft.errors import GraftError, need_extra


class _Logits(torch.nn.Module):
    """The head's output alone, with the inputs by position."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def export(model: Any, folder: Path) -> None:
    """``model`` as ``folder``/model.onnx: input_ids and attention_mask (rows, tokens) in, logits out.

    Raises:
        GraftError: when the exporter fails.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise need_extra("auto-opt", "onnxscript") from error
    rows, tokens = torch.export.Dim("rows", min=1), torch.export.Dim("tokens", min=1)
    example = (torch.ones(2, 9, dtype=torch.long), torch.ones(2, 9, dtype=torch.long))
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Logits(model.eval()),
                example,
                str(folder / "model.onnx"),
                input_names=["input_ids", "attention_mask"],
                output_names=["logits"],
                dynamic_shapes={"input_ids": {0: rows, 1: tokens}, "attention_mask": {0: rows, 1: tokens}},
                dynamo=True,
                verbose=False,
            )
    except OSError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise GraftError(f"torch.onnx can't export this model: {type(error).__name__}: {reason}") from error
    finally:
        logging.disable(disabled)


def quantize_dynamic_int8(folder: Path) -> None:
    """Weights in int8, activations in int8 as they come, by onnxruntime."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    whole = folder / "model.onnx"
    small = folder / "small.onnx"
    try:
        quantize_dynamic(whole, small, weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": 1})
    finally:
        logging.disable(disabled)
    for file in folder.glob("model.onnx*"):
        file.unlink()
    small.replace(whole)


class OnnxModel:
    """An exported encoder in onnxruntime that is called as the PyTorch model is, so that the same code judges both."""

    training = False
    device = torch.device("cpu")

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        path = str(folder / "model.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        feed = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        return SimpleNamespace(logits=torch.from_numpy(self._session.run(["logits"], feed)[0]))

    def eval(self) -> OnnxModel:
        return self

    def train(self, mode: bool = True) -> OnnxModel:
        return self

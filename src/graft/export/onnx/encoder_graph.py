"""Encoders as plain ONNX, for onnxruntime alone: with a classification head, or without a head for embeddings."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from graft.documents import REMEDY, shown
from graft.errors import GraftError, InputError, need_extra, refusing
from graft.export.onnx.session import open_graph
from graft.processes import without_telemetry
from graft.runs.paths import path_inside

LOGITS, HIDDEN = "logits", "last_hidden_state"
"""The output of a model with a head, and of one without."""


class _Output(torch.nn.Module):
    """Returns only one output, and takes its inputs by position, as the exporter wants them."""

    def __init__(self, model: Any, output: str) -> None:
        super().__init__()
        self.model, self.output = model, output

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """input_ids and attention_mask (rows, tokens) -> the output."""
        found: torch.Tensor = getattr(self.model(input_ids=input_ids, attention_mask=attention_mask), self.output)
        return found


def export(model: Any, folder: Path, output: str) -> None:
    """Export ``model`` as ``folder``/model.onnx: input_ids and attention_mask (rows, tokens) in, ``output`` out.

    Raises:
        MissingExtra: If onnxscript is not installed.
        GraftError: If the exporter fails.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise need_extra("auto-opt", "onnxscript") from error
    with _quiet(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            _export(model, folder / "model.onnx", output)
        except OSError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise GraftError(f"torch.onnx cannot export this model: {type(error).__name__}: {reason}") from error


def _export(model: Any, file: Path, output: str) -> None:
    rows, tokens = torch.export.Dim("rows", min=1), torch.export.Dim("tokens", min=1)
    example = (torch.ones(2, 9, dtype=torch.long), torch.ones(2, 9, dtype=torch.long))
    torch.onnx.export(
        _Output(model.eval(), output),
        example,
        str(file),
        input_names=["input_ids", "attention_mask"],
        output_names=[output],
        dynamic_shapes={"input_ids": {0: rows, 1: tokens}, "attention_mask": {0: rows, 1: tokens}},
        dynamo=True,
        verbose=False,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log records below an error: onnxruntime and the exporter log to the root logger."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)


def quantize_dynamic_int8(folder: Path) -> None:
    """Quantize the weights to int8, and the activations to int8 at run time, by onnxruntime."""
    without_telemetry()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole, small = folder / "model.onnx", folder / "small.onnx"
    with _quiet():
        quantize_dynamic(whole, small, weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": 1})
    for file in folder.glob("model.onnx*"):
        file.unlink()
    small.replace(whole)


class OnnxEncoder:
    """An exported encoder in onnxruntime, called as the PyTorch model is, so that the same code evaluates both."""

    training = False
    device = torch.device("cpu")

    def __init__(self, folder: Path) -> None:
        without_telemetry()
        import onnxruntime

        self._file = path_inside("model.onnx", folder, "the graph")
        self._session = open_graph(self._file, onnxruntime.SessionOptions())
        outputs = [entry.name for entry in self._session.get_outputs()]
        if not outputs or outputs[0] not in (LOGITS, HIDDEN):
            what = f"the graph's output is {shown(outputs)}; expected {LOGITS} or {HIDDEN}"
            raise InputError(what, where=str(self._file), remedy=REMEDY)
        self._output = outputs[0]

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        feed = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        with refusing("onnxruntime cannot run this graph", self._file, REMEDY):
            found = self._session.run([self._output], feed)[0]
        return SimpleNamespace(**{self._output: torch.from_numpy(found)})

    def eval(self) -> OnnxEncoder:
        """The session itself: an exported graph has no dropout to switch off."""
        return self

    def train(self, mode: bool = True) -> OnnxEncoder:
        """The session itself, whatever ``mode``: an exported graph cannot train."""
        return self

"""What a model takes to train and to run, by its sizes alone: before it is downloaded, and without torch.

``graft.planning.estimate`` counts the same by running the training's own code without content, which takes torch and
seconds a model. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graft.models.families import family_of
from graft.models.load import Kind
from graft.models.shape import ModelShape
from graft.training.schedule import token_megabytes

ROWS, ROW_TOKENS = 16, 128
"""The batch that memory is stated for."""
TRAINING_MB = 700
"""Python, torch and the tokenizer."""
FROZEN_BYTES, TRAINED_BYTES = 4, 18
"""Bytes of a weight in float32; of a trained one with AdamW's states, its gradient, and gaps on the heap."""
SINGLE_OPERATIONS, UNPACKED = 2, 2.7
"""How much more is kept, with the gaps between tensors, where kernels do not compute whole layers; and where weights
are unpacked for each operation, too."""
QUANTIZED_BYTES, STORED_BYTES = 0.625, 2
"""Bytes of a weight in int4 with its share of a scale, and in most models' files."""
EXPORTED_BYTES = {"float32": 4.0, "float16": 2.0, "int8": 1.07, "int4": 0.66}
"""Bytes of a parameter in a bundle: blocks have scales, and embeddings stay longer than 4 bits."""
SERVING_MB = 300
"""onnxruntime and its buffers."""


@dataclass(frozen=True)
class ModelNeeds:
    """Memory in MB; None where the method or the export does not apply.

    Attributes:
        lora_mb: To train LoRA in float32.
        qlora_mb: To train LoRA over int4 weights.
        full_mb: To train all weights.
        run_mb: To run the exported int4 model.
        bundle_mb: The size of the exported int4 model.
        engine: ``whole layers``, ``packed``, or ``plain`` for padded batches.
    """

    lora_mb: int
    qlora_mb: int | None
    full_mb: int
    run_mb: int | None
    bundle_mb: int | None
    engine: str


def model_needs(config: Mapping[str, Any], parameters: int, kind: Kind, tokens: int = ROWS * ROW_TOKENS) -> ModelNeeds:
    """Estimate what a model takes.

    QLoRA keeps a nibble and a scale in 32 of each weight, and the embeddings in float32. No kernel computes its layers
    whole, so that its steps take more than those of LoRA: it takes less where the weights are large beside a batch.

    Args:
        config: The configuration of the part that reads text.
        parameters: The number of its weights.
        kind: What the model is.
        tokens: The tokens of a training batch.
    """
    engine = engine_path(str(config.get("model_type") or ""), kind)
    kept = single = unpacked = tokens * token_megabytes(config)
    if engine == "whole layers":
        kept = tokens * _whole_layers_megabytes(ModelShape.of(config))
        single, unpacked = SINGLE_OPERATIONS * kept, UNPACKED * kept
    frozen = TRAINING_MB + FROZEN_BYTES * parameters / 1e6
    bundle = round(EXPORTED_BYTES["int4"] * parameters / 1e6) if kind == "causal" else None
    return ModelNeeds(
        lora_mb=round(frozen + kept),
        qlora_mb=round(TRAINING_MB + _quantized(config, parameters, unpacked)) if kind == "causal" else None,
        full_mb=round(TRAINING_MB + TRAINED_BYTES * parameters / 1e6 + single),
        run_mb=None if bundle is None else SERVING_MB + bundle,
        bundle_mb=bundle,
        engine=engine,
    )


def _quantized(config: Mapping[str, Any], parameters: int, kept: float) -> float:
    """MB over int4 weights and embeddings in float32: while the files are mapped and quantized, or in a step."""
    shape = ModelShape.of(config)
    weights = (QUANTIZED_BYTES * parameters + FROZEN_BYTES * shape.vocabulary * shape.hidden) / 1e6
    return weights + max(kept, STORED_BYTES * parameters / 1e6)


def engine_path(model_type: str, kind: Kind) -> str:
    """Return by which path a model of this type is trained with LoRA."""
    family = family_of(model_type)
    if kind != "causal" or not family.packed:
        return "plain"
    return "whole layers" if family.whole_layers else "packed"


def _whole_layers_megabytes(shape: ModelShape) -> float:
    """What a token keeps for the backward pass, in MB: the inputs of a layer's matrices."""
    return shape.layers * 4 * 2 * (shape.hidden + shape.queries + shape.keys + shape.inner) / 1e6

"""Losses by name, by ``package.module:name``, or by ``path/to/file.py:Name``."""

from __future__ import annotations

from typing import Any

from graft.registry import Registry

LOSSES: Registry[Any] = Registry(
    "loss",
    None,
    {
        "cross-entropy": "graft.training.losses.cross_entropy:CrossEntropy",
        "label-smoothing": "graft.training.losses.label_smoothing:LabelSmoothing",
        "focal": "graft.training.losses.focal:Focal",
        "class-weighted": "graft.training.losses.class_weighted:ClassWeighted",
        "distillation": "graft.training.losses.distillation:Distillation",
    },
)
"""Each is a function or a class (constructed with ``--loss_arguments``), called as ``signature.EXPECTED`` says."""

DEFAULT = "cross-entropy"

__all__ = ["DEFAULT", "LOSSES"]

"""Files with losses as a user writes them."""

from __future__ import annotations

from pathlib import Path

CONTRASTIVE = """
import torch
import torch.nn as nn
import torch.nn.functional as F

class CustomContrastiveLoss(nn.Module):
    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def forward(self, output1, output2, label):
        distance = F.pairwise_distance(output1, output2)
        same = (1 - label) * distance.pow(2)
        other = label * torch.clamp(self.margin - distance, min=0.0).pow(2)
        return torch.mean(same + other)
"""

OWN = '''
import torch
from torch.nn.functional import cross_entropy

def plain(logits, labels):
    """The mean over the batch's tokens."""
    return cross_entropy(logits, labels)

def each(logits, labels, batch):
    assert batch["target_rows"].shape == labels.shape
    return cross_entropy(logits, labels, reduction="none")

def scaled(logits, labels, factor=1.0):
    return factor * cross_entropy(logits, labels)

def upside_down(labels, logits):
    return cross_entropy(logits, labels)

def one(logits):
    return logits.mean()

def four(logits, labels, batch, more):
    return logits.mean()

def by_name(logits, labels, *, weight):
    return weight * logits.mean()

def crooked(logits, labels):
    return logits.sum(-1, keepdim=True)

def constant(logits, labels):
    return torch.tensor(1.0)

def detached(logits, labels):
    return float(logits.mean())

def breaks(logits, labels):
    return logits.view(7, 7, 7).mean()

class Learned(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, logits, labels):
        return self.weight * cross_entropy(logits, labels)

NUMBER = 3
'''


def write_losses(folder: Path) -> Path:
    """``custom_loss.py`` (the walkthrough's), ``own.py`` (good ones and wrong ones) and ``broken.py``."""
    (folder / "custom_loss.py").write_text(CONTRASTIVE, encoding="utf-8")
    (folder / "own.py").write_text(OWN, encoding="utf-8")
    (folder / "broken.py").write_text("def (:", encoding="utf-8")
    return folder

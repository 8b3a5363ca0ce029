"""What ``method.Scale`` puts into a model; apart, so that ``graft --help`` imports no torch."""

import torch


class Scaled(torch.nn.Module):
    """A frozen normalization, and the factor behind it."""

    def __init__(self, norm, start):
        super().__init__()
        self.norm, self.enabled = norm.requires_grad_(False), True
        self.factor = torch.nn.Parameter(torch.full((), start))

    def forward(self, x):
        y = self.norm(x)
        return y * self.factor if self.enabled else y

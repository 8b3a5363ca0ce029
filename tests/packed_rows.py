"""Rows and models for the engine's tests, and the gradients of a loss."""

from graft.data.example import Origin
from graft.data.tokenize import TokenizedExample
from prepared import prepared
from tiny_models import tiny_model

HERE = Origin("here", 1)
PAD = 3


def rows_of(chance, count, prefix, everything=False):
    """Rows with a common prefix of ``prefix`` tokens, prompts and completions of random lengths."""
    common = [chance.randrange(10, 300) for _ in range(prefix)]
    rows = []
    for _ in range(count):
        prompt = common + [chance.randrange(10, 300) for _ in range(chance.randrange(1, 12))]
        answer = [chance.randrange(10, 300) for _ in range(chance.randrange(1, 6))]
        rows.append(TokenizedExample(prompt + answer, 0 if everything else len(prompt), HERE))
    return rows


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


class _ExactNorm:
    """An RMSNorm in the type of its input: transformers computes it in float32, whose rounding is the processor's."""

    def forward(self, x):
        import torch

        centered = hasattr(self, "_norm")  # Gemma's weights are what is added to one
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + (self.eps if centered else self.variance_epsilon))
        return x * scale * (1.0 + self.weight if centered else self.weight)


def adapted(family, rank=4, width=32, double=False, **options):
    """A tiny model with LoRA whose B matrices are not zero any more; ``double``: in float64, its norms as well."""
    import torch

    from graft.methods import METHODS

    model = prepared(METHODS.get("lora"), tiny_model(family, width=width), lora_r=rank, **options)
    if double:
        model = model.double()
        for module in model.modules():
            if type(module).__name__.endswith("RMSNorm"):
                module.__class__ = type(type(module).__name__, (_ExactNorm, type(module)), {})
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return model


def uneven(model):
    """The model with norms whose weights are not one any more."""
    import torch

    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(2)
        for name, parameter in model.named_parameters():
            if "norm" in name or ".ln_" in name:
                parameter.uniform_(0.5, 1.5)
    return model

"""Rows for the engine's tests, and the gradients of a loss."""

from graft.data.example import Origin
from graft.data.tokens import Encoded

HERE = Origin("here", 1)
PAD = 3


def rows_of(chance, count, prefix, everything=False):
    """Rows with a common prefix of ``prefix`` tokens, prompts and completions of random lengths."""
    common = [chance.randrange(10, 300) for _ in range(prefix)]
    rows = []
    for _ in range(count):
        prompt = common + [chance.randrange(10, 300) for _ in range(chance.randrange(1, 12))]
        answer = [chance.randrange(10, 300) for _ in range(chance.randrange(1, 6))]
        rows.append(Encoded(prompt + answer, 0 if everything else len(prompt), HERE))
    return rows


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

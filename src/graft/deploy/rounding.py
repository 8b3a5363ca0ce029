"""Weights rounded one layer after the other, each for what it reads once those before it are rounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import nn

from graft.data.tokens import Encoded
from graft.deploy.gptq import Blocks, quantise
from graft.engine import pack, supports
from graft.engine.attention import packed
from graft.engine.forward import packed_logits
from graft.engine.layout import Layout, common_prefix

Progress = Callable[[int, int], None]
ROWS_AT_ONCE = 128
PREFIX = "base_model.model."


class _Enough(Exception):
    """What was to be seen has been seen."""


class _Batch:
    """Rows on their way through the layers: ``hidden`` (1 or rows, tokens, d), what each layer is called with beside
    it, and how many rows each token stands in."""

    def __init__(self, hidden: torch.Tensor, arguments: list[dict[str, Any]], weights: torch.Tensor) -> None:
        self.hidden, self.arguments, self.weights = hidden, arguments, weights


def within_budget(rows: Sequence[Encoded], tokens: int) -> list[Encoded]:
    """As many of ``rows`` as have ``tokens`` tokens together, what they all begin with counted once."""
    shared = common_prefix([row.input_ids for row in rows], 1 << 30) if len(rows) > 1 else 0
    found: list[Encoded] = []
    for row in rows:
        tokens -= len(row.input_ids) - shared
        if found and tokens < 0:
            break
        found.append(row)
    return found


@torch.no_grad()
def round_layers(model: Any, rows: Sequence[Encoded], progress: Progress | None = None) -> dict[str, Blocks]:
    """The linear layers within the decoder's layers in int4, by name; ``model`` stays as it is. An adapter that is
    active in it is listened to, and not rounded.

    By GPTQ over ``rows``, where the Hessian of a layer is that of its inputs when all before it is rounded already: it
    then makes up for their errors, too. A token that many rows begin with is computed once and counts for each of
    them: what all rows read matters to all of them. Without rows each block gets the range that rounds best.
    """
    model.eval()
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    layers = plain.get_decoder().layers
    found: dict[str, Blocks] = {}
    batches = list(_batches(plain, layers, rows)) if rows else []
    names = {module: name for name, module in linears(model).items()}
    with packed(plain):
        for number, layer in enumerate(layers):
            _round_layer(layer, number, batches, names, found)
            if progress:
                progress(number + 1, len(layers))
    return found


def round_rest(model: Any, found: Mapping[str, Blocks], bits: int) -> dict[str, Blocks]:
    """The linear layers that are not among ``found``, in ``bits``: the head. Each block gets the range that rounds
    best: its rows are mostly the embeddings too, which a Hessian of the head's inputs knows nothing of."""
    rest = {name: module for name, module in linears(model).items() if name not in found}
    return {name: quantise(_weight(module), None, bits) for name, module in rest.items()}


def linears(model: Any) -> dict[str, nn.Module]:
    """The linear layers under any adapter, by the names they have in the plain model."""
    return {
        name.removeprefix(PREFIX).removesuffix(".base_layer"): module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".lora_" not in name
    }


def _round_layer(
    layer: nn.Module, number: int, batches: list[_Batch], names: Mapping[nn.Module, str], found: dict[str, Blocks]
) -> None:
    mine = [module for module in layer.modules() if module in names]
    with _restored(mine):
        for group in _groups(layer, number, mine, batches):
            hessian = _hessian(layer, number, group[0], batches) if batches else None
            for module in group:
                blocks = quantise(_weight(module), hessian)
                found[names[module]] = blocks
                _put(module, torch.from_numpy(blocks.dequantised()))
        for batch in batches:
            batch.hidden = _call(layer, number, batch)


@contextmanager
def _restored(modules: Sequence[Any]) -> Iterator[None]:
    before = [module.weight.data for module in modules]
    try:
        yield
    finally:
        for module, weight in zip(modules, before, strict=True):
            module.weight.data = weight


def _put(module: Any, weight: torch.Tensor) -> None:
    module.weight.data = weight.to(module.weight.dtype)


def _groups(
    layer: nn.Module, number: int, modules: Sequence[nn.Module], batches: Sequence[_Batch]
) -> list[list[nn.Module]]:
    """Modules in the order they are called, those that read the same tensor together."""
    if not batches:
        return [[module] for module in modules]
    groups: dict[int, list[nn.Module]] = {}
    seen: list[torch.Tensor] = []  # kept, so that no id is used twice

    def note(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        seen.append(given[0])
        groups.setdefault(id(given[0]), []).append(module)

    with _hooked(modules, note):
        _call(layer, number, batches[0])
    return list(groups.values())


def _hessian(layer: nn.Module, number: int, module: nn.Module, batches: Sequence[_Batch]) -> Any:
    """XᵀX of what ``module`` reads, as numpy."""
    total: torch.Tensor | None = None
    for batch in batches:

        def add(_: nn.Module, given: tuple[torch.Tensor, ...], batch: _Batch = batch) -> None:
            nonlocal total
            flat = given[0].reshape(-1, given[0].shape[-1]).float()
            product = flat.T @ (flat * batch.weights[:, None])
            total = product if total is None else total.add_(product)
            raise _Enough

        with _hooked([module], add), suppress(_Enough):
            _call(layer, number, batch)
    assert total is not None
    return total.numpy()


@contextmanager
def _hooked(modules: Sequence[nn.Module], hook: Callable[..., None]) -> Iterator[None]:
    handles = [module.register_forward_pre_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _call(layer: nn.Module, number: int, batch: _Batch) -> torch.Tensor:
    output = layer(batch.hidden, **batch.arguments[number])
    found: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return found


def _batches(model: Any, layers: Sequence[nn.Module], rows: Sequence[Encoded]) -> Iterator[_Batch]:
    """Packed where the engine computes this model exactly, else row by row."""
    apart = supports(model, max(len(row.input_ids) for row in rows)) is not None
    step = 1 if apart else ROWS_AT_ONCE
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        if apart:
            ids = torch.tensor([some[0].input_ids])
            yield _entered(layers, torch.ones(ids.shape[1]), partial(model, input_ids=ids, use_cache=False))
        else:
            batch = pack(some)
            yield _entered(layers, uses(batch["layout"]), partial(packed_logits, model, batch))


def _entered(layers: Sequence[nn.Module], weights: torch.Tensor, run: Callable[[], Any]) -> _Batch:
    """What the first layer reads and all are called with, seen while the model runs."""
    first: list[torch.Tensor] = []
    arguments: list[dict[str, Any]] = []

    def note(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        if not arguments:
            first.append(given[0] if given else named["hidden_states"])
        arguments.append({name: value for name, value in named.items() if name != "hidden_states"})

    handles = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return _Batch(first[0], arguments, weights)


def uses(layout: Layout) -> torch.Tensor:
    """In how many rows each token of a packed batch stands (tokens)."""
    parts: list[torch.Tensor] = []
    counts = torch.ones(layout.levels[-1].nodes)
    for depth in reversed(range(len(layout.levels))):
        level = layout.levels[depth]
        node = level.unpadded // level.longest if level.nodes > 1 else torch.zeros(level.stop - level.start).long()
        parts.append(counts[node])
        if depth:
            parents = torch.zeros(level.nodes).long() if level.parents is None else level.parents
            counts = torch.zeros(layout.levels[depth - 1].nodes).index_add_(0, parents, counts)
    return torch.cat(parts[::-1])


def _weight(module: Any) -> Any:
    return module.weight.detach().float().numpy()

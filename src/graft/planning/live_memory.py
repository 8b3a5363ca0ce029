"""Counts the memory of tensors that have shapes and no content, while the code that trains runs over them."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from graft.engine.kernels import only_shapes


def without_content(model: torch.nn.Module) -> None:
    """Make the tensors of ``model``, most of which are on the meta device, PyTorch's fake tensors of the CPU.

    They have no content either, and take the ways through the code that tensors of the CPU take. Real tensors may be
    among the inputs.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    made: dict[int, torch.Tensor] = {}

    def fake(tensor: torch.Tensor) -> torch.Tensor:
        """``tensor`` as a fake one; a tied weight is one tensor as before."""
        if id(tensor) not in made:
            found: torch.Tensor = FakeTensor(mode, tensor.detach().to("meta"), torch.device("cpu"))
            if isinstance(tensor, torch.nn.Parameter):
                found = torch.nn.Parameter(found, requires_grad=tensor.requires_grad)
            made[id(tensor)] = found
        return made[id(tensor)]

    kept = [*model.parameters(), *model.buffers()]  # so that no id is used again
    for module in model.modules():
        places: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for tensors in places:
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = fake(tensor)
    del kept


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within this context, the bytes of the tensors that live, and their peak.

    Attributes:
        live: Bytes that tensors made within the context hold now.
        peak: The most that they held at once.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()

    def know(self, tensors: Sequence[torch.Tensor]) -> int:
        """Leave out ``tensors``, which lived before; returns their bytes, each storage once."""
        return sum(map(self._note, tensors))

    def add(self, size: int) -> None:
        """Count ``size`` bytes, also of what is no tensor; a negative size is freed."""
        self.live += size
        self.peak = max(self.peak, self.live)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, and count what it makes."""
        if func is torch.ops.aten.index.Tensor:
            args = (args[0], [place for index in args[1] for place in _as_places(index)])
        if func is torch.ops.aten._int_mm.default:  # which has no shapes of its own, and would really be computed
            found = args[0].new_empty(args[0].shape[0], args[1].shape[1], dtype=torch.int32)
        else:
            found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor) and (size := self._note(tensor)):
                self.add(size)
                weakref.finalize(tensor.untyped_storage(), self.add, -size)
        return found

    def _note(self, tensor: torch.Tensor) -> int:
        """The bytes of a storage that is new here; 0 for a known one."""
        storage = tensor.untyped_storage()
        if storage in self._known:
            return 0
        self._known[storage] = None
        return int(storage.nbytes())


def _as_places(index: Any) -> list[Any]:
    """A mask with content as the places where it is true, so that the shape of what it selects is known."""
    if isinstance(index, torch.Tensor) and index.dtype == torch.bool and not isinstance(index, FakeTensor):
        return list(index.nonzero(as_tuple=True))
    return [index]


class _Workspaces:
    """The kernels' scratch memory, which they keep from call to call: the largest of each kind of call counts."""

    def __init__(self, memory: LiveMemory) -> None:
        self.memory, self.largest = memory, dict[str, int]()

    def __call__(self, name: str, arguments: Sequence[Any]) -> None:
        size = 4 * sum(_scratch(name, arguments).values())
        more = size - self.largest.setdefault(name, 0)
        if more > 0:
            self.largest[name] = size
            self.memory.add(more)


def _scratch(name: str, arguments: Sequence[Any]) -> Mapping[str, int]:
    """Float32 numbers that a kernel takes for itself, as decoder_layer.cpp does."""
    if not name.startswith("decoder_layer"):
        return {}
    layer = arguments[0]._obj
    attention = layer.attention
    tokens, queries, keys = attention.tokens, attention.heads * attention.d, attention.kv_heads * attention.d
    heads = queries + keys if layer.norm_q else 0
    if name == "decoder_layer_forward":
        return {"normed": tokens * layer.width, "gated": tokens * layer.inner, "heads": tokens * heads}
    gradients = max(layer.inner, queries) + 2 * layer.inner + 2 * layer.width + queries + 2 * keys
    return {"gradients": tokens * gradients}


@contextmanager
def counted(memory: LiveMemory) -> Iterator[Mapping[str, int]]:
    """Within the context, ``memory`` counts tensors and the kernels' workspaces, and no kernel computes.

    Yields:
        The bytes of workspace by the kernels that were called.
    """
    workspaces = _Workspaces(memory)
    with ExitStack() as stack:
        stack.enter_context(only_shapes(workspaces))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")  # which no kernel gets
        stack.enter_context(memory)
        yield workspaces.largest

"""Compiles chat templates so that what grows passes through the environment of ``template_bounds``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame

_CHAIN = 8
"""Number of `+` operands per size check."""
KEPT_ITEM_SIZE = 8
"""What an item counts, in characters, that is put into another list."""


class BoundedGenerator(CodeGenerator):
    """Writes the Python of a template, with calls of ``environment`` around each operation that makes something."""

    _added = 0

    def buffer(self, frame: Frame) -> None:
        """Output within macros and blocks is counted as well."""
        super().buffer(frame)
        self.writeline(f"{frame.buffer} = environment.new_buffer()")

    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:
        """``+``: a chain is looked at as a whole, because templates are full of short ones."""
        outer, self._added = self._added, (self._added + 1) % _CHAIN
        self.write("" if outer else "environment.small(")
        super().visit_Add(node, frame)
        self.write("" if outer else ")")
        self._added = outer

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        """``~``, with the sizes of its operands looked at before."""
        volatile, escaped = frame.eval_ctx.volatile, "markup_join" if frame.eval_ctx.autoescape else "str_join"
        name = "(markup_join if context.eval_ctx.volatile else str_join)" if volatile else escaped
        self.write(f"{name}(environment.joinable((")
        for argument in node.nodes:
            self.visit(argument, frame)
            self.write(", ")
        self.write(")))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        """A slice is a copy, which counts."""
        is_slice = isinstance(node.arg, nodes.Slice)
        self.write("environment.counted(" if is_slice else "")
        super().visit_Getitem(node, frame)
        self.write(f", {KEPT_ITEM_SIZE})" if is_slice else "")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        """A list that may hold others, which may be shared: twenty levels of ``[x, x]`` are a million parts."""
        self._measured(node, node.items, super().visit_List, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        """As a list, unless it is a target of an assignment."""
        self._measured(node, node.items if node.ctx == "load" else (), super().visit_Tuple, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        """As a list."""
        self._measured(node, [item.value for item in node.items], super().visit_Dict, frame)

    def _measured(
        self, node: nodes.Node, items: Sequence[nodes.Node], visit: Callable[..., None], frame: Frame
    ) -> None:
        plain = all(isinstance(item, nodes.Const) for item in items)
        self.write("" if plain else "environment.measured(")
        visit(node, frame)
        self.write("" if plain else ")")

"""Tables of figures in the terminal: no figure is wrapped or cut, however narrow the terminal is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_UNBOUNDED = 100_000


def print_figures(
    console: Console, headings: Sequence[str], rows: Sequence[Sequence[str | Text]], title: str = ""
) -> None:
    """Print a table; where it is wider than the terminal, each row becomes a block with a line per figure.

    Args:
        console: Where it is printed.
        headings: The headings of the columns; the first is that of the names.
        rows: For each row its name and its figures.
        title: What is printed above.
    """
    if title:
        console.print(Text(title, style="italic"), overflow="fold")
    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if number else "left", no_wrap=True)
    for row in cells:
        table.add_row(*row)
    if Measurement.get(console, console.options.update(max_width=_UNBOUNDED), table).maximum <= console.width:
        console.print(table)
        return
    for name, *figures in cells:
        console.print(name, style="bold", overflow="fold")
        for heading, figure in zip(headings[1:], figures, strict=False):
            _print_figure(console, heading, figure)


def _print_figure(console: Console, heading: str, figure: Text) -> None:
    """``  base  0.845 (0.812–0.877)``, in two lines where one is too short."""
    if not figure.plain:
        return
    label = Text(f"  {heading}", style="dim")
    if cell_len(label.plain) + 2 + figure.cell_len <= console.width:
        console.print(label.append("  "), figure, sep="")
        return
    console.print(label, overflow="fold")
    console.print(Text("    ") + figure if figure.cell_len + 4 <= console.width else figure)

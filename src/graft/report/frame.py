"""Where the curves of a chart are in its drawing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """The area of the curves, in pixels of the drawing."""

    width: float
    height: float
    left: float = 46
    right: float = 16
    top: float = 14
    bottom: float = 40

    @property
    def end(self) -> float:
        """The x of the right end of the curves."""
        return self.width - self.right

    @property
    def floor(self) -> float:
        """The y of the x axis."""
        return self.height - self.bottom

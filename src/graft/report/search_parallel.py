"""Parallel coordinates: an axis for each setting and one for the score, a line for each trial.

The axes are horizontal and below one another: so long names and any number of settings have room on a phone, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from markupsafe import Markup

from graft.report import svg
from graft.report.search_axes import Axis, Tick, score_axis, setting_axis
from graft.report.search_charts import CROWD, in_words
from graft.report.search_view import SearchView, cut, written
from graft.runs.manifest import TrialRecord

WIDTHS = {"wide": 1000.0, "narrow": 356.0}
"""For wide and for narrow windows; the style shows one of them."""
MARGIN = 14.0
TOP, ROW, END = 34.0, 74.0, 26.0
"""Pixels above the first axis, from axis to axis, and below the last."""
NAME, MARKS, VALUE = -17.0, 18.0, -6.0
"""Pixels from an axis to its name, to its marks, and to the value of a trial."""
SHADES = 5
"""Trials are shaded by the fifth of the ranking that they are in."""
REACHED = 30
"""Lines that the keyboard reaches: the best ones; the table has all."""
LETTER = 6.6
"""The mean width of a letter of the marks, in pixels."""
LONGEST = 40
"""Letters of a value that are shown beside an axis."""


def parallel(view: SearchView) -> list[Markup]:
    """Draw the trials with a score; nothing with less than two."""
    if len(view.ran) < 2 or not view.names:
        return []
    score = score_axis(view, [trial.value for trial in view.ran if trial.value is not None])
    axes = [*(setting_axis(view, name) for name in view.names), score]
    return [_Drawing(view, axes, width).drawn(name) for name, width in WIDTHS.items()]


@dataclass(frozen=True)
class _Drawing:
    """The drawing in one width; the last axis is that of the score."""

    view: SearchView
    axes: Sequence[Axis]
    width: float

    @cached_property
    def heights(self) -> list[float]:
        """The y of each axis."""
        return [TOP + ROW * place for place in range(len(self.axes))]

    @cached_property
    def ranked(self) -> list[TrialRecord]:
        """The trials, the best first."""
        return sorted(self.view.ran, key=self.view.rank)

    def x(self, place: float) -> float:
        """The x of a place from 0 to 1; what is beyond an axis is at its end."""
        return MARGIN + min(1.0, max(0.0, place)) * (self.width - 2 * MARGIN)

    def drawn(self, name: str) -> Markup:
        """The whole drawing; ``name`` tells it from that in the other width."""
        label, many = self.view.metric.label, len(self.ranked) >= CROWD
        better = "better →" if self.view.manifest.greater_is_better else "← better"
        pairs = list(zip(self.axes, self.heights, strict=True))
        return svg.figure(
            self.width,
            self.heights[-1] + END,
            f"parallel-{name}",
            "The settings and the score of each trial",
            f"A line for each of {len(self.ranked)} trials crosses an axis for each of the settings "
            f"{', '.join(self.view.names)}, and the axis of the {label}. The table of all trials has the same figures.",
            *[self._rail(axis, height) for axis, height in pairs],
            *[self._trial(place) for place in reversed(range(len(self.ranked)))],
            *[self._words(axis, height) for axis, height in pairs],
            svg.text(self.width - MARGIN, self.heights[-1] + NAME, better, "axis-name", "end"),
            class_=f"parallel {'crowded ' if many else ''}{name}",
        )

    def _ticks(self, axis: Axis) -> list[Tick]:
        return axis.ticks(4 if self.width < 500 else 7)

    def _rail(self, axis: Axis, height: float) -> Markup:
        parts = [svg.line(self.x(0), height, self.x(1), height, "axis")]
        places = [self.x(tick.place) for tick in self._ticks(axis)]
        return Markup("").join([*parts, *(svg.line(x, height, x, height + 4, "axis") for x in places)])

    def _words(self, axis: Axis, height: float) -> Markup:
        """The name of an axis, and its marks, which lie over the lines."""
        most = int((self.width - 2 * MARGIN) / (LETTER * 1.2)) - 8
        name = svg.text(MARGIN, height + NAME, cut(axis.name, most), "row-name")
        return svg.element("g", name, *self._marks(self._ticks(axis), height + MARKS), class_="words")

    def _marks(self, ticks: Sequence[Tick], y: float) -> list[Markup]:
        """The words of the marks: cut to their room; where there are too many, only some of them."""
        room = (self.width - 2 * MARGIN) / max(len(ticks), 1)
        every = max(1, -(-int(5 * LETTER) // max(int(room), 1)))
        letters = max(3, int(room * every / (1.15 * LETTER)) - 1)
        shown = _distinct([tick.words for tick in ticks], letters)
        found = []
        for tick, words in list(zip(ticks, shown, strict=True))[::every]:
            x = self.x(tick.place)
            half = len(words) * LETTER / 2
            anchor = "start" if x - half < 2 else "end" if x + half > self.width - 2 else "middle"
            found.append(svg.text(x, y, words, "tick", anchor))
        return found

    def _trial(self, place: int) -> Markup:
        """A trial by its place in the ranking: its line, and its values, which hovering or focus shows."""
        trial = self.ranked[place]
        points = self._points(trial)
        line = [(x, y) for x, y, _ in points]
        said = ", ".join(f"{name} {written(value)}" for name, value in trial.settings.items())
        label = f"{in_words(self.view, trial)}: {said}" if said else in_words(self.view, trial)
        is_reached = place < REACHED or trial.number == 0
        return svg.element(
            "g",
            svg.element("title", label),
            svg.path(line, "reach"),
            svg.path(line, "curve"),
            *[self._reading(x, y, words) for x, y, words in points],
            class_=self._classes(trial, place),
            tabindex="0" if is_reached else None,
            role="img" if is_reached else None,
            aria_label=label if is_reached else None,
        )

    def _points(self, trial: TrialRecord) -> list[tuple[float, float, str]]:
        """Where the line crosses the axes, and the value there; an axis without a place for it is left out."""
        figure = self.view.metric.figure
        values = [trial.settings.get(axis.name) for axis in self.axes[:-1]]
        said = [*map(written, values), f"trial {trial.number}: {figure(trial.value or 0.0)}"]
        places = [axis.place(value) for axis, value in zip(self.axes, [*values, trial.value], strict=True)]
        crossed = zip(places, self.heights, said, strict=True)
        return [(self.x(place), height, words) for place, height, words in crossed if place is not None]

    def _classes(self, trial: TrialRecord, place: int) -> str:
        classes = ["trial", f"shade-{place * SHADES // len(self.ranked)}"]
        classes += ["pruned"] if trial.status == "pruned" else []
        classes += ["default"] if trial.number == 0 else []
        is_winner = self.view.winner is not None and trial.number == self.view.winner.number
        return " ".join([*classes, *(["winner"] if is_winner else [])])

    def _reading(self, x: float, y: float, words: str) -> Markup:
        shown = cut(words, LONGEST)
        half = min(len(shown) * LETTER / 2 + 6, self.width / 2)
        middle = min(max(x, half), self.width - half)
        return svg.element(
            "g",
            svg.circle(x, y, 3.5, "dot"),
            svg.text(middle, y + VALUE, shown, "value", "middle"),
            class_="reading",
        )


def _distinct(names: Sequence[str], letters: int) -> list[str]:
    """Return the names in so many letters; of long ones without what all begin and end with."""
    if all(len(name) <= letters for name in names) or len(names) < 2:
        return list(names)
    ahead = _common(names)
    behind = min(_common([name[::-1] for name in names]), min(map(len, names)) - ahead)
    if max(ahead, behind) < 3:
        return [cut(name, letters) for name in names]
    return [f"…{name[ahead : len(name) - behind]}"[: max(3, letters - 1)] for name in names]


def _common(names: Sequence[str]) -> int:
    """The number of letters that all names begin with."""
    return sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False)))

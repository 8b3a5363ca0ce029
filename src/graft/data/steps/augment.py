"""Changed copies of training rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from graft.config import Listed, Settings, setting
from graft.data.provenance import was_added
from graft.data.readers import Row
from graft.data.spool import Joined, Spool
from graft.data.steps.added import Source, Sources, Taken, check_train, input_of, made_before, sources_of
from graft.data.steps.base import Change, Sides, StepContext
from graft.data.text_changes import CHANGES
from graft.documents import lines_of
from graft.errors import Problems, did_you_mean

TEMPLATES, PLACE = "templates", "{text}"
KINDS = (*CHANGES, TEMPLATES)
TRIES = 10
"""How often a copy that is taken already is made again in another way."""


class AugmentSettings(Settings):
    """What is changed in copies, and how many there are."""

    augment: Listed | None = setting(
        None, "add copies of training rows with a changed input: case, typos, word_dropout, templates, or several"
    )
    augment_copies: int = setting(1, "number of changed copies of each training row", ge=1, le=100)
    augment_share: float = setting(1.0, "share of the training rows that get copies", gt=0, le=1)
    augment_templates: Path | None = setting(
        None, "file with one template per line, such as: How does this sound? {text}"
    )


class Augment:
    """Copies of training rows whose input is changed in small ways, and whose answer is not."""

    name = "augment"
    title = "add copies of training rows with a changed input"
    safe = False
    Config = AugmentSettings

    def check(self, config: AugmentSettings) -> None:
        """Check the kinds and the file of templates.

        Raises:
            InputError: With everything that is wrong with both.
        """
        _checked(config)

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the sides with the copies behind the rows to train on.

        Raises:
            InputError: If rows of this kind have no copies.
        """
        kinds, templates = _checked(context.config)
        rows = sides["train"]
        check_train(rows, self.name)
        copies = _Copies(kinds, templates, context, Sources(context.mapping(rows), context.settings, self.name))
        added = Spool(copies.of(rows, Taken.of(sides, context)))
        if copies.left:
            context.reporter.note(
                f"{copies.left:,} rows get no changed copy: they have several turns, or cannot be read"
            )
        return {**sides, "train": Joined([rows, added])} if added else sides


class _Copies:
    """Makes the copies.

    Attributes:
        left: The rows that have no text to change.
    """

    def __init__(self, kinds: Sequence[str], templates: Sequence[str], context: StepContext, sources: Sources) -> None:
        self._kinds, self._templates, self._context, self._sources = kinds, templates, context, sources
        self.left = 0

    def of(self, rows: Sequence[Row], taken: Taken) -> Iterator[Row]:
        """Yield the copies of all rows; those of an earlier run count."""
        there: set[tuple[str, int]] = set()
        for key, number, row in made_before(rows, Augment.name):
            there.add((key, number))
            taken.add(input_of(row, self._sources))
        for _ in sources_of(rows, self._sources, taken):  # the texts of all rows are taken before one is made
            pass
        for row in rows:
            source = self._sources.of(row)
            if source is None:
                self.left += not was_added(row.columns)
                continue
            for number in range(self._wanted(source)):
                if (source.key, number) not in there:
                    yield from self._copy(source, number, taken)

    def _wanted(self, source: Source) -> int:
        config, drawn = self._context.config, Random(f"{self._context.seed}:{source.key}").random()
        return int(config.augment_copies) if drawn < config.augment_share else 0

    def _copy(self, source: Source, number: int, taken: Taken) -> Iterator[Row]:
        """A copy, drawn by the seed and the row's content: the order of the rows does not matter."""
        random = Random(f"{self._context.seed}:{source.key}:{number}")
        kept = source.answer_words
        for _ in range(TRIES):
            kind = random.choice(self._kinds)
            if kind == TEMPLATES:
                text = random.choice(self._templates).replace(PLACE, source.text)
            else:
                text = CHANGES[kind](source.text, random, kept)
            if text.strip() and not taken.is_judged([text]) and taken.add(text):
                self._context.log.add(
                    Change(
                        Augment.name, "added", source.row.origin, "train", kind, str(source.place[0]), source.text, text
                    )
                )
                yield source.made(text, {"step": Augment.name, "kind": kind, "copy": number})
                return


def _checked(config: AugmentSettings) -> tuple[list[str], list[str]]:
    """The kinds and the templates.

    Raises:
        InputError: With everything that is wrong with both.
    """
    problems = Problems()
    kinds = list(config.augment or ([TEMPLATES] if config.augment_templates else ["case", "typos"]))
    for kind in kinds:
        if kind not in KINDS:
            what = f"there is no change called {kind!r}; there are: {', '.join(KINDS)}"
            problems.add(what, "--augment", did_you_mean(kind, KINDS))
    if (TEMPLATES in kinds) != (config.augment_templates is not None):
        problems.add("--augment templates and --augment_templates FILE belong together", remedy="give both")
    templates: list[str] = []
    with problems.collecting():
        templates = _read(config.augment_templates) if config.augment_templates is not None else []
    problems.raise_if_any()
    return kinds, templates


def _read(path: Path) -> list[str]:
    """The templates of a file, one a line.

    Raises:
        InputError: If it cannot be read, or a line does not have the text once.
    """
    problems, found = Problems(), []
    for number, line in lines_of(path, remedy="write a template a line, as UTF-8"):
        if line.strip() and line.count(PLACE) != 1:
            problems.add(f"a template must contain {PLACE} once: {line.strip()[:80]!r}", f"{path}:{number}")
        elif line.strip():
            found.append(line.rstrip("\r\n").replace("\\n", "\n"))
    if not found and not problems:
        problems.add("there are no templates in this file", str(path), f"a line such as: How does this sound? {PLACE}")
    problems.raise_if_any()
    return found

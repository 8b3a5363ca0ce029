"""Reads what a user wants to search, and finds everything wrong in it before anything is loaded."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from graft.config import Settings, TrainingSettings, build, option_names, options_of
from graft.documents import parse_json, shortened, shown
from graft.errors import InputError, Key, Problems, did_you_mean, located
from graft.planning.settings import component_registries
from graft.search.space import Dimension, SearchSpace
from graft.search.space_entry import EXAMPLE, MOST_VALUES, Entry, Wrong, read_entry
from graft.search.space_text import EXAMPLE as TEXT_EXAMPLE
from graft.search.space_text import entries

_ROWS = "all trials are compared on the same held-out rows"
_SCORE = "all trials are compared by the same score, measured at the same steps"
_ONCE = "it holds for the whole search"
FIXED: Mapping[str, str] = {
    **dict.fromkeys(("eval_split", "eval_data_files", "eval_share", "max_eval_samples", "monitored_rows"), _ROWS),
    **dict.fromkeys(("metrics", "metric_for_best_model", "greater_is_better", "normalize", "eval_steps"), _SCORE),
    **dict.fromkeys(("eval_strategy", "eval_delay", "eval_on_start", "max_new_tokens", "bootstrap_samples"), _SCORE),
    **dict.fromkeys(("output_path", "resume", "overwrite", "task_name", "copy_base", "evaluate"), _ONCE),
    **dict.fromkeys(("report_to", "logging_dir", "logging_steps", "save_steps", "save_total_limit"), _ONCE),
    **dict.fromkeys(("seed", "data_seed"), "a seed that wins by luck is no better; --seed holds for the whole search"),
    "token": "it is a secret",
    "trust_remote_code": "consent is given on the command line",
    "allow_base_mismatch": "consent is given on the command line",
    "training_arguments": "search the fields in it by their own names",
}
"""Settings that cannot be searched, each with the reason."""
_PREFIXES = ("trainer.", "training_arguments.", "training_args.", "adapter.")
"""How other tools write names, such as Ludwig's ``trainer.learning_rate``."""


def component_choices(given: Any) -> list[dict[str, str]]:
    """Return the methods, losses and tasks that a search space names, for ``planning.settings.settings_class``.

    Args:
        given: The search space as it was written; what is wrong in it is ``read_space``'s to say.
    """
    registries = component_registries()
    found: list[dict[str, str]] = []
    try:
        pairs = _pairs(given)
    except InputError:
        return []
    known = option_names(_core())
    for name, value in pairs:
        option = known.get(_key(name), "")
        if option in registries:
            try:
                values = read_entry(value).values
            except Wrong:
                continue
            found += [{option: each} for each in values if isinstance(each, str)]
    return found


def read_space(given: Any, settings_cls: type[Settings], where: str = "") -> SearchSpace:
    """Return the search space that a user gave.

    Args:
        given: The mapping of a file's ``search_space``, or the text of ``--search_space``.
        settings_cls: The settings of a trial, with the options of every component that may be chosen.
        where: The file; "" means the command line.

    Raises:
        InputError: With everything that is wrong: unknown names and keys, ranges and choices of nothing, values that
            a setting refuses, settings that cannot be searched, the same setting twice.
    """
    return _Reader(settings_cls, where).space(given)


def _core() -> type[Settings]:
    from graft.config import FinetuneSettings

    return FinetuneSettings


def _key(name: str) -> str:
    """A name as settings are called: without the prefix that another tool gives it."""
    key = name.strip().replace("-", "_")
    return next((key[len(prefix) :] for prefix in _PREFIXES if key.startswith(prefix)), key)


def _pairs(given: Any) -> list[tuple[str, Any]]:
    """The settings of a space, each with its entry.

    Raises:
        InputError: If it is neither a mapping nor text.
    """
    if isinstance(given, str):
        if not given.lstrip().startswith("{"):
            return entries(given)
        given = parse_json(given, "--search_space", TEXT_EXAMPLE)
    if not isinstance(given, Mapping):
        what = "there is nothing to search" if given is None else f"search_space must be a mapping, not {shown(given)}"
        raise InputError(what, remedy=f"learning_rate: {EXAMPLE}")
    return [(name if isinstance(name, str) else str(name), value) for name, value in given.items()]


class _Reader:
    def __init__(self, cls: type[Settings], where: str) -> None:
        self.cls, self.where = cls, where
        self.names = option_names(cls)
        self.problems = Problems()

    def space(self, given: Any) -> SearchSpace:
        """The space."""
        try:
            pairs = _pairs(given)
        except InputError as error:
            for problem in error.problems:
                self.problems.add(problem.what, problem.where or self.where, problem.remedy)
            pairs = []
        if not pairs and not self.problems:
            self.problems.add("there is nothing to search", self._place(""), f"--search_space {TEXT_EXAMPLE}")
        found: dict[str, Dimension | None] = {}
        typed: dict[str, str] = {}
        for name, value in pairs:
            field = self._field(name)
            if field is None:
                self._looked_at(name, value)
            elif field in found:
                self._add(name, f"{name} and {typed[field]} are the same setting", "keep one of them")
            else:
                typed[field] = name
                found[field] = self._dimension(name, field, value)
        self.problems.raise_if_any()
        return SearchSpace(tuple(dimension for dimension in found.values() if dimension is not None))

    def _place(self, name: str) -> str:
        if self.where and isinstance(name, Key):
            return located(self.where, name)
        name = shortened(name)
        inner = f".{name}" if name else ""
        return f"{self.where}: search_space{inner}" if self.where else f"--search_space{f' {name}' if name else ''}"

    def _add(self, name: str, what: str, remedy: str = "") -> None:
        self.problems.add(what, self._place(name), remedy)

    def _field(self, name: str) -> str | None:
        """The setting's own name; None if there is none that can be searched, which is said."""
        key = _key(name)
        field = self.names.get(key, key)
        if field in FIXED:
            self._add(name, f"{name} cannot be searched: {FIXED[field]}", "remove it from the search space")
            return None
        if key in self.names:
            return field
        known, passed = self._of_training(key)
        if passed is None:
            hint = did_you_mean(key.rpartition(".")[2], {*self.names, *known} - FIXED.keys())
            self._add(name, f"unknown setting {shown(name)}", hint)
        return passed

    def _of_training(self, key: str) -> tuple[set[str], str | None]:
        """The fields of ``TrainingArguments``, and the one that ``key`` names."""
        if not issubclass(self.cls, TrainingSettings):
            return set(), None
        from graft.training.arguments import field_names
        from graft.training.passed_fields import RENAMED

        return field_names(), RENAMED.get(key, key) if key in field_names() else None

    def _looked_at(self, name: str, value: Any) -> None:
        """Say what is wrong with an entry whose setting is."""
        try:
            read_entry(value)
        except Wrong as error:
            for what, remedy in error.found:
                self._add(name, f"{name} {what}", remedy)

    def _dimension(self, name: str, field: str, value: Any) -> Dimension | None:
        try:
            entry = read_entry(value)
        except Wrong as error:
            for what, remedy in error.found:
                self._add(name, f"{name} {what}", remedy)
            return None
        before = len(self.problems.found)
        made = self._choice(name, field, entry) if entry.kind == "choice" else self._range(name, field, entry)
        return made if len(self.problems.found) == before else None

    def _choice(self, name: str, field: str, entry: Entry) -> Dimension:
        if len(entry.values) > MOST_VALUES:
            self._add(name, f"{name} has {len(entry.values):,} values; the maximum is {MOST_VALUES:,}")
        values: list[Any] = []
        for value in entry.values[:MOST_VALUES]:
            with self.problems.collecting():
                taken = self._checked(name, field, value)
                if _among(taken, values):
                    self._add(name, f"{name} has {shown(value)} twice", "remove one of the two")
                values.append(taken)
        return Dimension(field, "choice", values=tuple(values))

    def _range(self, name: str, field: str, entry: Entry) -> Dimension | None:
        fractional = self._takes_fractions(field)
        kind = entry.kind or ("float" if fractional else "int")
        if fractional is None:
            self._add(name, f"{name} does not take numbers, so it has no range", "list its values: [first, second]")
            return None
        if kind == "float" and not fractional:
            self._add(name, f"{name} takes whole numbers, and its type is float", "type: int")
            return None
        bounds = (entry.low, entry.high, *(() if entry.step is None else (entry.step,)))
        if kind == "int" and any(bound != int(bound) for bound in bounds):
            shown_bounds = ", ".join(f"{bound:g}" for bound in bounds if bound != int(bound))
            self._add(name, f"{name} takes whole numbers, not {shown_bounds}")
            return None
        convert = int if kind == "int" else float
        for bound in dict.fromkeys((convert(entry.low), convert(entry.high))):
            with self.problems.collecting():
                self._checked(name, field, bound)
        step = None if entry.step is None else convert(entry.step)
        return Dimension(
            field, typing.cast(Any, kind), convert(entry.low), convert(entry.high), entry.log, step, entry.num
        )

    def _takes_fractions(self, field: str) -> bool | None:
        """Whether a setting takes any number, or whole ones; None if it takes no numbers."""
        if field in self.cls.model_fields:
            kinds = options_of(self.cls.model_fields[field].annotation)
        else:
            from transformers import TrainingArguments

            kinds = options_of(typing.get_type_hints(TrainingArguments).get(field, str))
        return True if float in kinds else False if int in kinds else None

    def _checked(self, name: str, field: str, value: Any) -> Any:
        """A value as the setting reads it, if it can be written as JSON.

        Raises:
            InputError: If the setting refuses it.
        """
        place = self._place(name)
        if field not in self.cls.model_fields:
            return self._of_transformers(name, field, value, place)
        settings = build(self.cls, {field: value}, place)
        taken = json.loads(settings.model_dump_json(include={field}))[field]
        self._registered(field, taken, place)
        return taken

    def _of_transformers(self, name: str, field: str, value: Any, place: str) -> Any:
        from graft.training.arguments import check_fields

        found = check_fields({field: value}, set(self.names), lambda _: place)
        taken = found.get(field, value)
        return getattr(taken, "value", taken)

    def _registered(self, field: str, value: Any, place: str) -> None:
        """Check that there is a component of this name.

        Raises:
            InputError: If there is none, or it is code without consent.
        """
        registries = component_registries()
        if field in registries and isinstance(value, str):
            try:
                if value not in registries[field]().names():
                    registries[field]().get(value)
            except InputError as error:
                found = (problem for problem in error.problems)
                raise InputError(*_placed(found, place)) from None


def _placed(problems: Iterable[Any], place: str) -> Iterator[Any]:
    from dataclasses import replace

    yield from (replace(problem, where=problem.where or place) for problem in problems)


def _among(value: Any, values: Iterable[Any]) -> bool:
    """Whether a value is among others; 1 and true differ."""
    return any(type(value) is type(other) and value == other for other in values)

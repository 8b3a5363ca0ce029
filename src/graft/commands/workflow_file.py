"""Workflow files: graft's own settings, and the form with ``model``, ``data_configs`` and ``passes``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graft.commands.data_passes import COMMON, is_data
from graft.commands.passes import Pass, is_tuning, pass_class
from graft.commands.search_settings import search_settings, study_class
from graft.commands.workflow_sections import (
    EVAL,
    LOAD,
    NOTHING_ELSE,
    SEARCH,
    SECTIONS,
    UNKNOWN,
    Parts,
    Sections,
    key_in,
)
from graft.config import FinetuneSettings, Settings, build, option_names
from graft.config.types import as_path
from graft.documents import shown
from graft.errors import InputError, Problem, did_you_mean, located
from graft.planning.settings import by_setting, finetune_settings, laid_over
from graft.training.consistency import check_consistent


@dataclass(frozen=True)
class Step:
    """A pass of a workflow, its settings checked."""

    name: str
    cls: type[Pass]
    settings: Settings
    kind: str = "finetune"
    """Its type, as it was written."""


@dataclass(frozen=True)
class Workflow:
    """The passes of a workflow in their order, and the output folder where one is given."""

    steps: tuple[Step, ...]
    output: Path | None


Check = Callable[[FinetuneSettings], object]


def read_workflow(
    document: Mapping[str, Any],
    where: str,
    over: Mapping[str, Any] = NOTHING_ELSE,
    check: Check = check_consistent,
) -> Workflow:
    """The workflow that a file describes.

    Args:
        document: The file.
        where: Its name.
        over: Settings that win over the file's.
        check: Looks at the settings of each pass that tunes, before an earlier pass takes hours.

    Raises:
        InputError: with everything unknown or out of place in it.
    """
    if not _has_sections(document):
        settings = finetune_settings(laid_over(document, over), where, check)
        return Workflow((Step("finetune", pass_class("finetune"), settings),), settings.output_path)
    return _Reader(where, check).workflow(document, over)


def flat_settings(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What a file says to ``graft finetune``: its settings, those of a workflow's only pass among them.

    Raises:
        InputError: when it is a workflow of something else.
    """
    return _Reader(where).flat(document) if _has_sections(document) else dict(document)


def short_form(document: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[Problem]]:
    """What a file says, without sections for the model and the data; and what graft does not know in it.

    Returns:
        Settings by their own names: of a file with one pass that tunes all of them, else those that hold for all
        passes, and ``passes``. Keys have the places that their values come from.

    Raises:
        InputError: When something else is wrong with the sections.
    """
    return _Reader(where).short(document)


def _has_sections(document: Mapping[str, Any]) -> bool:
    sections = any(isinstance(document.get(section), (dict, list)) for section in SECTIONS[:5])
    return sections or any(section in document for section in SEARCH)


class _Reader(Sections):
    """Makes the passes of a workflow file from its sections."""

    def __init__(self, where: str, check: Check = check_consistent) -> None:
        super().__init__(where)
        self.check = check

    def workflow(self, document: Mapping[str, Any], over: Mapping[str, Any]) -> Workflow:
        """The workflow in ``document``; the settings in ``over`` win over the file's."""
        over = by_setting(over, document)
        parts = self._parts(document)
        common, data, passes = parts
        searched = self._searched(document, passes, over)
        if searched and not passes:
            passes = {"search": ("finetune", {})}
        if not passes:
            self.problems.add("there are no passes", self._at(document, "passes"), "passes: {lora: {type: LoRA}}")
            with self.problems.collecting():
                finetune_settings(laid_over(laid_over(common, data.get("", {})), over), self.where, self.check)
        over = {name: value for name, value in over.items() if name not in searched}
        steps = [
            self._search(name, kind, config, parts, over, searched)
            if (searched and is_tuning(kind)) or kind.lower() == "search"
            else self._step(name, kind, config, parts, over)
            for name, (kind, config) in passes.items()
        ]
        output = self._output(over.get("output_path", common.get("output_path")), steps, document)
        self.problems.found = list(dict.fromkeys(self.problems.found))  # of what several passes share
        self.problems.raise_if_any()
        return Workflow(tuple(step for step in steps if step), output)

    def _output(self, given: Any, steps: Sequence[Step | None], document: Mapping[str, Any]) -> Path | None:
        """The folder of the workflow: the one given for all of it, or by its only pass."""
        output = None
        try:
            output = as_path(given, output=True) if isinstance(given, (str, Path)) else None
        except ValueError as error:
            self.problems.add(f"output_path {error}", self._at(document, "output_path"))
        if given is not None and not isinstance(given, (str, Path)):
            what, where = f"output_path must be a path, not {shown(given)}", self._at(document, "output_path")
            if all(problem.where != where for problem in self.problems.found):  # a pass has said it
                self.problems.add(what, where)
        of_passes = {step.name: getattr(step.settings, "output_path", None) for step in steps if step is not None}
        others = {name: path for name, path in of_passes.items() if path not in {None, output}}
        if others and len(steps) > 1:
            what = f"{', '.join(others)} cannot set an output folder: each pass has its own folder in the workflow's"
            passes = self._mapping(document.get("passes"), "passes", document)
            where = self._at(passes, next(iter(others)))
            self.problems.add(what, where, "set output_path at the top of the file")
        return output if len(steps) > 1 else next(iter(others.values()), output)

    def flat(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the only pass, which tunes."""
        searched = next((key for key in document if key in SEARCH), None)
        if searched is not None:
            what = f"{searched} is a section of graft search and graft run, and graft finetune trains once"
            self.problems.add(what, located(self.where, searched), "graft search --config, or graft run --config")
        parts = self._parts(document)
        name, (kind, config) = next(iter(parts.passes.items()), ("finetune", ("finetune", {})))
        if len(parts.passes) > 1 or not is_tuning(kind):
            what = f"graft finetune runs one tuning pass, but this file has: {', '.join(parts.passes)}"
            self.problems.add(what, self._at(document, "passes"), "use graft run --config")
        values = self._tuning(name, kind, config, parts)
        self.problems.raise_if_any()
        return values

    def short(self, document: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        """The settings and the passes, and the unknown keys."""
        common, data, passes = self._parts(document)
        named = any(key.endswith("_data_config") for _, config in passes.values() for key in config)
        default = {} if named else data.get("", {})
        made: dict[str, Any] = {}
        for name, (kind, config) in passes.items():
            place, settings = f"{self.where}: passes.{name}", dict(config)
            if is_tuning(kind):
                extra = self._mapping(settings.pop("training_args", None), f"passes.{name}.training_args", config)
                settings = laid_over(settings, extra)
            if is_tuning(kind) or is_data(kind):
                own = self._data(settings, data, place) if named else {}
                settings = laid_over(own, settings)
                names = {"method": kind.lower()} if is_tuning(kind) and kind.lower() != "finetune" else {}
                settings = by_setting(settings, names) if is_tuning(kind) else settings
            made[name] = {"type": kind, **settings}
        wrong = [problem for problem in self.problems.found if not problem.what.startswith(UNKNOWN)]
        if wrong:
            raise InputError(*wrong)
        unknown = list(self.problems.found)
        together = laid_over(common, default)
        together |= {name: value for name, value in document.items() if name in SEARCH}
        only = next(iter(made.values()), {"type": "finetune"})
        if len(made) > 1 or not is_tuning(only["type"]):
            return {**together, "passes": made}, unknown
        kind = only.pop("type").lower()
        method = {} if kind == "finetune" else {"method": kind}
        return {**laid_over(together, only), **method}, unknown

    def _step(self, name: str, kind: str, config: dict[str, Any], parts: Parts, over: Mapping[str, Any]) -> Step | None:
        place = f"{self.where}: passes.{name}"
        try:
            cls = self._class(name, kind)
            if is_data(kind):
                config = self._preparing(name, config, parts, over)
            if not is_tuning(kind):
                return Step(name, cls, build(cls.Config, config, place), kind)
            values = self._tuning(name, kind, config, parts)
            return Step(name, cls, finetune_settings(laid_over(values, over), place, self.check), kind)
        except InputError as error:
            self.problems.found.extend(error.problems)
            return None

    def _searched(
        self, document: Mapping[str, Any], passes: Mapping[str, tuple[str, Any]], over: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The sections of a search, with the settings of one that are typed; the pass that tunes becomes the search."""
        found: dict[str, Any] = {name: value for name, value in document.items() if name in SEARCH}
        if not found:
            return {}
        tuning = [name for name, (kind, _) in passes.items() if is_tuning(kind) or kind.lower() == "search"]
        if passes and len(tuning) != 1:
            what = "search_space and search_strategy need one pass that tunes, and this file has "
            remedy = "keep one; or give the sections to a pass of type search"
            self.problems.add(what + (", ".join(tuning) or "none"), self._at(document, next(iter(found))), remedy)
        return {**found, **_of_study(over)}

    def _search(
        self,
        name: str,
        kind: str,
        config: dict[str, Any],
        parts: Parts,
        over: Mapping[str, Any],
        searched: Mapping[str, Any],
    ) -> Step | None:
        """The pass that searches: what a pass that tunes would be given holds for all trials."""
        place = f"{self.where}: passes.{name}"
        try:
            method = "finetune" if kind.lower() == "search" else kind
            shared = laid_over(self._tuning(name, method, config, parts), over)
            own = _of_study(shared)
            shared = {key: value for key, value in shared.items() if key not in own}
            searched = {**own, **searched}
            space = searched.get("search_space")
            if not (isinstance(space, Mapping) and {"method", "loss", "task"} & set(space)):
                with self.problems.collecting():
                    finetune_settings(shared, place, self.check)
            settings = search_settings({**shared, **searched}, place)
            return Step(name, pass_class("search"), settings, "search")
        except InputError as error:
            where = self._strategy_place(searched)
            self.problems.found.extend(replace(each, where=each.where or where) for each in error.problems)
            return None

    def _strategy_place(self, searched: Mapping[str, Any]) -> str:
        """Where the strategy is named."""
        given = searched.get("search_strategy")
        if isinstance(given, Mapping) and "type" in given:
            return self._at(given, "type")
        return self._at(searched, "search_strategy")

    def _class(self, name: str, kind: str) -> type[Pass]:
        try:
            return pass_class(kind)
        except InputError as error:
            where = located(f"{self.where}: passes.{name}", self.types.get(name, name), of_value=name in self.types)
            raise InputError(*[replace(problem, where=problem.where or where) for problem in error.problems]) from None

    def _preparing(self, name: str, config: dict[str, Any], parts: Parts, over: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of a data pass: its own over where the data is and how it is read."""
        found = laid_over(parts.common, self._data(config, parts.data, f"{self.where}: passes.{name}"))
        shared = laid_over({name: value for name, value in found.items() if name in COMMON}, config)
        return {**shared, **{name: value for name, value in over.items() if name in COMMON}}

    def _tuning(self, name: str, kind: str, config: dict[str, Any], parts: Parts) -> dict[str, Any]:
        """Settings of a tuning pass: its own over the data's over what holds for all."""
        config |= self._mapping(config.get("training_args"), f"passes.{name}.training_args", config)
        config.pop("training_args", None)
        values = laid_over(parts.common, self._data(config, parts.data, f"{self.where}: passes.{name}"))
        method = {} if kind.lower() == "finetune" else {"method": kind.lower()}
        return {**laid_over(values, config), **method}

    def _data(self, config: dict[str, Any], data: Mapping[str, Mapping[str, Any]], place: str) -> dict[str, Any]:
        """What the pass trains on and is judged by, of the data configurations it names."""
        keys = {side: key_in(config, f"{side}_data_config") for side in ("train", "eval")}
        train, held_out = (self._name(config, key, place) for key in keys.values())
        named = {held_out: keys["eval"], train: keys["train"]}
        for name in {train, held_out} - {""} - set(data):
            self.problems.add(
                f"unknown data configuration {name!r}", located(place, named[name], True), did_you_mean(name, data)
            )
        found = dict(data.get(train, {}))
        other = data.get(held_out, {}) if held_out else {}
        back = {setting: name for name, setting in LOAD.items()}
        return found | {EVAL[back[s]]: value for s, value in other.items() if back.get(s) in EVAL}

    def _name(self, config: dict[str, Any], key: str, place: str) -> str:
        """Remove the name of a data configuration from ``config``; empty where none is given."""
        given = config.pop(key, None)
        if isinstance(given, (str, int)) or given is None:
            return "" if given is None else str(given)
        what = f"{key} must be the name of a data configuration, not {shown(given)}"
        self.problems.add(what, located(place, key, of_value=True))
        return ""


def _of_study(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``values`` that are settings of a search, and of no single trial."""
    own = option_names(study_class(values)).items()
    names = {name for name, field in own if field not in FinetuneSettings.model_fields}
    return {name: value for name, value in values.items() if name.replace("-", "_") in names}

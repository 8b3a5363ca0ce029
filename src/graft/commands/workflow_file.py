"""Workflow files: graft's own settings, and the form with ``model``, ``data_configs`` and ``passes``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from graft.commands.data_passes import COMMON, is_data
from graft.commands.passes import Pass, is_tuning, pass_class
from graft.commands.search_settings import search_settings
from graft.config import FinetuneSettings, Settings, StudySettings, build, option_names
from graft.config.types import as_path
from graft.documents import shown
from graft.errors import InputError, Problem, Problems, did_you_mean, located, renamed
from graft.planning.settings import by_setting, finetune_settings, laid_over, settings_class
from graft.training.consistency import check_consistent

MODEL_TYPES = frozenset({"pytorchmodel", "hfmodel", "huggingfacemodel"})
MODEL = {"model_path": "model_name_or_path", "model_name": "model_name_or_path", "task": "task"}
MODEL_LOADING = {"revision": "model_revision", "token": "token"}
LOAD = {
    "data_name": "data_name",
    "data_files": "data_files",
    "split": "train_split",
    "subset": "data_config_name",
}
EVAL = {"data_files": "eval_data_files", "split": "eval_split"}
PREPARING = {
    "text_template": "text_template",
    "max_seq_len": "max_length",
    "max_length": "max_length",
    "chat_template": "chat_template",
    "max_samples": "max_train_samples",
}
LOADER = {"batch_size": "per_device_train_batch_size"}
SEARCH = ("search_strategy", "search_space")
"""Sections of a search."""
SECTIONS = ("model", "input_model", "data_configs", "passes", "training_config", "workflow_id", "output_path", *SEARCH)
_UNKNOWN = "unknown key "
NOTHING_ELSE: Mapping[str, Any] = {}


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


class _Parts(NamedTuple):
    """Settings for every tuning pass, the data configurations by name, and the passes' types and settings."""

    common: dict[str, Any]
    data: dict[str, dict[str, Any]]
    passes: dict[str, tuple[str, dict[str, Any]]]


class _Reader:
    """Reads a workflow file, and collects everything wrong in it."""

    def __init__(self, where: str, check: Check = check_consistent) -> None:
        self.where, self.check, self.problems = where, check, Problems()
        self.types: dict[str, str] = {}
        """The key ``type`` of each pass that has one."""

    def workflow(self, document: Mapping[str, Any], over: Mapping[str, Any]) -> Workflow:
        """The workflow in ``document``; the settings in ``over`` win over the file's."""
        over = by_setting(over, document)
        common, data, passes = self._parts(document)
        searched = self._searched(document, passes, over)
        if searched and not passes:
            passes = {"search": ("finetune", {})}
        if not passes:
            self.problems.add("there are no passes", self._at(document, "passes"), "passes: {lora: {type: LoRA}}")
            with self.problems.collecting():
                finetune_settings(laid_over(laid_over(common, data.get("", {})), over), self.where, self.check)
        over = {name: value for name, value in over.items() if name not in searched}
        steps = [
            self._search(name, *given, common, data, over, searched)
            if (searched and is_tuning(given[0])) or given[0].lower() == "search"
            else self._step(name, *given, common, data, over)
            for name, given in passes.items()
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
        common, data, passes = self._parts(document)
        name, (kind, config) = next(iter(passes.items()), ("finetune", ("finetune", {})))
        if len(passes) > 1 or not is_tuning(kind):
            what = f"graft finetune runs one tuning pass, but this file has: {', '.join(passes)}"
            self.problems.add(what, self._at(document, "passes"), "use graft run --config")
        values = self._tuning(name, kind, config, common, data)
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
        wrong = [problem for problem in self.problems.found if not problem.what.startswith(_UNKNOWN)]
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

    def _parts(self, document: Mapping[str, Any]) -> _Parts:
        entries = self._mapping(document.get("passes"), "passes", document)
        passes = {name: self._pass(name, entries) for name in entries}
        training = self._mapping(document.get("training_config"), "training_config", document)
        components = [training, *({"method": kind.lower()} for kind, _ in passes.values())]
        top = {name: value for name, value in document.items() if name not in SECTIONS or name == "output_path"}
        common = by_setting(self._known_alone(top, components), *components)
        common |= self._model(document)
        if document.get("workflow_id"):
            common[renamed(_key(document, "workflow_id"), "task_name")] = str(document["workflow_id"])
        common = laid_over(common, by_setting(training, common, *components))
        return _Parts(common, self._data_configs(document), passes)

    def _known_alone(self, top: Mapping[str, Any], components: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What stands at the top of the file without what is unknown there."""
        from graft.training.arguments import field_names

        known = option_names(settings_class(top, *components))
        unknown = {name for name in top if name.replace("-", "_") not in known} - field_names()
        for name in sorted(unknown):
            self._unknown(name, "", [*SECTIONS, *known])
        return {name: value for name, value in top.items() if name not in unknown}

    def _model(self, document: Mapping[str, Any]) -> dict[str, Any]:
        section = "model" if "model" in document else "input_model"
        given = document.get(section)
        if given is None or isinstance(given, str):
            return {renamed(_key(document, section), "model_name_or_path"): given} if given else {}
        model = self._mapping(given, section, document)
        kind = str(model.get("type", "HfModel"))
        if kind.lower() not in MODEL_TYPES:
            what = f"graft cannot tune a model of type {kind!r}"
            self.problems.add(what, self._at(model, "type", "model"), "use type: PyTorchModel or HfModel")
        flat = {**{k: v for k, v in model.items() if k not in {"type", "config"}}, **self._config(model, "model")}
        loading = self._mapping(flat.get("load_kwargs"), "model.load_kwargs", flat)
        flat.pop("load_kwargs", None)
        return self._renamed({**flat, **loading}, {**MODEL, **MODEL_LOADING}, "model")

    def _data_configs(self, document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """By name; the first one's name is also ``""``."""
        given = document.get("data_configs")
        entries = given if isinstance(given, list) else [given] if given else []
        found: dict[str, dict[str, Any]] = {}
        for number, entry in enumerate(entries):
            place = f"data_configs[{number}]"
            config = self._mapping(entry, place, document, "data_configs")
            load = self._section(config, "load_dataset_config", place)
            prepare = self._section(config, "pre_process_data_config", place)
            loader = self._section(config, "dataloader_config", place)
            known = ("name", "type", "load_dataset_config", "pre_process_data_config", "dataloader_config")
            for name in set(config) - set(known):
                self._unknown(name, place, known)
            read = self._renamed(load, LOAD, f"{place}.load_dataset_config")
            read |= self._renamed(prepare, PREPARING, f"{place}.pre_process_data_config")
            read |= self._renamed(loader, LOADER, f"{place}.dataloader_config")
            found[str(config.get("name", number))] = read
            found.setdefault("", read)
        return found

    def _step(
        self,
        name: str,
        kind: str,
        config: dict[str, Any],
        common: Mapping[str, Any],
        data: Mapping[str, Mapping[str, Any]],
        over: Mapping[str, Any],
    ) -> Step | None:
        place = f"{self.where}: passes.{name}"
        try:
            cls = self._class(name, kind)
            if is_data(kind):
                return Step(
                    name, cls, build(cls.Config, self._preparing(name, config, common, data, over), place), kind
                )
            if not is_tuning(kind):
                return Step(name, cls, build(cls.Config, config, place), kind)
            values = self._tuning(name, kind, config, common, data)
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
        own = option_names(StudySettings).items()
        names = {name for name, field in own if field not in FinetuneSettings.model_fields}
        return {**found, **{name: value for name, value in over.items() if name.replace("-", "_") in names}}

    def _search(
        self,
        name: str,
        kind: str,
        config: dict[str, Any],
        common: Mapping[str, Any],
        data: Mapping[str, Mapping[str, Any]],
        over: Mapping[str, Any],
        searched: Mapping[str, Any],
    ) -> Step | None:
        """The pass that searches: what a pass that tunes would be given holds for all trials."""
        place = f"{self.where}: passes.{name}"
        try:
            method = "finetune" if kind.lower() == "search" else kind
            shared = laid_over(self._tuning(name, method, config, common, data), over)
            searched = {**{key: shared.pop(key) for key in list(shared) if key in SEARCH}, **searched}
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

    def _pass(self, name: str, entries: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """A pass's type, which its name may be, and its settings, whether in ``config`` or beside ``type``."""
        place = f"passes.{name}"
        given = self._mapping(entries[name], place, entries, name)
        beside = {key: value for key, value in given.items() if key not in {"type", "config"}}
        kind = given.get("type")
        if kind is None and ":" in name:  # a name is no place for code
            self.problems.add(f"{place} has no type", self._at(entries, name), "type: path/to/file.py:Name")
        elif kind is not None and not isinstance(kind, str):
            self.problems.add(f"{place}.type must be text, not {shown(kind)}", self._at(given, "type"), "type: LoRA")
        else:
            if kind:
                self.types[name] = _key(given, "type")
            return kind or name, beside | self._config(given, place)
        return "finetune", {}

    def _preparing(
        self,
        name: str,
        config: dict[str, Any],
        common: Mapping[str, Any],
        data: Mapping[str, Mapping[str, Any]],
        over: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Settings of a data pass: its own over where the data is and how it is read."""
        found = laid_over(common, self._data(config, data, f"{self.where}: passes.{name}"))
        shared = laid_over({name: value for name, value in found.items() if name in COMMON}, config)
        return {**shared, **{name: value for name, value in over.items() if name in COMMON}}

    def _tuning(
        self,
        name: str,
        kind: str,
        config: dict[str, Any],
        common: Mapping[str, Any],
        data: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Settings of a tuning pass: its own over the data's over what holds for all."""
        config |= self._mapping(config.get("training_args"), f"passes.{name}.training_args", config)
        config.pop("training_args", None)
        values = laid_over(common, self._data(config, data, f"{self.where}: passes.{name}"))
        method = {} if kind.lower() == "finetune" else {"method": kind.lower()}
        return {**laid_over(values, config), **method}

    def _data(self, config: dict[str, Any], data: Mapping[str, Mapping[str, Any]], place: str) -> dict[str, Any]:
        """What the pass trains on and is judged by, of the data configurations it names."""
        keys = {side: _key(config, f"{side}_data_config") for side in ("train", "eval")}
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

    def _section(self, config: Mapping[str, Any], name: str, place: str) -> dict[str, Any]:
        section = self._mapping(config.get(name), f"{place}.{name}", config)
        inner = self._mapping(section.get("params"), f"{place}.{name}.params", section)
        return {**{key: value for key, value in section.items() if key not in {"params", "type"}}, **inner}

    def _config(self, given: Mapping[str, Any], place: str) -> dict[str, Any]:
        return self._mapping(given.get("config"), f"{place}.config", given)

    def _renamed(self, given: Mapping[str, Any], names: Mapping[str, str], place: str) -> dict[str, Any]:
        """``given`` by the settings that ``names`` stand for, which may be called by any of their own names, too."""
        wanted = set(names.values())
        known = {name: field for name, field in option_names(FinetuneSettings).items() if field in wanted} | dict(names)
        found: dict[str, Any] = {}
        for name, value in given.items():
            field = known.get(name.replace("-", "_"))
            if field is None:
                self._unknown(name, place, known)
            elif field in found and found[field] != value:
                self.problems.add(
                    f"{name} is another name of {field}, and both are given with different values",
                    located(f"{self.where}: {place}", name),
                )
            elif value is not None:
                found[renamed(name, field)] = value
        return found

    def _mapping(
        self, given: Any, place: str, inside: Mapping[str, Any] = NOTHING_ELSE, name: str = ""
    ) -> dict[str, Any]:
        """A section, which must be a mapping; it is the value of ``name``, else of the last part of ``place``."""
        if given is None:
            return {}
        if not isinstance(given, dict):
            where = self._at(inside, name or place.rpartition(".")[2])
            self.problems.add(f"{place} must be a mapping, not {shown(given)}", where)
            return {}
        return {name if isinstance(name, str) else str(name): value for name, value in given.items()}

    def _at(self, inside: Mapping[str, Any], name: str, section: str = "") -> str:
        """Where in the file the value of a name is."""
        where = f"{self.where}: {section}" if section else self.where
        return located(where, _key(inside, name), of_value=True)

    def _unknown(self, name: object, place: str, names: Mapping[str, Any] | Sequence[str]) -> None:
        where = f"{self.where}: {place}" if place else self.where
        self.problems.add(f"{_UNKNOWN}{str(name)!r}", located(where, name), did_you_mean(str(name), names))


def _key(inside: Mapping[str, Any], name: str) -> str:
    """A name as it was read, with its place."""
    return next((key for key in inside if key == name), name)

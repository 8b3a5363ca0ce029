"""Workflow files: graft's own settings, and the form with ``model``, ``data_configs`` and ``passes``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.errors import InputError, Problems, did_you_mean
from graft.settings import FinetuneSettings, Settings, build, option_names
from graft.workflow.passes import Pass, is_tuning, pass_class

MODEL_TYPES = frozenset({"pytorchmodel", "hfmodel", "huggingfacemodel"})
MODEL = {"model_path": "model_name_or_path", "model_name": "model_name_or_path", "task": "task"}
LOAD = {
    "data_name": "data_name",
    "data_files": "data_files",
    "split": "train_split",
    "subset": "data_config_name",
    "trust_remote_code": "trust_remote_code",
}
EVAL = {"data_files": "eval_data_files", "split": "eval_split"}
PREPARE = {
    "text_template": "text_template",
    "max_seq_len": "max_length",
    "max_length": "max_length",
    "chat_template": "chat_template",
    "max_samples": "max_train_samples",
}
LOADER = {"batch_size": "per_device_train_batch_size"}
SECTIONS = ("model", "input_model", "data_configs", "passes", "training_config", "workflow_id", "output_path")
NOTHING_ELSE: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Step:
    """A pass of a workflow, its settings checked."""

    name: str
    cls: type[Pass]
    settings: Settings


@dataclass(frozen=True)
class Workflow:
    steps: tuple[Step, ...]
    output: Path | None


def finetune_settings(values: Mapping[str, Any], where: str = "") -> FinetuneSettings:
    """Settings of ``graft finetune`` and fields of ``transformers.TrainingArguments``, in one mapping.

    Raises:
        InputError: when anything is unknown or out of bounds; all of it at once.
    """
    known = option_names(FinetuneSettings)
    own = {name: value for name, value in values.items() if name.replace("-", "_") in known}
    extra = {name: value for name, value in values.items() if name not in own}
    if extra:
        from graft.training.arguments import check_fields

        check_fields(extra, set(known))
        own["training_arguments"] = {**dict(own.get("training_arguments") or {}), **extra}
    settings: FinetuneSettings = build(FinetuneSettings, own, where)
    return settings


def read_workflow(document: Mapping[str, Any], where: str, over: Mapping[str, Any] = NOTHING_ELSE) -> Workflow:
    """The workflow that a file describes; ``over`` are settings that win over the file's.

    Raises:
        InputError: with everything unknown or out of place in it.
    """
    if not any(isinstance(document.get(section), (dict, list)) for section in SECTIONS[:4]):
        settings = finetune_settings(laid_over(document, over), where)
        return Workflow((Step("finetune", pass_class("finetune"), settings),), settings.output_path)
    return _Reader(where).workflow(document, over)


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` wins, whichever of its names a setting is called by."""
    known = option_names(FinetuneSettings)
    named = {known.get(name, name) for name in above}
    return {name: value for name, value in below.items() if known.get(name, name) not in named} | dict(above)


class _Reader:
    """Collects what is wrong while it reads."""

    def __init__(self, where: str) -> None:
        self.where, self.problems = where, Problems()

    def workflow(self, document: Mapping[str, Any], over: Mapping[str, Any]) -> Workflow:
        known = option_names(FinetuneSettings)
        for name in document:
            if name not in SECTIONS and name not in known:
                self._unknown(name, "", [*SECTIONS, *known])
        common = {name: value for name, value in document.items() if name not in SECTIONS and name in known}
        common |= self._model(document.get("model", document.get("input_model")))
        if document.get("workflow_id"):
            common["task_name"] = str(document["workflow_id"])
        training = self._mapping(document.get("training_config"), "training_config")
        data = self._data_configs(document.get("data_configs"))
        passes = self._mapping(document.get("passes"), "passes")
        if not passes:
            self.problems.add("there are no passes", self.where, "passes: {lora: {type: LoRA}}")
        steps = [self._step(str(name), entry, {**common, **training}, data, over) for name, entry in passes.items()]
        self.problems.raise_if_any()
        output = over.get("output_path", document.get("output_path", common.get("output_dir")))
        return Workflow(tuple(step for step in steps if step), Path(str(output)) if output else None)

    def _model(self, given: Any) -> dict[str, Any]:
        if given is None or isinstance(given, str):
            return {"model_name_or_path": given} if given else {}
        model = self._mapping(given, "model")
        kind = str(model.get("type", "HfModel"))
        if kind.lower() not in MODEL_TYPES:
            names = "PyTorchModel or HfModel"
            self.problems.add(f"a model of type {kind!r} cannot be tuned", f"{self.where}: model", f"type: {names}")
        flat = {**{k: v for k, v in model.items() if k not in {"type", "config"}}, **self._config(model, "model")}
        loading = self._mapping(flat.pop("load_kwargs", None), "model.load_kwargs")
        found = self._renamed({**flat, **loading}, {**MODEL, "trust_remote_code": "trust_remote_code"}, "model")
        if found.get("task") == "text-generation" and "task" not in FinetuneSettings.model_fields:
            del found["task"]
        return found

    def _data_configs(self, given: Any) -> dict[str, dict[str, Any]]:
        """By name; the first one's name is also ``""``."""
        entries = given if isinstance(given, list) else [given] if given else []
        found: dict[str, dict[str, Any]] = {}
        for number, entry in enumerate(entries):
            place = f"data_configs[{number}]"
            config = self._mapping(entry, place)
            load = self._section(config, "load_dataset_config", place)
            prepare = self._section(config, "pre_process_data_config", place)
            loader = self._section(config, "dataloader_config", place)
            known = ("name", "type", "load_dataset_config", "pre_process_data_config", "dataloader_config")
            for name in set(config) - set(known):
                self._unknown(name, place, known)
            read = self._renamed(load, LOAD, f"{place}.load_dataset_config")
            read |= self._renamed(prepare, PREPARE, f"{place}.pre_process_data_config")
            read |= self._renamed(loader, LOADER, f"{place}.dataloader_config")
            found[str(config.get("name", number))] = read
            found.setdefault("", read)
        return found

    def _step(
        self,
        name: str,
        entry: Any,
        common: Mapping[str, Any],
        data: Mapping[str, Mapping[str, Any]],
        over: Mapping[str, Any],
    ) -> Step | None:
        place = f"{self.where}: passes.{name}"
        given = self._mapping(entry, f"passes.{name}")
        kind = str(given.get("type", name))
        config = {k: v for k, v in given.items() if k not in {"type", "config"}} | self._config(given, f"passes.{name}")
        try:
            cls = pass_class(kind)
            if not is_tuning(kind):
                settings_class = getattr(cls, "settings_class", Settings)
                return Step(name, cls, build(settings_class, config, place))
            config |= self._mapping(config.pop("training_args", None), f"passes.{name}.training_args")
            method = {} if kind.lower() == "finetune" else {"method": kind.lower()}
            values = {**common, **self._data(config, data, place)}
            return Step(name, cls, finetune_settings(laid_over({**laid_over(values, config), **method}, over), place))
        except InputError as error:
            self.problems.found.extend(error.problems)
            return None

    def _data(self, config: dict[str, Any], data: Mapping[str, Mapping[str, Any]], place: str) -> dict[str, Any]:
        """What the pass trains on and is judged by, of the data configurations it names."""
        train, held_out = config.pop("train_data_config", ""), config.pop("eval_data_config", None)
        for name in {train, held_out} - {None, ""} - set(data):
            self.problems.add(f"there is no data configuration {name!r}", place, did_you_mean(str(name), data))
        found = dict(data.get(str(train), {}))
        other = data.get(str(held_out), {}) if held_out else {}
        back = {setting: name for name, setting in LOAD.items()}
        return found | {EVAL[back[s]]: value for s, value in other.items() if back.get(s) in EVAL}

    def _section(self, config: Mapping[str, Any], name: str, place: str) -> dict[str, Any]:
        section = self._mapping(config.get(name), f"{place}.{name}")
        inner = self._mapping(section.pop("params", None), f"{place}.{name}.params")
        section.pop("type", None)
        return {**section, **inner}

    def _config(self, given: Mapping[str, Any], place: str) -> dict[str, Any]:
        return self._mapping(given.get("config"), f"{place}.config")

    def _renamed(self, given: Mapping[str, Any], names: Mapping[str, str], place: str) -> dict[str, Any]:
        for name in given:
            if name not in names:
                self._unknown(name, place, names)
        return {names[name]: value for name, value in given.items() if name in names and value is not None}

    def _mapping(self, given: Any, place: str) -> dict[str, Any]:
        if given is None:
            return {}
        if not isinstance(given, dict):
            self.problems.add(f"{place} is a mapping, not {given!r}", self.where)
            return {}
        return {str(name): value for name, value in given.items()}

    def _unknown(self, name: object, place: str, names: Mapping[str, Any] | Sequence[str]) -> None:
        where = f"{self.where}: {place}" if place else self.where
        self.problems.add(f"unknown key {str(name)!r}", where, did_you_mean(str(name), names))

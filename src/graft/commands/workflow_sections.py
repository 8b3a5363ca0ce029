"""The sections of a workflow file: the model, the data configurations, the passes, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from graft.config import FinetuneSettings, option_names
from graft.documents import shown
from graft.errors import Problems, did_you_mean, located, renamed
from graft.planning.settings import by_setting, laid_over, settings_class

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
UNKNOWN = "unknown key "
"""How the message on an unknown key begins."""
NOTHING_ELSE: Mapping[str, Any] = {}


class Parts(NamedTuple):
    """Settings for every tuning pass, the data configurations by name, and the passes' types and settings."""

    common: dict[str, Any]
    data: dict[str, dict[str, Any]]
    passes: dict[str, tuple[str, dict[str, Any]]]


class Sections:
    """Reads the sections of a file, and collects everything wrong in them.

    Args:
        where: The file.
    """

    def __init__(self, where: str) -> None:
        self.where, self.problems = where, Problems()
        self.types: dict[str, str] = {}
        """The key ``type`` of each pass that has one."""

    def _parts(self, document: Mapping[str, Any]) -> Parts:
        entries = self._mapping(document.get("passes"), "passes", document)
        passes = {name: self._pass(name, entries) for name in entries}
        training = self._mapping(document.get("training_config"), "training_config", document)
        components = [training, *({"method": kind.lower()} for kind, _ in passes.values())]
        top = {name: value for name, value in document.items() if name not in SECTIONS or name == "output_path"}
        common = by_setting(self._known_alone(top, components), *components)
        common |= self._model(document)
        if document.get("workflow_id"):
            common[renamed(key_in(document, "workflow_id"), "task_name")] = str(document["workflow_id"])
        common = laid_over(common, by_setting(training, common, *components))
        return Parts(common, self._data_configs(document), passes)

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
            return {renamed(key_in(document, section), "model_name_or_path"): given} if given else {}
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
                self.types[name] = key_in(given, "type")
            return kind or name, beside | self._config(given, place)
        return "finetune", {}

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
        return located(where, key_in(inside, name), of_value=True)

    def _unknown(self, name: object, place: str, names: Mapping[str, Any] | Sequence[str]) -> None:
        where = f"{self.where}: {place}" if place else self.where
        self.problems.add(f"{UNKNOWN}{str(name)!r}", located(where, name), did_you_mean(str(name), names))


def key_in(inside: Mapping[str, Any], name: str) -> str:
    """Return a name as it was read, with its place."""
    return next((key for key in inside if key == name), name)

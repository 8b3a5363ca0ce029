"""A conversation with a run's models, base and tuned."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graft.config import DataSettings, ModelSettings
from graft.data.columns import shape_prompt
from graft.data.example import AnswerExample, Message, Origin
from graft.errors import InputError
from graft.export.bundle import is_bundle, read_manifest
from graft.export.onnx.predictor import OnnxPredictor
from graft.inference.predictor import Predictor
from graft.methods.adapter_folder import load_adapter
from graft.models.base import open_run_or_model
from graft.progress import Reporter
from graft.runs.folder import RunFolder
from graft.runs.settings import recorded_data_settings
from graft.tasks.load import load_for, on_the_gpu
from graft.tasks.open import open_task

TYPED = Origin("typed", 1)


@dataclass
class Conversation:
    """Who may answer, who does, and what was said.

    A run shapes what is typed as it shaped its rows: the same system message, instruction or template. Rows of one
    turn make a model of one turn, so a conversation with such a shape forgets each turn, and so does one
    with a model that classifies (``one_turn``).
    """

    voices: dict[str, Predictor]
    longest: int
    shape: DataSettings | None = None
    speaking: list[str] = field(default_factory=list)
    said: dict[str, list[Message]] = field(default_factory=dict)
    shapes: dict[str, DataSettings] = field(default_factory=dict)
    """Of those voices that have a shape of their own: a bundle's adapters."""
    one_turn: bool = False

    @classmethod
    def open(
        cls,
        name: str,
        settings: ModelSettings,
        longest: int,
        reporter: Reporter,
        adapter: str | None = None,
    ) -> Conversation:
        """Load a run, a bundle with ``adapter`` speaking first, a model folder, or a model by name."""
        if is_bundle(Path(name)):
            return cls._of_bundle(Path(name), longest, adapter)
        if adapter is not None:
            raise InputError("this is no bundle with adapters to choose from", where=name)
        opened = open_run_or_model(name, reporter, settings)
        task, encoding = open_task(opened, settings, DataSettings())
        if task.chat == "none":
            raise InputError(f"{opened.name} compares texts and answers none", remedy=f"graft evaluate {name}")
        model = load_for(task, encoding, opened.base, seed=0)
        voices: dict[str, Predictor] = {}
        if opened.adapter is not None:
            model = on_the_gpu(load_adapter(model, opened.adapter))
            voices["tuned"] = task.predictor("tuned", model, encoding, adapter=True)
            voices["base"] = task.predictor("base", model, encoding, adapter=False)
        else:
            voices["model"] = task.predictor("model", on_the_gpu(model), encoding)
        shape = None
        if opened.run is not None:
            recorded: dict[str, Any] = recorded_data_settings(RunFolder.open(opened.run))
            shape = DataSettings(**recorded)
        return cls(voices, longest, shape, [next(iter(voices))], one_turn=task.chat != "multi-turn")

    @classmethod
    def _of_bundle(cls, folder: Path, longest: int, adapter: str | None) -> Conversation:
        manifest = read_manifest(folder)
        listed = manifest.get("adapters") or {}
        speaking = adapter or next(iter(listed), None)
        voices: dict[str, Predictor] = {speaking or "model": OnnxPredictor.open(folder, speaking)}
        for name in [] if adapter else [*list(listed)[1:], *(["base"] if listed else [])]:
            voices[name] = OnnxPredictor.open(folder, name)
        shapes = {name: DataSettings(**(entry.get("shape") or {})) for name, entry in listed.items()}
        shape = DataSettings(**manifest["shape"]) if manifest.get("shape") else None
        return cls(voices, longest, shape, [next(iter(voices))], shapes=shapes)

    def command(self, text: str) -> str:
        """``tuned``, ``base``, ``both``, ``new``; returns what to tell the user."""
        if text in self.voices:
            self.speaking = [text]
            return f"{text} answers now"
        if text == "both" and len(self.voices) > 1:
            self.speaking = list(self.voices)
            return "both answer now"
        if text == "new":
            self.said.clear()
            return "forgotten"
        return f"there is no /{text}; there are /{', /'.join([*self.voices, 'new', 'quit'])}"

    def say(self, text: str) -> list[tuple[str, str]]:
        """The answers of those who speak, by name."""
        return [(name, self._answer(name, text)) for name in self.speaking]

    def _answer(self, name: str, text: str) -> str:
        shape = self.shapes.get(name, self.shape)
        shaped = shape_prompt(text, shape)
        if isinstance(shaped, str):
            return self.voices[name].generate([AnswerExample(shaped, "", TYPED)], self.longest)[0]
        single = self.one_turn or (shape is not None and bool(shape.instruction or shape.prompt_template))
        before = [] if single else self.said.get(name, [])
        messages = [*before, *(shaped if not before else [m for m in shaped if m["role"] != "system"])]
        answer = self.voices[name].generate([AnswerExample(tuple(messages), "", TYPED)], self.longest)[0]
        self.said[name] = [*messages, {"role": "assistant", "content": answer}]
        return answer

"""A conversation with a run's base and tuned models, with a model, or with a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from graft.commands.open_predictors import (
    BASE,
    OF_A_BUNDLE,
    OF_LLAMA_CPP,
    adapters_of,
    check_chats,
    gguf_for_llama_cpp,
    open_bundle,
    open_model_by_name,
    prompt_beside,
    refuse_without_effect,
)
from graft.config import DataSettings, ModelSettings
from graft.data.columns import shape_prompt
from graft.data.example import AnswerExample, Message, Origin
from graft.errors import InputError
from graft.inference.llama_cpp_predictor import LlamaCppPredictor
from graft.inference.predictor import Predictor, ShowsAnswers
from graft.progress import Reporter
from graft.runs.kind import is_bundle
from graft.runs.manifest import read_bundle
from graft.runs.prompt_record import PromptRecord
from graft.runs.trust import refuse_code
from graft.tasks.select import get_task

TYPED = Origin("typed", 1)


class Answer(NamedTuple):
    """What a model answered, with the model's name."""

    model: str
    text: str


@dataclass
class Conversation:
    """A conversation with one or several models.

    What is typed gets the form of the rows that a model was trained on: the same system message, instruction or
    template. A model that was trained on such single inputs forgets each turn.

    Attributes:
        predictors: The models by name.
        max_new_tokens: The maximum number of tokens in an answer.
        prompts: How a model is asked, by name; None where it is not known.
        active: The names of the models that answer.
        single_turn: Whether the task takes single inputs.
        history: The messages so far, by model.
    """

    predictors: Mapping[str, Predictor]
    max_new_tokens: int
    prompts: Mapping[str, PromptRecord | None]
    active: list[str]
    single_turn: bool = False
    history: dict[str, list[Message]] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        name: str,
        settings: ModelSettings,
        max_new_tokens: int,
        reporter: Reporter,
        adapter: str | None = None,
        backend: str = "auto",
    ) -> Conversation:
        """Load a run, a model, or a bundle; the tuned model answers first.

        Args:
            name: A run folder, a bundle, a model folder, or a model's name.
            settings: How a model is opened.
            max_new_tokens: The maximum number of tokens in an answer.
            reporter: Shows notes.
            adapter: The adapter of a bundle to answer with; all of them can be chosen when it is None.
            backend: What runs a GGUF file: ``auto``, ``llama.cpp`` or ``pytorch``.

        Raises:
            InputError: If it does not load, or one cannot talk to such a model.
        """
        fields = type(settings).model_fields
        if is_bundle(Path(name)):
            refuse_without_effect(
                settings, [name for name in OF_A_BUNDLE if name in fields], "a bundle brings it itself"
            )
            return cls._of_bundle(Path(name), max_new_tokens, adapter, settings.trust_remote_code)
        if adapter is not None:
            what = "this is not a bundle with adapters" if Path(name).exists() else "no such bundle"
            raise InputError(f"--adapter: {what}", where=name)
        file = gguf_for_llama_cpp(name, settings, backend, reporter)
        if file is not None:
            named = [name for name in OF_LLAMA_CPP if name in fields]
            refuse_without_effect(settings, named, "llama.cpp runs the file as it is")
            prompts = {"model": prompt_beside(file)}
            return cls({"model": LlamaCppPredictor.open(file, "model")}, max_new_tokens, prompts, ["model"])
        model = open_model_by_name(name, settings, reporter)
        check_chats(model.task, model.opened.name)
        predictors = model.predictors(reporter, with_base=False, name="model")
        tuned_first = dict(sorted(predictors.items(), key=lambda item: item[0] == BASE))
        return cls(
            tuned_first,
            max_new_tokens,
            dict.fromkeys(tuned_first, model.prompt),
            [next(iter(tuned_first))],
            single_turn=model.task.chat != "multi-turn",
        )

    @classmethod
    def _of_bundle(cls, folder: Path, max_new_tokens: int, adapter: str | None, trusted: bool) -> Conversation:
        manifest = read_bundle(folder)
        refuse_code(manifest.task, str(folder), trusted, what="a task")
        task = get_task(manifest.task) if manifest.task is not None else None
        if task is not None:
            check_chats(task, str(folder))
        predictors = open_bundle(folder, [adapter] if adapter else adapters_of(folder), trusted)
        prompts = {name: manifest.prompt_of(name) for name in predictors}
        single = task is not None and task.chat != "multi-turn"
        return cls(predictors, max_new_tokens, prompts, [next(iter(predictors))], single_turn=single)

    def command(self, text: str) -> str:
        """Carry out ``new``, ``both``, or a model's name; returns the message to show."""
        if text in self.predictors:
            self.active = [text]
            return f"{text} answers from now on"
        if text == "both" and len(self.predictors) > 1:
            self.active = list(self.predictors)
            return "all models answer from now on" if len(self.predictors) > 2 else "both models answer from now on"
        if text == "new":
            self.history.clear()
            return "started a new conversation"
        return f"unknown command /{text}; commands: /{', /'.join([*self.predictors, 'new', 'quit'])}"

    def say(self, text: str) -> list[Answer]:
        """The answers of the active models to ``text``."""
        return [Answer(name, self._answer(name, text)) for name in self.active]

    def _answer(self, name: str, text: str) -> str:
        asked = self.prompts.get(name) or PromptRecord()
        form = asked.settings(DataSettings)
        prompt = shape_prompt(text, form, asked.generation_prompt)
        if isinstance(prompt, str):
            return self._generate(name, prompt)
        single = self.single_turn or bool(form.instruction or form.prompt_template)
        before = [] if single else self.history.get(name, [])
        messages = [*before, *(prompt if not before else [m for m in prompt if m["role"] != "system"])]
        answer = self._generate(name, tuple(messages))
        self.history[name] = [*messages, {"role": "assistant", "content": answer}]
        return answer

    def _generate(self, name: str, prompt: str | tuple[Message, ...]) -> str:
        predictor, example = self.predictors[name], AnswerExample(prompt, "", TYPED)
        answer = predictor.generate([example], self.max_new_tokens)[0]
        return predictor.shown(example, answer) if isinstance(predictor, ShowsAnswers) else answer

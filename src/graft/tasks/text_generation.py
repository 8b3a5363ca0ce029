"""A causal language model writes the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

from graft.data.chat_template import Renderer
from graft.data.columns import recognize
from graft.data.example import Example
from graft.data.pipeline import Prepared
from graft.data.tokenize import TokenizedExample, encode_all
from graft.errors import Problems
from graft.evaluation.metrics.base import Need
from graft.inference.predictor import Predictor, Within
from graft.inference.torch import TorchPredictor
from graft.models.load import CAUSAL, Kind
from graft.tasks.base import TEMPLATES, Task
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace
from graft.tasks.snippet import Usage, loading, python
from graft.training.objective import Objective

PROMPT_COLUMNS = {"messages", "conversations", "prompt", "instruction", "question"}
SPECIAL_TOKENS = ("<|", "[INST]", "<start_of_turn>")
"""A prompt with one of these is formatted already, so the tokenizer adds no special tokens."""


class TextGeneration(Task):
    """A prompt to an answer, token by token, on the engine's own objective."""

    name = "text-generation"
    title = "text generation"
    help = "A causal language model (Llama, Qwen, SmolLM) answers prompts."
    aliases = ("causal-lm", "text-generation-with-past")
    kinds: tuple[Kind, ...] = ("causal",)
    default_for: tuple[Kind, ...] = ("causal",)
    priority = 10
    auto_class = CAUSAL
    learning_rates: Mapping[str, float] = {}
    uses: frozenset[str] = (
        TEMPLATES
        | {"response_template", "instruction_template", "system_prompt", "instruction"}
        | {"chat_template", "chat_template_kwargs", "loss_on", "max_new_tokens", "normalize"}
        | {"new_tokens", "new_special_tokens"}
        | {"label_names", "label_separator", "label_columns"}
    )
    chat: Literal["multi-turn", "single-turn", "none"] = "multi-turn"
    export_targets = ("onnx-genai", "gguf", "hf", "onnx-multi-adapter")
    recognize = staticmethod(recognize)

    def fits(self, columns: Sequence[str], row: Mapping[str, Any], kind: Kind | None = None) -> bool:
        """A causal model also writes tags; other models take ``tokens`` and ``tags`` for token classification."""
        tagged = kind == "causal" and {"tokens", "tags"} <= set(columns)
        return tagged or bool(PROMPT_COLUMNS & set(columns))

    def label_space(self, data: Prepared) -> LabelSpace:
        """Return an empty label space: the answer is text."""
        return LabelSpace()

    def encode(self, examples: Iterable[Example], encoding: Encoding, problems: Problems) -> Iterator[TokenizedExample]:
        """Return prompt and answer as the chat template renders them, with targets where ``loss_on`` says."""
        return encode_all(examples, Renderer(encoding.tokenizer, encoding.loss_on), encoding.max_length, problems)

    def preview(self, row: TokenizedExample, encoding: Encoding) -> tuple[str, str]:
        """Return prompt and answer, decoded with their special tokens."""
        decode = encoding.tokenizer.decode
        return decode(row.input_ids[: row.prompt_length]), decode(row.input_ids[row.prompt_length :])

    def objective(self, label_space: LabelSpace) -> Objective | None:
        """Return None: the engine computes the loss of the next token."""
        return None

    def predictor(self, name: str, model: Any, encoding: Encoding, within: Within = nullcontext) -> Predictor:
        """Return a ``TorchPredictor``, which generates by the engine."""
        return TorchPredictor(name, model, encoding.tokenizer, Renderer(encoding.tokenizer), within)

    def provides(self, label_space: LabelSpace) -> tuple[Need, ...]:
        """Return all three needs: answers are generated, and any text can be scored."""
        return ("generation", "choice", "likelihood")

    def default_metrics(self, label_space: LabelSpace) -> tuple[str, ...] | None:
        """Return None: the answers decide which metrics fit."""
        return None

    def snippet(self, usage: Usage) -> str:
        """Return code that answers one prompt by greedy decoding; messages are rendered by the chat template."""
        lines = [
            *loading(usage, self.auto_class, merge=False),
            "",
            *_inputs(usage),
            f"output = model.generate(**inputs, max_new_tokens={usage.max_new_tokens}, do_sample=False)",
            'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))',
        ]
        return "\n".join(lines)


TEXT_GENERATION = TextGeneration()


def _inputs(usage: Usage) -> list[str]:
    prompt = usage.prompt
    if isinstance(prompt, list) and usage.has_chat_template:
        messages = ",\n".join(f"    {python(message)}" for message in prompt)
        return [
            f"messages = [\n{messages},\n]",
            "inputs = tokenizer.apply_chat_template(",
            '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"',
            ")",
        ]
    text = prompt if isinstance(prompt, str) else "\n".join(str(message.get("content", "")) for message in prompt)
    special = ", add_special_tokens=False" if any(token in text for token in SPECIAL_TOKENS) else ""
    return [f"prompt = {python(text)}", f'inputs = tokenizer(prompt, return_tensors="pt"{special})']

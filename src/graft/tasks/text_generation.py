"""A causal language model writes the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graft.data.chat_template import Renderer
from graft.data.columns import recognise
from graft.data.example import Example
from graft.data.pipeline import Prepared
from graft.data.tokenize import Encoded, encode_all
from graft.errors import Problems
from graft.evaluation.metrics.base import Need
from graft.inference.predictor import Predictor
from graft.inference.torch import TorchPredictor
from graft.models.load import CAUSAL, Kind
from graft.tasks.base import TEMPLATES, Codec, Head
from graft.training.objective import Objective


class TextGeneration:
    name = "text-generation"
    kinds: tuple[Kind, ...] = ("causal",)
    auto_class = CAUSAL
    learning_rates: Mapping[str, float] = {}
    uses: frozenset[str] = TEMPLATES | {"system_prompt", "instruction", "chat_template", "loss_on", "max_new_tokens"}
    recognise = staticmethod(recognise)

    def fits(self, columns: Sequence[str], row: Mapping[str, Any]) -> bool:
        return bool({"messages", "conversations", "prompt", "instruction", "question"} & set(columns))

    def head(self, data: Prepared) -> Head:
        return Head()

    def encode(self, examples: Sequence[Example], codec: Codec, problems: Problems) -> list[Encoded]:
        return encode_all(examples, Renderer(codec.tokenizer, codec.loss_on), codec.max_length, problems)

    def show(self, row: Encoded, codec: Codec) -> tuple[str, str]:
        decode = codec.tokenizer.decode
        return decode(row.input_ids[: row.prompt_length]), decode(row.input_ids[row.prompt_length :])

    def objective(self, head: Head) -> Objective | None:
        return None

    def predictor(self, name: str, model: Any, codec: Codec, adapter: bool | None = None) -> Predictor:
        return TorchPredictor(name, model, codec.tokenizer, Renderer(codec.tokenizer), adapter)

    def answers(self, head: Head) -> tuple[Need, ...]:
        return ("generation", "choice", "likelihood")

    def metrics(self, head: Head) -> tuple[str, ...] | None:
        return None


TEXT_GENERATION = TextGeneration()

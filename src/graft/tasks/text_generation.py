"""A causal language model writes the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graft.data.chat_template import Renderer
from graft.data.columns import recognize
from graft.data.example import Example
from graft.data.pipeline import Prepared
from graft.data.tokenize import TokenizedExample, encode_all
from graft.errors import Problems
from graft.evaluation.metrics.base import Need
from graft.inference.predictor import Predictor
from graft.inference.torch import TorchPredictor
from graft.models.load import CAUSAL, Kind
from graft.tasks.base import TEMPLATES
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace
from graft.training.objective import Objective


class TextGeneration:
    name = "text-generation"
    kinds: tuple[Kind, ...] = ("causal",)
    auto_class = CAUSAL
    learning_rates: Mapping[str, float] = {}
    uses: frozenset[str] = TEMPLATES | {"system_prompt", "instruction", "chat_template", "loss_on", "max_new_tokens"}
    recognize = staticmethod(recognize)

    def fits(self, columns: Sequence[str], row: Mapping[str, Any]) -> bool:
        return bool({"messages", "conversations", "prompt", "instruction", "question"} & set(columns))

    def label_space(self, data: Prepared) -> LabelSpace:
        return LabelSpace()

    def encode(self, examples: Sequence[Example], encoding: Encoding, problems: Problems) -> list[TokenizedExample]:
        return encode_all(examples, Renderer(encoding.tokenizer, encoding.loss_on), encoding.max_length, problems)

    def preview(self, row: TokenizedExample, encoding: Encoding) -> tuple[str, str]:
        decode = encoding.tokenizer.decode
        return decode(row.input_ids[: row.prompt_length]), decode(row.input_ids[row.prompt_length :])

    def objective(self, label_space: LabelSpace) -> Objective | None:
        return None

    def predictor(self, name: str, model: Any, encoding: Encoding, adapter: bool | None = None) -> Predictor:
        return TorchPredictor(name, model, encoding.tokenizer, Renderer(encoding.tokenizer), adapter)

    def provides(self, label_space: LabelSpace) -> tuple[Need, ...]:
        return ("generation", "choice", "likelihood")

    def default_metrics(self, label_space: LabelSpace) -> tuple[str, ...] | None:
        return None


TEXT_GENERATION = TextGeneration()

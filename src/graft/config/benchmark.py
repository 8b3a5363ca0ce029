"""Settings of ``graft benchmark``, by the names of lm-evaluation-harness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from graft.config.base import Settings, setting
from graft.config.common import HubSettings
from graft.config.served import ServerSettings
from graft.config.types import Listed, Pairs


def _seeds(value: Any) -> Any:
    """Split ``0,1234,1234,1234``; a number by itself is all four, and ``None`` leaves one unset."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else (value,)
    texts = [None if part is None or str(part).strip().lower() == "none" else str(part).strip() for part in parts]
    return tuple(texts * 4 if len(texts) == 1 else texts)


def _four(value: tuple[int | None, ...]) -> tuple[int | None, ...]:
    if len(value) != 4:
        raise ValueError("takes one number, or four: of Python, NumPy, PyTorch and the choice of few-shot examples")
    return value


Seeds = Annotated[tuple[int | None, ...], BeforeValidator(_seeds), AfterValidator(_four)]


class BenchmarkTaskSettings(Settings):
    """Which tasks are asked, and how."""

    tasks: Listed | None = setting(
        None,
        "tasks: names of lm-evaluation-harness (arc_easy), patterns (mmlu_*), and YAML files with tasks of your own",
    )
    num_fewshot: int | None = setting(
        None, "number of examples before each question (default: what each task says)", ge=0, le=1000
    )
    limit: float | None = setting(
        None, "maximum number of rows of each task, the first ones; below 1 the share of them", gt=0
    )
    seed: Seeds = setting(
        (0, 1234, 1234, 1234), "seeds of Python, NumPy, PyTorch and the choice of examples: one number, or four"
    )
    apply_chat_template: bool = setting(False, "put each question as a conversation, by the chat template of the model")
    fewshot_as_multiturn: bool | None = setting(
        None, "make the examples turns of the conversation (default: with --apply_chat_template)"
    )
    system_instruction: str | None = setting(None, "system message, or text before the first example")
    gen_kwargs: Pairs = setting({}, "generation settings in place of those of the tasks: max_gen_toks=64")
    max_length: int | None = setting(None, "number of tokens that the model reads (default: what the model says)", gt=7)
    confirm_run_unsafe_code: bool = setting(False, "let tasks such as humaneval run the code that the model writes")
    bootstrap_samples: int = setting(1000, "number of bootstrap resamples for the 95 % intervals", ge=100)


class BenchmarkSettings(BenchmarkTaskSettings, ServerSettings, HubSettings):
    """All settings of ``graft benchmark``."""

    model_name_or_path: str | None = setting(None, "run or model to judge", "model", "model_id")
    adapter_path: Path | None = setting(
        None, "adapter over the model: a PEFT adapter folder or a run", "adapter_name_or_path", "peft_path"
    )
    base_model_name_or_path: str | None = setting(
        None, "base model of the run or adapter, if it is no longer at its recorded path", "base", "base_path"
    )
    allow_base_mismatch: bool = setting(
        False, "use an adapter although its records name another base model or tokenizer"
    )
    endpoint: str | None = setting(
        None, "address of an OpenAI-compatible server whose model is asked, too: http://HOST:PORT/v1"
    )
    endpoint_model: str | None = setting(None, "name of the model on the server (default: its only one)")
    output_path: Path | None = setting(
        None, "folder for evaluation.json and the rows of each task (default: the run folder)", "output_dir", "o"
    )

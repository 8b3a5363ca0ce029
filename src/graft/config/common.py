"""What several commands take: a model, data, how to judge."""

from __future__ import annotations

from typing import Literal

from graft.config.base import Settings, setting
from graft.config.types import Listed, Template


class HubSettings(Settings):
    """How a model of the hub is got, whichever command names it."""

    model_revision: str | None = setting(None, "branch, tag or commit of a hub model", "revision")
    token: str | None = setting(None, "access token for the hub; HF_TOKEN is used otherwise", "hf_token")
    trust_remote_code: bool = setting(False, "let the model run code of its own, which its folder brings")

    def for_another(self) -> HubSettings:
        """The same rights for a model that is not the one whose revision was given, such as a teacher."""
        return HubSettings(token=self.token, trust_remote_code=self.trust_remote_code)


class ModelSettings(HubSettings):
    model_name_or_path: str | None = setting(
        None, "model: a folder, a .gguf file, a hub id, or smollm2-135m-instruct", "model", "base_model", "model_id"
    )
    task: str | None = setting(
        None,
        "text-generation, text-classification, token-classification, feature-extraction (pairs of texts), "
        "summarization (default: by the model and the data)",
    )
    chat_template: str | None = setting(None, "Jinja chat template, or a file with one, instead of the model's own")


class RowSettings(Settings):
    """Which rows, and what their columns are for."""

    data_name: str | None = setting(
        None, "data: a hub id, a folder, or a file", "dataset", "dataset_name", "data", "dataset_id"
    )
    data_files: Listed | None = setting(None, "data: one or several files, globs too", "train_files", "train_file")
    data_config_name: str | None = setting(None, "configuration of a hub data set", "dataset_config_name", "subset")
    train_split: str | None = setting(None, 'rows to take, such as "train" or "train[:4096]"', "split")
    text_template: Template | None = setting(
        None, 'the whole text with {column} placeholders, as in "User: {input}\\nAssistant: {output}"'
    )
    prompt_template: Template | None = setting(None, "the prompt with {column} placeholders")
    completion_template: Template | None = setting(None, "the answer with {column} placeholders", "response_template")
    column_mapping: str | None = setting(
        None, "how columns are read: a name, or path/to/file.py:name (default: by the names of the columns)"
    )
    system_prompt: Template | None = setting(None, "system message put before every prompt", "system", "default_system")
    instruction: Template | None = setting(None, "what to do with `text`, put before it (inferred for labeled text)")
    pair_label: Literal["similar", "different"] = setting(
        "similar", "what a pair's label says of its two texts; a loss is told whether they differ"
    )
    max_length: int | None = setting(
        None,
        "longest row in tokens (default: what the data needs, at most 1024 and the model's limit)",
        "max_seq_length",
        "max_seq_len",
        "cutoff_len",
        "sequence_len",
        gt=7,
    )


class DataSettings(RowSettings):
    """Rows to train on, and rows to hold out."""

    eval_split: str | None = setting(None, 'rows to hold out, such as "train[4096:4224]"')
    eval_data_files: Listed | None = setting(
        None, "files with the rows to hold out", "eval_files", "eval_file", "validation_file", "validation_files"
    )
    eval_share: float | None = setting(
        None,
        "share of the rows to hold out when none are given (default: 0.1 to 0.2 by size)",
        "val_size",
        "val_set_size",
        "test_size",
        gt=0,
        lt=1,
    )
    loss_on: Literal["completion", "all"] = setting("completion", "which tokens are trained on")
    max_train_samples: int | None = setting(
        None, "use no more than so many rows, drawn by the seed with the same mix of classes", "max_samples", gt=1
    )
    max_eval_samples: int | None = setting(None, "hold out no more than so many rows", gt=0)


class EvaluationSettings(Settings):
    metrics: Listed | None = setting(None, "metrics to compute (default: those that fit the data)", "metric_type")
    max_new_tokens: int | None = setting(None, "longest answer (default: by the longest reference)", gt=0)
    bootstrap_samples: int = setting(1000, "resamples for the 95 % intervals", ge=100)

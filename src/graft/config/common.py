"""Settings of several commands: model, data, evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from graft.config.base import Settings, setting
from graft.config.types import Listed, Normalizations, OnLong, Pairs, Paths, Template


class HubSettings(Settings):
    """How to load a model from the Hub."""

    model_revision: str | None = setting(None, "branch, tag or commit of a Hub model", "revision")
    token: str | None = setting(
        None, "access token for the Hub (default: the environment variable HF_TOKEN)", "hf_token"
    )
    trust_remote_code: bool = setting(
        False, "run Python code that comes with the model, or the file that defines a run's method or export target"
    )

    def for_another(self) -> HubSettings:
        """Return these settings without the revision, for another model such as a teacher."""
        return HubSettings(token=self.token, trust_remote_code=self.trust_remote_code)


class ModelSettings(HubSettings):
    """The model, its task, and how to load it."""

    model_name_or_path: str | None = setting(
        None,
        "model: a folder, a .gguf file, a Hub ID, smollm2-135m-instruct, or a run to continue from",
        "model",
        "base_model",
        "model_id",
    )
    adapter_path: Path | None = setting(
        None,
        "adapter over the model: a PEFT adapter folder or a run (default model: the one that the adapter names)",
        "adapter_name_or_path",
        "peft_path",
    )
    base_model_name_or_path: str | None = setting(
        None, "base model of the run or adapter, if it is no longer at its recorded path", "base", "base_path"
    )
    allow_base_mismatch: bool = setting(
        False, "use an adapter although its records name another base model or tokenizer"
    )
    task: str | None = setting(
        None,
        "text-generation, text-classification, token-classification, feature-extraction (pairs of texts), "
        "summarization (default: inferred from the model and the data)",
    )
    chat_template: str | None = setting(
        None, "Jinja chat template, or a file that contains one; replaces the model's template"
    )
    chat_template_kwargs: Pairs = setting(
        {}, "variables of the chat template, such as enable_thinking=false; they are set in the template that is saved"
    )


class BackendSettings(Settings):
    """The runtime of a GGUF file in evaluation and chat."""

    backend: Literal["auto", "llama.cpp", "pytorch"] = setting(
        "auto",
        "what runs a .gguf file: llama.cpp, or PyTorch after converting it; auto selects llama.cpp if it is installed",
    )


class RowSettings(Settings):
    """The rows, and how to read their columns."""

    data_name: str | None = setting(
        None, "data set: a Hub ID, a folder, or a file", "dataset", "dataset_name", "data", "dataset_id"
    )
    data_files: Paths | None = setting(None, "data files: one or several paths or globs", "train_files", "train_file")
    data_config_name: str | None = setting(None, "configuration of a Hub data set", "dataset_config_name", "subset")
    train_split: str | None = setting(None, 'training rows, such as "train" or "train[:4096]"', "split")
    text_template: Template | None = setting(
        None, 'template of the whole text with {column} placeholders: "User: {input}\\nAssistant: {output}"'
    )
    prompt_template: Template | None = setting(None, "template of the prompt with {column} placeholders")
    completion_template: Template | None = setting(None, "template of the answer with {column} placeholders")
    response_template: Template | None = setting(
        None,
        'text that marks where an answer begins in rows of rendered text: "[/INST]", "### Response:"',
        "response_part",
    )
    instruction_template: Template | None = setting(
        None,
        "text that marks where the next prompt begins, for several answers in one text (default: that of a known "
        "--response_template)",
        "instruction_part",
    )
    column_mapping: str | None = setting(
        None, "column mapping: a name, or path/to/file.py:name (default: inferred from the column names)"
    )
    ignore_columns: Listed | None = setting(
        None, "columns to leave out on purpose: rows are read as if they did not have them", "remove_columns"
    )
    system_prompt: Template | None = setting(
        None, "system message before every prompt; it replaces those of the rows", "system", "default_system"
    )
    instruction: Template | None = setting(None, "instruction before each text (default: inferred for labeled text)")
    label_names: Listed | None = setting(
        None,
        "names of class numbers or tag numbers, in their order from 0: O,B-per,I-per (default: those that the data set "
        "has, else classes are named by their numbers)",
    )
    label_separator: str | None = setting(
        None, 'sign between the labels of a cell: "|"; none: each cell is one class (default: inferred from the labels)'
    )
    label_columns: Listed | None = setting(
        None, "columns of 0 and 1, one for each label of a text (default: inferred from the columns)"
    )
    pair_label: Literal["similar", "different"] = setting(
        "similar", "meaning of a larger pair label: the texts are more similar, or more different"
    )


class LengthSettings(Settings):
    """How long rows may be."""

    max_length: int | None = setting(
        None,
        "maximum row length in tokens (default: inferred from the data, up to 1024 and the model's limit)",
        "max_seq_length",
        "max_seq_len",
        "cutoff_len",
        "sequence_len",
        gt=7,
    )


class SourceSettings(RowSettings):
    """Where the rows are, and the held-out ones."""

    eval_split: str | None = setting(None, 'held-out rows, such as "train[4096:4224]"')
    eval_data_files: Paths | None = setting(
        None, "files with held-out rows", "eval_files", "eval_file", "validation_file", "validation_files"
    )


class DataSettings(LengthSettings, SourceSettings):
    """Training rows and held-out rows."""

    eval_share: float | None = setting(
        None,
        "share of the rows to hold out if no held-out rows are given (default: 0.1 to 0.2, depending on their number)",
        "val_size",
        "val_set_size",
        "test_size",
        gt=0,
        lt=1,
    )
    on_long: OnLong | None = setting(
        None,
        "rows longer than max_length: truncate, drop, or error (default: texts are truncated; rows whose answer would "
        "be cut are dropped where they are under 1 %, else an error)",
        "excess_length_strategy",
    )
    keep_duplicates: bool = setting(
        False, "train on rows that are equal to an earlier one, such as those of an upsampled class, too"
    )
    loss_on: Literal["completion", "all"] = setting(
        "completion", "tokens that the loss is computed on: the answer, or the whole text"
    )
    max_train_samples: int | None = setting(
        None, "maximum number of training rows, sampled with the same mix of classes", "max_samples", gt=1
    )
    max_eval_samples: int | None = setting(None, "maximum number of held-out rows", gt=0)


class EvaluationSettings(Settings):
    """The metrics and how to compute them."""

    metrics: Listed | None = setting(
        None, "metrics to compute; the first is the headline (default: inferred from the data)", "metric_type"
    )
    normalize: Normalizations = setting(
        (), "differences to ignore between answers and references: case, punctuation, blanks, or several of them"
    )
    max_new_tokens: int | None = setting(
        None, "maximum number of tokens in an answer (default: based on the longest reference)", gt=0
    )
    by: Listed = setting((), "columns of the data to evaluate by, slice by slice: language,source")
    temperature_scaling: bool = setting(
        False, "scale the confidence in labels by a temperature that is fitted on other held-out rows"
    )
    abstain_below: float | None = setting(
        None, "confidence below which a row is not answered; reports how many are, and how well", ge=0, le=1
    )
    bootstrap_samples: int = setting(1000, "number of bootstrap resamples for the 95 % intervals", ge=100)

"""From a model folder to a model and a tokenizer in memory."""

from __future__ import annotations

import contextlib
import io
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from graft.data.template_bounds import bound_chat_templates
from graft.errors import GraftError, InputError, reason_of, refusing
from graft.models.chat_templates import read_chat_template, with_defaults
from graft.models.folder import Base
from graft.models.new_tokens import add_to_tokenizer, grow, write_record
from graft.models.tokenizer_files import check_tokenizer, check_tokenizer_files

# Tokens that models have for padding or have no other use for, best first.
_PADDINGS = ("<|finetune_right_pad_id|>", "<pad>", "<|pad|>", "[PAD]", "<|padding|>", "<PAD>", "<|endoftext|>", "<unk>")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers' progress bars and hints are about its own API; errors still come through as exceptions."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


CAUSAL = "AutoModelForCausalLM"


def load_model(
    base: Base,
    auto_class: str = CAUSAL,
    head: Mapping[str, Any] | None = None,
    *,
    dtype: str = "float32",
    attn_implementation: str | None = None,
    seed: int = 42,
) -> Any:
    """Load the model in ``base.path``, in evaluation mode.

    Args:
        base: the model folder.
        auto_class: the class of transformers that loads it.
        head: entries of the configuration (labels, problem type) of a head that the weights may lack.
        dtype: number format of the weights, by torch's name, or ``auto`` for that of the files.
        attn_implementation: transformers' attention; its default when None.
        seed: initializes a head that the weights lack.

    Returns:
        The model of transformers.

    Raises:
        InputError: when the folder does not load, or holds an encoder where a causal language model is needed.
    """
    import torch
    import transformers

    if auto_class == CAUSAL:
        _refuse_encoders(base)
    options: dict[str, Any] = dict(head or {})
    if attn_implementation:
        options["attn_implementation"] = attn_implementation
    with _load_errors(base), quiet(), torch.random.fork_rng():
        torch.manual_seed(seed)
        loaded: Any = getattr(transformers, auto_class).from_pretrained(
            base.path,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            trust_remote_code=base.trust_remote_code,
            local_files_only=True,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=head is not None,
            **options,
        )
    model, info = loaded
    refuse_missing(info if head is None else without_head(info, model), str(base.path))
    model.name_or_path = model.config._name_or_path = base.name
    if base.new_tokens:
        grow(model, base.new_tokens)
    return model


@contextlib.contextmanager
def _load_errors(base: Base) -> Iterator[None]:
    """What transformers raises, as an InputError that names the folder."""
    try:
        yield
    except pickle.UnpicklingError as error:
        raise InputError(
            "the weights are a pickle with more than tensors: it could run code, so graft does not load it",
            where=str(base.path),
            remedy="download the model as safetensors",
        ) from error
    except GraftError:
        raise
    except Exception as error:  # of code that reads a stranger's files
        raise InputError(f"the model cannot be loaded: {reason_of(error)}", where=str(base.path)) from error


Kind = Literal["causal", "encoder", "encoder-decoder"]


def kind_of(config: Mapping[str, Any]) -> Kind:
    """What a model of this configuration is; an unknown one counts as causal."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as GENERATING
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    if config.get("is_encoder_decoder"):
        return "encoder-decoder"
    kind = config.get("model_type", "")
    generates = kind in GENERATING and (kind not in MASKED or config.get("is_decoder"))
    encoder = kind in MASKED and not generates and CAUSAL not in config.get("auto_map", {})
    return "encoder" if encoder else "causal"


def _refuse_encoders(base: Base) -> None:
    if kind_of(base.config) == "encoder":
        raise InputError(
            f"{base.name} is an encoder ({base.config.get('model_type')}), which cannot generate text",
            where=str(base.path),
            remedy="choose a causal language model, such as smollm2-135m-instruct",
        )


def without_head(info: dict[str, Any], model: Any) -> dict[str, Any]:
    """``info`` without what a new head is made of: what stands beside the body, and the pooler between the two."""
    body = f"{model.base_model_prefix}."
    own = model.base_model is not model
    missing = [key for key in info.get("missing_keys", ()) if "pooler." not in key and not (own and body not in key)]
    return {**info, "missing_keys": missing}


def head_layers(model: Any) -> list[str]:
    """The layers with weights that stand beside the body: a classifier; of a model without a head, none."""
    body = model.base_model
    if body is model:
        return []
    inside = {id(module) for module in body.modules()}
    return [
        name
        for name, module in model.named_modules()
        if name and id(module) not in inside and next(module.parameters(recurse=False), None) is not None
    ]


def refuse_missing(info: dict[str, Any], where: str) -> None:
    """Layers that the weight files lack would stay random, and nobody would know.

    Raises:
        InputError: naming them.
    """
    missing = sorted(info.get("missing_keys", ()))
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise InputError(
            f"the weights lack {len(missing)} of the model's tensors: {shown}",
            where=where,
            remedy="the weight file is incomplete, or belongs to another model",
        )


def load_tokenizer(
    base: Base, chat_template: str | None = None, chat_template_kwargs: Mapping[str, Any] | None = None
) -> Any:
    """The tokenizer in ``base.path``; ``chat_template`` (Jinja, or a file with it) replaces its own.

    ``chat_template_kwargs`` become defaults in the template's text, so that whatever opens the saved tokenizer
    renders as the rows were rendered.

    The padding token is one that is not the end token wherever the model has such a one: else a collator that masks
    padding masks the end of each answer, and the tuned model never stops.

    Raises:
        InputError: when there is no tokenizer that loads, or the template is not Jinja.
    """
    tokenizer = _as_saved(base)
    set_padding(tokenizer)
    if chat_template is not None:
        tokenizer.chat_template = read_chat_template(chat_template)
    if chat_template_kwargs:
        tokenizer.chat_template = with_defaults(tokenizer.chat_template, chat_template_kwargs)
    return tokenizer


def _as_saved(base: Base) -> Any:
    """The tokenizer in ``base.path`` with the base's new tokens, and otherwise as it is.

    Raises:
        InputError: when it does not load, or is not the one that the tokens were added to.
    """
    from transformers import AutoTokenizer

    bound_chat_templates()
    check_tokenizer_files(base.path)
    with refusing("the tokenizer cannot be loaded", base.path), quiet():
        tokenizer = AutoTokenizer.from_pretrained(
            base.path, trust_remote_code=base.trust_remote_code, local_files_only=True
        )
        check_tokenizer(tokenizer, base.path, base.embedding_rows)
    if base.new_tokens:
        add_to_tokenizer(tokenizer, base.new_tokens)
    return tokenizer


def save_new_tokens(base: Base, *folders: Path) -> None:
    """Write the tokenizer of ``base`` and the record of its new tokens into ``folders``, of a model or an adapter.

    The record says what the base's embeddings need before an adapter fits; the tokenizer is for other libraries.
    """
    tokenizer = _as_saved(base)
    for folder in dict.fromkeys(folders):
        with quiet():
            tokenizer.save_pretrained(folder)
        write_record(folder, base.new_tokens)


def set_padding(tokenizer: Any) -> None:
    """Give ``tokenizer`` a padding token: its own, an unused one of its vocabulary, else the end token."""
    if tokenizer.pad_token is not None and tokenizer.pad_token != tokenizer.eos_token:
        return
    vocabulary = tokenizer.get_vocab()
    in_use = {tokenizer.eos_token, tokenizer.bos_token}
    free = [token for token in (*_PADDINGS, tokenizer.unk_token) if token in vocabulary and token not in in_use]
    tokenizer.pad_token = free[0] if free else tokenizer.eos_token

"""GGUF files (llama.cpp's format): checked, and converted once into a model folder of transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from graft.errors import GraftError, InputError, reason_of, refusing
from graft.models.cache import cache_folder, filled
from graft.models.folder import Base, is_whole, open_folder
from graft.models.gguf_scan import REMEDY, check_shape, scan
from graft.models.license_terms import UNKNOWN
from graft.models.load import quiet, refuse_missing, set_padding
from graft.models.tokenizer_paths import refuse_named_files
from graft.models.weights import sha256_of
from graft.ownership import is_private
from graft.progress import Reporter

RECIPE = 1
"""Raised when the conversion changes, so that what older versions left in the cache is made anew."""

# Architectures transformers reads from GGUF that are no causal language models.
_NOT_CAUSAL = {"general", "tokenizer", "t5", "umt5"}

# llama.cpp's pre-tokenizers that take each digit alone before GPT-2's pattern; transformers' reader doesn't know them.
_SINGLE_DIGITS = {"smollm", "starcoder", "refact", "command-r", "codeshell"}


def open_gguf(path: Path, reporter: Reporter) -> Base:
    """The base made of a user's ``.gguf`` file, converted into the cache under the file's hash.

    Raises:
        InputError: when the file is not there, not a whole GGUF, or of an unsupported architecture.
    """
    scan(path)
    sha256 = sha256_of([path])
    folder = cache_folder() / "models" / f"gguf-{sha256[:16]}"
    if not (is_private(folder) and is_converted(folder, sha256)):
        header = read_header(path)

        def fill(temporary: Path) -> None:
            reporter.note(f"converting {path.name} (once; the result is cached)")
            convert(path, temporary, header, sha256)

        filled(folder, fill, lambda there: is_converted(there, sha256))
    return open_folder(folder, str(path.absolute()), "gguf")


def read_header(path: Path) -> Any:
    """The ``gguf.GGUFReader`` of a whole file whose architecture can be converted.

    Raises:
        InputError: when it is no GGUF, is cut short, or has another architecture.
    """
    from gguf import GGUFReader

    declared = scan(path)
    with refusing("the GGUF file is truncated or damaged", path, REMEDY):
        reader = GGUFReader(path)
    architecture = field(reader, "general.architecture", "")
    known = supported_architectures()
    if _plain(architecture) not in {_plain(name) for name in known}:
        raise InputError(
            f"a GGUF file of the architecture {architecture!r} cannot be converted",
            where=str(path),
            remedy=f"supported architectures: {', '.join(known)}",
        )
    check_shape(declared, str(architecture), path)
    return reader


def field(reader: Any, name: str, default: Any = None) -> Any:
    """A metadata value of a GGUF file."""
    found = reader.get_field(name)
    return default if found is None else found.contents()


def supported_architectures() -> list[str]:
    """The architectures of causal language models that transformers reads from GGUF."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    names = set(GGUF_SUPPORTED_ARCHITECTURES)
    try:
        from transformers.integrations.gguf import GGUF_CONFIG_ARCHS  # type: ignore[attr-defined]

        names |= set(GGUF_CONFIG_ARCHS)
    except ImportError:
        pass  # versions of transformers with the one reader only
    return sorted(names - _NOT_CAUSAL)


def _plain(architecture: str) -> str:
    return architecture.replace("-", "").replace("_", "").lower()


def is_converted(folder: Path, sha256: str) -> bool:
    """Whether ``folder`` holds what today's ``convert`` makes of the file with this hash."""
    stamp = folder / "graft.json"
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _stamp(sha256) and is_whole(folder)


def _stamp(sha256: str) -> str:
    return json.dumps({"recipe": RECIPE, "source_sha256": sha256})


def convert(source: Path, folder: Path, header: Any, sha256: str) -> None:
    """Write the model in ``source`` to ``folder`` as safetensors in float32, the precision it dequantizes to.

    Raises:
        InputError: when transformers cannot make a whole model of it.
        GraftError: when there is no room for it.
    """
    needed = 4 * sum(int(tensor.n_elements) for tensor in header.tensors)
    if needed > shutil.disk_usage(folder).free:
        raise GraftError(
            f"the converted model takes {needed / 1e9:.1f} GB, which is more than the free space",
            where=str(folder.parent),
            remedy="free some space, or set GRAFT_CACHE to another folder",
        )
    with refusing("the GGUF file cannot be converted", source), quiet():
        model, tokenizer = _read(source, field(header, "tokenizer.ggml.pre"))
    _save(model, tokenizer, folder, source)
    _tidy_tokenizer_config(folder / "tokenizer_config.json")
    _write_card(folder, field(header, "general.name", source.stem), field(header, "general.license", UNKNOWN))
    (folder / "graft.json").write_text(_stamp(sha256), encoding="utf-8")


def _save(model: Any, tokenizer: Any, folder: Path, source: Path) -> None:
    from safetensors import SafetensorError

    try:
        with quiet():
            model.save_pretrained(folder, safe_serialization=True)
            tokenizer.save_pretrained(folder)
    except (OSError, SafetensorError):
        raise  # the cache cannot be written, as ``filled`` says
    except Exception as error:  # settings of the file that contradict one another are found when they are written
        raise InputError(f"the GGUF file cannot be converted: {reason_of(error)}", where=str(source)) from error


def _read(source: Path, pre_tokenizer: str | None) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    refuse_named_files(source.parent)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, output_loading_info=True
    )
    model, info = loaded
    refuse_missing(info, str(source))
    _forget_quantization(model)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    if pre_tokenizer in _SINGLE_DIGITS:
        _split_digits(tokenizer)
    set_padding(tokenizer)
    tokenizer.model_max_length = getattr(model.config, "max_position_embeddings", tokenizer.model_max_length)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def _forget_quantization(model: Any) -> None:
    """The weights are plain float32 now; ``save_pretrained`` refuses what still says that it is quantized."""
    for name in ("hf_quantizer", "is_quantized", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _split_digits(tokenizer: Any) -> None:
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def _tidy_tokenizer_config(file: Path) -> None:
    """How it was loaded here is of no interest there, and other readers know the class by its older name."""
    config = json.loads(file.read_text(encoding="utf-8"))
    for name in ("is_local", "local_files_only", "gguf_file"):
        config.pop(name, None)
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")


def _write_card(folder: Path, name: str, license: str) -> None:
    front_matter = f"---\nlicense: {license}\nlibrary_name: transformers\n---\n"
    text = f"{front_matter}\n# {name}\n\nConverted by graft from a GGUF file.\n"
    (folder / "README.md").write_text(text, encoding="utf-8")

"""The bundle folder: written whole or not at all, with a manifest that says what it is and what was checked."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from graft.errors import GraftError, InputError, did_you_mean
from graft.files import TEMPORARY, cannot_write, write_whole

MANIFEST = "manifest.json"
GENAI = "genai_config.json"
ADAPTERS = "adapters"
LOCK = ".lock"
YOUNG = 60.0
"""Seconds that an unfinished folder without a lock is left alone: its owner may be about to lock it."""


@contextmanager
def staged(output: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary sibling of ``output`` to work in, which takes its place at the end; nothing is left on a failure.

    What a killed process left there is cleared away first: a living one holds its folder's lock.

    Raises:
        InputError: when ``output`` is there, and not to be overwritten or no bundle.
        GraftError: when there is no room.
    """
    from safetensors import SafetensorError

    check_output(output, overwrite)
    clear_stale(output)
    temporary = output.with_name(f".{output.name}-{uuid.uuid4().hex[:8]}{TEMPORARY}")
    lock = FileLock(temporary / LOCK)
    try:
        temporary.mkdir(parents=True)
        lock.acquire()
        yield temporary
        _unlock(lock)  # before the move: Windows moves no folder with an open file in it
        if output.exists():
            shutil.rmtree(output)
        Path(temporary).replace(output)
    except OSError as error:
        raise cannot_write(output, error) from error
    except SafetensorError as error:
        raise GraftError(f"cannot be written: {error}", where=str(output), remedy="free some room there") from error
    finally:
        lock.release(force=True)
        shutil.rmtree(temporary, ignore_errors=True)


def _unlock(lock: FileLock) -> None:
    lock.release(force=True)
    Path(lock.lock_file).unlink(missing_ok=True)


def clear_stale(output: Path) -> list[Path]:
    """Remove the unfinished siblings of ``output`` that no living process works in; returns those that are gone."""
    gone = []
    for folder in output.parent.glob(f".{output.name}-*{TEMPORARY}"):
        if folder.is_dir() and not folder.is_symlink() and not _owned(folder):
            shutil.rmtree(folder, ignore_errors=True)
            gone.append(folder)
    return gone


def _owned(folder: Path) -> bool:
    if not (folder / LOCK).is_file():
        return time.time() - folder.stat().st_mtime < YOUNG
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def check_output(output: Path, overwrite: bool) -> None:
    """Raises:
    InputError: when ``output`` may not be written.
    """
    if output.is_file():
        raise InputError("the output folder is a file", where=str(output))
    if not output.exists() or not any(output.iterdir()):
        return
    if not is_bundle(output):
        raise InputError(
            "the output folder holds files that are no bundle's", where=str(output), remedy="choose another"
        )
    if not overwrite:
        raise InputError(
            "there is a bundle in this folder already", where=str(output), remedy="--overwrite replaces it"
        )


def is_bundle(path: Path) -> bool:
    """Whether auto-opt or generate-adapter made ``path``."""
    return (path / MANIFEST).is_file() and read_manifest(path).get("kind") == "bundle"


def read_manifest(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the manifest does not read: {error}", where=str(path / MANIFEST)) from error
    return found if isinstance(found, dict) else {}


def write_manifest(folder: Path, **values: Any) -> None:
    """manifest.json with ``values`` over what is there."""
    before = read_manifest(folder) if (folder / MANIFEST).is_file() else {}
    document = {**before, **values}
    write_whole(folder / MANIFEST, json.dumps(document, ensure_ascii=False, indent=2, default=str) + "\n")


def adapter_file(folder: Path, name: str | None) -> Path | None:
    """The file of a bundle's adapter; None is the one that answers when none is named, ``base`` the bare base.

    Raises:
        InputError: when there is no adapter of this name, or its file leaves the bundle.
    """
    manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else {}
    listed = manifest.get("adapters") or {}
    name = manifest.get("default_adapter") if name is None else name
    if name is None or (name == "base" and name not in listed):
        return None
    if name not in listed:
        there = ", ".join(listed) or "none"
        raise InputError(
            f"this bundle has no adapter {name!r}; there are: {there}",
            where=str(folder),
            remedy=did_you_mean(name, listed),
        )
    file = (folder / str(listed[name]["file"])).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise InputError(f"the file of the adapter {name!r} is not in the bundle", where=str(folder))
    return file


def ends_of(folder: Path) -> set[int]:
    """The tokens that end an answer, by genai_config.json."""
    listed = json.loads((folder / GENAI).read_text(encoding="utf-8"))["model"]["eos_token_id"]
    return {int(token) for token in (listed if isinstance(listed, list) else [listed])}


def finish_tokenizer(folder: Path, tokenizer: Any, ends: Collection[int], share_buffer: bool = True) -> None:
    """The tokenizer as in training, and in genai_config.json every end token, its padding, and greedy search.

    The builder takes these from the base's files: a template that was changed, or an end of turn that the model's
    generation_config.json does not list, would be lost, and answers would not stop.
    """
    from graft.models.load import quiet

    with quiet():
        tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    for name in ("is_local", "local_files_only"):
        config.pop(name, None)
    file.write_text(json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8")
    genai = json.loads((folder / GENAI).read_text(encoding="utf-8"))
    genai["model"]["eos_token_id"] = sorted(ends) if len(ends) > 1 else next(iter(ends))
    genai["model"]["pad_token_id"] = int(tokenizer.pad_token_id)
    genai["search"] |= {"do_sample": False, "repetition_penalty": 1.0, "num_beams": 1}
    if not share_buffer:  # with adapters onnxruntime-genai needs it so
        genai["search"]["past_present_share_buffer"] = False
    (folder / GENAI).write_text(json.dumps(genai, indent=2), encoding="utf-8")


def weights_sha256(folder: Path) -> str:
    """Of the graph and its weights together."""
    digest = hashlib.sha256()
    for name in ("model.onnx", "model.onnx.data"):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                while part := file.read(1 << 22):
                    digest.update(part)
    return digest.hexdigest()


def size_mb(folder: Path) -> float:
    """Of the graph, its weights and its adapters, in millions of bytes."""
    files = [*folder.glob("model.onnx*"), *(folder / ADAPTERS).glob("*.onnx_adapter")]
    return round(sum(file.stat().st_size for file in files) / 1e6, 1)


def disk_room(output: Path, needed: int) -> None:
    """Raises:
    GraftError: when the disk of ``output`` has not ``needed`` bytes; better now than after the work.
    """
    there = next(parent for parent in (output, *output.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise GraftError(
            f"no space left for this: {needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free",
            where=str(there),
            remedy="free some room there, or choose a folder on another disk",
        )


RUN_LINES = """\
import json

import onnxruntime_genai as og

model = og.Model(".")
tokenizer = og.Tokenizer(model)
params = og.GeneratorParams(model)
params.set_search_options(max_length=1024, do_sample=False)
generator = og.Generator(model, params){adapter}
messages = {messages}
prompt = tokenizer.apply_chat_template(json.dumps(messages), add_generation_prompt=True)
generator.append_tokens(tokenizer.encode(prompt))
stream = tokenizer.create_stream()
while not generator.is_done():
    generator.generate_next_token()
    print(stream.decode(generator.get_next_tokens()[0]), end="", flush=True)
print()
"""


def readme(folder: Path, title: str, facts: Sequence[str], messages: Any, adapters: Sequence[str] = ()) -> None:
    """README.md with the lines of Python that run the bundle."""
    adapter = ""
    if adapters:
        adapter = (
            "\nadapters = og.Adapters(model)\n"
            f'adapters.load("{ADAPTERS}/{adapters[0]}.onnx_adapter", "{adapters[0]}")\n'
            f'generator.set_active_adapter(adapters, "{adapters[0]}")'
        )
    lines = RUN_LINES.format(adapter=adapter, messages=json.dumps(messages, ensure_ascii=False))
    listed = "\n".join(f"- {fact}" for fact in facts)
    how = "`pip install onnxruntime-genai`, then in this folder:"
    text = f"# {title}\n\n{listed}\n\n## Run it\n\n{how}\n\n```python\n{lines}```\n"
    (folder / "README.md").write_text(text, encoding="utf-8")

"""Options of a genai_config.json: onnxruntime-genai loads the libraries and opens the files that it names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graft.documents import REMEDY, parse_json, read_text, shown
from graft.errors import Problems
from graft.export.onnx.genai_folder import GENAI_CONFIG
from graft.runs.paths import path_inside

LARGEST = 2**22
"""Maximum bytes of a genai_config.json; the model builder writes about two thousand."""
LONGEST_PLACE = 200
"""Maximum characters of an option's place in an error message."""
OPTIONS: dict[str, type] = {
    "log_id": str,
    "log_severity_level": int,
    "log_verbosity_level": int,
    "intra_op_num_threads": int,
    "inter_op_num_threads": int,
    "graph_optimization_level": str,
    "enable_cpu_mem_arena": bool,
    "enable_mem_pattern": bool,
    "ep.cuda.fpa_intb_gemm": str,
    "optimization.disable_specified_optimizers": str,
    "session.use_device_allocator_for_initializers": str,
}
"""Allowed session options: those of the model builder, logging, and threads. Others load libraries and write files."""
PROVIDERS = ("cpu", "cuda", "dml", "webgpu", "nvtensorrtrtx", "openvino", "qnn")
PROVIDER_OPTIONS = (
    *("enable_cuda_graph", "enable_graph_capture", "enableGraphCapture", "validationMode"),
    *("multiRotaryCacheConcatOffset", "multi_rotary_cache_concat_offset", "device_id", "device_type"),
)
"""Allowed options of an execution provider: those of the model builder, and the device. Others are paths."""
_WORDS = {str: "a string of letters and digits", int: "a whole number up to 1024", bool: "true or false"}
_PLAIN = re.compile(r"[\w.,:;+-]{0,80}", re.ASCII)
_LIBRARY = re.compile(r"\.(so|dll|dylib)[\d.]*\s*$", re.IGNORECASE)
_NAMES_CODE = re.compile("library|path", re.IGNORECASE)
_Entry = tuple[str, str, Any]
"""Where a value is, its own name, and the value."""


def check_genai_config(folder: Path) -> None:
    """Check that a bundle does not make onnxruntime-genai load a library, or a file from outside the folder.

    Args:
        folder: The bundle.

    Raises:
        InputError: If its genai_config.json is damaged, has options that are not known to be harmless,
            or names a library or a file outside the folder. All faults are reported together.
    """
    file = folder / GENAI_CONFIG
    text = read_text(file, LARGEST)
    parse_json(text, str(file))
    problems = Problems()
    # onnxruntime-genai obeys each of several entries of one name, where Python's reader sees the last.
    document = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, file, problems))
    for entry in _entries("", document):
        _check(entry, folder, problems)
    problems.raise_if_any()


def _once(pairs: list[tuple[str, Any]], file: Path, problems: Problems) -> dict[str, Any]:
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            problems.add(f"{shown(name)} is given twice in one object", file, REMEDY)
    return dict(pairs)


def _entries(place: str, value: Any) -> Iterator[_Entry]:
    """All values in ``value``, from the outside in; those of the options of a session are left to their own check."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, entry in inner:
        at = f"{place}.{name}" if place else str(name)
        yield at, str(name), entry
        if name not in ("session_options", "run_options"):
            yield from _entries(at, entry)


def _check(entry: _Entry, folder: Path, problems: Problems) -> None:
    place, name, value = entry
    if name in ("session_options", "run_options"):
        _check_options(place, value, folder, problems)
    elif _NAMES_CODE.search(name) or (isinstance(value, str) and _LIBRARY.search(value)):
        _refuse(entry, "names a library or a path, and graft loads none from a bundle", folder, problems)
    elif name.endswith("filename") and not isinstance(value, str):
        _refuse(entry, "is not the name of a file", folder, problems)
    elif name.endswith("filename") and value:
        with problems.collecting():
            path_inside(value, folder, f"the file of {shown(place)}")


def _check_options(place: str, options: Any, folder: Path, problems: Problems) -> None:
    if not isinstance(options, dict):
        _refuse((place, "", options), "is not an object", folder, problems)
        return
    for name, value in options.items():
        entry = (f"{place}.{name}", name, value)
        if name == "provider_options" and isinstance(value, list):
            _check_providers(entry[0], value, folder, problems)
        elif name not in OPTIONS:
            _refuse(entry, "is not allowed in a bundle", folder, problems)
        elif not _is_plain(value, OPTIONS[name]):
            _refuse(entry, f"is not {_WORDS[OPTIONS[name]]}", folder, problems)


def _check_providers(place: str, providers: list[Any], folder: Path, problems: Problems) -> None:
    named = [pair for one in providers for pair in (one.items() if isinstance(one, dict) else [(shown(one), None)])]
    for provider, options in named:
        at = f"{place}.{provider}"
        if provider.lower().removesuffix("executionprovider") not in PROVIDERS or not isinstance(options, dict):
            _refuse(
                (at, provider, options), f"is not for one of the providers {', '.join(PROVIDERS)}", folder, problems
            )
            continue
        for name, value in options.items():
            if name not in PROVIDER_OPTIONS or not _is_plain(value, str):
                _refuse((f"{at}.{name}", name, value), "is not allowed in a bundle", folder, problems)


def _is_plain(value: Any, kind: type) -> bool:
    if isinstance(value, str):
        return kind is str and _PLAIN.fullmatch(value) is not None and not _LIBRARY.search(value)
    if isinstance(value, bool):
        return kind is bool
    return kind is int and isinstance(value, int) and 0 <= value <= 1024


def _refuse(entry: _Entry, why: str, folder: Path, problems: Problems) -> None:
    place, _, value = entry
    problems.add(f"{place[:LONGEST_PLACE]!r} is {shown(value)}, which {why}", folder / GENAI_CONFIG, REMEDY)

"""Compare a model folder, opened by plain transformers in a fresh process, with the model that was judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from graft.errors import GraftError
from graft.export.hf import plain_process
from graft.export.judged import Judged
from graft.export.parity import exact_verdict
from graft.export.source import ExportSource
from graft.inference.predictor import Predictor
from graft.progress import Reporter


def compare(
    judged: Judged,
    source: ExportSource,
    folder: Path,
    exported: Predictor,
    precision: str,
    allowed: float | None,
    reporter: Reporter,
) -> dict[str, Any]:
    """Compare the model in ``folder``.

    Args:
        judged: What it is compared with.
        source: The exported model.
        folder: The model folder.
        exported: The same as a predictor.
        precision: The number format of its weights; of ``float32`` the outputs have to agree.
        allowed: The maximum drop of the first metric, as in ``graft.export.parity.gate``.
        reporter: Shows the progress.

    Returns:
        The parity document for the manifest.

    Raises:
        GraftError: If transformers does not load the folder.
    """
    reporter.note("opening it with plain transformers in a process of its own")
    same = _same(judged, *_ask(folder, source, judged))
    document = {"process": "fresh, transformers", **same, **judged.verdict(source, exported, allowed, reporter)}
    return exact_verdict(document, judged.greatest) if precision == "float32" else document


def _ask(folder: Path, source: ExportSource, judged: Judged) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """What plain transformers finds in ``folder``: texts, tokens and answers, and its outputs."""
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        request = {
            "folder": str(folder.absolute()),
            "auto_class": source.task.auto_class,
            "trust_remote_code": source.base.trust_remote_code,
            "conversations": judged.conversations,
            "texts": judged.texts,
            "tokens": judged.tokens,
            "max_length": judged.max_length,
            "logits": len(judged.outputs),
            "answers": len(judged.answers),
            "max_new_tokens": judged.max_new_tokens,
            "outputs": str(work / "outputs.safetensors"),
            "result": str(work / "result.json"),
        }
        file = work / "request.json"
        file.write_text(json.dumps(request), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, plain_process.__file__, str(file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
            check=False,
        )
        if done.returncode:
            said = " ".join(done.stderr.split())[-400:]
            raise GraftError(f"transformers cannot open the exported folder: {said}", where=str(folder))
        found = json.loads((work / "result.json").read_text(encoding="utf-8"))
        outputs = load_file(work / "outputs.safetensors")
    return found, [outputs[str(number)] for number in range(len(outputs))]


def _same(judged: Judged, found: dict[str, Any], outputs: Sequence[torch.Tensor]) -> dict[str, Any]:
    """How much is the same, as [same, of] each."""
    pairs = [(one["tokens"], other["tokens"]) for one, other in zip(judged.answers, found["answers"], strict=True)]
    ends = [(one["ended"], other["ended"]) for one, other in zip(judged.answers, found["answers"], strict=True)]
    templates = [text for text, asked in zip(found["texts"], judged.conversations, strict=True) if asked is not None]
    wanted = [text for text, asked in zip(judged.texts, judged.conversations, strict=True) if asked is not None]
    result: dict[str, Any] = {"computed_in": found["dtype"]}
    if templates:
        result["template_identical"] = [sum(a == b for a, b in zip(templates, wanted, strict=True)), len(wanted)]
    result["token_ids_identical"] = judged.same_tokens(found["tokens"])
    if pairs:
        result["ends_identical"] = [sum(a == b for a, b in ends), len(ends)]
        result["answers_equal"] = [sum(list(a) == list(b) for a, b in pairs), len(pairs)]
    result["greatest_logit_difference"] = judged.difference(outputs)
    return result

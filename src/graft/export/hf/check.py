"""Compare a model folder, opened by plain transformers in a fresh process, with the model that was judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from graft.errors import GraftError
from graft.export.hf import plain_process
from graft.export.judged import Judged
from graft.export.merge_check import float_bound
from graft.export.parity import exact_verdict, failed, numbers_verdict, prompts_verdict
from graft.export.source import ExportSource
from graft.inference.predictor import Predictor
from graft.progress import Reporter


def compare(
    judged: Judged,
    source: ExportSource,
    folder: Path,
    opened: Callable[[], Predictor],
    precision: str,
    allowed: float | None,
    reporter: Reporter,
) -> dict[str, Any]:
    """Compare the model in ``folder``.

    Args:
        judged: What it is compared with.
        source: The exported model.
        folder: The model folder.
        opened: Loads the same as a predictor, by its own tokenizer. It is called when the process has ended, so that
            memory holds the model once.
        precision: The number format of its weights; of ``float32`` the outputs and the answers have to agree.
        allowed: The maximum drop of the first metric, as in ``graft.export.parity.gate``.
        reporter: Shows the progress.

    Returns:
        The parity document for the manifest.

    Raises:
        GraftError: If transformers does not load the folder.
    """
    reporter.note("opening it with plain transformers in a process of its own")
    found, outputs = _ask(folder, source, judged)
    same = _same(judged, found, outputs)
    document = {"process": "fresh, transformers", **same, **judged.verdict(source, opened(), allowed, reporter)}
    exact = precision == "float32"
    document = exact_verdict(document, judged.greatest) if exact else numbers_verdict(document)
    document = prompts_verdict(document)
    return _answers_verdict(document, found["margins"], 2 * float_bound(judged.greatest)) if exact else document


def _answers_verdict(document: dict[str, Any], margins: Sequence[float | None], allowed: float) -> dict[str, Any]:
    """``document`` of a folder in float32, failed where its answers or their ends are others.

    An answer may part from the judged one where the logits of both tokens differ by rounding alone: each can be the
    greatest. That is said, and passes. Elsewhere the folder's generation settings choose another token or another end.

    Args:
        document: The parity document.
        margins: For each answer how far apart the logits are where it parts; None for an equal one.
        allowed: The difference of two logits that rounding explains.
    """
    parted = [margin for margin in margins if margin is not None]
    other = [margin for margin in parted if not margin <= allowed]
    if other:
        said = (
            f"the folder's generation settings write {len(other)} of {len(margins)} answers, or their ends, differently"
        )
        return failed(document, said)
    if parted:
        tie = f"{len(parted)} of {len(margins)} answers part where two tokens are equally likely but for rounding"
        return {**document, "reason": f"{document['reason']}; {tie}"}
    return document


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
            "answers": judged.answers,
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

"""Comparing a GGUF file, run by llama.cpp, with the PyTorch model that was judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.data.example import AnswerExample, Example, expect
from graft.data.tokenize import prompt_token_ids
from graft.errors import GraftError, InputError
from graft.evaluation.compare import Evaluation
from graft.export.llama_cpp.judged import Judged
from graft.export.parity import exact_verdict, gate, numbers_verdict
from graft.export.parity_rows import ROWS_OF_LOGITS
from graft.inference.cached import CachedPredictor
from graft.inference.gguf_tokenizer import GgufTokenizer
from graft.inference.llama_cpp import LlamaCpp
from graft.inference.llama_cpp_predictor import LlamaCppPredictor
from graft.progress import Reporter

HALF_BOUND = 0.05
"""The greatest difference of log-probabilities in float16, relative to the greatest logit where that is above 1."""


@dataclass(frozen=True)
class Compared:
    """What a comparison found.

    Attributes:
        parity: The parity document for the manifest.
        evaluation: The evaluation of the file next to PyTorch's; None without rows.
    """

    parity: dict[str, Any]
    evaluation: Evaluation | None = None


def compare(
    judged: Judged,
    file: Path,
    precision: str,
    allowed: float | None,
    reporter: Reporter,
    *,
    name: str,
    lora: Path | None = None,
    rounding: float = 1.0,
) -> Compared:
    """Run ``file`` in llama.cpp and compare it with the model that was judged.

    Args:
        judged: What that model does.
        file: The GGUF file.
        precision: The number format of its weights.
        allowed: The maximum drop of the first metric, as in ``graft.export.parity.gate``.
        reporter: Shows notes and progress.
        name: What the file is called in the evaluation.
        lora: The GGUF file of the adapter, where it is not merged.
        rounding: How many times the rounding of float32 llama.cpp may be off (``GgufFamily.rounding``).

    Raises:
        GraftError: If llama.cpp does not load the file, with its message.
    """
    with LlamaCpp(file, lora) as runtime:
        _check_loads(runtime)
        predictor = LlamaCppPredictor(name, runtime, GgufTokenizer(file, runtime))
        reporter.note(f"running {file.name} in llama.cpp")
        found = _same(judged, predictor, reporter)
        if judged.rows is None:
            return Compared(_strict(_without_rows(found, judged, precision), judged, precision, rounding))
        cached = CachedPredictor(predictor)
        evaluation = judged.evaluate([*judged.predictors, cached], reporter)
        pair = judged.evaluate([judged.predictors[-1], cached], reporter)
    verdict = gate(pair.document, allowed)
    verdict["reason"] += _unequal(found)
    return Compared(
        _strict({"rows": len(judged.rows.examples), **found, **verdict}, judged, precision, rounding), evaluation
    )


def _check_loads(runtime: LlamaCpp) -> None:
    try:
        runtime.model()
    except InputError as error:  # what is wrong with the file is not the user's fault
        said = "; ".join(problem.what for problem in error.problems)
        raise GraftError(f"the file that was written is refused: {said}", where=runtime.file.name) from error


def _same(judged: Judged, predictor: LlamaCppPredictor, reporter: Reporter) -> dict[str, Any]:
    """How much is the same, as [same, of] each."""
    reference, runtime = judged.reference, predictor.runtime
    limit = reference.max_new_tokens

    def progress(done: int, total: int) -> None:
        """Show how many rows are answered."""
        reporter.advance(f"{predictor.name}: answering", done, total)

    tokens = [prompt_token_ids(example, predictor.renderer) for example in reference.examples]
    answers = runtime.generate(reference.prompts, limit, (), progress)
    own = runtime.first_logprobs(reference.prompts[:ROWS_OF_LOGITS])
    return {
        "process": "fresh, llama.cpp",
        "rows_answered": len(reference.examples),
        "template_identical": _templates(judged, predictor),
        "token_ids_identical": _share(tokens, reference.prompts),
        "ends_identical": _share([len(a) < limit for a in answers], [len(a) < limit for a in reference.answers]),
        "answers_equal": _share(answers, reference.answers),
        "greatest_logit_difference": _difference(own, reference.logits),
    }


def _templates(judged: Judged, predictor: LlamaCppPredictor) -> list[int]:
    """[same, of] prompts that llama.cpp's own template engine can be asked for: messages, without tools.

    The beginning token is left out: llama.cpp takes it out of the text where it adds it to the tokens.
    """
    begin = predictor.tokenizer.bos_token or ""
    pairs = [
        (_rendered(predictor.runtime, example), text)
        for example, text in zip(judged.reference.examples, judged.reference.texts, strict=True)
        if _is_plain(example)
    ]
    same = sum(own is not None and own.removeprefix(begin) == text.removeprefix(begin) for own, text in pairs)
    return [same, len(pairs)]


def _is_plain(example: Example) -> bool:
    row = expect(example, AnswerExample)
    return not (isinstance(row.prompt, str) or row.tools or row.template_kwargs)


def _rendered(runtime: LlamaCpp, example: Example) -> str | None:
    """A prompt as llama.cpp renders it; None where its template engine fails."""
    prompt = expect(example, AnswerExample).prompt
    assert not isinstance(prompt, str)
    try:
        return runtime.apply_template([prompt])[0]
    except GraftError:
        return None


def _share(own: Sequence[Any], wanted: Sequence[Any]) -> list[int]:
    """[same, of]."""
    plain = [[list(a) if isinstance(a, (list, tuple)) else a for a in side] for side in (own, wanted)]
    return [sum(a == b for a, b in zip(*plain, strict=True)), len(own)]


def _difference(own: Sequence[Sequence[float]], logits: Sequence[Sequence[float]]) -> float | None:
    """The greatest difference of log-probabilities: llama.cpp's server gives no logits.

    Where the two vocabularies are padded to different lengths, the shorter counts. What float32 cannot hold as a
    probability (below e^-80) is left out. None where one is not a number.
    """
    found = [0.0]
    for mine, given in zip(own, logits, strict=True):
        length = min(len(mine), len(given))
        highest = max(given[:length])
        total = highest + math.log(sum(math.exp(value - highest) for value in given[:length]))
        found += [abs(a - (b - total)) for a, b in zip(mine, given, strict=False) if not b - total <= -80.0]
    return round(max(found), 6) if all(map(math.isfinite, found)) else None


def _strict(parity: dict[str, Any], judged: Judged, precision: str, rounding: float) -> dict[str, Any]:
    """``parity``, failed without numbers; of a float32 file also by whether it computes the same function."""
    if precision == "float32":
        return exact_verdict(parity, judged.reference.greatest_logit, rounding)
    return numbers_verdict(parity)


def _without_rows(found: dict[str, Any], judged: Judged, precision: str) -> dict[str, Any]:
    """The verdict on a model without rows: by its tokens, and in float16 by its log-probabilities."""
    (same, of), tokens = found["answers_equal"], found["token_ids_identical"]
    difference = found["greatest_logit_difference"]
    within = (
        "log-probabilities that are no numbers" if difference is None else f"log-probabilities within {difference:g}"
    )
    reason = f"llama.cpp gives {same} of {of} equal answers, {within}{_unequal(found)}"
    allowed = HALF_BOUND * max(1.0, judged.reference.greatest_logit) if precision == "float16" else math.inf
    close = difference is not None and difference <= allowed
    if difference is not None and not close:
        reason += f" (float16 explains {allowed:.3g})"
    return {"rows": of, **found, "passed": tokens[0] == tokens[1] and close, "reason": reason}


def _unequal(found: dict[str, Any]) -> str:
    """What the metric alone does not show."""
    said = ""
    for key, what in (("token_ids_identical", "tokenizes"), ("template_identical", "renders")):
        same, of = found[key]
        if same < of:
            said += f"; llama.cpp {what} {of - same} of {of} prompts differently"
    return said

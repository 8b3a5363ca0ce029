"""After a run: what the tuned model has forgotten of what its base could do, by neutral prompts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from graft.documents import read_object
from graft.errors import GraftError, InputError
from graft.evaluation.forgetting import Prompt, Reference, forgotten, prompts, prompts_sha256, reference
from graft.evaluation.store import add_section
from graft.files import write_whole
from graft.inference.predictor import Predictor
from graft.models.cache import cache_folder
from graft.ownership import is_private, private_folder
from graft.planning.fingerprints import chat_template_sha256
from graft.planning.plan import RunPlan
from graft.progress import Reporter
from graft.runs.folder import RunFolder


def is_probed(plan: RunPlan) -> bool:
    """Whether the model of a run writes text, and it is to be compared with its base, or the user asked for it."""
    space, asked = plan.encoding.label_space, plan.settings.probe
    writes = not space.names and {"generation", "likelihood"} <= set(plan.task.provides(space))
    return writes and (plan.settings.evaluate if asked is None else asked)


def probe_run(
    run: RunFolder, plan: RunPlan, base: Callable[[], Predictor], tuned: Predictor, reporter: Reporter
) -> None:
    """Ask base and tuned neutral prompts, and write ``forgetting`` of evaluation.json.

    What the base says is computed once for each base and kept in the cache. A model that cannot read the prompts, such
    as one of very few positions, is not probed; that is noted.

    Args:
        run: The run, held by this process.
        plan: Its plan.
        base: Gives the base; called only where its answers are not in the cache.
        tuned: The tuned model.
        reporter: Shows the progress.
    """
    asked = prompts()
    try:
        known = _reference(plan, base, asked, reporter)
        found = forgotten(tuned, known, asked, plan.data.mapping.labels, reporter)
    except InputError as error:
        reporter.note(f"what the run has forgotten was not measured: {error.problems[0].what}")
        return
    add_section(run, "forgetting", found)


def _reference(plan: RunPlan, base: Callable[[], Predictor], asked: list[Prompt], reporter: Reporter) -> Reference:
    """What the base says, from the cache if it is there."""
    file = cache_folder() / "forgetting" / f"{_key(plan, asked)}.json"
    known = _cached(file, len(asked))
    if known is not None:
        return known
    found = reference(base(), asked, reporter)
    with suppress(OSError, GraftError):  # without a cache it is computed again next time
        write_whole(private_folder(file.parent) / file.name, json.dumps(vars(found), ensure_ascii=False))
    return found


def _cached(file: Path, count: int) -> Reference | None:
    try:
        known = TypeAdapter(Reference).validate_python(read_object(file)) if is_private(file) else None
    except (InputError, ValidationError):
        return None
    whole = known is not None and all(len(part) == count for part in vars(known).values())
    return known if whole else None


def _key(plan: RunPlan, asked: list[Prompt]) -> str:
    """The base's weights, tokens and template, how it is computed, and the prompts."""
    settings = plan.settings
    parts: Mapping[str, Any] = {
        "base": plan.base.sha256,
        "method": settings.method if settings.method in ("qlora",) else None,  # its base is quantized
        "precision": plan.training.precision,
        "engine": settings.engine,
        "task": plan.task.name,
        "template": chat_template_sha256(plan.tokenizer),
        "new_tokens": [*(settings.new_tokens or ()), *(settings.new_special_tokens or ())],
        "prompts": prompts_sha256(asked),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]

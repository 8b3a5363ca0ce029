"""How to go on with a run: the commands, and a piece of Python that works as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from graft.data.example import AnswerExample
from graft.data.personal import masked
from graft.documents import read_object
from graft.errors import GraftError, InputError
from graft.models.new_tokens import read_record
from graft.report.row_changes import common_affixes
from graft.runs.kept_rows import read_kept_rows
from graft.runs.remedies import PATCHES, repeat_command
from graft.runs.trust import consent_words
from graft.runs.view import RunView
from graft.shell import command

if TYPE_CHECKING:
    from graft.tasks.base import Task

BLANK = "YOUR TEXT"
LOOKED_AT = 100
"""Rows from which the form of the prompts is read."""
_MARKERS = ("<|", "[INST]", "<start_of_turn>", "### ")


def commands(view: RunView) -> list[tuple[str, str]]:
    """What it does -> the command, to be typed where the run was started."""
    run = Path(location(view))
    return [
        ("Chat with the model and its base", command("graft", "chat", run)),
        ("Evaluate it on other rows", command("graft", "evaluate", run, "--data_files", "rows.jsonl")),
        ("Continue training on more rows", command("graft", "finetune", run, "rows.jsonl")),
        ("Show the run in the terminal", command("graft", "show", run)),
    ]


def patch_commands(view: RunView, name: str | None = None) -> dict[str, str]:
    """For each warning whose remedy the run folder holds as YAML: the command that repeats the run with it.

    ``name`` is the folder as one would type it, when that is known better than the run's own record.
    """
    name = name or location(view)
    return {
        kind: repeat_command(name, kind, view.settings)
        for kind, file in PATCHES.items()
        if (view.path / file).is_file()
    }


def resume_command(view: RunView, name: str | None = None) -> str:
    """Return the command that resumes the run; ``name`` is the folder as a user would type it."""
    return command(
        "graft", "finetune", "--resume", "--output_path", Path(name or location(view)), *consent_words(view.settings)
    )


def location(view: RunView) -> str:
    """The run folder as it was named when the run was started; only its name when that is absolute or has changed."""
    inferred = view.manifest.inferred("output_path") if view.manifest else None
    named = Path(str(view.settings.get("output_path") or inferred or ""))
    name = view.path.resolve().name
    return name if named.is_absolute() or ".." in named.parts or named.name != name else named.as_posix()


def has_adapter(run: Path) -> bool:
    """Return whether the run folder ``run`` holds an adapter."""
    return any((run / "adapter").glob("*"))


def needs_graft(view: RunView) -> bool:
    """Whether PEFT alone cannot load the adapter: it is over a quantized base, or no adapter of PEFT's."""
    run, recorded = view.path, view.loads_with
    if recorded is not None and has_adapter(run):
        return recorded == "graft"
    if any((run / "adapter" / name).is_file() for name in ("quantization.json", "quantisation.json")):
        return True
    return _read(run / "adapter" / "adapter_config.json").get("peft_type") == "BOTTLENECK"


def _read(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none, or it is damaged."""
    try:
        return read_object(file)
    except InputError:
        return {}


def has_weights(view: RunView) -> bool:
    """Whether there is a tuned model to use."""
    return view.status == "finished"


def snippet(view: RunView) -> str:
    """Python that loads the run's model and uses it on a prompt of its form; run it beside the run folder.

    Empty for a task of an extension that is not installed.
    """
    from graft.tasks.label_space import LabelSpace
    from graft.tasks.snippet import Usage

    task = task_of(view)
    if task is None:
        return ""
    adapter: Literal["peft", "graft"] | None = "peft" if has_adapter(view.path) else None
    usage = Usage(
        run=location(view),
        prompt=prompt_shape(view),
        adapter="graft" if needs_graft(view) else adapter,
        method=str(view.settings.get("method") or "lora"),
        label_space=LabelSpace.from_record(view.label_space),
        has_chat_template=_has_chat_template(view.path),
        max_new_tokens=_new_tokens(view),
        embedding_rows=_embedding_rows(view.path) if has_adapter(view.path) else None,
    )
    return task.snippet(usage)


def _embedding_rows(run: Path) -> int | None:
    """The rows that the embeddings of the run's base need for its new tokens, where they have fewer."""
    tokens = read_record(run / "adapter")
    if not tokens:
        return None
    config = _read(run / "model" / "config.json")
    nested = config.get("text_config")
    known = {**config, **(nested if isinstance(nested, dict) else {})}.get("vocab_size")
    rows = max(token.id for token in tokens) + 1
    return rows if rows > (known if isinstance(known, int) else 0) else None


def task_of(view: RunView) -> Task | None:
    """The run's task; None where it is an extension that is not installed."""
    from graft.tasks import TASKS

    try:
        return TASKS.get(view.task)
    except GraftError:
        return None


def prompt_shape(view: RunView) -> str | list[dict[str, Any]]:
    """The form of the run's prompts with ``YOUR TEXT`` where the rows differ: a card that is published shows no row.

    Messages, or the very text the model reads.
    """
    prompts = _prompts(view.path / "data" / "train.jsonl") or _prompts(view.path / "data" / "eval.jsonl")
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    if texts and len(texts) == len(prompts):
        return _blanked(texts)
    chats = [prompt for prompt in prompts if isinstance(prompt, list) and prompt]
    if not chats:
        text = _blanked([row.prompt for row in view.predictions])
        return text if any(marker in text for marker in _MARKERS) else [{"role": "user", "content": text}]
    systems = {str(chat[0].get("content")) for chat in chats if chat[0].get("role") == "system"}
    system = [{"role": "system", "content": systems.pop()}] if len(systems) == 1 else []
    return [*system, {"role": "user", "content": _blanked([str(chat[-1].get("content")) for chat in chats])}]


def _blanked(texts: list[str]) -> str:
    opening, ending = map(masked, common_affixes(texts, enough=1))
    return f"{opening}{BLANK}{ending}"


def _prompts(path: Path) -> list[Any]:
    """Of the first rows of a file of the run's data."""
    try:
        examples = read_kept_rows(path, most=LOOKED_AT)
    except InputError:
        return []
    prompts = [row.prompt if isinstance(row, AnswerExample) else row.prompt_text for row in examples]
    return [prompt if isinstance(prompt, str) else [dict(message) for message in prompt] for prompt in prompts]


def _has_chat_template(run: Path) -> bool:
    if (run / "model" / "chat_template.jinja").is_file():
        return True
    file = run / "model" / "tokenizer_config.json"
    if not file.is_file():
        return not (run / "model").is_dir()  # nothing to look at: most tuned models are chat models
    return bool(_read(file).get("chat_template"))


def _new_tokens(view: RunView) -> int:
    given = view.settings.get("max_new_tokens")
    return given if isinstance(given, int) and given > 0 else 16 if view.labels else 128

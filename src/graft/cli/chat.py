"""graft chat."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.config import ChatSettings, Settings, build
from graft.errors import InputError

if TYPE_CHECKING:
    from graft.commands.chat import Conversation

SETTINGS: tuple[type[Settings], ...] = (ChatSettings,)
HELP = "/NAME: answer with that model ({names}) · /both: answer with all of them · /new: a new conversation · /quit"


def run(arguments: Arguments) -> int:
    """Answer the lines of stdin, or one prompt."""
    as_json = arguments.flag("json")
    given = given_settings(arguments, ChatSettings)
    settings: ChatSettings = build(ChatSettings, given.values, given.where)
    words = [*([settings.model_name_or_path] if settings.model_name_or_path else []), *arguments.words]
    if not words and settings.adapter_path is not None:
        words = [str(settings.adapter_path)]
    if len(words) != 1:
        raise InputError("give one run or model", remedy="graft chat RUN")
    if as_json and settings.prompt is None:
        raise InputError("--json requires --prompt", remedy='graft chat RUN --prompt "…" --json')
    with Screen(quiet=as_json) as screen:
        from graft.commands.chat import Conversation

        conversation = Conversation.open(
            words[0], settings, settings.max_new_tokens, screen, settings.adapter, settings.backend
        )
        if settings.prompt is not None:
            ((name, answer),) = conversation.say(settings.prompt)
            print(json.dumps({"model": name, "answer": answer}, ensure_ascii=False) if as_json else answer)
            return 0
        names = list(conversation.predictors)
        screen.note(HELP.format(names=", ".join(names)) if len(names) > 1 else "/new: a new conversation · /quit")
        _loop(conversation, screen)
    return 0


def _loop(conversation: Conversation, screen: Screen) -> None:
    interactive = sys.stdin.isatty()
    while True:
        if interactive:
            print(f"{'+'.join(conversation.active)}> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line or line.strip() in {"/quit", "/exit", "/q"}:
            return
        text = line.strip()
        if text.startswith("/"):
            screen.note(conversation.command(text[1:]))
        elif text:
            for name, answer in conversation.say(text):
                print(f"{name}: {answer}" if len(conversation.active) > 1 else answer, flush=True)


COMMAND = Command(
    "chat",
    run,
    usage="graft chat RUN_OR_MODEL [--prompt TEXT]",
    settings=lambda: SETTINGS,
    options=(CONFIG,),
)

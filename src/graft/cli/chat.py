"""graft chat."""

from __future__ import annotations

import sys

from graft.cli.arguments import Arguments
from graft.cli.console import Screen
from graft.errors import InputError
from graft.settings import ModelSettings, Settings, build

SETTINGS: tuple[type[Settings], ...] = (ModelSettings,)
HELP = "/tuned, /base: who answers · /both: one after the other · /new: forget what was said · /quit"


def run(arguments: Arguments) -> int:
    """Read a line, answer it; from a pipe as well as from a keyboard."""
    longest = int(str(arguments.take("max_new_tokens", 256)))
    one_shot = arguments.take("prompt")
    if len(arguments.words) != 1:
        raise InputError("which run or model?", remedy="graft chat RUN")
    settings: ModelSettings = build(ModelSettings, arguments.options)
    from graft.workflow.chat import Conversation

    with Screen() as screen:
        conversation = Conversation.open(arguments.words[0], settings, longest, screen.note)
        if one_shot is not None:
            print(conversation.say(str(one_shot))[0][1])
            return 0
        screen.note(HELP if len(conversation.voices) > 1 else "/new: forget what was said · /quit")
        _loop(conversation, screen)
    return 0


def _loop(conversation: object, screen: Screen) -> None:
    from graft.workflow.chat import Conversation

    assert isinstance(conversation, Conversation)
    interactive = sys.stdin.isatty()
    while True:
        if interactive:
            print(f"{'+'.join(conversation.speaking)}> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line or line.strip() in {"/quit", "/exit", "/q"}:
            return
        text = line.strip()
        if text.startswith("/"):
            screen.note(conversation.command(text[1:]))
        elif text:
            for name, answer in conversation.say(text):
                print(f"{name}: {answer}" if len(conversation.speaking) > 1 else answer, flush=True)

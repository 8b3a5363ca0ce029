"""Chat templates: read from a file or the command line, given defaults, and saved in a model folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.data.template_bounds import LONGEST_TEMPLATE
from graft.data.template_text import RESERVED
from graft.documents import read_text
from graft.errors import InputError, Problems, did_you_mean
from graft.files import expanded, write_whole


def read_chat_template(given: str) -> str:
    """Jinja text, or the text of the file that is named.

    Raises:
        InputError: when it is neither.
    """
    import jinja2

    is_file_name = "{" not in given
    file = expanded(given) if is_file_name else Path()
    if is_file_name and not file.is_file():
        raise InputError("no such chat template file", where=given)
    text = read_text(file, LONGEST_TEMPLATE) if is_file_name else given
    try:
        jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(_without_generation_tags(text))
    except jinja2.TemplateSyntaxError as error:
        where = f"{given}:{error.lineno}" if is_file_name else f"chat_template, line {error.lineno}"
        raise InputError(f"the chat template is not Jinja: {error.message}", where=where) from error
    except RecursionError:
        raise InputError(
            "the chat template is nested too deeply", where=given if is_file_name else "chat_template"
        ) from None
    return text


def _without_generation_tags(text: str) -> str:
    """``{% generation %}`` is transformers' own tag, which plain Jinja doesn't know."""
    text = re.sub(r"\{%(-?)\s*generation\s*(-?)%\}", r"{%\1 if true \2%}", text)
    return re.sub(r"\{%(-?)\s*endgeneration\s*(-?)%\}", r"{%\1 endif \2%}", text)


def save_chat_template(tokenizer: Any, folder: Path) -> None:
    """Write the chat template of ``tokenizer`` into a model folder, where it replaces the one of the folder.

    Of several templates by name ``default`` is the folder's own, as transformers writes them.
    """
    template = tokenizer.chat_template
    named = template if isinstance(template, dict) else {"default": template}
    for name, text in named.items():
        own = name == "default"
        file = folder / "chat_template.jinja" if own else folder / "additional_chat_templates" / f"{name}.jinja"
        file.parent.mkdir(exist_ok=True)
        write_whole(file, text)


def with_defaults(template: Any, variables: Mapping[str, Any]) -> Any:
    """Return a chat template in which ``variables`` have these values unless whoever renders it gives others.

    Raises:
        InputError: If there is no template, or it has no use for one of them.
    """
    problems = Problems()
    if not template:
        problems.add("the model has no chat template", "--chat_template_kwargs", "add --chat_template, or omit it")
    texts = list(template.values()) if isinstance(template, dict) else [str(template or "")]
    words = {word for text in texts for word in re.findall(r"[^\W\d]\w*", text)}
    for name in variables if template else ():
        if name in RESERVED or name not in words:
            remedy = did_you_mean(name, words) or "omit it, or give a --chat_template that uses it"
            problems.add(f"the chat template has no variable {name}", "--chat_template_kwargs", remedy)
    problems.raise_if_any()
    lines = "".join(
        f"{{%- if {name} is not defined %}}{{%- set {name} = {_literal(value)} %}}{{%- endif %}}"
        for name, value in variables.items()
    )
    return {name: lines + text for name, text in template.items()} if isinstance(template, dict) else lines + template


def _literal(value: Any) -> str:
    """``value`` as Jinja writes it: JSON, whose ``null`` it does not know."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return "none" if value is None else json.dumps(value, ensure_ascii=False)

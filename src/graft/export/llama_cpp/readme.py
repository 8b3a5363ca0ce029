"""README.md of a GGUF bundle: the run's own prompt, in each of the ways that llama.cpp is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from graft.runs.prompt_record import PromptRecord
from graft.shared_text import markdown, without_places
from graft.shell import quote

_PAGE = """\
# {title}

{summary}

## Run it

This is a prompt as the model was trained and judged on; its chat template is in the file.

With `llama-server` of llama.cpp:

```bash
llama-server -m {file}{lora} --port 8080 &
curl http://127.0.0.1:8080{path} -H "Content-Type: application/json" -d @- <<'JSON'
{request}
JSON
```

In Python, after `pip install xllamacpp`:

```python
import json

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = {file_name}
params.n_ctx = {context}
{lora_lines}server = xllamacpp.Server(params)
request = json.loads(r'''
{request}
''')
answer = server.{handle}(request)
print(answer["choices"][0]{key})
```

With Ollama, enter only the question; the `Modelfile` adds the rest of the prompt:

```bash
ollama create {model} -f Modelfile
ollama run {model}
```
{notes}"""
_LORA = """\
adapter = xllamacpp.CommonAdapterLoraInfo()
adapter.path, adapter.scale = {name}, 1.0
params.lora_adapters = [adapter]
"""


def readme(
    title: str,
    summary: Sequence[str],
    prompt: PromptRecord | None,
    file: str,
    *,
    model: str,
    context: int,
    chats: bool,
    lora: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The page.

    Args:
        title: Its title.
        summary: What there is to say about the file, a line each.
        prompt: How the bundle is asked, with an example of the run.
        file: The name of the GGUF file.
        model: A name for the model in Ollama.
        context: The number of tokens of context.
        chats: Whether the file has a chat template.
        lora: The name of the adapter's file.
        notes: What the Modelfile does not say as the chat template does.
    """
    example: Any = (prompt.example if prompt is not None else None) or _hello(chats)
    limit = prompt.max_new_tokens if prompt is not None and prompt.max_new_tokens else 256
    as_text = isinstance(example, str)
    asked: dict[str, Any] = {"prompt": example} if as_text else {"messages": example}
    request = json.dumps({**asked, "temperature": 0, "max_tokens": limit}, ensure_ascii=False, indent=1)
    return _PAGE.format(
        title=markdown(title),
        summary="\n".join(f"- {markdown(without_places(line))}" for line in summary),
        file=quote(file),
        file_name=json.dumps(file),
        lora=f" --lora {quote(lora)}" if lora else "",
        lora_lines=_LORA.format(name=json.dumps(lora)) if lora else "",
        path="/v1/completions" if as_text else "/v1/chat/completions",
        request=request.replace("'''", "\\u0027\\u0027\\u0027"),
        handle="handle_completions" if as_text else "handle_chat_completions",
        key='["text"]' if as_text else '["message"]["content"]',
        context=context,
        model=quote(model),
        notes="".join(f"\n- {markdown(note)}" for note in notes) + ("\n" if notes else ""),
    )


def _hello(chats: bool) -> Any:
    return [{"role": "user", "content": "Hello"}] if chats else "Hello"

"""The Modelfile for Ollama; its template is executed by Go's own text/template where Go is installed."""

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Origin
from graft.export.llama_cpp.go_template import fits_modelfile, go_string, literal
from graft.export.llama_cpp.modelfile import make_modelfile
from graft.export.llama_cpp.segments import differences, find_segments
from graft.runs.prompt_record import PromptRecord
from tiny_models import CHATML, tiny_model_tokenizer

LLAMA2 = (
    "{% if messages[0].role == 'system' %}{% set s = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ s if loop.first else '' }}{{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are \"kind\" {and} short.<|im_end|>\n{% endif %}"
    + CHATML
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TRIMMED = CHATML.replace("message['content']", "message['content'] | trim")
BACKWARDS = "{% for m in messages | reverse %}{{ m.content }}|{% endfor %}"
TEMPLATES = {"chatml": CHATML, "llama2": LLAMA2, "default": DEFAULT_SYSTEM, "no_system": NO_SYSTEM, "none": None}
QUESTION = [("user", 'Is {{ this }} """fine"""?\n東京 {x}')]
TALKS = [
    QUESTION,
    [("user", "a"), ("assistant", "b {{ c }}"), ("user", "d")],
    [("user", "a"), ("assistant", "b"), ("user", "d"), ("assistant", "e\n"), ("user", "f")],
]


def messages_of(text):
    return ({"role": "user", "content": text},)


def rendered(renderer, talk):
    messages = tuple({"role": role, "content": text} for role, text in talk)
    return renderer.prompt(AnswerExample(messages, "", Origin("x", 1)))


@pytest.fixture(params=TEMPLATES)
def renderer(request):
    return Renderer(tiny_model_tokenizer(TEMPLATES[request.param]))


def test_the_segments_say_what_the_template_says(renderer):
    segments = find_segments(renderer, messages_of)
    talks = TALKS if renderer.template else TALKS[:1]
    systems = [[("system", "Be short."), *talk] for talk in talks] if segments.system else []
    for talk in [*talks, *systems]:
        assert segments.expand(talk) == rendered(renderer, talk)
    assert not [note for note in differences(segments, renderer, messages_of) if "differently" in note]


def test_what_cannot_be_said_is_said():
    def notes(template, shape=messages_of):
        renderer = Renderer(tiny_model_tokenizer(template))
        return differences(find_segments(renderer, shape), renderer, shape)

    assert notes(CHATML) == []
    assert notes(TRIMMED) == ["the chat template removes blanks around a question; this one does not"]
    assert notes(NO_SYSTEM) == ["the chat template takes no system message"]
    assert any(note.startswith("one question at a time") for note in notes(BACKWARDS))
    assert "tools of the chat template are left out" in notes(CHATML + "{% if tools %}{{ tools }}{% endif %}")


@pytest.mark.parametrize("text", ['say ""', "a\u200db\u00a0c", "{{ x }}", '"', "C:\\n", "tab\tnew\nline", "😀\x00"])
def test_literals_keep_a_modelfile_whole(text):
    written = literal(text)
    assert '"""' not in written and fits_modelfile(written) and "{{{" not in written
    assert go_string(text).isascii()


def go_program(tmp_path, cases):
    """What Go's text/template makes of each (template, conversation), with the variables that Ollama passes."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    (tmp_path / "main.go").write_text(Path(__file__).with_name("execute_template.go.txt").read_text("utf-8"), "utf-8")
    (tmp_path / "cases.json").write_text(json.dumps(cases), "utf-8")
    made = subprocess.run(
        [go, "run", "main.go"], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def case(modelfile, talk):
    return {"modelfile": modelfile, "messages": [{"Role": role, "Content": text} for role, text in talk]}


def source_of(tokenizer, config=None):
    base = SimpleNamespace(license="apache-2.0", text_config=config or {"max_position_embeddings": 512})
    return SimpleNamespace(tokenizer=tokenizer, base=base)


def test_go_executes_the_modelfile_as_the_chat_template_renders(tmp_path):
    system = 'You are "brief".\nನ\u200dಮ Always.'
    form = PromptRecord(data={"instruction": "Which tone?", "system_prompt": system})
    cases, wanted = [], []
    for template in TEMPLATES.values():
        tokenizer = tiny_model_tokenizer(template)
        renderer = Renderer(tokenizer)
        plain = make_modelfile(source_of(tokenizer), None, "m.gguf").text
        for talk in TALKS if template else TALKS[:1]:
            cases.append(case(plain, talk))
            wanted.append(rendered(renderer, talk))
        if template in (NO_SYSTEM, None):
            continue
        cases.append(case(make_modelfile(source_of(tokenizer), form, "m.gguf").text, [("user", "so {sad}")]))
        wanted.append(rendered(renderer, [("system", system), ("user", "Which tone?\n\nso {sad}")]))
        cases.append(case(plain, [("system", "Be short."), *TALKS[1]]))
        wanted.append(rendered(renderer, [("system", "Be short."), *TALKS[1]]))
    assert go_program(tmp_path, cases) == wanted


def test_a_modelfile_has_what_the_run_recorded():
    record = PromptRecord(
        data={"system_prompt": "Answer with one word."}, max_new_tokens=6, max_length=300, stop=["<|im_end|>", "</s>"]
    )
    lines = make_modelfile(source_of(tiny_model_tokenizer()), record, "tone.gguf", "tone-lora.gguf").text.splitlines()
    assert lines[0] == "FROM ./tone.gguf" and lines[1] == "ADAPTER ./tone-lora.gguf"
    for line in (
        "SYSTEM Answer with one word.",
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
        "PARAMETER num_ctx 512",
        "PARAMETER num_predict 6",
        'PARAMETER stop "<|im_end|>"',
        'PARAMETER stop "</s>"',
        "LICENSE apache-2.0",
    ):
        assert line in lines
    text = PromptRecord(data={"text_template": "Q: {q}\nA: {a}"})
    plain = make_modelfile(source_of(tiny_model_tokenizer(None)), text, "m.gguf").text
    assert 'TEMPLATE """Q: {{ .Prompt }}\nA:"""' in plain

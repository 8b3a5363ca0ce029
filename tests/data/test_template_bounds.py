"""Chat templates that run for ever, or make too much: refused in words, whatever operation they use."""

import pytest

from graft.data import template_bounds
from graft.data.template_bounds import BoundedEnvironment
from graft.data.template_text import ChatTemplate
from graft.errors import InputError
from tiny_models import tiny_model_tokenizer

_MILLION = "{% set x = 'a' * 1000000 %}"
_GROW = "{% set ns = namespace(x=WITH) %}{% for i in range(60) %}{% set ns.x = STEP %}{% endfor %}{{ ns.x SHOW }}"
_MANY = "{% for i in range(99999) %}{% for j in range(99999) %}xxxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endfor %}"


def grown(start: str, step: str, show: str = "|length") -> str:
    return _GROW.replace("WITH", start).replace("STEP", step).replace("SHOW", show)


TOO_LARGE = {
    "output": "{% for i in range(99999) %}{{ 'x' * 300 }}{% endfor %}",
    "macro": "{% macro m() %}" + _MANY + "{% endmacro %}{% set y = m() %}",
    "block": "{% set y %}" + _MANY + "{% endset %}",
    "multiplied": "{{ 'a' * 10**10 }}",
    "multiplied list": "{{ ([1] * 10**9)|length }}",
    "powers": "{{ 9 ** (9 ** 9) }}",
    "squares": grown("3", "ns.x * ns.x", ""),
    "doubled": grown("'a'", "ns.x ~ ns.x"),
    "added": grown("'a'", "ns.x + ns.x"),
    "shared lists": grown("[1]", "[ns.x, ns.x]", ""),
    "shared tuples": grown("(1,)", "(ns.x, ns.x)", ""),
    "shared objects": grown("[1]", "{'a': ns.x, 'b': ns.x}", "|tojson"),
    "shared by dict": grown("[1]", "dict(a=ns.x, b=ns.x)", "|tojson"),
    "shared by macros": "{% macro f(n) %}{{ f(n-1, varargs, varargs) if n else varargs }}{% endmacro %}{{ f(70, 1) }}",
    "center": "{{ 'a'|center(10**10) }}",
    "center of each": "{{ ['a']|map('center', 10**10)|list }}",
    "ljust": "{{ 'a'.ljust(10**10) }}",
    "zfill": "{{ '1'.zfill(10**10) }}",
    "tabs": "{{ ('\t' * 100000).expandtabs(100000) }}",
    "bytes": "{{ (1).to_bytes(10**10, 'big') }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent star": "{{ '%*d' % (1000000000, 1) }}",
    "percent keys": "{{ ('%(a)s' * 100000) % {'a': 'x' * 1000000} }}",
    "format": "{{ '{:1000000000}'.format(1) }}",
    "format computed": "{{ '{:{w}}'.format(1, w=1000000000) }}",
    "format filter": "{{ '%1000000000d'|format(1) }}",
    "replace": _MILLION + "{{ x|replace('a', x) }}",
    "replace method": _MILLION + "{{ x.replace('a', x) }}",
    "join": _MILLION + "{{ range(99999)|join(x) }}",
    "join method": _MILLION + "{{ x.join(range(99999)|map('string')|list) }}",
    "indent": "{{ ('\n' * 100000)|indent(100000) }}",
    "wordwrap": "{% set x = 'a b ' * 100000 %}{{ x|wordwrap(1, True, x) }}",
    "translate": _MILLION + "{{ x.translate({97: x}) }}",
    "batch": "{{ [1]|batch(10**9, 'a')|list|length }}",
    "slice": "{{ [1]|slice(10**9)|list|length }}",
    "round": "{{ 1.5|round(10**9, 'floor') }}",
    "tojson": _MILLION + "{{ (range(99999)|list)|tojson(indent=x) }}",
    "date": "{{ strftime_now('%Y' * 1000000) }}",
    "range": "{% for i in range(10**9) %}{% endfor %}",
    "digits": "{% set x = ('1' * 3000000)|int(base=32) %}",
    "bytes as a number": "{{ (1).from_bytes(('a' * 1000000).encode(), 'big') is odd }}",
    "remainder": "{{ 9 ** 20000 % (9 ** 20000 - 1) }}",
    "quotient": "{{ 9 ** 20000 // (9 ** 20000 - 1) }}",
    "divisible": "{{ (9 ** 20000) is divisibleby(9 ** 20000 - 1) }}",
    "parts": "{{ ('a ' * 4900000).split(' ')|length }}",
    "letters": "{{ ('ab ' * 3000000)|list|sort|length }}",
    "lines": "{{ ('a\n' * 2000000).splitlines()|length }}",
    "kept": "".join(f"{{% set a{n} = 'x' * 9000000 %}}" for n in range(30)),
    "kept copies": _MILLION + "".join(f"{{% set a{n} = x|upper %}}" for n in range(200)),
    "kept stripped": _MILLION + "".join(f"{{% set a{n} = (x + ' ').strip() %}}" for n in range(200)),
    "kept slices": _MILLION + "".join(f"{{% set a{n} = x[1:] %}}" for n in range(200)),
    "kept sums": _MILLION + "".join(f"{{% set a{n} = x + x %}}" for n in range(100)),
    "kept blocks": _MILLION + "".join(f"{{% set a{n} %}}{{{{ x }}}}{{% endset %}}" for n in range(200)),
    "kept items": "{{ range(99999)|map('string')|map('center', 900000)|list|length }}",
    "added lists": _MILLION + grown("[]", "ns.x + [y]").replace("{% set ns", "{% set y = x * 9 %}{% set ns", 1),
    "many widths": "{{ ('{0:99999}' * 20000).format(1) }}",
    "rare filter": _MILLION + "{{ x|urlize }}",
    "itself": "{# " + "x" * 300_000 + " #}",
}

REFUSED = {
    "division": "{{ 1 / 0 }}",
    "recursion": "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "recursive loop": "{% for a in [[1]] recursive %}{{ loop([a]) }}{% endfor %}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import '/etc/passwd' as p %}{{ p }}",
    "extends": "{% extends '/etc/passwd' %}",
    "classes": "{{ ''.__class__.__mro__ }}",
    "changed input": "{{ messages.append(1) }}",
    "lorem ipsum": "{{ lipsum(n=10**9) }}",
    "deep": "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}",
    "deep blocks": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "raised": "{{ raise_exception('no') }}",
}

ENDLESS = {
    "loops": "{% for a in range(9999) %}" * 3 + "{% endfor %}" * 3,
    "short loops": "".join(f"{{% for a{n} in [1, 2, 3, 4, 5, 6, 7, 8] %}}" for n in range(15)) + "{% endfor %}" * 15,
    "chain": "{{ range(99999)" + "|map('string')" * 60 + "|list|length }}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(80) }}",
}


def rendered(template: str) -> str:
    tokenizer = tiny_model_tokenizer(template)
    return ChatTemplate(tokenizer).render(({"role": "user", "content": "hi"},))


@pytest.mark.parametrize("name", TOO_LARGE)
def test_nothing_too_large_is_made(name: str) -> None:
    with pytest.raises(InputError, match=r"the model's chat template (makes|has|formats|computes)") as caught:
        rendered(TOO_LARGE[name])
    assert "--chat_template" in str(caught.value)


@pytest.mark.parametrize("name", REFUSED)
def test_a_template_reaches_nothing_but_its_messages(name: str) -> None:
    with pytest.raises(InputError, match=r"refuses these messages: .+"):
        rendered(REFUSED[name])


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_template_is_stopped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_bounds, "SECONDS", 0.3)
    tokenizer = tiny_model_tokenizer(ENDLESS[name])
    template = ChatTemplate(tokenizer)
    for _ in range(100):  # rows: only the first of them waits
        with pytest.raises(InputError, match="ran for more than"):
            template.render(({"role": "user", "content": "hi"},))


def test_large_rows_are_rendered() -> None:
    template = (
        "{% for m in messages %}{{ '<' + m.role + '>' + m.content|trim ~ '\n' }}{{ m.content.split()[-1] }}{% endfor %}"
    )
    tokenizer = tiny_model_tokenizer(template)
    text = "word " * 500_000
    found = ChatTemplate(tokenizer).render(({"role": "user", "content": text},))
    assert found == "<user>" + text.strip() + "\nword"


def test_long_conversations_are_rendered() -> None:
    template = (
        "{% set ns = namespace(seen=[], text='') %}{% for m in messages %}{% set rest = messages[loop.index:] %}"
        "{% set ns.seen = ns.seen + [m.get('content')] %}{{ rest|length }} {{ m.content.split(' ')|list|length }}\n"
        "{% endfor %}{{ ns.seen|join|length }}"
    )
    rows = tuple({"role": role, "content": "word " * 100} for role in ("user", "assistant") * 300)
    found = ChatTemplate(tiny_model_tokenizer(template)).render(rows)
    assert found.endswith("\n0 101\n300000")


def test_the_environment_is_the_bounded_one_for_all_of_transformers() -> None:
    from transformers.utils import chat_template_utils

    rendered("{{ messages[0].content }}")
    compiled = chat_template_utils._compile_jinja_template("{{ messages }}")
    assert isinstance(compiled.environment, BoundedEnvironment)

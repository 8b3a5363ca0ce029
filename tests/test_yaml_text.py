import math
import os
import random
import shlex
import subprocess
import sys

import pytest
import yaml

import graft.yaml_text
from graft.documents import dump_yaml, parse_yaml, read_yaml
from graft.errors import InputError


@pytest.fixture(params=["c", "python"], autouse=True)
def parser(request, monkeypatch):
    """The C parser, and the one of Python that is taken where it is not installed."""
    if request.param == "python":
        monkeypatch.setattr(graft.yaml_text, "_parser", lambda text: yaml.SafeLoader)


def refused(text):
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "c.yaml")
    assert all(problem.what and problem.remedy for problem in caught.value.problems)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E6", 1e6),
        (".5", 0.5),
        ("'1e-4'", "1e-4"),
        ("e5", "e5"),
        ("-3", -3),
        ("190:20:30", "190:20:30"),
        ("2020-01-01", "2020-01-01"),
        ("0x_", "0x_"),
        ("0x1F", "0x1F"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("1e400", math.inf),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("~", None),
        ("yes", True),
        ("Off", False),
        ("'yes'", "yes"),
        ("[yes, no, on, off]", ["yes", "no", "on", "off"]),
        ("[true, False, null]", [True, False, None]),
        ('"\\ud83d\\ude00"', "😀"),
        ("{yes: 1, 1: 2}", {"yes": 1, "1": 2}),
    ],
)
def test_what_a_value_means(text, value):
    assert parse_yaml(f"a: {text}", "c.yaml") == {"a": value}


def test_keys_know_their_places_and_those_of_their_values():
    found = parse_yaml("a:\n  b: [1]\n  'c' : {d: &x 5, e: *x}\n<<: {f: 1}\n", "c.yaml")
    f, a = found
    b, c = found["a"]
    d, e = found["a"]["c"]
    assert [each.at for each in (a, b, c, d, e, f)] == [(1, 1), (2, 3), (3, 3), (3, 10), (3, 19), (4, 6)]
    assert [each.value_at for each in (a, b, c, d, e, f)] == [(2, 3), (2, 6), (3, 9), (3, 13), (3, 22), (4, 9)]
    assert {each.file for each in (a, f)} == {"c.yaml"} and a == "a"
    assert parse_yaml(dump_yaml(found), "c.yaml") == found


def test_not_a_number_is_a_number():
    assert math.isnan(parse_yaml("a: .nan", "c.yaml")["a"])


def test_references_and_merged_mappings():
    text = "all: &all {r: 8, alpha: 16}\none: *all\ntwo: {<<: *all, r: 4}\nthree: {<<: [*all, {x: 1}]}\n"
    found = parse_yaml(text, "c.yaml")
    assert found["one"] == {"r": 8, "alpha": 16} and found["one"] is not found["all"]
    assert found["two"] == {"r": 4, "alpha": 16} and found["three"] == {"r": 8, "alpha": 16, "x": 1}


def test_every_name_that_is_given_twice_and_every_tag_is_said_together():
    said = refused("a: 1\nb:\n  c: 1\n  c: 2\na: 2\nd: !!binary aGk=\ne: !!python/object:os.system x\n")
    for expected in (
        "c.yaml:4:3: 'c' is given twice, first on line 3",
        "c.yaml:5:1: 'a' is given twice, first on line 1",
        "c.yaml:6:4: the tag !!binary is not supported",
        "c.yaml:7:4: the tag !!python/object:os.system is not supported",
    ):
        assert expected in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("? [x]\n: 1", "c.yaml:1:3: a list or a mapping cannot be a key"),
        ("a: 1\n~: 1", "c.yaml:2:1: this key is empty"),
        ("&a x: 1\n*a : 2", "c.yaml:2:"),
        ("a: &a [*a]", "c.yaml:1:8: the alias *a has no complete anchor"),
        ("a: 1\n---\nb: 2\n", "c.yaml:2:1: a second document begins here"),
        ("n: " + "9" * 5000, "c.yaml:1:4: a number with 5,000 digits"),
        ("[" * 100_000, "nested more than 64 levels"),
        ("{a: " * 1000, "nested more than 64 levels"),
        ("- " * 1000, "nested more than 64 levels"),
        ("a: 1\nb: [1", "c.yaml:2"),
        ("a: 1\nb: \0", "c.yaml:2:4: this is not YAML: the character U+0000 is not allowed"),
        ('a: "\\ud83d"', "c.yaml:1:4: a lone surrogate"),
        ('a: "\\U00110000"', "this is not YAML"),
        ("a: 1\na: 2\nb: c: d\n", "c.yaml:2:1: 'a' is given twice"),
        ("a: 1\na: 2\nb: c: d\n", "c.yaml:3:5: this is not YAML"),
        ("<<: 3", "<< requires a mapping"),
    ],
)
def test_what_is_refused_is_said_with_its_line(text, expected):
    assert expected in refused(text)


@pytest.mark.parametrize(
    ("text", "place", "quoted"),
    [
        ("a: {b: ${env:NAME,x}}", "1:9", "${env:NAME,x}"),
        ("a: [1, ${c.d}]\n", "1:9", "${c.d}"),
        ("a: {\n  b: x-${c},\n  d: 1}", "2:9", "${c}"),
    ],
)
def test_an_unquoted_reference_between_braces_is_answered_with_its_quotes(text, place, quoted):
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "f.yaml")
    (problem,) = caught.value.problems
    assert problem.where == f"f.yaml:{place}" and problem.remedy.endswith(f'quote a value with a reference: "{quoted}"')
    assert parse_yaml(text.replace("x-", "").replace(quoted, f'"{quoted}"'), "f.yaml")["a"]


def test_references_that_stand_for_a_thousand_million_values_are_refused():
    levels = (f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert "counting those that aliases repeat" in refused("a0: &a0 [x]\n" + "".join(levels))


@pytest.mark.parametrize("content", ["a: ä".encode("latin-1"), "a: 1".encode("utf-16"), b"a: \x00", b"- a\n", b"a"])
def test_a_file_that_is_no_mapping_in_utf8_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value) and caught.value.problems[0].remedy


def test_a_file_of_a_gigabyte_is_not_read(tmp_path):
    path = tmp_path / "c.yaml"
    path.touch()
    os.truncate(path, 10**9)
    with pytest.raises(InputError, match="1,000 MB"):
        read_yaml(path)


def test_an_empty_file_has_no_settings(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("# nothing yet\n", encoding="utf-8")
    assert read_yaml(path) == {}


def test_what_graft_writes_is_read_as_it_was():
    values = {"a": ["no", "1e-4", "010", "1_0", "2020-01-01", "😀", "", None, "~", ".inf", "<<"], "b": {"off": "off"}}
    assert parse_yaml(dump_yaml(values), "c.yaml") == values
    rand = random.Random(0)
    floats = [rand.uniform(-1, 1) * 10 ** rand.randint(-300, 300) for _ in range(200)]
    mixed = {"floats": floats, "texts": [str(each) for each in floats], "whole": [0, -7, 10**300], "flag": True}
    assert parse_yaml(dump_yaml(mixed), "c.yaml") == mixed


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's pipes")
def test_a_command_may_stand_for_a_file():
    command = f'exec {shlex.quote(sys.executable)} -c "$1" <(echo "max_steps: 3")'
    code = "import sys, pathlib, graft.documents as d; print(d.read_yaml(pathlib.Path(sys.argv[1])))"
    done = subprocess.run(["bash", "-c", command, "-", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == "{'max_steps': 3}\n", done.stderr

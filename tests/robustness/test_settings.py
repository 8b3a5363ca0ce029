"""Settings of every command, by the way they really take: words and YAML files to checked settings, or an error."""

import json
import math
import random
import string
import typing
from pathlib import Path

import pytest
import yaml
from torture import rounds, tally

from graft.cli.arguments import parse
from graft.cli.finetune import read_settings
from graft.cli.options import given_settings, read_file
from graft.commands.workflow_file import read_workflow
from graft.config import (
    ChatSettings,
    EvaluateSettings,
    GenerateAdapterSettings,
    Settings,
    build,
    option_names,
    options_of,
)
from graft.documents import dump_yaml, read_yaml
from graft.export.target import export_settings
from graft.planning.settings import settings_class
from graft.planning.unused import check_used
from graft.training.consistency import check_training

HOSTILE = [
    *("", " ", "0", "-1", "1", "7", "0.5", "1e-4", "1e3", "1_000", "10k", "0x1F", "010", "1e308", "-1e308", "1e400"),
    *(
        "nan",
        "inf",
        "-inf",
        "NaN",
        "true",
        "false",
        "yes",
        "no",
        "None",
        "null",
        "~",
        "auto",
        "all",
        "9" * 400,
        "9" * 5000,
    ),
    *(
        "[]",
        "{}",
        "[[",
        "{",
        '{"a": 1}',
        '{"a": NaN}',
        "[" * 5000,
        '{"a":' * 5000,
        "a=1",
        "a=",
        "=",
        "a=1,b=[1,2]",
        ",",
        ",,,",
    ),
    *(
        "x" * 10**6,
        "é" * 300,
        "\0",
        "a\0b",
        "\ud800",
        "\udcff",
        "\u202e\x1b[31m",
        "日本語",
        "../..",
        "~nosuchuser/x",
        "~/x",
    ),
    *(
        "$HOME",
        "/proc/self/x",
        "/dev/null",
        "a,b",
        "no_such.py:f",
        "no.such.module:f",
        ":",
        "a:",
        ":b",
        "json:loads",
        "-",
    ),
    *(
        "lora",
        "full",
        "focal",
        "text-generation",
        "accuracy",
        "cosine",
        "adamw_torch",
        "steps",
        "epoch",
        "tensorboard",
        "wandb",
    ),
]
TYPED = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        7,
        2**31,
        2**63,
        10**400,
        -(10**400),
        0.5,
        1.0,
        1e-300,
        1e308,
        math.inf,
        -math.inf,
        math.nan,
    ),
    *([], {}, [[]], [None], [1, "a", True], ["a"] * 1000, {"a": {"b": [1]}}, {"1": 2}, [{"a": 1}], ["a", ["b"]]),
]
PASSED = ["max_grad_norm", "optim", "warmup_steps", "eval_strategy", "save_strategy", "adam_beta1", "fp16", "report_to"]
PASSED += ["group_by_length", "no_cuda", "deepspeed", "lr_scheduler_kwargs", "data_seed", "label_names", "push_to_hub"]


def classes() -> dict[str, type[Settings]]:
    return {
        "finetune": settings_class(),
        "evaluate": EvaluateSettings,
        "chat": ChatSettings,
        "auto-opt": export_settings("gguf"),
        "generate-adapter": GenerateAdapterSettings,
    }


def likely(cls: type[Settings], name: str, rand: random.Random) -> object:
    """A value that the setting may take."""
    field = option_names(cls)[name]
    kind = options_of(cls.model_fields[field].annotation)[0]
    if typing.get_origin(kind) is typing.Literal:
        return rand.choice(typing.get_args(kind))
    return {bool: rand.choice([True, False]), int: rand.randint(1, 2000), float: rand.choice([0.01, 0.5, 3.0])}.get(
        kind, rand.choice(["a", "b.jsonl", "lora", "runs/x"])
    )


def any_value(cls: type[Settings], name: str, rand: random.Random) -> object:
    chance = rand.random()
    if chance < 0.5 and name in option_names(cls):
        return likely(cls, name, rand)
    if chance < 0.75:
        return rand.choice(HOSTILE)
    if chance < 0.95:
        return rand.choice(TYPED)
    return "".join(rand.choices(string.printable + "äß漢\u2028\x85\ufeff", k=rand.randint(1, 30)))


def any_settings(cls: type[Settings], rand: random.Random) -> dict[str, object]:
    names = [*option_names(cls), *PASSED]
    chosen = rand.sample(names, rand.choice([1, 1, 2, 3, 5, 9]))
    if rand.random() < 0.1:
        chosen.append("".join(rand.choices(string.ascii_lowercase + "_-=. é", k=rand.randint(1, 20))))
    return {name: any_value(cls, name, rand) for name in chosen}


def words_of(values: dict[str, object], rand: random.Random) -> list[str]:
    """The settings as one types them."""
    words: list[str] = []
    for name, value in values.items():
        option = f"--{name.replace('_', '-') if rand.random() < 0.3 else name}"
        text = (
            json.dumps(value) if isinstance(value, (dict, bool)) else str(value) if value.__class__ is not int else ""
        )
        several = [str(each) for each in value] if isinstance(value, list) else [text or shortened(value)]
        words += [f"{option}={several[0]}"] if rand.random() < 0.5 and several else [option, *several]
    return words


def shortened(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than Python writes
        return "9" * 6000


def accept(command: str, words: list[str], cls: type[Settings]) -> None:
    """What the command does before it loads anything."""
    arguments = parse(words)
    if command == "finetune":
        settings = read_settings(arguments)
        check_training(settings)
        check_used(settings)
        dump_yaml(settings.model_dump(mode="json", exclude_defaults=True))
    else:
        given = given_settings(arguments, cls)
        build(cls, given.values, given.where).model_dump_json()


def test_every_combination_of_settings_is_accepted_or_refused_in_words(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rand = random.Random(18)
    file = tmp_path / "c.yaml"
    known = classes()
    with tally("settings") as figures:
        for number in range(rounds(1000)):
            command = rand.choice(["finetune", "finetune", *known])
            cls = known[command]
            values = any_settings(cls, rand)
            typed = {name: value for name, value in values.items() if rand.random() < 0.5}
            below = {name: value for name, value in values.items() if name not in typed or rand.random() < 0.1}
            words = words_of(typed, rand)
            if below:
                file.write_bytes(dump_yaml(below).encode("utf-8", "surrogatepass"))
                words += ["--config", str(file)]
            with figures.case(f"{number}: {command} {str(words)[:300]} {str(below)[:300]}"):
                accept(command, words, cls)
    assert figures.accepted > 50


SECTIONS = ["model", "input_model", "data_configs", "passes", "training_config", "workflow_id", "output_path", "seed"]
NESTED = [
    "type",
    "config",
    "name",
    "load_kwargs",
    "load_dataset_config",
    "params",
    "lora_r",
    "train_data_config",
    "loss",
]


def any_tree(rand: random.Random, depth: int = 0) -> object:
    chance = rand.random()
    if depth < 4 and chance < 0.4:
        return {rand.choice(NESTED): any_tree(rand, depth + 1) for _ in range(rand.randint(0, 3))}
    if depth < 4 and chance < 0.5:
        return [any_tree(rand, depth + 1) for _ in range(rand.randint(0, 3))]
    return rand.choice([*HOSTILE[:60], *TYPED[:12], "LoRA", "QLoRA", "HfModel", "finetune"])


def test_every_workflow_is_accepted_or_refused_in_words(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rand = random.Random(19)
    with tally("workflows") as figures:
        for number in range(rounds(200)):
            document = {rand.choice(SECTIONS): any_tree(rand) for _ in range(rand.randint(1, 4))}
            if rand.random() < 0.5:
                document["passes"] = {"a": {"type": rand.choice(["LoRA", "Full", "x"]), "config": any_tree(rand)}}
            with figures.case(f"{number}: {str(document)[:400]}"):
                read_workflow(document, "w.yaml", {"seed": "1"} if rand.random() < 0.3 else {})
    assert figures.accepted > 5


WORKFLOW = """
input_model: {type: HfModel, config: {model_path: m, task: text-generation}}
data_configs:
  - name: rows
    load_dataset_config: {data_files: a.jsonl, split: train}
    pre_process_data_config: {text_template: "User: {a}", max_seq_len: 64}
passes:
  lora: {type: LoRA, r: 8, config: {max_steps: 3, learning_rate: 1e-4, label_names: [yes, no]}}
output_path: out
base: &base {seed: 1}
"""
PIECES = [
    "&a ",
    "*a",
    "<<: *base",
    "!!binary ",
    "!x ",
    "---\n",
    "...\n",
    "? ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    "|\n",
]
PIECES += [
    ">-\n",
    "\t",
    "\0",
    "\x1b",
    "\ufeff",
    "\u2028",
    "\\ud800",
    "%YAML 9\n",
    "@",
    "`",
    "#",
    "190:20:30",
    "2020-01-01",
]
PIECES += [
    "0x_",
    "9" * 5000,
    "[" * 300,
    "{a: " * 300,
    "- " * 300,
    "*base",
    "~: 1\n",
    "\r",
    "\x85",
    "yes",
    "1e999",
    "😀",
    "\ud83d",
]


def mutated(text: str, rand: random.Random) -> bytes:
    for _ in range(rand.randint(1, 4)):
        start, end = sorted(rand.randrange(len(text) + 1) for _ in range(2))
        piece = rand.choice([*PIECES, "", text[start : start + 20]])
        text = text[:start] + piece + text[rand.choice([start, min(end, start + rand.randint(0, 9))]) :]
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    if rand.random() < 0.2:
        data[rand.randrange(len(data))] = rand.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("parser", ["c", "python"])
def test_every_mutated_file_is_read_or_refused_in_words(parser: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    if parser == "python":
        monkeypatch.setattr("graft.yaml_text._parser", lambda text: yaml.SafeLoader)
    rand = random.Random(20)
    file = tmp_path / "w.yaml"
    with tally("configuration files") as figures:
        for number in range(rounds(300)):
            file.write_bytes(mutated(WORKFLOW, rand))
            with figures.case(f"{number}: {file.read_bytes()!r}"):
                document = read_yaml(file)
                if number % 5 == 0:
                    read_workflow(read_file(str(file), parse([])), str(file))
                assert isinstance(document, dict)
    assert figures.accepted > 10

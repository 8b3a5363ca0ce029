"""Damaged and hostile models, one after another in this process, which test_models.py starts and watches.

``python model_cases.py KIND SEED FIRST LAST FOLDER`` prints a JSON line for each case: its number, whether it was
accepted, refused, or a fault, and the reason. A case that hangs ends the process.
"""

import copy
import faulthandler
import json
import os
import random
import re
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HANGS = 60.0
"""Seconds of one case, after which the process is ended."""
MEMORY = 8 << 30
VALUES = [None, True, 0, -1, 1.5, 1e308, 7, 10**9, 2**63, 10**30, "", "x", "x" * 5000, "\0", "../../x", "/dev/zero"]
VALUES += [[], {}, [[]], [None], [10**9] * 3, {"a": {"b": [1]}}, "(a+)+$", "{{ 1/0 }}", "[" * 50]


def deep(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


def changed(document: Any, rng: random.Random) -> Any:
    """A JSON document in which one to three values are others, missing, or new."""
    document = json.loads(json.dumps(document))
    for _ in range(rng.randint(1, 3)):
        place, steps = document, rng.randint(1, 4)
        for _ in range(steps - 1):
            inner = [
                value
                for value in (place.values() if isinstance(place, dict) else place)
                if value and isinstance(value, (dict, list))
            ]
            if not inner or rng.random() < 0.3:
                break
            place = rng.choice(inner)
        keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
        value = deep(rng.choice([60, 900])) if rng.random() < 0.03 else copy.deepcopy(rng.choice(VALUES))
        if not keys:
            continue
        key = rng.choice(keys)
        if rng.random() < 0.15:
            del place[key]
        else:
            place[key] = value
    return document


def bitten(data: bytes, rng: random.Random, most: int | None = None) -> bytes:
    """Bytes that are cut, flipped, doubled or overwritten within the first ``most``."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not made:
            break
        place = rng.randrange(min(len(made), most or len(made)))
        kind = rng.randrange(6)
        if kind == 0:
            del made[place:]
        elif kind == 1:
            made[place] ^= 1 << rng.randrange(8)
        elif kind == 2:
            made[place : place + 8] = struct.pack("<Q", rng.choice([0, 1, 2**31, 2**40, 2**63, 2**64 - 1]))
        elif kind == 3:
            made[place:place] = made[place : place + rng.randint(1, 64)]
        elif kind == 4:
            made[place : place + 4] = rng.randbytes(4)
        else:
            del made[place : place + rng.randint(1, 16)]
    return bytes(made)


def spoil_json(file: Path, rng: random.Random) -> None:
    text = file.read_text(encoding="utf-8")
    if rng.random() < 0.15:
        file.write_bytes(bitten(text.encode(), rng))
    else:
        file.write_text(json.dumps(changed(json.loads(text), rng)), encoding="utf-8")


def spoil_weights(file: Path, rng: random.Random) -> None:
    data = file.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    if rng.random() < 0.4:
        file.write_bytes(bitten(data, rng, 8 + length if rng.random() < 0.8 else None))
        return
    header = json.dumps(changed(json.loads(data[8 : 8 + length]), rng)).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + length :])


def spoil(folder: Path, rng: random.Random) -> None:
    """Damage one or two files of a folder of JSON and safetensors files."""
    files = [file for file in sorted(folder.iterdir()) if file.suffix in (".json", ".safetensors")]
    for file in rng.sample(files, min(len(files), rng.choice([1, 1, 1, 2]))):
        if file.suffix == ".safetensors":
            spoil_weights(file, rng)
        else:
            spoil_json(file, rng)


def model_folder(base: Path, work: Path, rng: random.Random) -> None:
    from graft.config import ModelSettings
    from graft.models.base import link, load_model, load_tokenizer, resolve

    family = rng.choice(["tiny-llama", "tiny-bert"])
    shutil.copytree(base / family, work / "model")
    spoil(work / "model", rng)
    opened = resolve(ModelSettings(model_name_or_path=str(work / "model")))
    tokenizer = load_tokenizer(opened)
    tokenizer.decode(tokenizer("Is it good? Straße 東京")["input_ids"])
    if family == "tiny-bert":
        load_model(opened, "AutoModelForSequenceClassification", {"num_labels": 2})
    else:
        load_model(opened)
    link(opened, work / "run")


def gguf_file(base: Path, work: Path, rng: random.Random) -> None:
    from graft.config import ModelSettings
    from graft.models.base import load_tokenizer, resolve

    data = (base / "tiny.gguf").read_bytes()
    header = data.index(b"token_embd.weight") + 2000
    (work / "x.gguf").write_bytes(bitten(data, rng, 400 if rng.random() < 0.4 else header))
    load_tokenizer(resolve(ModelSettings(model_name_or_path=str(work / "x.gguf"))))


def adapter_folder(base: Path, work: Path, rng: random.Random) -> None:
    from graft.config import ModelSettings
    from graft.methods.adapter_folder import load_adapter
    from graft.models.base import load_model, open_run_or_model

    shutil.copytree(base / "adapter", work / "adapter")
    spoil(work / "adapter", rng)
    settings = ModelSettings(base_model_name_or_path=str(base / "tiny-llama"), allow_base_mismatch=True)
    opened = open_run_or_model(work / "adapter", hub=settings)
    load_adapter(load_model(opened.base), opened.adapter)


PIECES = [
    "'a' * n",
    "x ~ x",
    "x + x",
    "x|replace('a', x)",
    "x.join([x, x])",
    "[x, x]",
    "x|center(n)",
    "'%99999d' % 1",
    "n ** n",
]
PIECES += [
    "range(n)|list",
    "x|upper",
    "messages|tojson(indent=n)",
    "f(n)",
    "dict(a=x, b=x)",
    "x|indent(99)",
    "x|list",
    "n * n",
]
PIECES += [
    "x.ljust(n)",
    "'{:{}}'.format(x, n)",
    "x|batch(n, x)|list",
    "x|wordwrap(1)",
    "messages",
    "x == x",
    "x in x",
    "ns.x",
]


def hostile_template(rng: random.Random) -> str:
    """A program of steps that make values larger, in loops and macros."""
    lines = [
        "{% set ns = namespace(x='a') %}{% set n = " + str(rng.choice([3, 99, 10**5, 10**9])) + " %}{% set x = 'ab' %}"
    ]
    body = "".join(
        rng.choice(["{% set ns.x = P %}", "{{ P }}", "{% set x = P %}", "{% if P %}{{ P }}{% endif %}"]).replace(
            "P", rng.choice(PIECES)
        )
        for _ in range(rng.randint(1, 4))
    )
    lines.append("{% macro f(n) %}" + body.replace("f(n)", "f(n - 1) if n else 0") + "{% endmacro %}")
    for _ in range(rng.randint(0, 3)):
        body = "{% for i in range(" + str(rng.choice([5, 60, 9999])) + ") %}" + body + "{% endfor %}"
    return "".join(lines) + body


def chat_template(base: Path, work: Path, rng: random.Random) -> None:
    from graft.data.template_text import ChatTemplate

    known = sorted((base / "templates").glob("*.jinja"))
    text = rng.choice(known).read_text(encoding="utf-8") if rng.random() < 0.4 else hostile_template(rng)
    if rng.random() < 0.4:
        text = bitten(text.encode(), rng).decode("utf-8", "replace")
    if rng.random() < 0.3:
        text = re.sub(r"\d+", lambda found: rng.choice([found[0], "999999999"]), text)
    tokenizer = TOKENIZERS[0]
    tokenizer.chat_template = text
    ChatTemplate(tokenizer).render(({"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}))


KINDS: dict[str, Callable[[Path, Path, random.Random], None]] = {
    "folders": model_folder,
    "gguf": gguf_file,
    "adapters": adapter_folder,
    "templates": chat_template,
}
TOKENIZERS: list[Any] = []


def make_bases(folder: Path) -> None:
    """The whole models that the cases are made of."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import BertConfig, BertForSequenceClassification

    from graft.models.new_tokens import NewToken, write_record
    from tiny_models import tiny_gguf, tiny_model, tiny_model_folder, tiny_model_tokenizer

    tiny_model_folder(folder)
    tiny_gguf(folder / "tiny.gguf")
    tokenizer = tiny_model_tokenizer(None)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder / "tiny-bert")
    tokenizer.save_pretrained(folder / "tiny-bert")
    config = LoraConfig(r=4, target_modules=r".*\.(q|v)_proj")
    config.rank_pattern, config.alpha_pattern = {"q_proj": 2}, {"q_proj": 3}
    model = tiny_model("llama", tokenizer)
    with torch.random.fork_rng():
        get_peft_model(model, config).save_pretrained(folder / "adapter")
    write_record(folder / "adapter", [NewToken("<|pad|>", tokenizer.pad_token_id, True, (3,), existed=True)])
    (folder / "adapter" / "base_model.json").write_text('{"name": "tiny-llama"}', encoding="utf-8")
    shutil.copytree(Path(__file__).parents[1] / "data" / "chat_templates", folder / "templates")


def main() -> None:
    """Run the cases that the command line names."""
    kind, seed, first, last, folder = sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5])
    from graft.data import template_bounds
    from graft.errors import GraftError
    from tiny_models import tiny_model_tokenizer

    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except ImportError:  # Windows
        pass
    if kind == "bases":
        make_bases(folder)
        return
    TOKENIZERS.append(tiny_model_tokenizer())
    template_bounds.SECONDS = 2.0
    if kind != "templates":  # before the clock runs: importing takes long where the machine is busy
        from peft import PeftModel  # noqa: F401
        from transformers import BertForSequenceClassification, LlamaForCausalLM  # noqa: F401
    os.environ["GRAFT_CACHE"] = str(folder / "cache")
    for number in range(first, last):
        faulthandler.dump_traceback_later(HANGS, exit=True)
        rng = random.Random(f"{kind}-{seed}-{number}")
        work = folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(folder / "cache", ignore_errors=True)
        work.mkdir()
        try:
            KINDS[kind](folder, work, rng)
            outcome, said = "accepted", ""
        except GraftError as error:
            outcome, said = "refused", str(error)
        except BaseException as error:  # Rust's panics are no Exception
            outcome, said = "fault", f"{type(error).__name__}: {str(error)[:300]}"
            if os.environ.get("SHOW"):
                raise
        print(json.dumps([number, outcome, said]), flush=True)
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main()

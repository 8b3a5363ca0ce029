"""llama.cpp's names of pre-tokenizers, found by what tokenizer.json says and not by the name of a model.

llama.cpp splits a text by regular expressions that it keeps under a name, and GGUF files hold the name. The expressions
here are those that tokenizer.json has for the models llama.cpp's names come from.
"""

from __future__ import annotations

from typing import Any, NamedTuple

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""The expression of ``ByteLevel`` in tokenizers (https://huggingface.co/docs/tokenizers/api/pre-tokenizers)."""

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}"
QWEN2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}"
QWEN35 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTIONS}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTIONS}?|\p{{N}}{{1,3}}|{_SLASHES}"
)
TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}|{_SLASHES}"
_DEEPSEEK_WORDS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Splitter(NamedTuple):
    """A pre-tokenizer of llama.cpp: its name, and whether it takes a word that is a token before any merge."""

    name: str
    ignore_merges: bool = False


SPLITTERS: dict[tuple[str, ...], tuple[Splitter, ...]] = {
    (GPT2,): (Splitter("gpt-2"),),
    (r"\p{N}", GPT2): (Splitter("smollm"),),
    (LLAMA3,): (Splitter("llama-bpe", ignore_merges=True), Splitter("dbrx")),
    (QWEN2,): (Splitter("qwen2"),),
    (QWEN35,): (Splitter("qwen35"),),
    (GPT4O,): (Splitter("granite-embed-multi-97m", ignore_merges=True),),
    (TEKKEN,): (Splitter("tekken", ignore_merges=True),),
    (r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK_WORDS): (Splitter("deepseek-v3"),),
    (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"): (Splitter("deepseek-coder"),),
    (" ?[^(\\s|.,!?…。，、।۔،)]+",): (Splitter("bloom"),),
}
"""By the expressions in order; where there are several, the first that treats merges as the tokenizer does."""


def expressions(steps: Any) -> tuple[str, ...] | None:
    """The regular expressions of a byte-level pre-tokenizer, as tokenizer.json holds it; None if it has other steps."""
    found: list[str] = []
    flat = _flat(steps)
    for step in flat:
        expression = _expression(step)
        if expression is None:
            return None
        if expression:
            found.append(expression)
    return tuple(found) if flat and flat[-1]["type"] == "ByteLevel" else None


def _flat(step: Any) -> list[Any]:
    if step is None:
        return []
    if step["type"] == "Sequence":
        return [part for one in step["pretokenizers"] for part in _flat(one)]
    return [step]


def _expression(step: Any) -> str | None:
    """A step's expression, empty where it splits nothing; None for a step that llama.cpp has nothing like."""
    if step["type"] == "ByteLevel":
        return None if step["add_prefix_space"] else GPT2 if step.get("use_regex", True) else ""
    if step["type"] == "Digits":
        return r"\p{N}" if step["individual_digits"] else r"\p{N}+"
    if step["type"] != "Split" or "Regex" not in step["pattern"]:
        return None
    # Both keep what the expression finds and what lies between; inverted, what it doesn't find is removed, which for
    # these expressions is nothing.
    if (step["behavior"], step.get("invert", False)) not in {("Isolated", False), ("Removed", True)}:
        return None
    return str(step["pattern"]["Regex"]).replace("\r", r"\r").replace("\n", r"\n")

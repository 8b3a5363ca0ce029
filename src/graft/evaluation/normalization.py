"""What ``--normalize`` takes out of answers and references, and what is said where it would make them equal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import regex

from graft.config.types import NORMALIZATIONS
from graft.data.spelling import composed, folded
from graft.data.words import SINGLE_LETTER

_PUNCTUATION = regex.compile(r"\p{P}+")
_BLANK = r"[\s\u200b\u2060\ufeff]"
_BLANKS = regex.compile(rf"{_BLANK}+")
_WITHOUT_MEANING = regex.compile(rf"(?<={SINGLE_LETTER}\p{{M}}*){_BLANK}+|{_BLANK}+(?={SINGLE_LETTER})", regex.V1)


def normalized(text: str, steps: Sequence[str]) -> str:
    r"""Return ``text`` in NFC without what ``steps`` name.

    - ``case``: letter case, as in ``graft.data.spelling.folded``.
    - ``punctuation``: all that Unicode counts as such (``\p{P}``: ``.``, ``।``, ``،``, ``。``), not symbols like ``+``.
    - ``blanks``: blanks around the text, and all but one of several in a row; beside a letter of a script without
      blanks between words all of them.
    """
    text = folded(text) if "case" in steps else composed(text)
    if "punctuation" in steps:
        text = _PUNCTUATION.sub("", text)
    if "blanks" in steps:
        text = _BLANKS.sub(" ", text if text.isascii() else _WITHOUT_MEANING.sub("", text)).strip()
    return text


def missing_steps(accepted: Iterable[str], answer: str, steps: Sequence[str] = ()) -> tuple[str, ...] | None:
    """Return the fewest steps, besides ``steps``, after which an answer equals one of ``accepted``.

    Returns:
        Their names; none where the answer is equal as it is, and None where no steps make it so.
    """
    others = [name for name in NORMALIZATIONS if name not in steps]
    references = list(accepted)
    if not _equal(references, answer, NORMALIZATIONS):
        return None
    chosen = (some for size in range(len(others) + 1) for some in combinations(others, size))
    return next((some for some in chosen if _equal(references, answer, (*steps, *some))), tuple(others))


def _equal(accepted: Sequence[str], answer: str, steps: Sequence[str]) -> bool:
    found = normalized(answer, steps).strip()
    return any(normalized(reference, steps).strip() == found for reference in accepted)


def near_misses(
    name: str, accepted: Sequence[Sequence[str]], answers: Sequence[str], steps: Sequence[str] = ()
) -> str | None:
    """Return a sentence on the answers of a predictor that ``--normalize`` would make right; None without any."""
    found = [missing_steps(right, answer, steps) for right, answer in zip(accepted, answers, strict=True)]
    needed = [one for one in found if one]
    if not needed:
        return None
    listed = [step for step in NORMALIZATIONS if any(step in one for one in needed)]
    option = ",".join(step for step in NORMALIZATIONS if step in listed or step in steps)
    verb = "differs" if len(needed) == 1 else "differ"
    only = " or ".join(", ".join(listed).rsplit(", ", 1))
    return (
        f"{len(needed):,} of {len(answers):,} answers of {name} {verb} from the reference only in {only}; "
        f"--normalize {option} ignores this"
    )

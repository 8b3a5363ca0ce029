"""What licenses of models allow, in short: a pointer to the terms, not legal advice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

UNKNOWN = "unknown"
Commercial = Literal["yes", "conditions", "no", "unknown"]
ORDER: tuple[Commercial, ...] = ("yes", "conditions", "unknown", "no")
"""From the most to the least permissive."""


@dataclass(frozen=True)
class Terms:
    """What a license allows.

    Attributes:
        name: The SPDX identifier, or the title of a company's own terms, or the name as it was found.
        commercial: Whether it allows commercial use; ``conditions`` means under conditions.
        sentence: The same as a sentence, with the conditions.
        is_known: Whether the name is an SPDX identifier or that of own terms that graft knows.
    """

    name: str
    commercial: Commercial
    sentence: str
    is_known: bool = True


PERMISSIVE = [
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-3-Clause-Clear",
    "0BSD",
    "ISC",
    "Zlib",
    "NCSA",
    "CC0-1.0",
    "CC-BY-2.0",
    "CC-BY-2.5",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "Unlicense",
    "WTFPL",
    "BSL-1.0",
    "PostgreSQL",
    "AFL-3.0",
    "Artistic-2.0",
    "ECL-2.0",
    "MS-PL",
    "PDDL-1.0",
    "ODC-By-1.0",
    "CDLA-Permissive-1.0",
    "CDLA-Permissive-2.0",
    "etalab-2.0",
]
"""SPDX identifiers of licenses that ask for a notice at most."""
SHARE_ALIKE = [
    "CC-BY-SA-2.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "GPL-2.0",
    "GPL-3.0",
    "AGPL-3.0",
    "LGPL-2.1",
    "LGPL-3.0",
    "MPL-2.0",
    "EPL-2.0",
    "EUPL-1.2",
    "OSL-3.0",
    "ODbL-1.0",
    "CDLA-Sharing-1.0",
    "OFL-1.1",
]
"""SPDX identifiers of licenses under which changed works must stay."""
NO_DERIVATIVES = ["CC-BY-ND-4.0"]
NON_COMMERCIAL = [
    "CC-BY-NC-2.0",
    "CC-BY-NC-3.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-3.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-NC-ND-3.0",
    "CC-BY-NC-ND-4.0",
]

NOTICE = "commercial use is allowed; keep the notice"
NO = "no commercial use"
_META = (
    "commercial use is allowed below 700 million monthly users, under Meta's acceptable-use policy; "
    "the name must begin with Llama and 'Built with Llama' must be shown (from Llama 3 on)"
)
_RAIL = "commercial use is allowed under the license's use restrictions, which must be passed on"
_OWN: dict[str, tuple[str, Commercial, str]] = {
    **{
        name: (f"Llama {name.removeprefix('llama')} Community License", "conditions", _META)
        for name in ("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4")
    },
    "gemma": (
        "Gemma Terms of Use",
        "conditions",
        "commercial use is allowed under Google's prohibited-use policy, which must be passed on",
    ),
    "falcon-llm-license": (
        "Falcon LLM License",
        "conditions",
        "commercial use is allowed under TII's acceptable-use policy, which must be passed on",
    ),
    "lfm1.0": (
        "LFM Open License v1.0",
        "conditions",
        "commercial use is allowed for organizations with an annual revenue below 10 million US dollars",
    ),
    "qwen": (
        "Qwen License",
        "conditions",
        "commercial use is allowed below 100 million monthly users",
    ),
    "qwen-research": ("Qwen Research License", "no", NO),
    "mrl": ("Mistral AI Research License", "no", NO),
    "mnpl": ("Mistral AI Non-Production License", "no", NO),
    "bigscience-bloom-rail-1.0": ("BigScience BLOOM RAIL 1.0", "conditions", _RAIL),
    "bigcode-openrail-m": ("BigCode OpenRAIL-M", "conditions", _RAIL),
    "openrail": ("OpenRAIL", "conditions", _RAIL),
}
"""Companies' own terms, by the name that model cards use for them: title, commercial use, and a sentence."""
_ALIASES = {"tongyi-qianwen": "qwen", "lfm-open-license-v1.0": "lfm1.0", "bsd": "bsd-3-clause"}
_GROUPS: tuple[tuple[list[str], Commercial, str], ...] = (
    (PERMISSIVE, "yes", NOTICE),
    (SHARE_ALIKE, "conditions", "commercial use is allowed; a changed model stays under the same license"),
    (NON_COMMERCIAL, "no", NO),
    (NO_DERIVATIVES, "conditions", "commercial use is allowed, but a tuned model must not be shared"),
)
_SPDX = {name.lower(): Terms(name, allows, said) for names, allows, said in _GROUPS for name in names}
_SILENT = Terms(UNKNOWN, "unknown", "the license is unknown: ask the model's authors before any commercial use", False)


def terms_of(license: str | None) -> Terms:
    """Return what a license allows.

    Args:
        license: A name as model cards have it, an SPDX identifier or expression (``A OR B``, ``A AND B``), or several
            names with commas between them, which all apply. None if it is not known.

    Returns:
        The terms; of several that all apply, the strictest, and of alternatives the most permissive.
    """
    text = (license or "").strip()
    if not text or text.lower() == UNKNOWN:
        return _SILENT
    text = text.strip("()")
    every = [one for one in text.replace(" AND ", ",").split(",") if one.strip()]
    if len(every) > 1:
        return _joined([terms_of(one) for one in every], strictest=True)
    return _joined([_single(one.strip()) for one in text.split(" OR ")], strictest=False)


def _joined(found: list[Terms], strictest: bool) -> Terms:
    if len(found) == 1:
        return found[0]
    chosen = (max if strictest else min)(found, key=lambda terms: ORDER.index(terms.commercial))
    name = (", " if strictest else " OR ").join(terms.name for terms in found)
    return Terms(name, chosen.commercial, f"{chosen.name}: {chosen.sentence}", all(terms.is_known for terms in found))


def _single(name: str) -> Terms:
    key = re.sub(r"-(only|or-later)$|\+$", "", name.lower())
    key = _ALIASES.get(key, key)
    if key in _SPDX:
        return _SPDX[key]
    if key in _OWN:
        return Terms(*_OWN[key])
    if key.startswith("llama"):
        return Terms(name, "conditions", _META, False)
    if "rail" in key:
        return Terms(name, "conditions", _RAIL, False)
    if key.startswith("bsd"):
        return Terms(name, "yes", NOTICE, False)
    if re.search(r"(^|[-_])nc([-_.]|$)|research|non-?commercial", key):
        return Terms(name, "no", NO, False)
    return Terms(name, "unknown", f"read the license ({name}) before any commercial use", False)

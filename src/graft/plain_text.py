"""Functions that make untrusted text safe to show: they escape control characters and mask secrets."""

from __future__ import annotations

import json
import os
import re

# Everything that moves the cursor, changes colors or titles, or reorders letters; line ends and tabs are text.
_CONTROLS = {code: f"\\x{code:02x}" for code in range(0x20) if chr(code) not in "\n\t"}
# Written as JSON writes them, which leaves these as they are: a JSON document stays one.
_CONTROLS |= {
    code: f"\\u{code:04x}" for part in ((0x7F, 0xA0), (0x202A, 0x202F), (0x2066, 0x206A)) for code in range(*part)
}

MASK = "***"
_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "GRAFT_API_KEY")
_SHORTEST = 6
"""The minimum length of a secret; a shorter one would occur within other words."""
KEY_FORMS = (
    *(r"hf_[A-Za-z0-9]{16,}", r"sk-[A-Za-z0-9_-]{16,}", r"gh[opusr]_[A-Za-z0-9]{16,}", r"github_pat_[A-Za-z0-9_]{16,}"),
    *(
        r"glpat-[A-Za-z0-9_-]{16,}",
        r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"A(?:KIA|SIA)[A-Z0-9]{16}",
        r"AIza[A-Za-z0-9_-]{30,}",
    ),
    *(
        r"ya29\.[A-Za-z0-9_-]{20,}",
        r"GOCSPX-[A-Za-z0-9_-]{20,}",
        r"[sr]k_live_[A-Za-z0-9]{16,}",
        r"npm_[A-Za-z0-9]{30,}",
    ),
    *(r"pypi-[A-Za-z0-9_-]{30,}", r"shpat_[A-Za-z0-9]{30,}", r"dop_v1_[a-f0-9]{60,}", r"gsk_[A-Za-z0-9]{30,}"),
    *(r"nvapi-[A-Za-z0-9_-]{30,}", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", r"hvs\.[A-Za-z0-9_-]{20,}"),
    r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/]{20,}",
    *(r"dckr_pat_[A-Za-z0-9_-]{20,}", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)?"),
)
"""The keys of well-known services, as they are given out: by their first characters and their length."""
_SECRETS = (
    (re.compile(r"\b(hf_|sk-|ghp_|gho_|ghs_|github_pat_|glpat-|xox[abp]-)[A-Za-z0-9_-]{8,}"), rf"\1{MASK}"),
    (re.compile(rf"\b(?:{'|'.join(KEY_FORMS)})"), MASK),
    (re.compile(r"(?<=[a-z0-9+.-]://)[^\s/@?#'\"<>]+@", re.IGNORECASE), f"{MASK}@"),
    (
        re.compile(
            r"([?&;](?:[a-z0-9_-]*(?:token|signature|secret|password|passwd|(?:api|account)[_-]?key|credential)|sig|key|auth)=)"
            r"[^&;\s'\"<>#)\]]+",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"((?:authorization|x-api-key)['\"]?\s*[:=]\s*['\"]?)(?!Bearer|Basic)[^\s'\",}]+", re.I), rf"\1{MASK}"),
    (re.compile(r"(--(?:hf[_-])?(?:token|api[_-]key)[ =])\S+"), rf"\1{MASK}"),
)
_known: dict[str, str] = {}
"""Secrets to mask, each with the environment variable that holds it; an empty text where none does."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def lone_surrogate(text: str) -> re.Match[str] | None:
    """Return the first lone surrogate, which is half of a character and cannot be encoded.

    JSON can contain one, and Python decodes each byte of the command line that is not UTF-8 to one.
    """
    return _SURROGATE.search(text)


def escape_controls(text: str) -> str:
    r"""Return ``text`` with its control characters made visible: ESC as ``\x1b``, a reordering mark as ``\u202e``."""
    return text.translate(_CONTROLS)


def remember_secret(value: str | None, variable: str = "") -> None:
    """Let ``mask_secrets`` mask ``value`` from now on.

    Args:
        value: The secret.
        variable: The environment variable that a settings file took it from; ``mask_variables`` masks it in records.
    """
    if value and len(value) >= _SHORTEST:
        _known[value] = variable or _known.get(value, "")


def secrets_of_variables() -> dict[str, str]:
    """Return the secrets that settings files took from the environment, each with its variable."""
    return {value: variable for value, variable in _known.items() if variable}


def mask_variables(text: str) -> str:
    """Return a JSON document with ``***`` in place of secrets that settings files took from the environment."""
    for value in secrets_of_variables():
        for form in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
            text = text.replace(form, MASK)
    return text


def mask_secrets(text: str) -> str:
    """Return ``text`` with ``***`` in place of secrets.

    Secrets are tokens of well-known forms, passwords and keys in URLs, Authorization headers, values of ``--token``,
    the values of variables such as ``HF_TOKEN``, and the arguments of ``remember_secret``.
    """
    for pattern, masked in _SECRETS:
        text = pattern.sub(masked, text)
    for value in (*_known, *(os.environ.get(name, "") for name in _VARIABLES)):
        if len(value) >= _SHORTEST and value in text:
            text = text.replace(value, MASK)
    return text

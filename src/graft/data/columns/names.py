"""Names of columns by their meaning."""

from __future__ import annotations

import re

from graft.data.chat_formats import LISTS, WEIGHTS
from graft.data.content import REASONING

TEXTS = ("text", "sentence", "review", "tweet", "content")
LABELS = ("label", "labels", "class", "category", "sentiment", "tone", "intent")
CHOSEN = ("chosen", "preferred_output", "preferred", "chosen_response", "response_chosen", "accepted")
ANSWERS = ("completion", "response", "answer", "output", *CHOSEN, "target")
ANSWER, REFERENCES = "answer", "references"
SEVERAL = ("answers", REFERENCES)
"""Columns with any number of right answers; ``answer`` may have several, too."""
PROMPTS = ("prompt", "question", "query", "instruction", "input")
DOCUMENTS = ("text", "document", "article", "dialogue")
SUMMARIES = ("summary", "highlights", "abstract")

SYSTEM = ("system", "system_prompt", "system_message", "systemInstruction", "system_instruction")
HISTORY = ("history",)
TOOLS = ("tools", "functions")
TEMPLATE_KWARGS = ("chat_template_kwargs",)
BESIDE = (*SYSTEM, *TOOLS, *TEMPLATE_KWARGS, *WEIGHTS)
"""What may stand beside messages."""
BESIDE_ANSWER = (*BESIDE, *HISTORY, *REASONING)
"""What may stand beside a prompt and its answer."""

VERDICTS = (
    *("label", "kto_tag", "desirable", "is_desirable", "correct", "is_correct", "is_good", "accepted", "is_accepted"),
    *("preferred", "is_preferred", "is_chosen"),
)
"""Whether an answer is a good one, as in rows for KTO."""
WEAK_VERDICTS = (
    *("feedback", "thumbs", "thumb", "thumbs_up", "vote", "verdict", "judgment", "judgement", "preference", "liked"),
    *("rating", "score", "reward", "acceptable", "is_acceptable"),
)
"""Columns that say it where their values are nothing but verdicts, and some of them bad."""
RATINGS = (
    *("rating", "score", "reward", "rank", "quality", "helpfulness", "upvotes", "votes", "overall_score", "pm_score"),
    *("quality_score", "reward_score", "preference_score", "average_rating", "human_score"),
)
"""Numbers that may say how good an answer is."""

MEDIA = ("image", "images", "audio", "audios", "video", "videos")
KNOWN = frozenset(
    (
        *BESIDE_ANSWER,
        *MEDIA,
        *CHOSEN,
        *VERDICTS,
        *LISTS,
        *("labels", "input", "instruction", "context", "tool_calls", "function_call"),
    )
)
"""A column of such a name is meant to be read, so rows whose form is read without it are refused."""

_REJECTED = re.compile(r"(^|_)(rejected|reject|(non|not|dis|un)_?preferred|loser|losing)(_|$)")
_DOUBTFUL = re.compile(r"(^|_)(bad|worse|worst|los(e|es|er|ing)|negative|incorrect|wrong|k)(_|$)")


def is_rejected(name: str) -> bool:
    """Return whether a column of this name holds answers that aren't to be learned."""
    return bool(_REJECTED.search(_snake(name)))


def is_doubtful(name: str) -> bool:
    """Return whether a column of this name may hold answers that aren't to be learned: it is never proposed."""
    return is_rejected(name) or bool(_DOUBTFUL.search(_snake(name)))


def _snake(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip()).casefold()

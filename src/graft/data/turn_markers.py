"""How models and people mark whose turn begins in a rendered text."""

from __future__ import annotations

from typing import NamedTuple


class MarkerFamily(NamedTuple):
    """The markers of one format.

    Attributes:
        response: What stands before an answer.
        instructions: What stands before a user's turn, in one writing or another.
        ends: The tokens that end an answer; empty where text alone marks the turns.
    """

    response: str
    instructions: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


FAMILIES = (
    MarkerFamily(
        "<|start_header_id|>assistant<|end_header_id|>",
        ("<|start_header_id|>user<|end_header_id|>",),
        ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
    ),
    MarkerFamily("<|im_start|>assistant", ("<|im_start|>user",), ("<|im_end|>",)),
    MarkerFamily("<|assistant|>", ("<|user|>",), ("<|end|>", "<|endoftext|>", "</s>")),
    MarkerFamily("<|Assistant|>", ("<|User|>",)),
    MarkerFamily("<｜Assistant｜>", ("<｜User｜>",), ("<｜end▁of▁sentence｜>",)),
    MarkerFamily("<start_of_turn>model", ("<start_of_turn>user",), ("<end_of_turn>",)),
    MarkerFamily(
        "<|start|>assistant<|channel|>final<|message|>", ("<|start|>user",), ("<|return|>", "<|end|>", "<|call|>")
    ),
    MarkerFamily("[/INST]", ("[INST]",), ("</s>",)),
    MarkerFamily("### Response:", ("### Instruction:",)),
    MarkerFamily("### Answer:", ("### Question:",)),
    MarkerFamily("### Assistant:", ("### Human:", "### User:")),
    MarkerFamily("ASSISTANT:", ("USER:",)),
    MarkerFamily("Assistant:", ("User:", "Human:")),
)

TURN_MARKERS = tuple(family.response for family in FAMILIES)
"""What stands before an answer in the known formats."""


def family_of(marker: str) -> MarkerFamily:
    """Return the format that ``marker`` belongs to, blanks around it aside; of an unknown one, the marker alone."""
    core = marker.strip()
    found = (family for family in FAMILIES if core == family.response or core.endswith(family.response))
    return next(found, MarkerFamily(core))


def without_end(text: str) -> str:
    """Return ``text`` without the end token at its end, if it has one."""
    bare = text.rstrip()
    ends = (end for family in FAMILIES for end in family.ends)
    return next((bare.removesuffix(end) for end in ends if bare.endswith(end)), text)

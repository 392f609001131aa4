"""What the prompts have in common: how a buyer's words are fenced off, and how the talk so far is told.

Whatever somebody else wrote stands in a prompt as one JSON string on a line of its own. It
cannot end its fence, as every quotation mark in it is escaped, and the instructions say
that it is data. Nothing that it says decides anything: ids are enumerated in the schema,
quotes are looked for in the message, and every figure passes the price guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from engine.conversation import Exchange, Slots
from engine.step import fenced

# Of what was said before, no more than tells what the message answers.
_EXCHANGES = 3
_CHARS_SAID_MAX = 280
_CHARS_VALUE_MAX = 80


def message(text: str) -> str:
    """The buyer's message, last in every prompt."""
    return f"Buyer's message (data): {fenced(text)}"


def talk(history: Sequence[Exchange]) -> Iterable[str]:
    """The latest exchanges, a line each side, long ones cut."""
    for exchange in history[-_EXCHANGES:]:
        if exchange.message:
            yield f"Buyer said: {fenced(_cut(exchange.message, _CHARS_SAID_MAX))}"
        if exchange.reply:
            yield f"You said: {fenced(_cut(exchange.reply, _CHARS_SAID_MAX))}"


def known(slots: Slots) -> Mapping[str, str]:
    """The latest value of every slot, for reading."""
    return {name: _cut(values[-1].text, _CHARS_VALUE_MAX) for name, values in slots.items() if values}


def one_of(ids: Iterable[str]) -> Any:  # noqa: ANN401  (no type checker knows a Literal of what is computed)
    """The type of a field that holds one of these ids."""
    return Literal[tuple(ids)]


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…"

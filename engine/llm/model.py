"""One remote model, as routing sees it: it answers, or it says why not.

What goes wrong is one of a few kinds, whoever the provider is, with the provider's own
words. Whether another try may help depends on the kind alone.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Protocol

from engine.step import Call
from engine.usage import Usage

_SAID_CHARS_MAX = 200
# Roughly, of English text: only for calls that reported nothing.
_CHARS_PER_TOKEN = 4


class Kind(StrEnum):
    """Why a call has failed."""

    RATE_LIMITED = "rate_limited"
    # It cannot serve right now, and says so: 5xx, 529.
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    # An answer that ended early, or fits no schema, or makes no sense.
    INVALID_OUTPUT = "invalid_output"
    AUTH = "auth"
    OTHER = "other"

    @property
    def is_final(self) -> bool:
        """Whether the same call would fail in the same way again."""
        return self in {Kind.AUTH, Kind.OTHER}


class ModelError(Exception):
    """A call that has failed; `said` is the provider's own message, cut."""

    def __init__(self, kind: Kind, said: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{kind.value}: {said[:_SAID_CHARS_MAX]}")
        self.kind = kind
        self.said = said[:_SAID_CHARS_MAX]
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one call took, as the provider counts it."""

    input: int = 0
    output: int = 0
    # Of the input, what its prompt cache held.
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens."""

    input: float = 0.0
    output: float = 0.0
    cached_input: float = 0.0

    def cost_usd(self, tokens: Tokens) -> float:
        fresh = tokens.input - tokens.cached
        return (fresh * self.input + tokens.cached * self.cached_input + tokens.output * self.output) / 1e6

    def usage(self, tokens: Tokens, *, wasted: bool = False, estimated: bool = False) -> Usage:
        """What a call cost; all of it was wasted where its answer was thrown away."""
        cost, all_tokens = self.cost_usd(tokens), tokens.input + tokens.output
        return Usage(
            tokens.input,
            tokens.output,
            tokens.cached,
            cost,
            all_tokens if wasted else 0,
            cost if wasted else 0.0,
            estimated,
        )


class Model(Protocol):
    """A model of a provider. Both methods raise ModelError, and end the call on the wire when they are cancelled."""

    @property
    def provider(self) -> str: ...

    @property
    def name(self) -> str: ...

    async def answer(self, call: Call[Any]) -> tuple[str, Tokens]:
        """The whole answer, JSON that fits the call's schema as far as the provider sees to it."""
        ...

    def stream(self, call: Call[Any]) -> AsyncGenerator[str | Tokens, None]:
        """The text piece by piece, and at last what it took; ends only where the provider says that it has finished."""
        ...


def estimated(call: Call[Any], written: str = "") -> Tokens:
    """What a call took that was cut off before its provider could tell."""
    asked = len(call.prompt.system) + len(call.prompt.user)
    return Tokens(asked // _CHARS_PER_TOKEN, math.ceil(len(written) / _CHARS_PER_TOKEN))


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float:
    """How long a provider asks to be left alone: milliseconds, seconds or a date; 0 where it says nothing sensible."""
    try:
        if exact := headers.get("retry-after-ms"):
            wait_s = float(exact) / 1e3
        elif (said := headers.get("retry-after", "")).replace(".", "", 1).isdigit():
            wait_s = float(said)
        else:
            until = parsedate_to_datetime(said)
            wait_s = ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds()
    except ValueError:
        return 0.0
    return max(0.0, wait_s) if math.isfinite(wait_s) else 0.0


def kind_of(status: int) -> Kind:
    """The kind of an HTTP status that is no success."""
    match status:
        case 429:
            return Kind.RATE_LIMITED
        case 401 | 403:
            return Kind.AUTH
        case 408 | 504:
            return Kind.TIMEOUT
        case _ if status >= 500:
            return Kind.OVERLOADED
        case _:
            return Kind.OTHER

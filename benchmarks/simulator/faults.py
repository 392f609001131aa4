"""What can go wrong, and how often: rules that are looked at for each call, and set while it runs."""

from __future__ import annotations

import random
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Fault(StrEnum):
    """What a call, or its connection, does instead of answering."""

    RATE_LIMITED = "rate_limited"  # 429; `value` as Retry-After
    ERROR = "error"  # 500
    OVERLOADED = "overloaded"  # 529 (Anthropic), 503 (OpenAI)
    UNAUTHORIZED = "unauthorized"  # 401
    HANG = "hang"  # nothing ever comes
    STALL = "stall"  # nothing more after a few tokens
    TRUNCATE_RESET = "truncate_reset"  # the stream is reset in the middle
    TRUNCATE_CLEAN = "truncate_clean"  # it ends in the middle, as if that were all
    SSE_ERROR = "sse_error"  # an error event in the middle
    MALFORMED = "malformed"  # no JSON, whole or as an event
    WRONG_SCHEMA = "wrong_schema"  # a structured answer that does not fit
    GOAWAY = "goaway"  # graceful: the connection takes no more, and finishes what it has
    GOAWAY_ABRUPT = "goaway_abrupt"  # later streams were not processed, and the connection closes
    KILL = "kill"  # the connection is cut
    FREEZE = "freeze"  # the connection reads nothing more, and answers no PING


class Rule(BaseModel):
    """One fault, and the calls that it meets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Fault
    # Of the calls that the rule is for; or, where `every` is set, every so-manieth of them.
    share: float = Field(default=1.0, ge=0, le=1)
    every: int = Field(default=0, ge=0)
    # At most so often; 0 for ever.
    times: int = Field(default=0, ge=0)
    # "anthropic" or "openai", and a part of a model's name; empty for all.
    provider: str = ""
    model: str = ""
    # Only calls that stream, or only those that do not; empty for both.
    only: Literal["", "stream", "whole"] = ""
    # Retry-After of a 429: seconds ("2"), milliseconds ("250ms"), or an HTTP date.
    value: str = ""


class Faults:
    """The rules in force; the first that meets a call decides."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._rules: list[Rule] = []
        self._asked: list[int] = []
        self._met: list[int] = []

    def set(self, rules: Iterable[Rule]) -> None:
        """Puts these in force, instead of what was."""
        self._rules = list(rules)
        self._asked, self._met = [0] * len(self._rules), [0] * len(self._rules)

    def meets(self, provider: str, model: str, *, stream: bool) -> Rule | None:
        """The rule that meets a call, if one does."""
        for place, rule in enumerate(self._rules):
            if rule.provider not in {"", provider} or rule.model not in model:
                continue
            if rule.only not in {"", "stream" if stream else "whole"}:
                continue
            if rule.times and self._met[place] >= rule.times:
                continue
            self._asked[place] += 1
            due = self._asked[place] % rule.every == 0 if rule.every else self._random.random() < rule.share
            if due:
                self._met[place] += 1
                return rule
        return None

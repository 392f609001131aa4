"""Models that do as they are told, in virtual time, and know what became of every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from engine.complexity import Tier
from engine.llm.model import Tokens
from engine.step import Call, Prompt, Routing

# Seconds to wait, text to write, tokens to report, or what the call dies of.
Does = float | str | Tokens | BaseException
TOKENS = Tokens(100, 20, 0)


class Number(BaseModel):
    """The answer of the tests' structured step."""

    model_config = ConfigDict(extra="forbid")

    number: int


def read_number(answer: BaseModel) -> int:
    assert isinstance(answer, Number)
    if answer.number < 0:
        raise ValueError("a number below zero makes no sense")
    return answer.number


def structured(routing: Routing | None = None) -> Call[int]:
    return Call("count", Tier.FAST, routing, Prompt("Count." * 20, "One?"), 50, 0.0, Number, read_number)


def text(routing: Routing | None = None) -> Call[str]:
    return Call("write", Tier.FAST, routing, Prompt("Write." * 20, "Now."), 50, 0.5)


@dataclass
class ScriptedModel:
    """One script a call; the last one stands for all later calls."""

    provider: str
    scripts: Sequence[Sequence[Does]]
    name: str = "model"
    calls: list[Call[Any]] = field(default_factory=list)
    open: int = 0
    cancelled: int = 0

    async def answer(self, call: Call[Any]) -> tuple[str, Tokens]:
        said, tokens = "", TOKENS
        async with aclosing(self.stream(call)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Tokens):
                    tokens = piece
                else:
                    said += piece
        return said, tokens

    async def stream(self, call: Call[Any]) -> AsyncGenerator[str | Tokens, None]:
        script = self.scripts[min(len(self.calls), len(self.scripts) - 1)]
        self.calls.append(call)
        self.open += 1
        try:
            for does in script:
                if isinstance(does, float):
                    await asyncio.sleep(does)
                elif isinstance(does, BaseException):
                    raise does
                else:
                    yield does
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        finally:
            self.open -= 1

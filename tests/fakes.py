"""Fakes that implement the engine's own protocols, and a small world to run turns in.

A fake is told what to do before the turn; nothing in it decides like the real thing does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeVar, cast

import numpy as np

from engine.complexity import Tier
from engine.conversation import Amount, Conversation, Finding, SlotValue
from engine.conversations import Conversations
from engine.deadline import Deadline
from engine.domain import Domain
from engine.errors import AlreadyExists, EtagMismatch, RequestIdTaken
from engine.events import Event
from engine.lanes import Lanes
from engine.ports import ConversationStore, Page, Remembered, Write
from engine.reconcile import Detection
from engine.run import Runner
from engine.stages import CaptureInput, CaptureOutput, DetectInput, GenerateInput, Vector
from engine.step import In, Out, Step
from engine.stopwatch import Text, TurnEvent
from engine.trace import Answer, Turn
from engine.turn import TurnRequest, Turns

TENANT = "acme"
Kind = TypeVar("Kind")


@cache
def small_domain() -> Domain:
    """A pack with one product, at $49 per seat per month, and two questions about it."""

    def play(id: str, line: str, **more: object) -> dict[str, object]:
        return {"id": id, "source": "tests", "principle": id, "strategy": id, "lines": [line], **more}

    def situation(id: str, *plays: str, **more: object) -> dict[str, object]:
        return {"id": id, "stage": "talk", "definition": id, "plays": plays, **more}

    return Domain.model_validate(
        {
            "id": "small",
            "title": "Small",
            "version": "1",
            "default_catalog": "tools",
            "voice": {
                "tone": "plain",
                "unknown": ["I will find out.", "Let me ask."],
                "unverified": "Let me confirm that figure first.",
                "cut_short": "More in a moment.",
            },
            "situations": [
                situation("small_talk", "chat", fallback=True),
                situation("price_question", "state_price", "chat"),
                situation("objection", "isolate", "chat"),
                situation("manipulation", "use_the_budget", "hold_the_line", ignores_findings=True),
            ],
            "slots": [
                {"name": "budget", "type": "money", "description": "What may be spent.", "critical": True},
                {"name": "pain", "type": "text", "description": "What hurts.", "several": True},
            ],
            "plays": [
                play("chat", "Tell me more.", repeatable=True),
                play("state_price", "{product} is {price}.", repeatable=True),
                play("isolate", "Is that the only thing?", repeatable=True),
                play("use_the_budget", "With {budget} you can have it.", requires=["budget"]),
                play("hold_the_line", "I would rather not."),
            ],
            "catalogs": [
                {
                    "id": "tools",
                    "vendor": "Tools Inc",
                    "default_product": "desk",
                    "products": [
                        {
                            "id": "desk",
                            "name": "Desk",
                            "summary": "A help desk.",
                            "price": 49,
                            "currency": "USD",
                            "per": "seat per month",
                        }
                    ],
                    "facts": {},
                }
            ],
        }
    )


def budget(amount: float, *, quote: str = "") -> Finding:
    """What capture finds where a buyer names a budget in dollars."""
    return Finding("budget", SlotValue(f"{amount:g} USD", quote, typed=Amount(amount, amount, "USD")))


def pain(text: str, start: int = 0) -> Finding:
    return Finding("pain", SlotValue(text, text, start))


class FakeEmbedder:
    """Every text has the same vector."""

    id = "fake"

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.asked: list[str] = []

    async def embed(self, text: str) -> Vector:
        self.asked.append(text)
        await asyncio.sleep(self.delay_s)
        return self.encode(text)

    def encode(self, text: str) -> Vector:
        return np.ones(1, np.float32)


Said = str | float | BaseException


@dataclass
class ScriptedProvider:
    """Answers what it was told to, when it was told to."""

    name: str = "scripted"
    findings: Sequence[Finding] = ()
    # One for each pass of one turn; the last one stands for all others.
    detections: Sequence[Detection] = (Detection("small_talk", 0.9),)
    # Pieces of the reply, seconds to wait, or what the stream dies of.
    reply: Sequence[Said] = ("Tell me ", "more.")
    capture_s: float = 0.0
    detect_s: float = 0.0
    capture_fails: BaseException | None = None
    detect_fails: BaseException | None = None
    asked: list[tuple[str, object]] = field(default_factory=list)
    streams_open: int = 0

    def model(self, tier: Tier) -> tuple[str, Tier]:
        return f"model-{tier.value}", tier

    async def answer(self, step: Step[In, Out], value: In, deadline: Deadline) -> Out:
        self.asked.append((step.name, value))
        if isinstance(value, CaptureInput):
            await asyncio.sleep(self.capture_s)
            if self.capture_fails:
                raise self.capture_fails
            return cast("Out", CaptureOutput(tuple(self.findings)))
        assert isinstance(value, DetectInput)
        await asyncio.sleep(self.detect_s)
        if self.detect_fails:
            raise self.detect_fails
        again = value.changes is not None
        return cast("Out", self.detections[min(int(again), len(self.detections) - 1)])

    async def stream(self, step: Step[In, str], value: In, deadline: Deadline) -> AsyncGenerator[str, None]:
        self.asked.append((step.name, value))
        self.streams_open += 1
        try:
            for said in self.reply:
                await asyncio.sleep(said if isinstance(said, float) else 0)
                if isinstance(said, BaseException):
                    raise said
                if isinstance(said, str):
                    yield said
        finally:
            self.streams_open -= 1
            # As a provider would tell the other end.
            await asyncio.sleep(0)

    def questions(self, step: str) -> list[object]:
        """The inputs that a step was asked with."""
        return [value for name, value in self.asked if name == step]

    def generated(self) -> GenerateInput:
        """The input of the latest reply."""
        value = self.questions("generate")[-1]
        assert isinstance(value, GenerateInput)
        return value


class MemoryStore:
    """A store in memory whose writes take virtual time; see `engine.ports.ConversationStore`."""

    def __init__(self, write_s: float = 0.0) -> None:
        self.write_s = write_s
        self._conversations: dict[tuple[str, str], Conversation] = {}
        self._turns: dict[tuple[str, str], list[Turn]] = {}
        self._requests: dict[tuple[str, str], tuple[str, Remembered]] = {}

    async def get(self, tenant: str, conversation_id: str, now: datetime) -> Conversation | None:
        found = self._conversations.get((tenant, conversation_id))
        return found if found and found.expire_time > now else None

    async def list(self, tenant: str, page: Page, now: datetime) -> tuple[Sequence[Conversation], str]:
        raise NotImplementedError

    async def turns(self, tenant: str, conversation_id: str, page: Page) -> tuple[Sequence[Turn], str]:
        return self._turns.get((tenant, conversation_id), [])[: page.limit], ""

    async def recall(self, tenant: str, request_id: str, now: datetime) -> Remembered | None:
        return self._requests.get((tenant, request_id), ("", None))[1]

    async def write(self, write: Write) -> None:
        await asyncio.sleep(self.write_s)
        key = (write.tenant, write.conversation.id)
        before = self._conversations.get(key)
        if write.etag is None and before:
            raise AlreadyExists("repartee.v1.Conversation", write.conversation.id)
        if write.etag is not None and (before is None or before.etag != write.etag):
            raise EtagMismatch("changed")
        if write.request_id and (write.tenant, write.request_id) in self._requests:
            raise RequestIdTaken
        self._conversations[key] = write.conversation
        if write.turn:
            self._turns.setdefault(key, []).append(write.turn)
        if write.request_id:
            self._requests[write.tenant, write.request_id] = (key[1], Remembered(write.digest, write.answer))

    async def delete(self, tenant: str, conversation_id: str, now: datetime) -> bool:
        for key, (conversation, _) in self._requests.items():
            if conversation == conversation_id:
                self._requests[key] = (conversation, Remembered(None, b""))
        self._turns.pop((tenant, conversation_id), None)
        return self._conversations.pop((tenant, conversation_id), None) is not None

    async def sweep(self, now: datetime) -> int:
        raise NotImplementedError


class Listener:
    """A caller who takes the events of a stream, one step of the loop for each."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self.events: list[TurnEvent] = []
        self.pause_s = pause_s
        # The place of the event that it is gone at, counted from 1; 0 for one that stays.
        self.gone_at = 0

    async def __call__(self, event: TurnEvent) -> None:
        self.events.append(event)
        if self.gone_at and len(self.events) >= self.gone_at:
            raise ConnectionError("the caller is gone")
        await asyncio.sleep(self.pause_s)

    @property
    def text(self) -> str:
        """What was heard of the reply."""
        return "".join(event.text for event in self.events if isinstance(event, Text))

    @property
    def answers(self) -> list[Answer]:
        return [event for event in self.events if isinstance(event, Answer)]


class Wall:
    """A clock on the wall that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def move(self, by: timedelta) -> None:
        self.time += by


class World:
    """Everything that a turn needs, of fakes except for what is tested."""

    def __init__(
        self,
        store: ConversationStore | None = None,
        *,
        concurrent_max: int = 8,
        waiting_max: int = 8,
        retention: timedelta = timedelta(days=90),
        domains: Mapping[str, Domain] | None = None,
    ) -> None:
        self.store = store or MemoryStore()
        self.provider = ScriptedProvider()
        self.embedder = FakeEmbedder()
        self.wall = Wall()
        self.events: list[Event] = []
        self.lanes = Lanes(waiting_max)
        self._ids = iter(range(1, 10_000))
        known = domains or {"small": small_domain()}
        self.conversations = Conversations(
            self.store, known, "small", _read_given, retention, self.wall, lambda: f"c{next(self._ids)}"
        )
        self.turns = Turns(
            self.conversations,
            self.lanes,
            Runner(self.provider, None, self.events.append, 0.0),
            self.embedder,
            self.events.append,
            lambda: asyncio.get_running_loop().time(),
            concurrent_max,
        )

    async def open(self, conversation_id: str = "talk") -> Conversation:
        return await self.conversations.create(TENANT, conversation_id, "", {}, ())

    async def kept(self, conversation_id: str = "talk") -> Sequence[Turn]:
        """The turns that are written down."""
        turns, more = await self.store.turns(TENANT, conversation_id, Page("", 1000))
        assert not more
        return turns

    def happened(self, kind: type[Kind]) -> list[Kind]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def asks(message: str = "Hello.", conversation_id: str = "talk", **more: object) -> TurnRequest:
    """A request of the usual tenant."""
    return TurnRequest(TENANT, message, conversation_id, **more)  # type: ignore[arg-type]


def within(seconds: float = 60.0) -> Deadline:
    """A deadline, from now on."""
    return Deadline(asyncio.get_running_loop().time() + seconds)


def _read_given(domain: Domain, name: str, text: str, now: datetime) -> SlotValue:
    if text == "?":
        raise ValueError("must be a value")
    return SlotValue(text)

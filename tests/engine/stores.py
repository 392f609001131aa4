"""What the tests of the embedded store write, and how they open it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.conversation import Conversation
from engine.ports import Page, Write
from engine.store.sqlite import SqliteStore
from engine.trace import Turn
from tests.fakes import Wall

NOW = Wall().time
TTL = timedelta(days=90)
ALL = Page("", 1000)
Test = Callable[[SqliteStore], Coroutine[Any, Any, None]]


def opened(conversation_id: str = "talk", *, at: datetime = NOW, ttl: timedelta = TTL, **more: Any) -> Conversation:
    return Conversation(conversation_id, "small", at, at, at + ttl, revision=1, **more)


def opening(conversation_id: str = "talk", *, tenant: str = "acme", at: datetime = NOW, **more: Any) -> Write:
    return Write(tenant, opened(conversation_id, at=at, **more), None)


def turn_of(before: Conversation, message: str = "Hello.", *, tenant: str = "acme", **more: Any) -> Write:
    """The next turn of a conversation."""
    after = replace(before, turn_count=before.turn_count + 1, revision=before.revision + 1)
    return Write(tenant, after, before.etag, Turn(after.turn_count, NOW, message, f"Re: {message}"), **more)


def on(path: Path, test: Test) -> None:
    async def whole() -> None:
        store = SqliteStore(path / "store.sqlite3")
        try:
            await test(store)
        finally:
            await store.close()

    asyncio.run(whole())


def bytes_in(path: Path) -> bytes:
    """All that is in the directory's files, the log counted in."""
    return b"".join(file.read_bytes() for file in path.iterdir())

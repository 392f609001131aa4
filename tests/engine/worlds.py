"""Worlds to run a test in: one on the real store, one in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from engine.store.sqlite import SqliteStore
from tests.fakes import MemoryStore, World
from tests.virtual_time import other_tasks, run

Test = Callable[[World], Coroutine[Any, Any, None]]


def on_disk(path: Path, test: Test, *, opens: bool = True, **options: Any) -> None:
    """With the real store, one open conversation, and in real time: threads have a part in it."""

    async def whole() -> None:
        store = SqliteStore(path / "store.sqlite3")
        world = World(store, **options)
        try:
            if opens:
                await world.open()
            await test(world)
        finally:
            await store.close()
        assert other_tasks() == set()

    asyncio.run(whole())


def in_memory(test: Test, *, write_s: float = 0.0, **options: Any) -> None:
    """In virtual time, where delays matter; with one open conversation."""

    async def whole() -> None:
        store = MemoryStore()
        world = World(store, **options)
        await world.open()
        store.write_s = write_s
        await test(world)
        assert other_tasks() == set()

    run(whole())

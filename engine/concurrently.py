"""Two things at once, with the errors of one thing at a time; and one thing that nobody may stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def both(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Runs two coroutines side by side; if one fails the other is cancelled.

    Raises:
        The first error, by itself: callers handle errors, not groups of them.
    """
    try:
        async with asyncio.TaskGroup() as group:
            one, other = group.create_task(first), group.create_task(second)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return one.result(), other.result()


async def to_the_end(work: Coroutine[Any, Any, A]) -> A:
    """Runs what must not be left half done: a cancellation waits until it is over.

    Raises:
        asyncio.CancelledError: the caller was cancelled meanwhile, whatever the work came to.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # seen, so that nobody warns of it
    raise cancelled

"""What the engine needs from below, as protocols: an embedder, and a place to keep state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from engine.conversation import Conversation
from engine.stages import Vector
from engine.trace import Turn


class Embedder(Protocol):
    """Text to unit vectors."""

    @property
    def id(self) -> str:
        """Changes whenever the vectors may."""
        ...

    async def embed(self, text: str) -> Vector: ...

    def encode(self, text: str) -> Vector: ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """A request that was answered before under the same request id."""

    # Of the request's body and kind; None once the conversation was deleted.
    digest: bytes | None
    # The answer, as the caller of `write` gave it.
    answer: bytes


@dataclass(frozen=True, slots=True)
class Write:
    """One change of a conversation, all or nothing.

    `etag` is the conversation's before the change; None where this opens it.
    """

    tenant: str
    conversation: Conversation
    etag: str | None
    turn: Turn | None = None
    # Remembered for a day under the id, if there is one.
    request_id: str = ""
    digest: bytes = b""
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Page:
    """Where a list goes on: after this key, empty for the start; at most `limit` rows, fewer if they are large."""

    after: str
    limit: int


class ConversationStore(Protocol):
    """Keeps conversations, their turns, and which requests were answered.

    Every method is confined to one tenant. What has expired does not exist.
    """

    async def get(self, tenant: str, conversation_id: str, now: datetime) -> Conversation | None: ...

    async def list(self, tenant: str, page: Page, now: datetime) -> tuple[Sequence[Conversation], str]:
        """Newest first; the key of the next page, empty where there is none."""
        ...

    async def turns(self, tenant: str, conversation_id: str, page: Page) -> tuple[Sequence[Turn], str]:
        """Oldest first."""
        ...

    async def recall(self, tenant: str, request_id: str, now: datetime) -> Remembered | None: ...

    async def write(self, write: Write) -> None:
        """Returns once the change is safe on disk.

        Raises:
            EtagMismatch: the conversation is not as it was, or is gone.
            AlreadyExists: the conversation to be opened is there already.
            RequestIdTaken: another request of this id was answered in the meantime.
            Overloaded: too many writes are waiting.
        """
        ...

    async def delete(self, tenant: str, conversation_id: str, now: datetime) -> bool:
        """Erases it for good, its turns and answers with it; False where it does not exist."""
        ...

    async def sweep(self, now: datetime) -> int:
        """Erases what has expired; how many conversations that were."""
        ...

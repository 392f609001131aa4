"""The life of a conversation outside its turns: opened, read, listed, deleted, expired.

Also what every write of a turn needs: the state that it starts from, and the memory of
requests that were answered before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import TypeAdapter

from engine.conversation import Conversation, Exchange, Slots, SlotValue, bounded
from engine.domain import Domain
from engine.errors import EtagMismatch, InvalidField, NotFound, RequestIdTaken, Unavailable
from engine.ports import ConversationStore, Page, Write
from engine.trace import Turn

RESOURCE = "repartee.v1.Conversation"
T = TypeVar("T")
# Reads a value that a caller gives for a slot; ValueError says what it should have been.
ReadGiven = Callable[[Domain, str, str, datetime], SlotValue]


@dataclass(frozen=True, slots=True)
class RequestId:
    """What makes a repeated request known: the caller's id, and a digest of what was asked."""

    id: str = ""
    digest: bytes = b""


NO_REQUEST_ID = RequestId()
# A request, and the answer that a repeat of it gets.
Remember = tuple[RequestId, bytes]


@dataclass(frozen=True, slots=True)
class Start:
    """The state that a write starts from; the etag is None where it opens the conversation."""

    conversation: Conversation
    domain: Domain
    etag: str | None


class Conversations:
    """All conversations of a process's store."""

    def __init__(
        self,
        store: ConversationStore,
        domains: Mapping[str, Domain],
        default_domain: str,
        read_given: ReadGiven,
        retention: timedelta,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._domains = domains
        self._default_domain = default_domain
        self._read_given = read_given
        self._retention = retention
        self.now = now
        self._new_id = new_id

    async def create(
        self, tenant: str, conversation_id: str, domain_id: str, slots: Mapping[str, str], history: Sequence[Exchange]
    ) -> Conversation:
        """Opens a conversation with what is known before its first message."""
        start = self._opened(domain_id, "domain", conversation_id)
        opened = start.conversation
        conversation = replace(opened, slots=self._given(start.domain, slots), history=bounded(history)).written(
            opened.create_time, opened.expire_time
        )
        await self._store.write(Write(tenant, conversation, None))
        return conversation

    async def get(self, tenant: str, conversation_id: str) -> Conversation:
        """Raises NotFound where there is none, or it is another tenant's."""
        conversation = await self._store.get(tenant, conversation_id, self.now())
        if conversation is None:
            raise NotFound(RESOURCE, f"conversations/{conversation_id}")
        return conversation

    async def list(self, tenant: str, page: Page) -> tuple[Sequence[Conversation], str]:
        return await self._store.list(tenant, page, self.now())

    async def turns(self, tenant: str, conversation_id: str, page: Page) -> tuple[Sequence[Turn], str]:
        await self.get(tenant, conversation_id)
        return await self._store.turns(tenant, conversation_id, page)

    async def delete(self, tenant: str, conversation_id: str) -> None:
        if not await self._store.delete(tenant, conversation_id, self.now()):
            raise NotFound(RESOURCE, f"conversations/{conversation_id}")

    async def sweep(self) -> int:
        """Erases what has expired."""
        return await self._store.sweep(self.now())

    # -- for turns

    async def start(self, tenant: str, conversation_id: str, domain_id: str, if_etag: str) -> Start:
        """The state to start from: the named conversation's, or a new one's.

        Raises:
            NotFound: the named one does not exist.
            EtagMismatch: it is not as the caller has seen it.
            InvalidField: the domain does not exist, or is not the conversation's.
        """
        if not conversation_id:
            if if_etag:
                raise InvalidField("options.if_etag", "needs a conversation; this request opens a new one")
            return self._opened(domain_id, "options.domain")
        conversation = await self.get(tenant, conversation_id)
        if if_etag and if_etag != conversation.etag:
            raise EtagMismatch("the conversation has changed since it was read; read it again")
        if domain_id and domain_id != conversation.domain:
            raise InvalidField("options.domain", "is for a conversation that this request opens; this one is open")
        if conversation.domain not in self._domains:
            raise Unavailable(f"the conversation's domain pack {conversation.domain!r} is not installed here")
        return Start(conversation, self._domains[conversation.domain], conversation.etag)

    async def recall(self, tenant: str, request: RequestId, answers: TypeAdapter[T]) -> T | None:
        """The answer that was given to the same request before, if it was.

        Raises:
            RequestIdTaken: the id belongs to another request.
            NotFound: what it was answered with has been deleted.
        """
        if not request.id:
            return None
        remembered = await self._store.recall(tenant, request.id, self.now())
        if remembered is None:
            return None
        if remembered.digest is None:
            raise NotFound(RESOURCE, "the conversation of this request")
        if remembered.digest != request.digest:
            raise RequestIdTaken
        return answers.validate_json(remembered.answer)

    async def write(
        self, tenant: str, start: Start, after: Conversation, turn: Turn | None, remember: Remember
    ) -> None:
        """Makes a turn's outcome durable, all or nothing."""
        request, answer = remember
        write = Write(tenant, after, start.etag, turn, request.id, request.digest, answer if request.id else b"")
        await self._store.write(write)

    def next(self, conversation: Conversation) -> Conversation:
        """The same, one write later: its etag and its expiry follow."""
        return conversation.written(self.now(), self._expiry())

    def _opened(self, domain_id: str, field: str, conversation_id: str = "") -> Start:
        domain = self._domains.get(domain_id or self._default_domain)
        if domain is None:
            raise InvalidField(field, f"no such domain pack; there are {', '.join(sorted(self._domains))}")
        now = self.now()
        conversation = Conversation(conversation_id or self._new_id(), domain.id, now, now, self._expiry())
        return Start(conversation, domain, None)

    def _expiry(self) -> datetime:
        return self.now() + self._retention

    def _given(self, domain: Domain, slots: Mapping[str, str]) -> Slots:
        known: dict[str, tuple[SlotValue, ...]] = {}
        for name, text in slots.items():
            if name not in domain.slots_by_name:
                raise InvalidField(f"slots[{name}]", f"no such slot; there are {', '.join(domain.slots_by_name)}")
            try:
                known[name] = (self._read_given(domain, name, text, self.now()),)
            except ValueError as error:
                raise InvalidField(f"slots[{name}]", str(error)) from None
        return known

"""ConversationService: reads requests, asks the engine, writes responses."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from repartee.v1 import conversation_pb2 as pb

from engine.complexity import Tier
from engine.conversation import Exchange
from engine.conversations import NO_REQUEST_ID, Conversations, RequestId
from engine.deadline import Deadline
from engine.domain import Domain
from engine.errors import InvalidField, Unsupported
from engine.lanes import Lanes, OnBusy
from engine.step import Asks, Routing
from engine.stopwatch import TurnEvent
from engine.turn import TurnRequest, Turns
from server import convert
from server.pages import next_token, page_of

# Until there are credentials, everybody is one tenant; every row and key has it from the first day.
TENANT = "default"
_ON_BUSY = {
    pb.BUSY_POLICY_UNSPECIFIED: OnBusy.ENQUEUE,
    pb.BUSY_POLICY_ENQUEUE: OnBusy.ENQUEUE,
    pb.BUSY_POLICY_INTERRUPT: OnBusy.INTERRUPT,
    pb.BUSY_POLICY_REJECT: OnBusy.REJECT,
}
_TIERS = {
    pb.MODEL_TIER_UNSPECIFIED: None,
    pb.MODEL_TIER_LOCAL: Tier.LOCAL,
    pb.MODEL_TIER_FAST: Tier.FAST,
    pb.MODEL_TIER_POWERFUL: Tier.POWERFUL,
}
_ROUTINGS = {
    pb.ROUTING_UNSPECIFIED: None,
    pb.ROUTING_RACE: Routing.RACE,
    pb.ROUTING_HEDGE: Routing.HEDGE,
    pb.ROUTING_FAILOVER: Routing.FAILOVER,
    pb.ROUTING_SINGLE: Routing.SINGLE,
}
_TURNS_PER_PAGE, _CONVERSATIONS_PER_PAGE = 50, 50

Context = grpc.aio.ServicerContext[Any, Any]


class ConversationService:
    """See conversation.proto. Converse is still to come."""

    def __init__(
        self,
        turns: Turns,
        conversations: Conversations,
        lanes: Lanes,
        domains: Mapping[str, Domain],
        turn_timeout_s: float,
        *,
        has_models: bool,
    ) -> None:
        """`has_models` where there are remote models besides the built-in engine."""
        self._turns = turns
        self._conversations = conversations
        self._lanes = lanes
        self._domains = domains
        self._turn_timeout_s = turn_timeout_s
        self._has_models = has_models

    async def CreateConversation(self, request: pb.CreateConversationRequest, context: Context) -> pb.Conversation:
        history = [Exchange(turn.message, turn.reply) for turn in request.history]
        created = await self._conversations.create(
            TENANT, request.conversation_id, request.domain, request.slots, history
        )
        return convert.conversation(created)

    async def GetConversation(self, request: pb.GetConversationRequest, context: Context) -> pb.Conversation:
        return convert.conversation(await self._conversations.get(TENANT, convert.id_of(request.name)))

    async def ListConversations(
        self, request: pb.ListConversationsRequest, context: Context
    ) -> pb.ListConversationsResponse:
        page = page_of(request.page_size or _CONVERSATIONS_PER_PAGE, request.page_token, "conversations")
        found, after = await self._conversations.list(TENANT, page)
        return pb.ListConversationsResponse(
            conversations=[convert.conversation(value) for value in found],
            next_page_token=next_token(after, "conversations"),
        )

    async def ListTurns(self, request: pb.ListTurnsRequest, context: Context) -> pb.ListTurnsResponse:
        conversation_id = convert.id_of(request.parent)
        page = page_of(request.page_size or _TURNS_PER_PAGE, request.page_token, request.parent)
        conversation = await self._conversations.get(TENANT, conversation_id)
        found, after = await self._conversations.turns(TENANT, conversation_id, page)
        domain = self._domains.get(conversation.domain)
        return pb.ListTurnsResponse(
            turns=[convert.turn(value, conversation_id, domain) for value in found],
            next_page_token=next_token(after, request.parent),
        )

    async def DeleteConversation(self, request: pb.DeleteConversationRequest, context: Context) -> Empty:
        conversation_id = convert.id_of(request.name)
        deadline = self._deadline(context)
        # Behind the turn that is being answered, so that it cannot write after the deletion.
        async with self._lanes.enter(TurnRequest(TENANT, "", conversation_id).lane, deadline):
            await self._conversations.delete(TENANT, conversation_id)
        return Empty()

    async def Respond(self, request: pb.RespondRequest, context: Context) -> pb.RespondResponse:
        answer = await self._turns.respond(self._turn_request(request, "turn"), self._deadline(context))
        return convert.answer(answer, self._domains.get(answer.conversation.domain))

    async def StreamRespond(self, request: pb.StreamRespondRequest, context: Context) -> None:
        # Capture and detect tell of themselves side by side; a stream is written one at a time.
        writing = asyncio.Lock()

        async def send(event: TurnEvent) -> None:
            message = convert.event(event, self._domains.get)
            async with writing:
                await context.write(message)

        with _held():
            await self._turns.respond(self._turn_request(request.request, "turn"), self._deadline(context), send)

    async def Analyze(self, request: pb.AnalyzeRequest, context: Context) -> pb.AnalyzeResponse:
        with _held():
            asked = self._turn_request(request.request, "analyze")
            analysis = await self._turns.analyze(asked, self._deadline(context), persist=request.persist)
        domain = self._domains.get(analysis.conversation.domain)
        return convert.analysis(analysis, domain, named=request.persist or bool(asked.conversation_id))

    async def RecordTurn(self, request: pb.RecordTurnRequest, context: Context) -> pb.Turn:
        asked = TurnRequest(
            TENANT,
            request.message if request.message.strip() else "",
            convert.id_of(request.parent),
            request=_request_id(request, "record"),
        )
        answer = await self._turns.record(asked, self._deadline(context), request.reply, request.author)
        return convert.turn(answer.turn, answer.conversation.id, self._domains.get(answer.conversation.domain))

    def _turn_request(self, request: pb.RespondRequest, kind: str) -> TurnRequest:
        options = request.options
        asks = Asks(_TIERS[options.tier], _ROUTINGS[options.routing])
        if not self._has_models:
            if asks.tier not in {None, Tier.LOCAL}:
                raise Unsupported(
                    "options.tier", "this server has only the built-in engine; leave it out, or ask for LOCAL"
                )
            if asks.routing not in {None, Routing.SINGLE}:
                raise Unsupported(
                    "options.routing", "this server has only one provider; leave it out, or ask for SINGLE"
                )
        return TurnRequest(
            TENANT,
            request.message,
            convert.id_of(request.conversation),
            options.domain,
            _request_id(request, kind),
            options.if_etag,
            _ON_BUSY[options.on_busy],
            asks,
        )

    def _deadline(self, context: Context) -> Deadline:
        """The caller's deadline, or the configured one where it sets none, whichever comes first."""
        left_s = context.time_remaining()
        now_s = asyncio.get_running_loop().time()
        return Deadline(now_s + (self._turn_timeout_s if left_s is None else min(left_s, self._turn_timeout_s)))


@contextmanager
def _held() -> Iterator[None]:
    """The request is a field of another one: errors name its fields from there on, as the contract's rules do."""
    try:
        yield
    except InvalidField as error:
        error.move_into("request")
        raise


def _request_id(request: pb.RespondRequest | pb.RecordTurnRequest, kind: str) -> RequestId:
    """The id, and a digest of all the rest: a repeat has to ask for the same."""
    if not request.request_id:
        return NO_REQUEST_ID
    body = deepcopy(request)
    body.ClearField("request_id")
    digest = hashlib.sha256(kind.encode() + body.SerializeToString(deterministic=True)).digest()
    return RequestId(request.request_id, digest)

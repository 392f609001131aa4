"""The turn: a buyer's message comes in, four stages run, a reply goes out.

    admission → lookup → capture ∥ detect → reconcile → select → generate → commit

`Turns.respond` is the whole of it, in order. A turn that is cancelled or fails before its
first text leaves no trace but its metrics. After it, what the caller was sent is what is
kept: the agent never forgets what the buyer has read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from engine import facts, select
from engine.concurrently import both, to_the_end
from engine.conversation import Exchange, SlotChange, Slots, apply
from engine.conversations import NO_REQUEST_ID, Conversations, RequestId, Start
from engine.deadline import Deadline
from engine.domain import Catalog, Play
from engine.errors import EngineError, ModelsFailed, Overloaded
from engine.events import CutShort, Emit, FigureWithheld, Reconciled, TurnBegan, TurnEnded
from engine.lanes import Lanes, OnBusy, Place
from engine.ports import Embedder
from engine.price_guard import PriceGuard, UnverifiedFigure, known_in
from engine.reconcile import Detection, Trigger, reconcile
from engine.run import Runner
from engine.stages import CaptureInput, DetectInput, GenerateInput, Stage, Vector
from engine.step import NO_WISHES, Asks, In, Out, Served, Step
from engine.steps import CAPTURE, DETECT, GENERATE
from engine.stopwatch import Clock, Send, Stopwatch, TurnStarted
from engine.trace import Analysis, Answer, Trace, Turn

# A second detection considers what is at least this likely, as a share of the first answer.
PLAUSIBLE_MIN = 0.5

_ANSWERS = TypeAdapter(Answer)
_ANALYSES = TypeAdapter(Analysis)


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a caller asks."""

    tenant: str
    message: str
    # Empty for one that is to be opened.
    conversation_id: str = ""
    domain: str = ""
    request: RequestId = NO_REQUEST_ID
    if_etag: str = ""
    on_busy: OnBusy = OnBusy.ENQUEUE
    asks: Asks = NO_WISHES

    @property
    def lane(self) -> str:
        """Requests that must not run side by side share a lane; a new conversation has its own."""
        return f"{self.tenant}/{self.conversation_id}/{'' if self.conversation_id else self.request.id or id(self)}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the stages before the reply came to."""

    detection: Detection
    reconciled: Trigger | None
    slots: Slots
    changes: tuple[SlotChange, ...]
    # Best first.
    plays: tuple[Play, ...]
    catalog: Catalog
    facts: Mapping[str, str]
    vector: Vector


@dataclass(slots=True)
class _Work:
    """One turn under way."""

    request: TurnRequest
    deadline: Deadline
    place: Place
    start: Start
    watch: Stopwatch
    # What of the reply has passed the guard, piece by piece.
    reply: list[str] = field(default_factory=list)
    decision: Decision | None = None
    # Whether the store has been asked to keep the turn.
    handed_over: bool = False

    @property
    def was_heard(self) -> bool:
        """Whether the caller has been sent some of the reply."""
        return self.watch.first_text_ms is not None


class Turns:
    """Answers, analyses and records turns."""

    def __init__(
        self,
        conversations: Conversations,
        lanes: Lanes,
        runner: Runner,
        embedder: Embedder,
        emit: Emit,
        clock: Clock,
        concurrent_max: int,
    ) -> None:
        self._conversations = conversations
        self._lanes = lanes
        self._runner = runner
        self._embedder = embedder
        self._emit = emit
        self._clock = clock
        self._concurrent_max = concurrent_max
        self._concurrent = 0

    async def respond(self, request: TurnRequest, deadline: Deadline, send: Send | None = None) -> Answer:
        """Answers one message.

        Args:
            request: the message, and how it is to be answered.
            deadline: when the caller stops waiting.
            send: takes the events of a stream, `Answer` the last of them; None where the
                caller waits for the whole reply.

        Raises:
            EngineError: see `engine.errors`; nothing was written, unless text had been sent.
        """
        watch = Stopwatch(self._clock, self._emit, send)
        with self._admitted(watch):
            async with self._lanes.enter(request.lane, deadline, request.on_busy) as place:
                answer = await self._conversations.recall(request.tenant, request.request, _ANSWERS)
                if answer is None:
                    work = await self._begin(request, deadline, watch, place)
                    try:
                        work.decision = await self._decide(work)
                        await self._reply(work, work.decision)
                        answer = await self._commit(work)
                    except (Exception, asyncio.CancelledError) as error:
                        if not work.was_heard or work.handed_over:
                            raise
                        # Whoever listened may be gone; what follows must not depend on it.
                        watch.send = None
                        self._emit(CutShort())
                        answer = await self._commit(work, interrupted=True)
                        if not place.gave_way(error):
                            raise
                else:
                    await self._repeat(answer, watch)
                if send:
                    await send(answer)
                return answer

    async def analyze(self, request: TurnRequest, deadline: Deadline, *, persist: bool) -> Analysis:
        """Captures, detects and selects without a reply; writes the outcome only if asked to."""
        watch = Stopwatch(self._clock, self._emit, None)
        with self._admitted(watch):
            async with self._lanes.enter(request.lane, deadline, request.on_busy) as place:
                if persist and (known := await self._conversations.recall(request.tenant, request.request, _ANALYSES)):
                    return known
                work = await self._begin(request, deadline, watch, place)
                return await self._analysis(work, await self._decide(work), persist=persist)

    async def record(self, request: TurnRequest, deadline: Deadline, reply: str, author: str) -> Answer:
        """Writes down an exchange that somebody else answered; the buyer's message may be empty."""
        watch = Stopwatch(self._clock, self._emit, None)
        with self._admitted(watch):
            async with self._lanes.enter(request.lane, deadline, request.on_busy) as place:
                if known := await self._conversations.recall(request.tenant, request.request, _ANSWERS):
                    return known
                work = await self._begin(request, deadline, watch, place)
                work.reply.append(reply)
                if request.message:
                    work.decision = replace(await self._decide(work), plays=())
                return await self._commit(work, author=author)

    # -- the stages

    @contextmanager
    def _admitted(self, watch: Stopwatch) -> Iterator[None]:
        """Refuses at once what is over capacity, and says how every turn ended."""
        if self._concurrent >= self._concurrent_max:
            raise Overloaded("the server is answering as many turns as it can", retry_after_ms=250)
        self._concurrent += 1
        self._emit(TurnBegan())
        outcome = "committed"
        try:
            yield
        except EngineError as error:
            outcome = error.reason
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except BaseException:
            outcome = "INTERNAL"
            raise
        finally:
            self._concurrent -= 1
            self._emit(TurnEnded(watch.now_ms(), outcome))

    async def _begin(self, request: TurnRequest, deadline: Deadline, watch: Stopwatch, place: Place) -> _Work:
        start = await self._conversations.start(
            request.tenant, request.conversation_id, request.domain, request.if_etag
        )
        if watch.send:
            await watch.send(TurnStarted(start.conversation.id, start.conversation.turn_count + 1))
        await watch.waited(Stage.QUEUE)
        return _Work(request, deadline, place, start, watch)

    async def _decide(self, work: _Work) -> Decision:
        """Capture ∥ detect, the second pass where it can matter, and the play."""
        message, domain, before = work.request.message, work.start.domain, work.start.conversation
        today = self._conversations.now().date()
        capture = CaptureInput(domain, message, before.slots, today, before.turn_count + 1)
        # In this order: the embedding has a thread of its own, and capture runs meanwhile.
        (detect, first), found = await both(self._place(work), self._run(work, CAPTURE, capture))

        slots, changes = apply(before.slots, found.findings, domain.lists)
        catalog = facts.catalog_for(domain, slots, message, before.history)
        selection = select.prepare(before, domain, catalog, slots)
        verdict = reconcile(first, changes, domain.critical, lambda id_: selection.rank(id_)[0].id, PLAUSIBLE_MIN)
        detection = first
        if verdict.rerun:
            detection = await self._run(work, DETECT, replace(detect, known=slots, changes=changes))

        if domain.situations_by_id[detection.situation].ignores_findings:
            # No play may rest on them either.
            slots, changes = before.slots, ()
            catalog = facts.catalog_for(domain, slots, message, before.history)
            selection = select.prepare(before, domain, catalog, slots)
        async with work.watch.stage(Stage.SELECT):
            plays = selection.rank(detection.situation, detection.confidence)
        changed = verdict.rerun and plays[0] is not selection.rank(first.situation, first.confidence)[0]
        self._emit(Reconciled(verdict.fired, verdict.rerun, changed))
        reconciled = verdict.fired[0] if verdict.rerun else None
        return Decision(detection, reconciled, slots, changes, plays, catalog, selection.facts, detect.vector)

    async def _place(self, work: _Work) -> tuple[DetectInput, Detection]:
        """The first detection; the message's vector is computed once, for everybody who needs it."""
        message, before = work.request.message, work.start.conversation
        async with work.watch.stage(Stage.LOOKUP):
            vector = await self._embedder.embed(message)
        asked = DetectInput(work.start.domain, message, vector, before.slots, before.situation, before.history)
        return asked, await self._run(work, DETECT, asked)

    async def _reply(self, work: _Work, decision: Decision) -> None:
        """Writes the reply; every piece passes the price guard before it is said."""
        message, domain, before = work.request.message, work.start.domain, work.start.conversation
        value = GenerateInput(
            domain,
            decision.catalog,
            message,
            decision.vector,
            decision.slots,
            decision.detection.situation,
            decision.plays[0],
            before.history,
            decision.facts,
            facts.owed(domain, message),
        )
        said = [message, *(exchange.message for exchange in before.history)]
        quotes = [quote.quote for known in decision.slots.values() for quote in known]
        guard = PriceGuard(
            facts.known(domain, decision.catalog),
            lambda: known_in(decision.facts.values()),
            lambda: known_in([*said, *quotes]),
        )
        async with (
            work.watch.stage(Stage.GENERATE, GENERATE.name) as served,
            aclosing(self._guarded(work, value, guard, served)) as pieces,
        ):
            async for piece in pieces:
                work.reply.append(piece)
                await work.watch.say(piece)

    async def _guarded(
        self, work: _Work, value: GenerateInput, guard: PriceGuard, served: Served
    ) -> AsyncGenerator[str, None]:
        """The reply's verified text.

        A figure that nothing vouches for, or a failure after the first text, ends it with the pack's line.
        """
        reply = self._runner.stream(GENERATE, value, work.deadline, work.request.asks, served)
        try:
            async with aclosing(reply) as pieces:
                async for piece in pieces:
                    if verified := guard.feed(piece):
                        yield verified
            if rest := guard.finish():
                yield rest
        except UnverifiedFigure as error:
            self._emit(FigureWithheld(error.kind.value))
            yield _after(work.reply, value.domain.voice.unverified)
        except EngineError as error:
            # Models that have failed have written something; what the guard still held back of it is left out.
            if not work.was_heard and not isinstance(error, ModelsFailed):
                raise
            yield _after(work.reply, value.domain.voice.cut_short)

    async def _run(self, work: _Work, step: Step[In, Out], value: In) -> Out:
        async with work.watch.stage(step.stage, step.name) as served:
            return await self._runner.run(step, value, work.deadline, work.request.asks, served)

    # -- how a turn ends

    async def _commit(self, work: _Work, *, interrupted: bool = False, author: str = "") -> Answer:
        """Makes the turn durable. What the caller has heard is written whatever becomes of the caller."""
        async with work.watch.stage(Stage.COMMIT):
            answer = self._answer(work, interrupted=interrupted, author=author)
            remember = (work.request.request, _ANSWERS.dump_json(answer) if work.request.request.id else b"")
            write = self._conversations.write(
                work.request.tenant, work.start, answer.conversation, answer.turn, remember
            )
            work.handed_over = True
            with work.place.settled():
                await (to_the_end(write) if work.was_heard else write)
        return replace(answer, turn=replace(answer.turn, trace=self._trace(work)))

    def _answer(self, work: _Work, *, interrupted: bool, author: str) -> Answer:
        before, decision = work.start.conversation, work.decision
        message, reply = work.request.message, "".join(work.reply).strip()
        situation = decision.detection.situation if decision else before.situation
        play = decision.plays[0].id if decision and decision.plays else ""
        conversation = self._conversations.next(
            replace(
                before,
                slots=decision.slots if decision else before.slots,
                situation=situation,
                turn_count=before.turn_count + 1,
            ).remembering(Exchange(message, reply, situation, play))
        )
        turn = Turn(
            conversation.turn_count,
            conversation.update_time,
            message,
            reply,
            decision.changes if decision else (),
            decision.detection if decision else None,
            play,
            self._trace(work),
            interrupted,
            author,
        )
        return Answer(conversation, turn)

    async def _analysis(self, work: _Work, decision: Decision, *, persist: bool) -> Analysis:
        before = work.start.conversation
        after = replace(before, slots=decision.slots, situation=decision.detection.situation)
        after = self._conversations.next(after) if persist else before
        plays = tuple(play.id for play in decision.plays)
        analysis = Analysis(after, decision.changes, decision.detection, plays, self._trace(work))
        if persist:
            remember = (work.request.request, _ANALYSES.dump_json(analysis))
            with work.place.settled():
                await self._conversations.write(work.request.tenant, work.start, after, None, remember)
        return analysis

    @staticmethod
    def _trace(work: _Work) -> Trace:
        watch = work.watch
        reconciled = work.decision.reconciled if work.decision else None
        return Trace(watch.stages, reconciled, watch.now_ms(), watch.first_text_ms, watch.degraded, watch.usage)

    @staticmethod
    async def _repeat(answer: Answer, watch: Stopwatch) -> None:
        """Streams an answer that was given before."""
        if watch.send:
            await watch.send(TurnStarted(answer.conversation.id, answer.turn.number))
            await watch.say(answer.turn.reply)


def _after(said: Sequence[str], line: str) -> str:
    """A line that ends a reply, apart from what was said before it."""
    return line if not said or said[-1][-1:].isspace() else f" {line}"

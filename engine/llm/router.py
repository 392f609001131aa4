"""Spreads calls over the models of a tier, and keeps account of how each one does.

A model takes part where its breaker lets it. Who goes first is chosen by the power of two
choices over a peak EWMA of the time to the first text; a race asks them all. Every call
ends in one event, won, lost or failed, with what it took: losers cost as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from engine.complexity import Tier
from engine.deadline import Deadline
from engine.errors import ModelsFailed
from engine.events import BreakerMoved, CallEnded, CallOutcome, Emit, Hedged
from engine.llm.breaker import Breaker
from engine.llm.course import Course, Start
from engine.llm.hedging import HedgeBudget
from engine.llm.latency import Latency, choose
from engine.llm.model import Kind, Model, ModelError, Prices, Tokens, estimated
from engine.llm.race import Leg, StreamTimeouts, first_valid
from engine.llm.seam import Seam
from engine.step import Call, Prompt, Routing, Served, fenced

Out = TypeVar("Out")
T = TypeVar("T")

# A stream that dies is taken up by another model this often.
_TAKEN_UP_MAX = 2


@dataclass(eq=False, slots=True)
class Target:
    """A model that calls may go to, and what is known of how it does."""

    model: Model
    prices: Prices
    breaker: Breaker
    # Of whole answers, and of first texts: they take times of different kinds.
    answers: Latency = field(default_factory=Latency)
    texts: Latency = field(default_factory=Latency)

    def latency(self, call: Call[Any]) -> Latency:
        return self.answers if call.schema else self.texts


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """How calls are spread where a request does not say, and how long each may take."""

    routing: Routing
    timeouts: StreamTimeouts
    answer_timeout_s: float


@dataclass(slots=True)
class _Attempt(Generic[T]):
    """One call to one model."""

    target: Target
    call: Call[Any]
    started_s: float
    first_text_s: float | None = None
    tokens: Tokens | None = None
    # What it came to: the answer, or the stream that has begun.
    result: T | None = None


class Router:
    """See `engine.step.Models`."""

    def __init__(
        self,
        tiers: Mapping[Tier, Sequence[Target]],
        settings: RouterSettings,
        budget: HedgeBudget,
        emit: Emit,
        draw: Callable[[], float],
    ) -> None:
        """`draw` gives a uniform number in [0, 1): all chance here comes from it."""
        self.tiers = tiers
        self._settings = settings
        self._budget = budget
        self._emit = emit
        self._draw = draw

    @property
    def hedges_left(self) -> float:
        """Extra calls that hedging may make now."""
        return self._budget.left

    def breakers(self) -> dict[tuple[str, str], str]:
        """The state of every model's breaker, by provider and model."""
        now_s = _now_s()
        targets = [target for tier in self.tiers.values() for target in tier]
        return {(one.model.provider, one.model.name): one.breaker.state(now_s).value for one in targets}

    async def answer(self, call: Call[Out], deadline: Deadline, served: Served) -> Out:
        """See `engine.step.Models`."""

        async def start(attempt: _Attempt[Out]) -> None:
            async with asyncio.timeout(self._settings.answer_timeout_s):
                text, attempt.tokens = await attempt.target.model.answer(call)
            attempt.result = _valid(call, text)

        attempt = await self._won(call, deadline, served, start)
        self._ended(attempt, served, CallOutcome.WON)
        assert attempt.result is not None, "a valid answer is one"
        return attempt.result

    async def stream(self, call: Call[str], deadline: Deadline, served: Served) -> AsyncGenerator[str, None]:
        """See `engine.step.Models`."""

        async def start(attempt: _Attempt[Leg]) -> None:
            total_s = deadline.left_s(_now_s())
            timeouts = replace(self._settings.timeouts, total_s=min(self._settings.timeouts.total_s, total_s))
            leg = attempt.result = Leg(attempt.target.model.stream(attempt.call), timeouts)
            try:
                await leg.begun()
            except BaseException:
                await leg.aclose()
                raise
            attempt.first_text_s = leg.first_text_at_s

        said = ""
        asked = call
        dead: list[Target] = []
        broken: list[str] = []
        while True:
            try:
                attempt = await self._won(asked, deadline, served, start, last=dead)
            except ModelsFailed as error:
                raise ModelsFailed("; ".join([*broken, error.message]), error.kinds) from None
            try:
                async with aclosing(_joined(attempt, said)) as pieces:
                    async for piece in pieces:
                        said += piece
                        yield piece
            except ModelError as error:
                self._failed(attempt, served, error)
                dead.append(attempt.target)
                broken.append(f"the reply broke off, {_said(attempt.target, error)}")
                if len(dead) > _TAKEN_UP_MAX:
                    raise ModelsFailed("; ".join(broken), [error.kind.value]) from None
                asked = _taken_up(call, said)
            except BaseException:
                self._ended(attempt, served, CallOutcome.LOST)
                raise
            else:
                self._ended(attempt, served, CallOutcome.WON)
                return

    # -- one call over several models

    async def _won(
        self,
        call: Call[Any],
        deadline: Deadline,
        served: Served,
        start: Callable[[_Attempt[T]], Awaitable[None]],
        *,
        last: Sequence[Target] = (),
    ) -> _Attempt[T]:
        """The attempt that has won, after all others have ended.

        Args:
            start: makes the call of an attempt, and notes what it came to.
            last: models to ask only where no other is left.

        Raises:
            ModelsFailed: nobody answered in time.
        """
        routing = call.routing or self._settings.routing
        targets = self._order(call, last)
        now_s = _now_s()
        slow = self._budget.slower_than
        hedge_after_s = targets[0].latency(call).quantile_s(slow, _size(call), now_s) if targets else None
        course = Course(routing, range(len(targets)), now_s, deadline.at_s, hedge_after_s)

        async def one(move: Start) -> _Attempt[T]:
            attempt: _Attempt[T] = _Attempt(targets[move.target], call, _now_s())
            await self._attempt(attempt, start, served, hedge=move.hedge)
            return attempt

        async def discard(attempt: _Attempt[T]) -> None:
            if isinstance(attempt.result, Leg):
                await attempt.result.aclose()
            self._ended(attempt, served, CallOutcome.LOST)

        try:
            async with asyncio.timeout_at(deadline.at_s):
                won = await first_valid(course, one, discard, self._draw, self._budget.may_hedge)
        except TimeoutError:
            won = None
        if won is None:
            said = [_said(targets[place], error) for place, error in course.failures]
            kinds = [error.kind.value for _, error in course.failures]
            raise ModelsFailed("no model answered in time: " + ("; ".join(said) or "none could be asked"), kinds)
        target = won[1].target
        served.provider, served.model, served.tier = target.model.provider, target.model.name, call.tier
        return won[1]

    def _order(self, call: Call[Any], last: Sequence[Target]) -> list[Target]:
        """The models that may be asked, the preferred one first."""
        now_s = _now_s()
        free = [target for target in self.tiers[call.tier] if target.breaker.admits(now_s)]
        fresh = [target for target in free if target not in last]
        if len(fresh) > 1:
            costs = [target.latency(call).peak_ewma_s(now_s) for target in fresh]
            first = fresh[choose(costs, (self._draw(), self._draw()))]
            rest = sorted(zip(costs, fresh, strict=True), key=lambda item: item[0])
            fresh = [first, *(target for _, target in rest if target is not first)]
        return fresh + [target for target in free if target in last]

    # -- one call to one model

    async def _attempt(
        self, attempt: _Attempt[T], start: Callable[[_Attempt[T]], Awaitable[None]], served: Served, *, hedge: bool
    ) -> None:
        target, model = attempt.target, attempt.target.model
        if not target.breaker.begin(attempt.started_s):
            raise ModelError(Kind.OVERLOADED, "not asked, as it keeps failing")
        served.calls += 1
        if hedge:
            self._budget.hedged()
            self._emit(Hedged(model.provider, model.name))
        else:
            self._budget.called()
        target.latency(attempt.call).begin()
        try:
            await start(attempt)
        except ModelError as error:
            self._failed(attempt, served, error)
            raise
        except TimeoutError:
            late = ModelError(Kind.TIMEOUT, "no answer in time")
            self._failed(attempt, served, late)
            raise late from None
        except BaseException:
            self._ended(attempt, served, CallOutcome.LOST)
            raise

    def _failed(self, attempt: _Attempt[Any], served: Served, error: ModelError) -> None:
        self._ended(attempt, served, CallOutcome.FAILED, error.kind)

    def _ended(self, attempt: _Attempt[Any], served: Served, outcome: CallOutcome, kind: Kind | None = None) -> None:
        """Keeps account of a call that is over."""
        target, call, now_s = attempt.target, attempt.call, _now_s()
        leg = attempt.result if isinstance(attempt.result, Leg) else None
        tokens = leg.tokens if leg else attempt.tokens
        used = tokens or estimated(call, leg.text if leg else "")
        usage = target.prices.usage(used, wasted=outcome is not CallOutcome.WON, estimated=tokens is None)
        if outcome is CallOutcome.FAILED and tokens is None and not (leg and leg.text):
            # It was refused, or never came to anything: nobody charges for that.
            usage = target.prices.usage(Tokens())
        served.usage += usage
        latency = target.latency(call)
        latency.end()
        took_s = (attempt.first_text_s or now_s) - attempt.started_s
        if outcome is CallOutcome.WON:
            latency.add(took_s, _size(call), now_s)
        elif outcome is CallOutcome.LOST:
            latency.took_longer(took_s, _size(call), now_s)
        self._judge(target, outcome, kind, now_s)
        first_ms = None if attempt.first_text_s is None else (attempt.first_text_s - attempt.started_s) * 1e3
        model = target.model
        self._emit(
            CallEnded(
                model.provider,
                model.name,
                call.step,
                outcome,
                kind.value if kind else "",
                (now_s - attempt.started_s) * 1e3,
                first_ms,
                usage,
            )
        )

    def _judge(self, target: Target, outcome: CallOutcome, kind: Kind | None, now_s: float) -> None:
        """Tells the breaker; that a key is rate limited says nothing of the model."""
        breaker = target.breaker
        before = breaker.state(now_s)
        if outcome is CallOutcome.WON:
            breaker.succeeded(now_s)
            self._budget.succeeded()
        elif outcome is CallOutcome.LOST or kind is Kind.RATE_LIMITED:
            breaker.cancelled(now_s)
        else:
            breaker.failed(now_s)
            self._budget.failed()
        if (after := breaker.state(now_s)) is not before:
            self._emit(BreakerMoved(target.model.provider, target.model.name, after.value))


def _valid(call: Call[Out], text: str) -> Out:
    """The answer as the engine takes it. Raises ModelError where it fits no schema, or makes no sense."""
    assert call.schema, "only a structured step has a whole answer"
    assert call.read, "a schema comes with its reader"
    try:
        return call.read(call.schema.model_validate_json(text))
    except ValidationError as error:
        raise ModelError(Kind.INVALID_OUTPUT, f"fits no schema: {error.error_count()} faults") from None
    except ValueError as error:
        raise ModelError(Kind.INVALID_OUTPUT, str(error)) from None


async def _joined(attempt: _Attempt[Leg], said: str) -> AsyncGenerator[str, None]:
    """The stream's text, without what was said already; the stream is gone when this ends."""
    leg = attempt.result
    assert leg is not None, "a stream that has won has begun"
    seam = Seam(said) if said else None
    try:
        async with aclosing(leg.pieces()) as pieces:
            async for piece in pieces:
                if text := seam.feed(piece) if seam else piece:
                    yield text
        if seam and (rest := seam.finish()):
            yield rest
    finally:
        await leg.aclose()


def _taken_up(call: Call[str], said: str) -> Call[str]:
    """The same question to another model, which goes on from what the buyer has read."""
    wanted = (
        f"{call.prompt.user}\nYou have written this part of your reply already, and the buyer has read it: "
        f"{fenced(said)}\nWrite only what comes after it. If it is complete, end it with a few words."
    )
    return replace(call, prompt=Prompt(call.prompt.system, wanted))


def _said(target: Target, error: ModelError) -> str:
    return f"{target.model.provider} {target.model.name}: {error}"


def _size(call: Call[Any]) -> int:
    """The prompt's size in tokens, roughly."""
    return estimated(call).input


def _now_s() -> float:
    return asyncio.get_running_loop().time()

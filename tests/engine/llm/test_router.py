"""Routing as a turn sees it, in virtual time: who answers, who pays, and what is left when everybody fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from engine.complexity import Tier
from engine.deadline import Deadline
from engine.errors import ModelsFailed
from engine.events import BreakerMoved, CallEnded, CallOutcome, Event, Hedged
from engine.llm.breaker import Breaker, BreakerSettings
from engine.llm.hedging import HedgeBudget
from engine.llm.model import Kind, ModelError, Prices
from engine.llm.race import StreamTimeouts
from engine.llm.router import Router, RouterSettings, Target
from engine.step import Routing, Served
from tests.engine.llm.models import TOKENS, Does, ScriptedModel, structured, text
from tests.virtual_time import cancelled_at, other_tasks, run, virtual_loop

BUSY = ModelError(Kind.OVERLOADED, "try later")
GONE = ModelError(Kind.CONNECTION, "reset by peer")
REFUSED = ModelError(Kind.AUTH, "invalid x-api-key")
PRICES = Prices(input=1.0, output=5.0)


def says(after_s: float, number: int) -> list[Does]:
    return [after_s, json.dumps({"number": number}), TOKENS]


def writes(after_s: float, *pieces: Does) -> list[Does]:
    return [after_s, *pieces, TOKENS]


@dataclass
class Routed:
    """A router over two models, and what became of a call."""

    models: list[ScriptedModel]
    router: Router
    events: list[Event] = field(default_factory=list)
    served: Served = field(default_factory=Served)

    def ended(self) -> list[tuple[str, CallOutcome, str]]:
        return [(e.provider, e.outcome, e.kind) for e in self.events if isinstance(e, CallEnded)]

    async def answer(self, routing: Routing, within_s: float = 60.0) -> int:
        deadline = Deadline(asyncio.get_running_loop().time() + within_s)
        try:
            return await self.router.answer(structured(routing), deadline, self.served)
        finally:
            self.check()

    async def write(self, routing: Routing, within_s: float = 60.0) -> str:
        said = ""
        deadline = Deadline(asyncio.get_running_loop().time() + within_s)
        try:
            async with aclosing(self.router.stream(text(routing), deadline, self.served)) as pieces:
                async for piece in pieces:
                    said += piece
        except ModelsFailed as error:
            said += f"|{error}"
        self.check()
        return said

    def check(self) -> None:
        """However it ends: no call is open, and every call is accounted for."""
        assert [model.open for model in self.models] == [0] * len(self.models)
        assert len(self.ended()) == sum(len(model.calls) for model in self.models) == self.served.calls


def routed(
    *scripts: Sequence[Sequence[Does]], budget: HedgeBudget | None = None, breaker: BreakerSettings | None = None
) -> Routed:
    models = [
        ScriptedModel(name, script) for name, script in zip(("anthropic", "openai", "third"), scripts, strict=False)
    ]
    targets = [Target(model, PRICES, Breaker(breaker or BreakerSettings())) for model in models]
    settings = RouterSettings(Routing.RACE, StreamTimeouts(2.0, 1.0, 20.0), answer_timeout_s=5.0)
    events: list[Event] = []
    router = Router({Tier.FAST: targets}, settings, budget or HedgeBudget(), events.append, lambda: 0.0)
    return Routed(models, router, events)


# -- structured steps


def test_a_race_is_won_by_the_first_valid_answer_not_by_the_first_answer() -> None:
    async def race() -> Routed:
        of = routed([[0.1, "no JSON", TOKENS]], [says(0.5, 7)])
        assert await of.answer(Routing.RACE) == 7
        assert virtual_loop().time() == pytest.approx(0.5)
        return of

    of = run(race())
    assert of.ended() == [
        ("anthropic", CallOutcome.FAILED, "invalid_output"),
        ("openai", CallOutcome.WON, ""),
    ]
    assert (of.served.provider, of.served.model, of.served.tier) == ("openai", "model", Tier.FAST)


@pytest.mark.parametrize("answer", ['{"number": "x"}', '{"number": -1}', '{"number": 1, "more": 2}', "{"])
def test_an_answer_that_fits_no_schema_or_makes_no_sense_is_no_answer(answer: str) -> None:
    async def alone() -> Routed:
        of = routed([[0.1, answer, TOKENS], says(0.1, 3)])
        assert await of.answer(Routing.SINGLE) == 3
        return of

    assert run(alone()).ended()[0] == ("anthropic", CallOutcome.FAILED, "invalid_output")


def test_losers_cost_and_their_cost_is_an_estimate() -> None:
    async def race() -> Routed:
        of = routed([says(0.1, 1)], [says(9.0, 2)])
        await of.answer(Routing.RACE)
        return of

    of = run(race())
    usage = of.served.usage
    assert of.served.calls == 2
    assert usage.cost_usd == pytest.approx(PRICES.cost_usd(TOKENS) + usage.wasted_cost_usd)
    assert usage.wasted_tokens > 0
    assert usage.estimated
    assert of.models[1].cancelled == 1


def test_failover_asks_the_next_one_at_once_and_never_a_third() -> None:
    async def fail_over() -> Routed:
        of = routed([[0.2, BUSY]], [says(0.3, 4)])
        assert await of.answer(Routing.FAILOVER) == 4
        assert virtual_loop().time() == pytest.approx(0.5)
        return of

    assert [who for who, _, _ in run(fail_over()).ended()] == ["anthropic", "openai"]


def test_when_all_fail_the_error_says_what_each_one_said() -> None:
    async def fail() -> str:
        of = routed([[0.1, REFUSED]], [[0.2, ModelError(Kind.OTHER, "no such model")]])
        with pytest.raises(ModelsFailed) as caught:
            await of.answer(Routing.RACE)
        return caught.value.message

    message = run(fail())
    assert "anthropic model: auth: invalid x-api-key" in message
    assert "openai model: other: no such model" in message


def test_nobody_is_waited_for_after_the_deadline() -> None:
    async def late() -> None:
        of = routed([says(30.0, 1)], [says(30.0, 2)])
        with pytest.raises(ModelsFailed, match="in time"):
            await of.answer(Routing.RACE, within_s=1.5)
        assert virtual_loop().time() == pytest.approx(1.5)
        assert [outcome for _, outcome, _ in of.ended()] == [CallOutcome.LOST, CallOutcome.LOST]

    run(late())


def test_an_answer_that_takes_too_long_is_a_failure_of_its_model() -> None:
    async def slow() -> Routed:
        of = routed([says(30.0, 1)], [says(0.1, 2)])
        assert await of.answer(Routing.FAILOVER) == 2
        assert virtual_loop().time() == pytest.approx(5.1)
        return of

    assert run(slow()).ended()[0] == ("anthropic", CallOutcome.FAILED, "timeout")


def test_whoever_is_cancelled_pays_for_what_was_begun() -> None:
    async def cancelled() -> Routed:
        of = routed([says(9.0, 1)], [says(9.0, 2)])
        task = asyncio.create_task(of.answer(Routing.RACE))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return of

    of = run(cancelled())
    assert [model.cancelled for model in of.models] == [1, 1]
    assert of.served.usage.wasted_tokens > 0


# -- hedging


def test_a_hedge_waits_for_the_usual_time_and_spends_budget() -> None:
    async def hedged() -> tuple[Routed, float]:
        of = routed([says(0.4, 1)], [says(0.4, 2)], budget=HedgeBudget(share=0.05))
        for _ in range(40):
            await of.answer(Routing.HEDGE)
        assert not any(isinstance(event, Hedged) for event in of.events)
        began_s = virtual_loop().time()
        for model in of.models:
            model.scripts = [says(30.0, 1)]
        asked = asyncio.create_task(of.answer(Routing.HEDGE))
        await asyncio.sleep(0.1)
        (idle,) = [model for model in of.models if not model.open]
        idle.scripts = [says(0.2, 2)]
        assert await asked == 2
        return of, virtual_loop().time() - began_s

    of, took_s = run(hedged())
    assert took_s == pytest.approx(0.4 + 0.2, rel=0.1)
    assert sum(isinstance(event, Hedged) for event in of.events) == 1


def test_without_budget_a_straggler_is_waited_for() -> None:
    async def poor() -> float:
        budget = HedgeBudget(share=0.0)
        budget.hedged()
        of = routed([*[says(0.4, 1)] * 20, says(4.0, 1)], budget=budget)
        for _ in range(20):
            await of.answer(Routing.HEDGE)
        began_s = virtual_loop().time()
        await of.answer(Routing.HEDGE)
        return virtual_loop().time() - began_s

    assert run(poor()) == pytest.approx(4.0)


# -- what breakers keep from being asked


def test_a_model_that_keeps_failing_is_left_alone_until_a_probe_succeeds() -> None:
    async def broken() -> Routed:
        failing: list[list[Does]] = [[0.0, BUSY]] * 5
        of = routed(
            [*failing, says(0.1, 9)], breaker=BreakerSettings(outcomes_min=5, moment_s=0.0, open_s=3.0, open_s_max=3.0)
        )
        with pytest.raises(ModelsFailed):
            await of.answer(Routing.SINGLE, within_s=2.0)
        calls = len(of.models[0].calls)
        with pytest.raises(ModelsFailed, match="none could be asked"):
            await of.answer(Routing.SINGLE)
        assert len(of.models[0].calls) == calls
        await asyncio.sleep(3.0)
        assert await of.answer(Routing.SINGLE) == 9
        return of

    moved = [event.state for event in run(broken()).events if isinstance(event, BreakerMoved)]
    assert moved == ["open", "closed"]


def test_a_lost_race_speaks_against_nobody() -> None:
    async def lose() -> Routed:
        of = routed([says(0.1, 1)], [says(5.0, 2)], breaker=BreakerSettings(outcomes_min=1))
        for _ in range(30):
            await of.answer(Routing.RACE)
        return of

    of = run(lose())
    assert len(of.models[1].calls) == 30
    assert not any(isinstance(event, BreakerMoved) for event in of.events)


# -- streams


def test_a_streams_race_is_won_by_the_first_text() -> None:
    async def race() -> Routed:
        # The first to answer with headers is not the first to say something.
        of = routed([writes(0.0, 0.9, "slow")], [writes(0.2, "quick ", 0.1, "and good")])
        assert await of.write(Routing.RACE) == "quick and good"
        return of

    of = run(race())
    assert of.ended() == [("anthropic", CallOutcome.LOST, ""), ("openai", CallOutcome.WON, "")]
    (first_ms,) = [e.first_text_ms for e in of.events if isinstance(e, CallEnded) and e.outcome is CallOutcome.WON]
    assert first_ms == pytest.approx(200)


def test_a_stream_that_dies_is_taken_up_where_it_stopped() -> None:
    async def taken_up() -> Routed:
        of = routed([writes(0.1, "That comes to ", 0.1, GONE)], [writes(0.1, "comes to $2,450", " a month.")])
        assert await of.write(Routing.FAILOVER) == "That comes to $2,450 a month."
        return of

    of = run(taken_up())
    assert '"That comes to "' in of.models[1].calls[0].prompt.user
    assert of.ended() == [("anthropic", CallOutcome.FAILED, "connection"), ("openai", CallOutcome.WON, "")]


def test_a_stream_that_cannot_be_taken_up_ends_with_what_was_said() -> None:
    async def broken() -> str:
        of = routed([writes(0.1, "One ", GONE)], [writes(0.1, "two ", GONE), [0.1, REFUSED]])
        return await of.write(Routing.FAILOVER)

    said = run(broken())
    assert said.startswith("One two |")


def test_a_caller_who_leaves_in_the_middle_ends_the_call() -> None:
    async def leave() -> Routed:
        of = routed([writes(0.1, "One ", 5.0, "two")])
        pieces = of.router.stream(text(Routing.SINGLE), Deadline(60.0), of.served)
        assert await anext(pieces) == "One "
        await pieces.aclose()
        of.check()
        return of

    of = run(leave())
    assert of.ended() == [("anthropic", CallOutcome.LOST, "")]
    assert of.models[0].cancelled == 1


def test_a_stream_is_cut_at_its_deadline() -> None:
    async def late() -> str:
        of = routed([writes(0.1, *(("on ", 0.5) * 40))])
        return await of.write(Routing.SINGLE, within_s=3.0)

    said = run(late())
    assert said.startswith("on on ")
    assert "timeout" in said


@pytest.mark.parametrize("kind", ["text", "answer"])
@pytest.mark.parametrize("routing", list(Routing))
def test_cancelled_at_any_step_a_call_leaves_nothing_behind(routing: Routing, kind: str) -> None:
    def scripts() -> list[list[list[Does]]]:
        return [
            [writes(0.1, "One ", 0.1, GONE), writes(0.1, "three")],
            [writes(0.2, "two ", 0.2, GONE), writes(0.3, "!")],
        ]

    async def once(point: int) -> bool:
        of = routed(*scripts())
        work: Any = of.write(routing) if kind == "text" else of.answer(routing)
        task, cut = await cancelled_at(point, work)
        of.check()
        assert other_tasks() == set()
        assert task.cancelled() == cut
        return cut

    points = 1
    while run(once(points)):
        points += 1
    assert points > 5

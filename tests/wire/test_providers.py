"""Both providers through their real SDKs, over real TLS and our HTTP/2: what comes back, and every way it goes wrong."""

from __future__ import annotations

import asyncio
import json

import pytest

from benchmarks.simulator import Fault, Rule, SimulatorSettings
from engine.llm.model import Kind, ModelError, Tokens
from tests.wire.simulated import PROVIDERS, Simulated, against, numbers, said, until, words

TEXT = "Happy to help. What would you like to know first?"
of_both = pytest.mark.parametrize("provider", PROVIDERS)


def fails(provider: str, rule: Rule, *, stream: bool = False, **settings: object) -> ModelError:
    async def once(of: Simulated) -> ModelError:
        model = of.model(provider)
        with pytest.raises(ModelError) as caught:
            await (said(model, words()) if stream else model.answer(numbers()))
        return caught.value

    return against(once, rule, **settings)


@of_both
def test_a_structured_answer_fits_its_schema(provider: str) -> None:
    async def once(of: Simulated) -> tuple[str, Tokens]:
        return await of.model(provider).answer(numbers())

    text, tokens = against(once)
    assert json.loads(text) == {"number": 1}
    assert tokens.input > 0
    assert tokens.output > 0


@of_both
def test_a_stream_comes_piece_by_piece_and_ends_with_what_it_took(provider: str) -> None:
    async def once(of: Simulated) -> tuple[list[str], Tokens]:
        pieces = [piece async for piece in of.model(provider).stream(words())]
        assert isinstance(pieces[-1], Tokens)
        return [piece for piece in pieces if isinstance(piece, str)], pieces[-1]

    pieces, tokens = against(once)
    assert len(pieces) > 3
    assert "".join(pieces) == TEXT
    assert tokens.output == len(pieces)


@of_both
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.RATE_LIMITED, Kind.RATE_LIMITED),
        (Fault.ERROR, Kind.OVERLOADED),
        (Fault.OVERLOADED, Kind.OVERLOADED),
        (Fault.UNAUTHORIZED, Kind.AUTH),
        (Fault.KILL, Kind.CONNECTION),
        (Fault.TRUNCATE_RESET, Kind.CONNECTION),
        (Fault.TRUNCATE_CLEAN, Kind.INVALID_OUTPUT),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
def test_what_goes_wrong_has_a_kind(provider: str, fault: Fault, kind: Kind, *, stream: bool) -> None:
    error = fails(provider, Rule(fault=fault), stream=stream)
    assert error.kind is kind
    assert error.said


@of_both
def test_an_error_in_the_middle_of_a_stream_is_one(provider: str) -> None:
    assert fails(provider, Rule(fault=Fault.SSE_ERROR), stream=True).kind is Kind.OVERLOADED


@of_both
def test_the_providers_own_words_are_kept(provider: str) -> None:
    assert "simulated 500" in fails(provider, Rule(fault=Fault.ERROR)).said


@of_both
@pytest.mark.parametrize(
    ("value", "seconds"), [("2", 2.0), ("1500ms", 1.5), ("Wed, 17 Mar 2027 12:00:30 GMT", 30.0), ("soon", 1.0)]
)
def test_retry_after_is_read_in_all_its_forms(provider: str, value: str, seconds: float) -> None:
    error = fails(provider, Rule(fault=Fault.RATE_LIMITED, value=value))
    assert error.retry_after_s == pytest.approx(seconds, abs=0.2)


@of_both
def test_a_wrong_key_is_refused_and_never_shown(provider: str) -> None:
    async def once(of: Simulated) -> ModelError:
        with pytest.raises(ModelError) as caught:
            await of.model(provider, "wrong-secret").answer(numbers())
        return caught.value

    error = against(once, settings=SimulatorSettings(keys=frozenset({"right"})))
    assert error.kind is Kind.AUTH
    assert "wrong-secret" not in str(error)


@of_both
def test_a_limited_key_rests_and_another_one_answers(provider: str) -> None:
    async def once(of: Simulated) -> None:
        model = of.model(provider, "key-one", "key-two")
        with pytest.raises(ModelError) as caught:
            await model.answer(numbers())
        assert caught.value.retry_after_s == 0, "the other one is free at once"
        for _ in range(10):
            await model.answer(numbers())
        assert sorted(of.simulator.stats.by_key.values()) == [1, 10]

    against(once, Rule(fault=Fault.RATE_LIMITED, times=1, value="60"))


@of_both
def test_a_call_that_is_cancelled_before_its_headers_is_reset(provider: str) -> None:
    async def once(of: Simulated) -> None:
        calls = [asyncio.create_task(of.model(provider).answer(numbers())) for _ in range(20)]
        await until(lambda: of.simulator.stats.requests == 20)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        await until(lambda: of.simulator.stats.resets == 20)
        assert of.simulator.stats.open_streams == 0

    against(once, Rule(fault=Fault.HANG))


@of_both
def test_a_stream_that_is_left_is_reset(provider: str) -> None:
    async def once(of: Simulated) -> None:
        pieces = of.model(provider).stream(words())
        await anext(pieces)
        await pieces.aclose()
        await until(lambda: of.simulator.stats.resets == 1)
        assert of.simulator.stats.open_streams == 0

    against(once, Rule(fault=Fault.STALL))


@of_both
def test_a_graceful_goaway_disturbs_nobody(provider: str) -> None:
    async def once(of: Simulated) -> None:
        model = of.model(provider)
        for _ in range(30):
            text, _ = await said(model, words())
            assert text == TEXT
        answers = await asyncio.gather(*(model.answer(numbers()) for _ in range(200)))
        assert len(answers) == 200

    against(once, Rule(fault=Fault.GOAWAY, every=20))


@of_both
def test_what_a_server_did_not_process_is_sent_again(provider: str) -> None:
    async def once(of: Simulated) -> None:
        text, _ = await of.model(provider).answer(numbers())
        assert json.loads(text) == {"number": 1}

    against(once, Rule(fault=Fault.GOAWAY_ABRUPT, times=1))


def test_a_schema_goes_to_both_as_their_apis_want_it() -> None:
    seen = {}

    async def once(of: Simulated) -> None:
        for provider in PROVIDERS:
            model = of.model(provider, extra={"service_tier": "fast"})
            seen[provider] = model._dialect.body(numbers(), "m", model._extra, stream=False)

    against(once)
    for schema in (
        seen["anthropic"]["output_config"]["format"]["schema"],
        seen["openai"]["response_format"]["json_schema"]["schema"],
    ):
        assert schema["additionalProperties"] is False
        assert schema["required"] == ["number"]
    assert seen["openai"]["temperature"] == 0.0
    assert "temperature" not in seen["anthropic"]

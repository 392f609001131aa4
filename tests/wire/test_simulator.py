"""The simulator by itself: it is as late as its shape says, as wrong as its rules say, and counts right."""

from __future__ import annotations

import asyncio
import json
import math
import statistics
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.simulator import Fault, Rule, Simulator, SimulatorSettings
from benchmarks.simulator.faults import Faults
from benchmarks.simulator.latency import preset, presets, timing
from benchmarks.simulator.wire import tokens
from engine.llm.http2 import HttpSettings, new_client
from tests.engine.llm.models import Number

TEXT = "Happy to help. What would you like to know first?"
over_both = pytest.mark.parametrize("http2", [True, False], ids=["HTTP/2", "HTTP/1.1"])


def with_clients(work: Any, *rules: Rule, http2: bool = True, settings: SimulatorSettings | None = None) -> Any:
    """Runs work with both SDKs as their users have them: over stock httpx2."""

    async def whole() -> Any:
        async with Simulator(settings or SimulatorSettings()) as simulator:
            simulator.misbehave(*rules)
            async with httpx2.AsyncClient(verify=simulator.context(), http2=http2, trust_env=False) as http:
                claude = anthropic.AsyncAnthropic(
                    base_url=simulator.url, api_key="key", http_client=http, max_retries=0
                )
                gpt = openai.AsyncOpenAI(base_url=f"{simulator.url}/v1", api_key="key", http_client=http, max_retries=0)
                return await work(simulator, claude, gpt)

    return asyncio.run(whole())


SAY: list[Any] = [{"role": "user", "content": "Say something."}]


@over_both
def test_both_sdks_read_whole_answers_streams_and_structures(*, http2: bool) -> None:
    async def work(simulator: Simulator, claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI) -> None:
        message = await claude.messages.create(model="fast", max_tokens=99, messages=SAY)
        assert message.content[0].text == TEXT  # type: ignore[union-attr]
        assert message.usage.output_tokens > 0
        completion = await gpt.chat.completions.create(model="fast", messages=SAY)
        assert completion.choices[0].message.content == TEXT
        async with claude.messages.stream(model="fast", max_tokens=99, messages=SAY) as stream:
            assert await stream.get_final_text() == TEXT
        pieces = [
            chunk.choices[0].delta.content or ""
            async for chunk in await gpt.chat.completions.create(model="fast", messages=SAY, stream=True)
        ]
        assert "".join(pieces) == TEXT
        parsed = await claude.messages.parse(model="fast", max_tokens=99, messages=SAY, output_format=Number)
        assert parsed.parsed_output == Number(number=1)
        chosen = await gpt.chat.completions.parse(model="fast", messages=SAY, response_format=Number)
        assert chosen.choices[0].message.parsed == Number(number=1)
        assert simulator.stats.requests == simulator.stats.finished == 6
        assert {one.protocol for one in simulator.stats.connections} == {"HTTP/2" if http2 else "HTTP/1.1"}

    with_clients(work, http2=http2)


@over_both
@pytest.mark.parametrize(
    ("fault", "of_claude", "of_gpt"),
    [
        (Fault.RATE_LIMITED, anthropic.RateLimitError, openai.RateLimitError),
        (Fault.ERROR, anthropic.InternalServerError, openai.InternalServerError),
        (Fault.OVERLOADED, anthropic.OverloadedError, openai.InternalServerError),
        (Fault.UNAUTHORIZED, anthropic.AuthenticationError, openai.AuthenticationError),
        (Fault.KILL, anthropic.APIConnectionError, openai.APIConnectionError),
    ],
)
def test_faults_are_what_the_sdks_know(
    fault: Fault, of_claude: type[Exception], of_gpt: type[Exception], *, http2: bool
) -> None:
    async def work(simulator: Simulator, claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI) -> None:
        with pytest.raises(of_claude):
            await claude.messages.create(model="fast", max_tokens=99, messages=SAY)
        with pytest.raises(of_gpt):
            await gpt.chat.completions.create(model="fast", messages=SAY)
        assert simulator.stats.faults == {fault.value: 2}

    with_clients(work, Rule(fault=fault), http2=http2)


def test_what_an_api_would_refuse_is_refused() -> None:
    async def work(simulator: Simulator, claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI) -> None:
        with pytest.raises(anthropic.BadRequestError, match="at least one message"):
            await claude.messages.create(model="fast", max_tokens=99, messages=[])
        with pytest.raises(openai.AuthenticationError):
            await gpt.with_options(api_key="wrong").chat.completions.create(model="fast", messages=SAY)
        assert simulator.stats.finished == 0

    with_clients(work, settings=SimulatorSettings(keys=frozenset({"key"})))


def test_it_is_set_and_asked_while_it_runs() -> None:
    async def work(simulator: Simulator, claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI) -> None:
        async with httpx2.AsyncClient(verify=simulator.context(), trust_env=False, base_url=simulator.url) as http:
            rules = [{"fault": "error", "provider": "openai", "times": 1}]
            assert (await http.put("/_sim/faults", content=json.dumps(rules))).status_code == 200
            await claude.messages.create(model="fast", max_tokens=99, messages=SAY)
            with pytest.raises(openai.InternalServerError):
                await gpt.chat.completions.create(model="fast", messages=SAY)
            seen = (await http.get("/_sim/stats")).json()
            assert (seen["requests"], seen["faults"], seen["by_key"]) == (2, {"error": 1}, {"key": 2})
            assert seen["by_model"] == {"anthropic fast": 1, "openai fast": 1}
            assert len(seen["connections"]) >= 1
            wrong = await http.put("/_sim/faults", content='[{"fault": "boredom"}]')
            assert wrong.status_code == 400
            assert "boredom" in wrong.text
            await http.post("/_sim/reset")
            assert (await http.get("/_sim/stats")).json()["requests"] == 0

    with_clients(work)


def one_connection(simulator: Simulator) -> httpx2.AsyncClient:
    return new_client(HttpSettings(connections_max=1, new_context=simulator.context))


def test_fewer_streams_are_kept_to_while_it_runs() -> None:
    async def once() -> None:
        async with Simulator(SimulatorSettings()) as simulator, one_connection(simulator) as http:
            await http.get(f"{simulator.url}/v1/models")
            assert (await http.put(f"{simulator.url}/_sim/streams", content="2")).status_code == 200
            answers = await asyncio.gather(*(http.get(f"{simulator.url}/v1/models") for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
            assert (await http.put(f"{simulator.url}/_sim/streams", content="none")).status_code == 400

    asyncio.run(once())


# -- how late it is


@pytest.mark.parametrize("name", presets())
def test_every_preset_reads(name: str) -> None:
    assert preset(name).of("claude-haiku-5-5").first_ms <= preset(name).of("gpt-6.2-sol").first_ms


def test_the_same_call_is_as_late_every_time_and_another_is_not() -> None:
    shape = preset("realistic")
    one = timing(shape, 7, "anthropic", "haiku", "a question", 500)
    assert one == timing(shape, 7, "anthropic", "haiku", "a question", 500)
    assert one != timing(shape, 7, "anthropic", "haiku", "another", 500)
    assert one != timing(shape, 8, "anthropic", "haiku", "a question", 500)


def test_one_call_after_the_other_takes_what_the_original_took() -> None:
    """Capture, detect and generate with the original's prompts: a p95 of about 505 ms."""
    shape = preset("original")
    steps = (("capture", "haiku", 500, 40), ("detect", "haiku", 400, 20), ("generate", "sonnet", 600, 60))
    turns = []
    for number in range(3000):
        of = [
            (timing(shape, 0, "anthropic", model, f"{step} {number}", asked), written)
            for step, model, asked, written in steps
        ]
        turns.append(sum(one.first_s + one.gap_s * written for one, written in of))
    p95_ms = statistics.quantiles(turns, n=20)[-1] * 1e3
    assert p95_ms == pytest.approx(505, rel=0.03)


@given(st.floats(0, 1))
def test_two_providers_are_as_alike_as_is_set(correlation: float) -> None:
    shape = preset("original").model_copy(update={"correlation": correlation})
    pairs = [
        [math.log(timing(shape, 0, provider, "haiku", str(call), 100).first_s) for provider in ("anthropic", "openai")]
        for call in range(400)
    ]
    assert statistics.correlation(*zip(*pairs, strict=True)) == pytest.approx(correlation, abs=0.2)


def test_a_share_of_the_calls_are_stragglers() -> None:
    shape = preset("realistic")
    times = sorted(timing(shape, 0, "anthropic", "haiku", str(call), 500).first_s for call in range(4000))
    slow = sum(one > 3 * times[2000] for one in times) / len(times)
    assert slow == pytest.approx(0.05, abs=0.015)


# -- what goes wrong


def test_rules_meet_the_calls_that_they_are_for() -> None:
    faults = Faults(0)
    faults.set([Rule(fault=Fault.ERROR, provider="openai", every=3), Rule(fault=Fault.HANG, model="sonnet", times=2)])
    met = [faults.meets("openai", "luna", stream=False) for _ in range(9)]
    assert [rule is not None for rule in met] == [False, False, True] * 3
    assert [bool(faults.meets("anthropic", "sonnet-5", stream=True)) for _ in range(4)] == [True, True, False, False]
    assert faults.meets("anthropic", "haiku", stream=True) is None


def test_a_share_is_a_share() -> None:
    faults = Faults(1)
    faults.set([Rule(fault=Fault.ERROR, share=0.2, only="stream")])
    assert not any(faults.meets("openai", "luna", stream=False) for _ in range(100))
    assert sum(bool(faults.meets("openai", "luna", stream=True)) for _ in range(2000)) == pytest.approx(400, abs=60)


def test_a_rule_with_a_typo_is_refused() -> None:
    with pytest.raises(ValidationError):
        Rule.model_validate({"fault": "error", "shar": 0.5})


@given(st.text(max_size=80))
def test_tokens_are_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text
    assert all(tokens(text))

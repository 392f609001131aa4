"""CPU of a streamed token: our reading of the streams, beside the SDKs' own objects, from the same simulator.

    .venv/bin/python -m benchmarks.tokens

The simulator runs in a process of its own and writes a long text without any delay. Both readings go through the same SDK,
over the same HTTP/2 transport.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import anthropic
import numpy as np
import openai
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import serving
from engine.complexity import Tier
from engine.llm.anthropic import Messages
from engine.llm.http2 import HttpSettings, new_client
from engine.llm.keys import Keys
from engine.llm.openai import ChatCompletions
from engine.llm.remote import Dialect, Remote
from engine.step import Call, Prompt

_ROUNDS = 15
_SAY: list[Any] = [{"role": "user", "content": "Go on."}]


async def cpu_us(stream: Callable[[], Awaitable[int]]) -> float:
    """Microseconds of this process's CPU a token; the median of some rounds."""
    rounds = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        tokens = await stream()
        rounds.append((time.process_time() - began) * 1e6 / tokens)
    return float(np.median(rounds))


async def measure() -> Table:
    table = Table("provider", "ours µs a token", "the SDK's own", "ratio")
    with serving.providers("instant", answers="long") as simulated:
        context = ssl.create_default_context(cafile=str(simulated.ca_file))
        async with new_client(HttpSettings(new_context=lambda: context)) as http:
            claude_url, gpt_url = f"https://localhost:{simulated.port}", f"https://127.0.0.1:{simulated.port}/v1"
            claude = anthropic.AsyncAnthropic(base_url=claude_url, api_key="k", http_client=http, max_retries=0)
            gpt = openai.AsyncOpenAI(base_url=gpt_url, api_key="k", http_client=http, max_retries=0)
            dialects: dict[str, Dialect] = {
                "anthropic": Messages(["k"], claude_url, http, now),
                "openai": ChatCompletions(["k"], gpt_url, http, now, takes_temperature=False),
            }

            async def of_claude() -> int:
                return await count(await claude.messages.create(model="m", max_tokens=9999, messages=_SAY, stream=True))

            async def of_gpt() -> int:
                return await count(await gpt.chat.completions.create(model="m", messages=_SAY, stream=True))

            for name, sdk in (("anthropic", of_claude), ("openai", of_gpt)):
                model = Remote(name, "m", dialects[name], Keys(["k"]), {}, random.Random(0).random, now)
                call: Call[str] = Call("write", Tier.FAST, None, Prompt("Write.", "Go on."), 9999, 0.5)

                async def ours(model: Remote = model, call: Call[str] = call) -> int:
                    return await count(model.stream(call))

                mine, theirs = await cpu_us(ours), await cpu_us(sdk)
                table.add_row(name, f"{mine:.1f}", f"{theirs:.1f}", f"{mine / theirs:.2f}")
    return table


async def count(pieces: AsyncIterator[object]) -> int:
    return sum([1 async for _ in pieces])


def now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    Console().print(uvloop.run(measure()))

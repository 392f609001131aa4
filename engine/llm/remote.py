"""A model behind an HTTP API: one call, from the step's question to its answer, over an official SDK.

The SDKs authenticate, address and send; what comes back is read here, as their own objects
cost more than all the rest of a call (see FINDINGS: 103 µs a token against 27). What differs
between providers is their `Dialect`. Whatever one's stream looks like, it is held to the
same rule: it has ended only where the provider says that it has finished.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from pydantic import BaseModel

from engine.llm.keys import Keys
from engine.llm.model import Kind, ModelError, Tokens, kind_of, retry_after_s
from engine.step import Call

Json = Mapping[str, Any]


class Response(Protocol):
    """An answer of an SDK, unread."""

    @property
    def http_response(self) -> Any: ...  # noqa: ANN401  (the HTTP client's own)


class Dialect(Protocol):
    """What one provider's API wants and gives. Nothing here waits, but for the two calls of the SDK."""

    @property
    def base_url(self) -> str:
        """Where calls go."""
        ...

    def body(self, call: Call[Any], model: str, extra: Json, *, stream: bool) -> dict[str, Any]:
        """The arguments of the SDK's call."""
        ...

    async def post(self, key: str, body: dict[str, Any]) -> bytes:
        """The whole answer, as it came."""
        ...

    def open(self, key: str, body: dict[str, Any]) -> AbstractAsyncContextManager[Response]:
        """The answer as a stream; leaving it ends the call."""
        ...

    def read(self, answer: Json) -> tuple[str, Tokens]:
        """The text of a whole answer. Raises ModelError where it was not finished."""
        ...

    def heard(self, event: Json, so_far: Heard) -> str:
        """The text of one event of a stream; notes the rest of it in `so_far`. Raises ModelError for an error event."""
        ...

    def failure(self, error: Exception) -> ModelError | None:
        """What an error of the SDK or its HTTP client means; None for one that is neither's."""
        ...


@dataclass(slots=True)
class Heard:
    """What a stream has told so far, besides its text."""

    input: int = 0
    output: int = 0
    cached: int = 0
    finished: bool = False

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.input, self.output, self.cached)


class Remote:
    """See `engine.llm.model.Model`."""

    def __init__(
        self,
        provider: str,
        name: str,
        dialect: Dialect,
        keys: Keys,
        extra: Json,
        draw: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        """`extra` goes into every call's body as it is: what a team wants of its models besides."""
        self.provider = provider
        self.name = name
        self._dialect = dialect
        self._keys = keys
        self._extra = extra
        self._draw = draw
        self._now = now

    async def answer(self, call: Call[Any]) -> tuple[str, Tokens]:
        """See `engine.llm.model.Model`."""
        key = self._key()
        try:
            raw = await self._dialect.post(key, self._dialect.body(call, self.name, self._extra, stream=False))
            return self._dialect.read(_object(raw))
        except Exception as error:
            raise self._failure(error, key) from error

    async def stream(self, call: Call[Any]) -> AsyncGenerator[str | Tokens, None]:
        """See `engine.llm.model.Model`."""
        key = self._key()
        heard = Heard()
        try:
            body = self._dialect.body(call, self.name, self._extra, stream=True)
            async with self._dialect.open(key, body) as response:
                async for line in response.http_response.aiter_lines():
                    if not line.startswith("data:") or line.startswith("data: [DONE]"):
                        continue
                    if text := self._dialect.heard(_object(line[5:]), heard):
                        yield text
        except Exception as error:
            raise self._failure(error, key) from error
        if not heard.finished:
            raise ModelError(Kind.INVALID_OUTPUT, "the stream ended before the answer did")
        yield heard.tokens

    def _key(self) -> str:
        now_s = asyncio.get_running_loop().time()
        key = self._keys.pick(now_s, self._draw())
        if key is None:
            wait_s = self._keys.ready_at_s(now_s) - now_s
            raise ModelError(Kind.RATE_LIMITED, "every API key is cooling down", retry_after_s=wait_s)
        return key

    def _failure(self, error: Exception, key: str) -> Exception:
        """The same in our terms; a key that was refused or limited is spared."""
        failure = error if isinstance(error, ModelError) else self._dialect.failure(error)
        if failure is None:
            return error
        now_s = asyncio.get_running_loop().time()
        if failure.kind is Kind.AUTH:
            self._keys.refused(key, now_s)
        if failure.kind is Kind.RATE_LIMITED:
            self._keys.rate_limited(key, failure.retry_after_s, now_s)
            # Another key may be free at once.
            wait_s = max(0.0, self._keys.ready_at_s(now_s) - now_s)
            return ModelError(failure.kind, failure.said, retry_after_s=wait_s)
        return failure


def status_failure(status: int, said: str, headers: Mapping[str, str], now: datetime) -> ModelError:
    """What an HTTP status means that is no success."""
    return ModelError(kind_of(status), said, retry_after_s=retry_after_s(headers, now))


# Bounds that not every provider takes; and what costs tokens and says nothing.
_LEFT_OUT = frozenset("$defs title default description minimum maximum minLength maxLength pattern".split())


@lru_cache(maxsize=256)
def strict_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema as providers hold their models to: closed, all required, no bounds, no references.

    What is left out here, pydantic still checks.
    """
    whole = schema.model_json_schema()
    strict: dict[str, Any] = _strict(whole, whole.get("$defs", {}))
    return strict


def _strict(node: Any, definitions: Json) -> Any:  # noqa: ANN401  (JSON)
    if isinstance(node, list):
        return [_strict(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if reference := node.get("$ref"):
        return _strict(definitions[str(reference).rpartition("/")[2]], definitions)
    kept = {
        key: (
            {name: _strict(value, definitions) for name, value in item.items()}
            if key == "properties"
            else _strict(item, definitions)
        )
        for key, item in node.items()
        if key not in _LEFT_OUT
    }
    if kept.get("type") == "object":
        kept |= {"additionalProperties": False, "required": list(kept.get("properties", {}))}
    return kept


def _object(raw: str | bytes) -> Json:
    try:
        said = json.loads(raw)
    except ValueError:
        raise ModelError(Kind.INVALID_OUTPUT, "the provider's answer is no JSON") from None
    if not isinstance(said, dict):
        raise ModelError(Kind.INVALID_OUTPUT, "the provider's answer is no JSON object")
    return said


def clients_by_key(keys: Sequence[str], make: Callable[[str], Any]) -> dict[str, Any]:
    """One SDK client a key; they share the HTTP client, and so its connections."""
    return {key: make(key) for key in keys}

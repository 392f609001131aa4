"""The Anthropic Messages API, through the official SDK."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, cast

import anthropic

from engine.llm.http2 import HttpClient, HttpError
from engine.llm.model import Kind, ModelError, Tokens
from engine.llm.remote import Heard, Json, Response, clients_by_key, status_failure, strict_schema
from engine.step import Call

# Its prompt cache holds nothing that is shorter: about 1,024 tokens.
_CACHED_CHARS_MIN = 4096
_ERRORS = {
    "rate_limit_error": Kind.RATE_LIMITED,
    "overloaded_error": Kind.OVERLOADED,
    "api_error": Kind.OVERLOADED,
    "timeout_error": Kind.TIMEOUT,
    "authentication_error": Kind.AUTH,
    "permission_error": Kind.AUTH,
}


class Messages:
    """See `engine.llm.remote.Dialect`."""

    def __init__(
        self, keys: Sequence[str], base_url: str | None, http: HttpClient, now: Callable[[], datetime]
    ) -> None:
        self._now = now

        def client(key: str) -> anthropic.AsyncAnthropic:
            return anthropic.AsyncAnthropic(
                api_key=key, base_url=base_url, http_client=http, max_retries=0, open_telemetry=False
            )

        self._clients: dict[str, anthropic.AsyncAnthropic] = clients_by_key(keys, client)

    @property
    def base_url(self) -> str:
        return str(next(iter(self._clients.values())).base_url)

    def body(self, call: Call[Any], model: str, extra: Json, *, stream: bool) -> dict[str, Any]:
        """The API takes no temperature in this version; a team that wants one sets it in `extra`."""
        system: dict[str, Any] = {"type": "text", "text": call.prompt.system}
        if len(call.prompt.system) >= _CACHED_CHARS_MIN:
            system["cache_control"] = {"type": "ephemeral"}
        body: dict[str, Any] = {
            "model": model,
            "max_tokens": call.tokens_max,
            "system": [system],
            "messages": [{"role": "user", "content": call.prompt.user}],
            "extra_body": extra,
        }
        if call.schema:
            body["output_config"] = {"format": {"type": "json_schema", "schema": strict_schema(call.schema)}}
        if stream:
            body["stream"] = True
        return body

    async def post(self, key: str, body: dict[str, Any]) -> bytes:
        raw = await self._clients[key].messages.with_raw_response.create(**body)
        return cast("bytes", raw.http_response.content)

    def open(self, key: str, body: dict[str, Any]) -> AbstractAsyncContextManager[Response]:
        return self._clients[key].messages.with_streaming_response.create(**body)

    def read(self, answer: Json) -> tuple[str, Tokens]:
        usage = answer.get("usage", {})
        stopped = answer.get("stop_reason")
        if stopped not in {"end_turn", "stop_sequence"}:
            raise ModelError(Kind.INVALID_OUTPUT, f"the answer was not finished: {stopped}")
        text = "".join(part.get("text", "") for part in answer.get("content", ()))
        return text, Tokens(_input(usage), usage.get("output_tokens", 0), usage.get("cache_read_input_tokens") or 0)

    def heard(self, event: Json, so_far: Heard) -> str:
        match event.get("type"):
            case "content_block_delta":
                text: str = event["delta"].get("text", "")
                return text
            case "message_start":
                usage = event["message"].get("usage", {})
                so_far.input, so_far.cached = _input(usage), usage.get("cache_read_input_tokens") or 0
            case "message_delta":
                so_far.output = event.get("usage", {}).get("output_tokens", so_far.output)
                if event["delta"].get("stop_reason") == "refusal":
                    raise ModelError(Kind.INVALID_OUTPUT, "the model refused to answer")
            case "message_stop":
                so_far.finished = True
            case "error":
                error = event.get("error", {})
                raise ModelError(_ERRORS.get(error.get("type"), Kind.OTHER), error.get("message", ""))
        return ""

    def failure(self, error: Exception) -> ModelError | None:
        match error:
            case anthropic.APITimeoutError():
                return ModelError(Kind.TIMEOUT, "the connection gave no answer in time")
            case anthropic.APIConnectionError():
                return ModelError(Kind.CONNECTION, str(error.__cause__ or error))
            case anthropic.APIStatusError():
                said = error.api_message or error.message
                return status_failure(error.status_code, said, error.response.headers, self._now())
            case anthropic.AnthropicError():
                return ModelError(Kind.OTHER, str(error))
            case HttpError():
                return ModelError(Kind.CONNECTION, str(error) or type(error).__name__)
        return None


def _input(usage: Json) -> int:
    """All of the prompt's tokens: the API counts those apart that its cache held, or was given."""
    parts = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(usage.get(part) or 0 for part in parts)

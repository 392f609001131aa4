"""The OpenAI Chat Completions API, and whatever speaks it, through the official SDK."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, cast

import openai

from engine.llm.http2 import HttpClient, HttpError
from engine.llm.model import Kind, ModelError, Tokens
from engine.llm.remote import Heard, Json, Response, clients_by_key, status_failure, strict_schema
from engine.step import Call


class ChatCompletions:
    """See `engine.llm.remote.Dialect`."""

    def __init__(
        self,
        keys: Sequence[str],
        base_url: str | None,
        http: HttpClient,
        now: Callable[[], datetime],
        *,
        takes_temperature: bool,
    ) -> None:
        """`takes_temperature` is False for models that refuse one, as those do that reason."""
        self._now = now
        self._takes_temperature = takes_temperature

        def client(key: str) -> openai.AsyncOpenAI:
            return openai.AsyncOpenAI(api_key=key, base_url=base_url, http_client=http, max_retries=0)

        self._clients: dict[str, openai.AsyncOpenAI] = clients_by_key(keys, client)

    @property
    def base_url(self) -> str:
        return str(next(iter(self._clients.values())).base_url)

    def body(self, call: Call[Any], model: str, extra: Json, *, stream: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "max_completion_tokens": call.tokens_max,
            "messages": [
                {"role": "system", "content": call.prompt.system},
                {"role": "user", "content": call.prompt.user},
            ],
            "extra_body": extra,
        }
        if self._takes_temperature:
            body["temperature"] = call.temperature
        if call.schema:
            schema = {"name": call.step, "schema": strict_schema(call.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    async def post(self, key: str, body: dict[str, Any]) -> bytes:
        raw = await self._clients[key].chat.completions.with_raw_response.create(**body)
        return cast("bytes", raw.http_response.content)

    def open(self, key: str, body: dict[str, Any]) -> AbstractAsyncContextManager[Response]:
        return self._clients[key].chat.completions.with_streaming_response.create(**body)

    def read(self, answer: Json) -> tuple[str, Tokens]:
        choice: Json = next(iter(answer.get("choices", ())), {})
        if choice.get("finish_reason") != "stop":
            raise ModelError(Kind.INVALID_OUTPUT, f"the answer was not finished: {choice.get('finish_reason')}")
        heard = Heard()
        _count(answer, heard)
        return choice.get("message", {}).get("content") or "", heard.tokens

    def heard(self, event: Json, so_far: Heard) -> str:
        if error := event.get("error"):
            status = error.get("code") if isinstance(error.get("code"), int) else 500
            raise status_failure(status, str(error.get("message", "")), {}, self._now())
        _count(event, so_far)
        text = ""
        for choice in event.get("choices", ()):
            text += choice.get("delta", {}).get("content") or ""
            finished = choice.get("finish_reason")
            if finished == "content_filter":
                raise ModelError(Kind.INVALID_OUTPUT, "the provider's filter ended the answer")
            so_far.finished = so_far.finished or finished is not None
        return text

    def failure(self, error: Exception) -> ModelError | None:
        match error:
            case openai.APITimeoutError():
                return ModelError(Kind.TIMEOUT, "the connection gave no answer in time")
            case openai.APIConnectionError():
                return ModelError(Kind.CONNECTION, str(error.__cause__ or error))
            case openai.APIStatusError():
                return status_failure(error.status_code, error.message, error.response.headers, self._now())
            case openai.OpenAIError():
                return ModelError(Kind.OTHER, str(error))
            case HttpError():
                return ModelError(Kind.CONNECTION, str(error) or type(error).__name__)
        return None


def _count(said: Json, heard: Heard) -> None:
    if usage := said.get("usage"):
        heard.input, heard.output = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
        heard.cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0

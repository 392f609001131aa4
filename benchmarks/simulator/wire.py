"""The two wire formats: what a request asks, and how an answer looks, whole or as server-sent events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_CHARS_PER_TOKEN = 4
Headers = list[tuple[str, str]]


class BadRequest(Exception):
    """A request that the API would refuse; the message is what it would say."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked, whoever the provider is."""

    provider: str
    model: str
    system: str
    user: str
    # A JSON schema, where the answer has to fit one.
    schema: Mapping[str, Any] | None
    stream: bool
    with_usage: bool
    tokens_max: int

    @property
    def prompt_tokens(self) -> int:
        return math.ceil((len(self.system) + len(self.user)) / _CHARS_PER_TOKEN)


def read(path: str, body: bytes) -> Ask:
    """Reads a request. Raises BadRequest."""
    try:
        asked = json.loads(body)
        model, messages = asked["model"], asked["messages"]
    except (ValueError, KeyError, TypeError):
        raise BadRequest("model and messages: field required, in a JSON object") from None
    if not isinstance(messages, list) or not messages or not isinstance(model, str):
        raise BadRequest("messages: at least one message is required")
    said = {
        role: "\n".join(_text(one.get("content")) for one in messages if one.get("role") == role) for role in _ROLES
    }
    if path.endswith("/messages"):
        if not isinstance(asked.get("max_tokens"), int):
            raise BadRequest("max_tokens: field required")
        schema = (asked.get("output_config") or {}).get("format", {}).get("schema")
        system = _text(asked.get("system", ""))
        return Ask(
            "anthropic", model, system, said["user"], schema, bool(asked.get("stream")), True, asked["max_tokens"]
        )
    schema = (asked.get("response_format") or {}).get("json_schema", {}).get("schema")
    most = asked.get("max_completion_tokens") or asked.get("max_tokens") or 4096
    usage = bool((asked.get("stream_options") or {}).get("include_usage"))
    return Ask("openai", model, said["system"], said["user"], schema, bool(asked.get("stream")), usage, most)


def whole(ask: Ask, id_: str, text: str, output_tokens: int) -> bytes:
    """The answer in one piece."""
    if ask.provider == "anthropic":
        answer: dict[str, Any] = {
            "id": id_,
            "type": "message",
            "role": "assistant",
            "model": ask.model,
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": ask.prompt_tokens, "output_tokens": output_tokens, "cache_read_input_tokens": 0},
        }
    else:
        message = {"role": "assistant", "content": text, "refusal": None}
        answer = _chunk(ask, id_, "chat.completion") | {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": _openai_usage(ask, output_tokens),
        }
    return json.dumps(answer).encode()


def begins(ask: Ask, id_: str) -> bytes:
    """What a stream says before its first token."""
    if ask.provider == "openai":
        return _openai_event(ask, id_, {"role": "assistant", "content": ""})
    message: dict[str, Any] = {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": ask.prompt_tokens, "output_tokens": 1, "cache_read_input_tokens": 0},
    }
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    return _event({"type": "message_start", "message": message}) + _event(block) + _event({"type": "ping"})


def token(ask: Ask, id_: str, text: str) -> bytes:
    if ask.provider == "openai":
        return _openai_event(ask, id_, {"content": text})
    return _event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


def ends(ask: Ask, id_: str, output_tokens: int) -> bytes:
    if ask.provider == "anthropic":
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": output_tokens},
        }
        return _event({"type": "content_block_stop", "index": 0}) + _event(delta) + _event({"type": "message_stop"})
    end = _openai_event(ask, id_, {}, "stop")
    if ask.with_usage:
        usage = _chunk(ask, id_, "chat.completion.chunk") | {"choices": [], "usage": _openai_usage(ask, output_tokens)}
        end += f"data: {json.dumps(usage)}\n\n".encode()
    return end + b"data: [DONE]\n\n"


def error_event(provider: str) -> bytes:
    """An error in the middle of a stream."""
    if provider == "anthropic":
        return _event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    error = {"message": "The server had an error while processing your request.", "type": "server_error", "code": None}
    return f"data: {json.dumps({'error': error})}\n\n".encode()


def error_body(provider: str, status: int, message: str) -> bytes:
    """The body of an answer that is no success."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "overloaded_error" if status in {503, 529} else "api_error")
    error: dict[str, Any] = {"type": kind, "message": message}
    if provider == "anthropic":
        return json.dumps({"type": "error", "error": error, "request_id": None}).encode()
    return json.dumps({"error": error | {"param": None, "code": None}}).encode()


def headers(provider: str, id_: str) -> Headers:
    """What every answer carries."""
    if provider == "anthropic":
        limits = {"requests": "4000", "tokens": "400000"}
        return [
            ("request-id", id_),
            *(
                (f"anthropic-ratelimit-{what}-{part}", most)
                for what, most in limits.items()
                for part in ("limit", "remaining")
            ),
        ]
    return [
        ("x-request-id", id_),
        ("openai-processing-ms", "1"),
        *(
            (f"x-ratelimit-{part}-{what}", "10000")
            for what in ("requests", "tokens")
            for part in ("limit", "remaining")
        ),
    ]


def tokens(text: str) -> Iterator[str]:
    """A text as its tokens come: a word each, with the blank before it."""
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or (text[end] == " " and end > start):
            yield text[start:end]
            start = end


_ROLES = ("system", "user")


def _text(content: Any) -> str:  # noqa: ANN401  (JSON)
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or () if isinstance(part, dict))


def _event(data: Mapping[str, Any]) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


def _chunk(ask: Ask, id_: str, kind: str) -> dict[str, Any]:
    return {"id": id_, "object": kind, "created": 1_800_000_000, "model": ask.model}


def _openai_event(ask: Ask, id_: str, delta: Mapping[str, Any], finished: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finished, "logprobs": None}
    return f"data: {json.dumps(_chunk(ask, id_, 'chat.completion.chunk') | {'choices': [choice]})}\n\n".encode()


def _openai_usage(ask: Ask, output_tokens: int) -> dict[str, Any]:
    asked = ask.prompt_tokens
    return {
        "prompt_tokens": asked,
        "completion_tokens": output_tokens,
        "total_tokens": asked + output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }

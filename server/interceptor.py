"""What every call goes through: its id, the contract's rules, the error table, the counters."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast
from uuid import uuid4

import grpc
import protovalidate
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

from engine.errors import EngineError
from server.metrics import CallMetrics
from server.status import DETAILS_KEY, internal, invalid_request, status_of

REQUEST_ID_KEY = "x-request-id"
_HARMLESS = re.compile(r"[\w.:-]{1,64}")
_CODES = {code.value[0]: code for code in grpc.StatusCode}
# Stands for a request whose bytes are no message. Left to grpc, it would end as UNKNOWN, uncounted.
_UNREADABLE = object()

Context = grpc.aio.ServicerContext[Any, Any]
log = structlog.get_logger()


class Interceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of all services."""

    def __init__(self, metrics: CallMetrics) -> None:
        self._metrics = metrics
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = handler_call_details.method
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None:
                # Unknown methods are not remembered: their names are the caller's choice, and without bound.
                return handler
            self._wrapped[method] = self._wrap(handler, method)
        return self._wrapped[method]

    def _wrap(self, handler: grpc.RpcMethodHandler[Any, Any], method: str) -> grpc.RpcMethodHandler[Any, Any]:
        behaviour = cast("Any", handler)
        reader, writer = _reader(handler.request_deserializer), handler.response_serializer
        if behaviour.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._unary(behaviour.unary_unary, method), reader, writer)
        if behaviour.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._stream(behaviour.unary_stream, method), reader, writer)
        if behaviour.stream_stream:
            # What cannot be read comes up where the handler asks for its next request.
            answer = self._stream(behaviour.stream_stream, method)
            return grpc.stream_stream_rpc_method_handler(answer, handler.request_deserializer, writer)
        return handler

    def _unary(self, answer: Callable[[Any, Context], Awaitable[Any]], method: str) -> Any:  # noqa: ANN401
        async def wrapped(request: Any, context: Context) -> Any:  # noqa: ANN401
            with self._call(method, context) as failed:
                try:
                    _check(request)
                    return await answer(request, context)
                except grpc.aio.AbortError:
                    raise
                except Exception as error:  # noqa: BLE001  (whatever it is, the caller gets a status)
                    await failed(error)

        return wrapped

    def _stream(self, answer: Callable[[Any, Context], Any], method: str) -> Any:  # noqa: ANN401
        if not inspect.isasyncgenfunction(answer):
            # A handler that writes for itself is awaited, like one that answers once.
            return self._unary(answer, method)

        async def wrapped(request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401
            with self._call(method, context) as failed:
                try:
                    _check(request)
                    async for response in answer(request, context):
                        yield response
                except grpc.aio.AbortError:
                    raise
                except Exception as error:  # noqa: BLE001  (whatever it is, the caller gets a status)
                    await failed(error)

        return wrapped

    @contextmanager
    def _call(self, method: str, context: Context) -> Iterator[Callable[[Exception], Awaitable[NoReturn]]]:
        """Counts and logs a call; the function that it gives ends it with an error's status."""
        started = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=_request_id(context), method=method)
        code = grpc.StatusCode.OK

        async def fail(error: Exception) -> NoReturn:
            nonlocal code
            status = _status(error)
            code = _CODES[status.code]
            await context.abort(code, status.message, ((DETAILS_KEY, status.SerializeToString()),))

        try:
            yield fail
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.AbortError:
            if code is grpc.StatusCode.OK:
                # The handler has aborted by itself.
                code = context.code()
            raise
        finally:
            elapsed_s = time.perf_counter() - started
            self._metrics.ended(method, code.name, elapsed_s)
            log.info("call", code=code.name, duration_ms=round(elapsed_s * 1e3, 2))


def _reader(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """The same, but that bytes which are no message are a request too, an invalid one."""
    assert deserialize is not None, "the handlers of all services read messages"

    def read(raw: bytes) -> object:
        try:
            return deserialize(raw)
        except DecodeError:
            return _UNREADABLE

    return read


class _Invalid(Exception):
    """A request that breaks the contract's rules."""

    def __init__(self, violations: list[tuple[str, str]]) -> None:
        super().__init__()
        self.violations = violations


def _check(request: object) -> None:
    """Holds a request against the rules that the contract declares."""
    if request is _UNREADABLE:
        raise DecodeError
    if not isinstance(request, Message):
        return
    if violations := protovalidate.collect_violations(request):
        raise _Invalid([_violation(violation) for violation in violations])


def _violation(violation: protovalidate.Violation) -> tuple[str, str]:
    """The field's path as in the request's JSON, "slots[pain]", and what is wrong with it."""
    proto = violation.proto
    elements = proto.field.elements if proto.field else []
    path = ".".join(
        element.field_name + (f"[{element.subscript.value}]" if element.subscript else "") for element in elements
    )
    return path or "request", proto.message or "is not valid"


def _status(error: Exception) -> status_pb2.Status:
    if isinstance(error, EngineError):
        return status_of(error)
    if isinstance(error, _Invalid):
        return invalid_request(error.violations)
    if isinstance(error, DecodeError):
        return invalid_request([("request", "is not a message of this method's type; see the contract")])
    # The traceback may hold what was said, so only where it happened is logged.
    log.error("fault", kind=type(error).__name__, at=_where(error))
    return internal()


def _where(error: Exception) -> list[str]:
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)][-8:]


def _request_id(context: Context) -> str:
    """The caller's id for the call, where it is a harmless one; else a new one."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _HARMLESS.fullmatch(value):
            return value
    return uuid4().hex

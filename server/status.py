"""The one table from what went wrong to what a caller is told.

Details are those of google.rpc: BadRequest with the field, ErrorInfo with a constant
reason, RetryInfo, ResourceInfo. No stack trace and no message text ever leaves.
"""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2

from engine import errors

DOMAIN = "repartee"
_CODES: dict[type[errors.EngineError], grpc.StatusCode] = {
    errors.InvalidField: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.EtagMismatch: grpc.StatusCode.ABORTED,
    errors.Busy: grpc.StatusCode.ABORTED,
    errors.Interrupted: grpc.StatusCode.ABORTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
}
DETAILS_KEY = "grpc-status-details-bin"


def code_of(error: errors.EngineError) -> grpc.StatusCode:
    """The status code of an error, or of the kind of error that it is."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), grpc.StatusCode.INTERNAL)


def status_of(error: errors.EngineError) -> status_pb2.Status:
    """An error as a google.rpc.Status."""
    info = details.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    parts: list[Message] = [info]
    if isinstance(error, errors.InvalidField):
        parts.append(_bad_request([(error.field, error.description)]))
    if isinstance(error, errors.Overloaded):
        delay = Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        parts.append(details.RetryInfo(retry_delay=delay))
    if isinstance(error, (errors.NotFound, errors.AlreadyExists)):
        parts.append(details.ResourceInfo(resource_type=error.kind, resource_name=error.name))
    return _status(code_of(error), error.message, parts)


def invalid_request(violations: Iterable[tuple[str, str]]) -> status_pb2.Status:
    """A request whose fields break the contract's rules, as (field path, what is wrong)."""
    found = list(violations)
    message = "; ".join(f"{field}: {what}" for field, what in found)
    info = details.ErrorInfo(reason=errors.InvalidField.reason, domain=DOMAIN)
    return _status(grpc.StatusCode.INVALID_ARGUMENT, message, [info, _bad_request(found)])


def internal() -> status_pb2.Status:
    """A fault of ours; what it was stands in the log."""
    info = details.ErrorInfo(reason=errors.EngineError.reason, domain=DOMAIN)
    return _status(
        grpc.StatusCode.INTERNAL, "an internal error; the server's log has it under this request's id", [info]
    )


def _status(code: grpc.StatusCode, message: str, parts: Iterable[Message]) -> status_pb2.Status:
    packed = []
    for part in parts:
        packed.append(Any())
        packed[-1].Pack(part)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)


def _bad_request(violations: Iterable[tuple[str, str]]) -> details.BadRequest:
    fields = [details.BadRequest.FieldViolation(field=field, description=what) for field, what in violations]
    return details.BadRequest(field_violations=fields)

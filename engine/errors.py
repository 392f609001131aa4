"""Everything that can go wrong with a request, in the engine's own terms.

Each error has a constant `reason`, as google.rpc.ErrorInfo wants it, and a message for a
person that says what to do. No message ever holds what a buyer or the agent has said.
The server maps them to status codes in one table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class EngineError(Exception):
    """The root of all errors that a caller is told about."""

    reason = "INTERNAL"

    def __init__(self, message: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})


class InvalidField(EngineError):
    """A field of the request is wrong: what, where, and what is allowed."""

    reason = "INVALID_FIELD"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", metadata={"field": field})
        self.field = field
        self.description = message

    def move_into(self, outer: str) -> None:
        """Names the field as part of the request that holds this one as its field `outer`."""
        self.field = f"{outer}.{self.field}"
        self.message = f"{self.field}: {self.description}"
        self.metadata["field"] = self.field


class Unsupported(InvalidField):
    """An option that this server does not offer; never silently ignored."""

    reason = "UNSUPPORTED_OPTION"


class NotFound(EngineError):
    """No such resource, or it is another tenant's."""

    reason = "NOT_FOUND"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{name} does not exist, has expired or was deleted", metadata={"name": name})
        self.kind = kind
        self.name = name


class AlreadyExists(EngineError):
    """A resource of this name is there already."""

    reason = "ALREADY_EXISTS"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{name} exists already; choose another id, or none", metadata={"name": name})
        self.kind = kind
        self.name = name


class EtagMismatch(EngineError):
    """The conversation has changed since the caller read it."""

    reason = "ETAG_MISMATCH"


class Busy(EngineError):
    """Another turn of the conversation is being answered, and the caller would not wait."""

    reason = "CONVERSATION_BUSY"


class Interrupted(EngineError):
    """A later message of the same conversation took this one's place before its first text."""

    reason = "INTERRUPTED"


class Overloaded(EngineError):
    """A bound is reached; the same request may succeed after `retry_after_ms`."""

    reason = "OVERLOADED"

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class DeadlineExceeded(EngineError):
    """The caller's deadline came before the answer; nothing was written."""

    reason = "DEADLINE_EXCEEDED"


class Unavailable(EngineError):
    """The server is going away, or what it stands on is."""

    reason = "UNAVAILABLE"


class ModelsFailed(Unavailable):
    """No remote model gave a valid answer in time; the message says what each one said."""

    reason = "MODELS_FAILED"

    def __init__(self, message: str, kinds: Sequence[str] = ()) -> None:
        super().__init__(message)
        # Of the failures, oldest first: what may be logged, as no provider has worded it.
        self.kinds = tuple(kinds)


class PackError(EngineError):
    """A domain pack cannot be read: which file, which key, what is wrong."""

    reason = "PACK_INVALID"


class RequestIdTaken(InvalidField):
    """The request id was used for another request within a day."""

    reason = "REQUEST_ID_TAKEN"

    def __init__(self) -> None:
        super().__init__("request_id", "was used for another request within a day; choose a new one, best a UUID")

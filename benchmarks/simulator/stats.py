"""What the simulator has seen, in total and per connection; as JSON for whoever tests an agent against it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

# Of what is kept one by one.
_KEPT_MAX = 200_000


@dataclass(slots=True)
class ConnectionStats:
    """Of one connection."""

    number: int
    protocol: str
    requests: int = 0
    resets: int = 0
    pings: int = 0
    open_streams: int = 0
    closed: bool = False


@dataclass(slots=True)
class Stats:
    """Since the start, or the last reset."""

    requests: int = 0
    finished: int = 0
    # Streams that the client reset.
    resets: int = 0
    # Tokens that were written after the client's reset had arrived: always 0, or the simulator is wrong.
    tokens_after_reset: int = 0
    tokens: int = 0
    by_model: Counter[str] = field(default_factory=Counter)
    by_key: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    connections: deque[ConnectionStats] = field(default_factory=lambda: deque(maxlen=10_000))
    # When a reset arrived, by the request's `x-sim-key` header: seconds of the monotonic clock.
    reset_at_s: dict[str, float] = field(default_factory=dict)

    def was_reset(self, key: str, at_s: float) -> None:
        self.resets += 1
        if key and len(self.reset_at_s) < _KEPT_MAX:
            self.reset_at_s[key] = at_s

    @property
    def open_streams(self) -> int:
        return sum(connection.open_streams for connection in self.connections)

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "finished": self.finished,
            "resets": self.resets,
            "tokens_after_reset": self.tokens_after_reset,
            "tokens": self.tokens,
            "open_streams": self.open_streams,
            "by_model": dict(self.by_model),
            "by_key": dict(self.by_key),
            "faults": dict(self.faults),
            "connections": [asdict(connection) for connection in self.connections],
            "reset_at_s": self.reset_at_s,
        }

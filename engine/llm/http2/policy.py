"""What a connection and a pool decide, apart from how they do it. Pure; time is an argument.

Servers answer rapid resets with GOAWAY (CVE-2023-44487; nghttp2's limit: 1,000 at once,
then 33 a second). Every lost race is a reset, so a connection keeps a budget under that,
and retires by itself when it is spent: it takes no new streams, and closes when its last
one has ended.

A connection that is silent while somebody waits on it may be dead: after a while it is
asked (PING), and given up if it does not answer. One that nobody has used for minutes is
closed before the server, or something between, drops it unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RESETS_BURST = 800.0
RESETS_PER_S = 25.0


@dataclass(slots=True)
class ResetBudget:
    """Of one connection: a token bucket a little under the servers' own."""

    left: float = RESETS_BURST
    at_s: float = 0.0

    def spend(self, now_s: float) -> bool:
        """A stream is reset; False where it was the last one that this connection should reset."""
        self.left = min(RESETS_BURST, self.left + (now_s - self.at_s) * RESETS_PER_S) - 1
        self.at_s = now_s
        return self.left > 0


@dataclass(frozen=True, slots=True)
class Liveness:
    """When a connection is asked whether it lives, given up, or closed for want of use. All in seconds."""

    ping_after_s: float = 2.0
    ping_timeout_s: float = 2.0
    idle_s_max: float = 240.0

    def verdict(self, now_s: float, heard_s: float, used_s: float, pinged_s: float | None, *, busy: bool) -> Verdict:
        """What to do now, and when to look again.

        Args:
            heard_s: when the last byte came.
            used_s: when the last stream ended, or the connection was made.
            pinged_s: when a PING was sent that is not answered yet.
            busy: somebody waits for a stream.
        """
        if pinged_s is not None:
            due_s = pinged_s + self.ping_timeout_s
            return Verdict(due_s, dead=now_s >= due_s)
        if busy:
            due_s = heard_s + self.ping_after_s
            return Verdict(due_s if now_s < due_s else now_s + self.ping_timeout_s, ping=now_s >= due_s)
        due_s = used_s + self.idle_s_max
        # Not used for long, but not yet too long: is it still there for the next request?
        ask_s = heard_s + self.idle_s_max / 4
        if now_s >= due_s:
            return Verdict(due_s, idle=True)
        return Verdict(min(due_s, ask_s) if now_s < ask_s else now_s + self.ping_timeout_s, ping=now_s >= ask_s)


@dataclass(frozen=True, slots=True)
class Verdict:
    """At most one of the three is set."""

    look_again_s: float
    ping: bool = False
    dead: bool = False
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """What a connection can take."""

    streams: int
    streams_max: int
    # Somebody waits on it, and it has said nothing for a while: others go first.
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which connection takes the next request, if one can, and whether another one is to be opened."""

    place: int | None
    open_another: bool


def assign(rooms: Sequence[Room], alive: int, opening: int, waiting: int, *, most: int, crowded: int) -> Assignment:
    """Spreads requests, and so their resets, evenly; opens connections before they are crowded.

    Args:
        rooms: the connections that take new streams.
        alive: all connections that are not closed, those that only finish their streams counted in.
        opening: connections that are being made.
        waiting: requests that wait already.
        most: connections at a time.
        crowded: streams on a connection from which on another one is opened.
    """
    free = [place for place, room in enumerate(rooms) if room.streams < room.streams_max]
    place = min(free, key=lambda one: (rooms[one].is_silent, rooms[one].streams), default=None)
    if place is None:
        wanted = waiting >= opening * crowded
    else:
        # Beside one that says nothing another is opened, for who comes after this request, or back with it.
        wanted = not opening and (rooms[place].is_silent or rooms[place].streams >= crowded)
    return Assignment(place, wanted and alive + opening < most)
